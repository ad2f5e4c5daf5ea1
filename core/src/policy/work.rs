//! [`Work`]: runs an operation in a flight. If its driver is lost, another caller continues it.
//! Policy *Continue*.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use equivalent::Equivalent;

use crate::cell::Snapshot;
use crate::error::Error;
use crate::flight::operation::{Drive, Policy};
use crate::flight::{Driver, FlightId, Settled, fits};
use crate::group::shard::InHand;
use crate::group::{Entry, Group, Registry};
use crate::policy::participant::{DROVE, Other, Participant, Role};
use crate::policy::participate::Participate;
use crate::sync::{catch, resume};
use crate::unwind::{Fragile, isolate};

impl<K: Hash + Eq, T, S: BuildHasher> Group<K, T, S> {
    /// Runs the operation for `key`, or becomes a participant of the flight that runs.
    ///
    /// The flight begins in this call, and the future that it returns is small. Only the first
    /// caller's `make` is called. The operation of a duplicate is never made. Each caller's future
    /// resolves to the same outcome. Every caller of `work` is a *participant* of the flight. One
    /// of them polls the operation: the *driver*. If the driver is dropped, another caller
    /// continues the **same operation** from where it stopped. The operation is dropped unfinished
    /// only if the last participant leaves, if the operation panics, or if something else ends the
    /// flight.
    ///
    /// A wake of the operation wakes its driver and no other caller. If no caller drives it at that
    /// moment, all participants are woken. If a driver leaves while its operation wants to be
    /// polled, all participants are woken too. So if N callers give up in this way, one after the
    /// other, they take about N²/2 polls.
    ///
    /// A caller that joins with another call gets the same outcome, but never polls the operation.
    /// There is one exception: the first `spawn` that joins gives its runtime a task that is a
    /// participant and drives. Then the operation runs to its end, even if every caller is dropped.
    ///
    /// # Errors
    ///
    /// The future yields [`Error::Aborted`] if the flight ends without a value. If the call was
    /// rejected, the first poll yields [`Error::Rejected`]. If the operation can fail, let `T` be a
    /// `Result`. Then its error is an outcome.
    ///
    /// # Panics
    ///
    /// If the operation panics while it is made or polled, the flight ends as
    /// [`Cause::Panicked`](crate::error::Cause::Panicked), and the panic propagates to the caller
    /// that made or polled it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flight. If the last participant leaves, the flight ends as
    /// [`Cause::Dropped`](crate::error::Cause::Dropped) (as
    /// [`Cause::Panicked`](crate::error::Cause::Panicked), if its thread unwinds). After that the
    /// operation is dropped, also in this drop. A caller that comes after the end starts its own
    /// operation, and never inherits the cancellation. It might do so before the old operation is
    /// dropped, so it can meet a lock that the old operation still holds.
    ///
    /// # Deadlocks
    ///
    /// - A driver that is kept but no longer polled (for example in a `select!` arm that is not
    ///   taken again) delays the others, unless something polls one of them.
    ///   [`drained`](Self::drained) waits for it too. If that can happen, use an adapter's `spawn`
    ///   or `spawn_while_wanted`: the operation is then a task of its own.
    /// - The executor that polls the driver also polls the operation. If it needs an ambient
    ///   runtime, wrap it in the adapter's `in_context`, or use `spawn`.
    /// - An operation that waits for its own key waits for itself. A call from inside of it is a
    ///   plain waiter: it does not drive and does not keep the operation alive. If the wait is
    ///   certain not to end, it fails with
    ///   [`Rejected::Reentrant`](crate::error::Rejected::Reentrant).
    ///
    /// # Examples
    ///
    /// ```
    /// use oneflight_core::Group;
    /// # futures_lite::future::block_on(async {
    /// // `T` needs no `Clone`, and the error can be any type.
    /// let group: Group<u32, Result<String, std::io::Error>> = Group::new();
    /// let first = group.work(1, || async { Ok("model output".to_string()) });
    /// let second = group.work(1, || async { unreachable!("never made") });
    /// let (first, second) = futures_lite::future::zip(first, second).await;
    /// assert!(std::ptr::eq(&*first.unwrap(), &*second.unwrap()));
    /// # });
    /// ```
    #[doc(alias = "Do")]
    #[doc(alias = "get_or_init")]
    pub fn work<M, F>(&self, key: K, make: M) -> Work<K, T>
    where
        M: FnOnce() -> F,
        F: Future<Output = T> + Send + 'static,
        K: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.entry(key).work(make)
    }
}

impl<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Entry<'_, G, Q> {
    /// Runs the operation for the key, or becomes a participant of the flight that runs. See
    /// [`Group::work`](crate::Group::work).
    pub fn work<M, F>(self, make: M) -> Work<G::Key, G::Value>
    where
        M: FnOnce() -> F,
        F: Future<Output = G::Value> + Send + 'static,
        G::Key: Send + Sync + 'static,
        G::Value: Send + Sync + 'static,
    {
        if const { fits::<F>() } {
            self.work_with(make)
        } else {
            self.work_with(|| Box::pin(make()))
        }
    }

    /// The operation is in the memory of its flight.
    #[inline(always)]
    fn work_with<M, F>(self, make: M) -> Work<G::Key, G::Value>
    where
        M: FnOnce() -> F,
        F: Future<Output = G::Value> + Send + 'static,
    {
        let mut work = Work {
            role: Role::unknown(),
        };
        let (mut make, mut call) = (Some(make), Participate::new(Policy::Continue));
        call.participate(self, &mut work.role);
        if let Role::Participant(participant) = &mut work.role {
            if let (Some(fresh), Some(make)) = (call.fresh.take(), make.take()) {
                participant.make(fresh, make);
            }
        }
        // While `work` is a guard: the drop of a closure that a duplicate did not need is the
        // user's. If it panicked after that, a value that is already returned would be leaked.
        drop(make);
        work
    }
}

/// A caller of [`Group::work`]: a participant of the flight, which drives the operation when it has
/// to.
///
/// It is a future that yields `Result<Settled, Error>`. It has begun already. Polling it again
/// after it was ready returns the same outcome.
///
/// # Cancel safety
///
/// Dropping it leaves the flight. If it drove, another participant continues the same operation. If
/// it was the last participant, the flight ends as
/// [`Cause::Dropped`](crate::error::Cause::Dropped), and then the operation is dropped.
///
/// # Errors
///
/// It yields the errors of [`Group::work`], which also describes its panics and deadlocks.
#[must_use = "it has begun; the last participant that is dropped drops the operation"]
pub struct Work<K, T> {
    pub(super) role: Role<K, T>,
}

impl<K, T> Work<K, T> {
    /// Returns the identity of the flight, or `None` if the call was rejected.
    pub fn id(&self) -> Option<FlightId> {
        self.role.id()
    }

    /// Returns true if this call began the flight.
    pub fn is_primary(&self) -> bool {
        self.role.is_primary()
    }

    /// Returns true if the flight had settled before this call came.
    pub fn is_replayed(&self) -> bool {
        self.role.is_replayed()
    }

    /// Returns the outcome, if the flight has ended or the call was rejected. It does not poll.
    pub fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        self.role.get()
    }
}

impl<K, T> Participant<K, T>
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// As [`poll`](Self::poll), for a participant that is a task: it drives before the others.
    pub(super) fn poll_as_task(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let again = self.with_operation(|shared, place| shared.lead(*place));
            if again != Some(true) {
                return Poll::Pending;
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Settled<K, T>, Error>> {
        let state = self.flight().cell.snapshot();
        if !state.ended() {
            let settled = match self.first_turn() {
                Some(operation) => self.drive((operation, Fragile(None)), cx.waker()),
                None => self.step(state, cx.waker()),
            };
            if let Some(settled) = settled {
                return Poll::Ready(Ok(settled));
            }
        }
        match self.outcome() {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }

    /// Takes the operation if it is ready, and drives it. Otherwise parks this participant.
    #[inline(never)]
    fn step(&mut self, state: Snapshot, waker: &Waker) -> Option<Settled<K, T>> {
        // Then its waker is cloned only if the operation is pending again.
        if self.seat.has(DROVE) {
            let ready = self.with_operation(|shared, place| shared.take_ready(place));
            if let Some(Some((operation, old))) = ready {
                let settled = self.drive((operation, Fragile(None)), waker);
                drop(old);
                return settled;
            }
        }
        let stepped = self.with_operation_to_park(state, |shared, place| shared.step(place, waker));
        // `old` is dropped last: its drop is the user's, and the operation must have been put back
        // before. Not by the end of a block: if it panicked there, the outcome would be leaked.
        match stepped {
            Some((Some(drive), old)) => {
                let settled = self.drive(drive, waker);
                drop(old);
                settled
            }
            _ => None,
        }
    }

    /// Polls the operation once, as the driver, which is polled with `outer`. Returns the outcome
    /// if that has settled the flight.
    #[inline(always)]
    fn drive(&mut self, (operation, mut own): Drive<T>, outer: &Waker) -> Option<Settled<K, T>> {
        let Self { seat, shard } = self;
        let (flight, mut marks) = seat.split();
        let mut in_hand = InHand::new(shard, flight, Some(operation));
        let (operation, waker) = in_hand.polled();
        let mut failed = None;
        // On a panic the others are woken first, and then the operation is dropped.
        let poll = shard.guarded(flight, Some([outer, &waker]), || {
            let poll = operation.poll(&mut Context::from_waker(&waker));
            if poll.is_pending() && own.0.is_none() {
                // Its panic is this caller's alone, where a panic can be caught.
                match catch(|| outer.clone()) {
                    Ok(waker) => own.0 = Some(waker),
                    Err(panic) => failed = Some(panic),
                }
            }
            poll
        });
        match poll {
            Poll::Ready(value) => {
                // It is over, and dropped after the settle, also if that unwinds.
                let mut operation = in_hand.operation.take();
                let driver = Driver {
                    flight,
                    operation: operation.as_mut(),
                };
                // It fails only if the flight was ended from outside. Then that is the outcome, for
                // this caller too.
                let settled = shard.settle_for_outcome(driver, value);
                if let Some(operation) = operation {
                    flight.drop_operation(operation);
                }
                // As in `step`.
                drop(own);
                settled
            }
            // It stays in hand if the flight was ended from outside.
            Poll::Pending => {
                marks.mark(DROVE, 0);
                if let Some(panic) = failed {
                    // The operation waits for its wake without a driver.
                    isolate(|| {
                        flight.with_shared(|shared| shared.hand_in(&mut in_hand.operation));
                        drop(in_hand);
                    });
                    resume(panic);
                }
                let (state, operation) = (flight.cell.snapshot(), &mut in_hand.operation);
                marks.with_place(|place| {
                    let alone =
                        flight.with_shared(|shared| shared.pause_alone(place, operation, &mut own));
                    if alone == Some(false) {
                        flight.with_shared_to_park(state, |shared| {
                            shared.pause(place, operation, &mut own);
                        });
                    }
                });
                None
            }
        }
    }
}

impl<K, T> Future for Work<K, T>
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Output = Result<Settled<K, T>, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.role.leave_if_polled_inside(cx.waker());
        match &mut self.role {
            Role::Participant(participant) => participant.poll(cx),
            Role::Other(Other::Waiter(waiter)) => Pin::new(waiter).poll(cx),
            Role::Other(Other::Rejected(why)) => Poll::Ready(Err(Error::Rejected(*why))),
        }
    }
}

impl<K, T> UnwindSafe for Work<K, T> {}
impl<K, T> RefUnwindSafe for Work<K, T> {}

impl<K, T> fmt::Debug for Work<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("id", &self.id())
            .field("role", &self.role.name())
            .finish_non_exhaustive()
    }
}
