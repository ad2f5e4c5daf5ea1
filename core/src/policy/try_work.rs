//! [`TryWork`]: runs an operation in a flight. If it fails or its caller is lost, another caller
//! runs its own. Policy *Rerun*.

use core::fmt;
use core::future::{Future, Pending};
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use equivalent::Equivalent;
use pin_project_lite::pin_project;

use crate::error::{Aborted, Cause, Error};
use crate::flight::operation::Policy;
use crate::flight::reentry::Entered;
use crate::flight::{Driver, FlightId, Settled, loss};
use crate::group::{Entry, Group, Registry};
use crate::policy::participant::{Other, Participant, Role};
use crate::policy::participate::Participate;
use crate::unwind::{Fragile, FragilePin, OnDrop};

impl<K: Hash + Eq, T, S: BuildHasher> Group<K, T, S> {
    /// Runs the operation for `key`, or waits for the one that runs. If that one fails or is lost,
    /// this caller can run its own.
    ///
    /// Each caller brings its own operation, which is made only when it is that caller's turn. It
    /// stays in its caller's future, so it can be `!Send` and can borrow. Its value is the outcome
    /// of the flight, and every caller gets it.
    ///
    /// Its error is not shared: its own caller gets it, by value, and leaves the flight. So each
    /// caller can have an error type of its own, which takes the errors of this crate by
    /// `From<Error>`. For an operation that cannot fail, write `Ok::<_, Error>(value)`. Only
    /// successes are outcomes, so to retain them use
    /// [`retain_for`](crate::GroupBuilder::retain_for) and not `retain_ok_for`.
    ///
    /// If the operation fails, or its caller is lost (dropped, or the operation panicked), the
    /// operation is dropped first. Then all participants are woken, and the first one that is
    /// polled runs its own, from the beginning. Exactly one does. A participant that is not polled
    /// does not delay the others, unless it drives. The flight stays registered throughout.
    ///
    /// Use it if running the operation again is harmless. Otherwise use [`work`](Self::work), which
    /// never restarts, or an adapter's `spawn`. Callers with deadlines of their own also use
    /// `work`, or an adapter's `spawn_while_wanted`. With this call, the work of an operation is
    /// lost each time a caller gives up while it drives.
    ///
    /// # Participants
    ///
    /// Only callers of `try_work` are participants. If a guard, `run`, `work`, `spawn` or
    /// `work_blocking` began the flight, this caller waits as every other duplicate does, and its
    /// operation is never made. If that flight ends without a value, this caller gets the error of
    /// that flight, and its own operation does not run.
    ///
    /// # How often
    ///
    /// Each failure or loss wakes all participants that are left. So a chain of N failures takes
    /// about N²/2 polls. It also takes N times as long as one operation takes to fail.
    /// [`max_reruns`](crate::GroupBuilder::max_reruns) limits the number of runs of one flight.
    /// Without it there is no limit.
    ///
    /// # Errors
    ///
    /// If this caller's own operation fails, the future yields that error, also if the flight has
    /// ended meanwhile. Otherwise it yields an `E` that is made from one of these:
    ///
    /// - [`Error::Rejected`] at the first poll, if the call was rejected.
    /// - [`Error::Aborted`] with [`Cause::Exhausted`], if all operations that `max_reruns` allows
    ///   have failed or were lost. The caller whose operation failed last still gets its own error.
    /// - [`Error::Aborted`] with another cause, if something else ends the flight.
    ///
    /// If no participant is left, the waiters of other calls get the cause for which the last
    /// operation ended: [`Cause::Failed`], [`Cause::Dropped`] or [`Cause::Panicked`].
    ///
    /// # Panics
    ///
    /// A panic of the operation propagates to the caller that ran it, and counts as a loss for the
    /// others. If that caller's future is polled again while the flight continues, it yields
    /// [`Error::Aborted`] with [`Cause::Panicked`].
    ///
    /// The future panics if it is polled after it was ready: it gives its error once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flight. If it drove, its operation is lost and another
    /// participant runs its own.
    ///
    /// # Deadlocks
    ///
    /// As in [`work`](Self::work), a driver that is kept but no longer polled delays the others. If
    /// something else ends the flight, such a driver keeps [`drained`](Self::drained) waiting,
    /// because its operation is dropped only when its future is polled next, or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use oneflight_core::Group;
    /// use std::io;
    /// # futures_lite::future::block_on(async {
    /// let group: Group<&str, String> = Group::new();
    /// let name = String::from("borrowed");
    /// let first = group.try_work("k", || async { Err(io::Error::other("no such name")) });
    /// let second = group.try_work("k", || async { io::Result::Ok(name.clone()) });
    /// // The first one fails, and gets its error. Then the second one runs its own.
    /// assert_eq!(first.await.unwrap_err().to_string(), "no such name");
    /// assert_eq!(*second.await.unwrap(), "borrowed");
    /// # });
    /// ```
    #[doc(alias = "get_or_try_init")]
    #[doc(alias = "try_get_with")]
    #[doc(alias = "retry")]
    pub fn try_work<M, F, E>(&self, key: K, make: M) -> TryWork<K, T, M, F>
    where
        M: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        self.entry(key).try_work(make)
    }
}

impl<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Entry<'_, G, Q> {
    /// Runs the operation for the key, or waits for the one that runs. If that one fails or is
    /// lost, this caller can run its own. See [`Group::try_work`](crate::Group::try_work).
    pub fn try_work<M, F, E>(self, make: M) -> TryWork<G::Key, G::Value, M, F>
    where
        M: FnOnce() -> F,
        F: Future<Output = Result<G::Value, E>>,
        E: From<Error>,
    {
        let mut call = TryWork {
            role: Role::unknown(),
            make: Some(make),
            operation: None,
            is_done: false,
        };
        Participate::<_, _, Pending<_>>::new(Policy::Rerun).participate(self, &mut call.role);
        call
    }
}

pin_project! {
    /// A caller of [`Group::try_work`]: a participant of the flight, with an operation of its own.
    ///
    /// It is a future that yields `Result<Settled, E>`, where `E` is the error of its operation. It
    /// has begun already. It pins its operation, so pin it (`pin!`, `Box::pin`) to await it by
    /// reference.
    ///
    /// # Panics
    ///
    /// It panics if it is polled after it was ready: it gives its error once.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the flight. If it drove, its operation is dropped and another participant
    /// runs its own.
    ///
    /// # Deadlocks
    ///
    /// If it drives and is kept, unfinished and not polled, it keeps [`Group::drained`] waiting.
    #[must_use = "dropping it passes the flight on to the next participant"]
    pub struct TryWork<K, T, M, F> {
        pub(super) role: Role<K, T>,
        make: Option<M>,
        #[pin]
        operation: Option<F>,
        is_done: bool,
    }

    impl<K, T, M, F> PinnedDrop for TryWork<K, T, M, F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Without an operation the participant leaves by its own drop.
            if let (true, Role::Participant(participant)) = (this.operation.is_some(), this.role) {
                let operation = this.operation;
                drop(DropThenLeave { operation, participant, failed: false });
            }
        }
    }
}

/// Of a participant that has the run: an operation, or one that is being made. Drops it, and then
/// leaves the flight, also if that drop panics. In this order, since
/// two operations of one flight must never exist at once. Meanwhile this thread counts as inside of
/// the flight: nobody runs another operation until the drop returns, so a drop that waits for its
/// own key would wait for itself.
struct DropThenLeave<'a, K, T, F> {
    operation: Pin<&'a mut Option<F>>,
    participant: &'a mut Participant<K, T>,
    /// Whether its operation has yielded an error.
    failed: bool,
}

impl<K, T, F> Drop for DropThenLeave<'_, K, T, F> {
    fn drop(&mut self) {
        let flight = self.participant.flight().clone();
        let _then = OnDrop(|| {
            let cause = if self.failed { Cause::Failed } else { loss() };
            self.participant.leave(Some(cause));
        });
        // A local, so that it is dropped before the leaving, also if a subscriber panics.
        let operation = FragilePin(self.operation.as_mut());
        let _entered = Entered::new(&flight, None);
        drop(operation);
    }
}

impl<K, T, M, F> TryWork<K, T, M, F> {
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
}

impl<K, T, M, F, E> Future for TryWork<K, T, M, F>
where
    M: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
    E: From<Error>,
{
    type Output = Result<Settled<K, T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        assert!(!*this.is_done, "a `TryWork` is polled after it was ready");
        this.role.leave_if_polled_inside(cx.waker());
        let polled = match this.role {
            Role::Participant(participant) => {
                match participant.try_poll(this.make, this.operation.as_mut(), cx) {
                    Ok(polled) => polled,
                    Err(own) => {
                        *this.is_done = true;
                        return Poll::Ready(Err(own));
                    }
                }
            }
            Role::Other(Other::Waiter(waiter)) => Pin::new(waiter).poll(cx),
            Role::Other(Other::Rejected(why)) => Poll::Ready(Err(Error::Rejected(*why))),
        };
        // `E::from` is the user's. When it is called, everything else is done.
        *this.is_done = polled.is_ready();
        polled.map_err(E::from)
    }
}

/// The outcome of a flight.
type Outcome<K, T> = Result<Settled<K, T>, Error>;

impl<K, T> Participant<K, T> {
    /// Polls this caller's own operation, if it has the run or can take it. Returns the outcome of
    /// the flight, or the error of the operation.
    fn try_poll<M, F, E>(
        &mut self,
        make: &mut Option<M>,
        mut operation: Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Result<Poll<Outcome<K, T>>, E>
    where
        M: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        let state = self.flight().cell.snapshot();
        if !state.ended() {
            if self.has_left() {
                // Polled again after its operation panicked: there is nothing left to run.
                let aborted = Aborted::new(Cause::Panicked);
                return Ok(Poll::Ready(Err(Error::Aborted(aborted))));
            }
            let first = operation.is_none() && self.first_turn().is_some();
            let stepped = if first {
                Some((true, Fragile(None)))
            } else {
                let has_run = operation.is_some();
                self.with_operation_to_park(state, |shared, place| {
                    if has_run {
                        return (true, shared.repark(place, cx.waker()));
                    }
                    let (step, old) = shared.step(place, cx.waker());
                    (step.is_some(), old)
                })
            };
            let (mut error, mut settled) = (Fragile(None), None);
            // `_old` is dropped last: its drop is the user's.
            if let Some((true, _old)) = stepped {
                // The first run begins a flight that has waited for a gate, if that has not ended.
                if state.has_begun() || self.flight().cell.begin() {
                    match self.poll_own(make, operation.as_mut(), cx) {
                        Ok(outcome) => settled = outcome,
                        Err(own) => error.0 = Some(own),
                    }
                }
                if first && operation.is_some() {
                    // It is pending, and has to be woken if the flight is ended from outside.
                    let parked = self.with_operation_to_park(state, |shared, place| {
                        shared.repark(place, cx.waker())
                    });
                    drop(parked);
                }
            }
            if let Some(error) = error.0.take() {
                return Err(error);
            }
            if let Some(settled) = settled {
                return Ok(Poll::Ready(Ok(settled)));
            }
        }
        let Some(outcome) = self.outcome() else {
            return Ok(Poll::Pending);
        };
        if operation.is_some() {
            // The flight was ended from outside. The operation is not needed any more.
            let _then = OnDrop(|| self.shard.gone(self.flight()));
            operation.set(None);
        }
        Ok(Poll::Ready(outcome))
    }

    /// Polls this caller's own operation once. Makes it first, if it is new. Drops it when it is
    /// ready. Returns its error, when this participant has left, or the outcome if that has settled
    /// the flight.
    fn poll_own<M, F, E>(
        &mut self,
        make: &mut Option<M>,
        mut operation: Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Result<Option<Settled<K, T>>, E>
    where
        M: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        let mut guard = DropThenLeave {
            operation: operation.as_mut(),
            participant: self,
            failed: false,
        };
        let entered = Entered::new(guard.participant.flight(), Some([cx.waker(); 2]));
        if let Some(make) = make.take() {
            guard.operation.set(Some(make()));
        }
        let poll = match guard.operation.as_mut().as_pin_mut() {
            Some(operation) => operation.poll(cx),
            None => unreachable!("a participant drives once"),
        };
        // Not at the end of a block: if a subscriber panicked there, the value would be leaked.
        drop(entered);
        if let Poll::Ready(Err(error)) = poll {
            // What is dropped and woken now is the user's, and so is the drop of the error.
            let mut error = Fragile(Some(error));
            guard.failed = true;
            drop(guard);
            return match error.0.take() {
                Some(error) => Err(error),
                None => unreachable!("put there above"),
            };
        }
        // It did not panic, so this participant keeps driving.
        core::mem::forget(guard);
        if let Poll::Ready(Ok(value)) = poll {
            // Dropped after the settle, also if that unwinds.
            let operation = FragilePin(operation);
            let driver = Driver {
                flight: self.flight(),
                operation: None,
            };
            let settled = self.shard.settle_for_outcome(driver, value);
            // Not at the end of the block: if it panicked there, the outcome would be leaked.
            drop(operation);
            return Ok(settled);
        }
        Ok(None)
    }
}

impl<K, T, M: UnwindSafe, F: UnwindSafe> UnwindSafe for TryWork<K, T, M, F> {}
impl<K, T, M: RefUnwindSafe, F: RefUnwindSafe> RefUnwindSafe for TryWork<K, T, M, F> {}

impl<K, T, M, F> fmt::Debug for TryWork<K, T, M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryWork")
            .field("id", &self.id())
            .field("role", &self.role.name())
            .finish_non_exhaustive()
    }
}
