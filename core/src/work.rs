//! [`Work`]: run an operation in a flight; whoever still wants the outcome carries it on. Policy *Continue*.

use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::baton::{Baton, Operation, Turn};
use crate::error::{Cause, Rejected, WorkError};
use crate::flight::{AbortOnUnwind, Flight, FlightId};
use crate::group::shard::Shard;
use crate::group::{Begin, Group};
use crate::settled::Settled;
use crate::slab::Seat;
use crate::sync::{Arc, Wakeable, waker};
use crate::waiter::Waiter;

impl<K, T, S> Group<K, T, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Runs the operation for `key`, or takes part in the one that runs.
    ///
    /// The call begins at once, and the future it returns is small. Only the first caller's `make` is called; a
    /// duplicate's operation is never even made. Each caller's future resolves to the same outcome. The operation is
    /// polled by one of the callers, the *driver*; when that one is dropped, the **same operation** goes on where it
    /// stood, driven by another. It ends unfinished only when every participant has left.
    ///
    /// Progress of the operation wakes its driver and nobody else.
    ///
    /// Callers that come by `begin` or `spawn` share the outcome and never drive.
    ///
    /// # Errors
    ///
    /// [`WorkError::Aborted`] when the flight ends without a value; [`WorkError::Rejected`] when the call was
    /// turned away, at the first poll. An error of the operation's own is an outcome: let `T` be a `Result`.
    ///
    /// # Panics
    ///
    /// A panic while the operation is made or polled ends the flight as [`Cause::Panicked`] for the others and goes
    /// on in the caller that made or polled it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flight. The last participant to leave ends it as [`Cause::Dropped`]; a
    /// newcomer after that begins anew and never inherits the cancellation.
    ///
    /// # Deadlocks
    ///
    /// - A driver that is kept but no longer polled (held in a `select!` arm that is not taken again, say) stalls the
    ///   others, unless something polls one of them. Where that can happen, use an adapter's `spawn`: the operation is
    ///   then a task of its own.
    /// - The operation is polled by whichever executor polls its driver. If it needs an ambient runtime, wrap it in
    ///   the adapter's `in_context`, or use `spawn`.
    /// - An operation that waits for its own key waits for itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use oneflight_core::Group;
    /// # futures_lite::future::block_on(async {
    /// // `T` needs no `Clone`, and the error may be anything.
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
    {
        let (hash, shard) = self.locate(&key);
        // A flight whose last participant has left is about to end: a newcomer begins the next one.
        let admit = |flight: &Flight<K, T>| flight.baton.as_ref().is_none_or(|baton| baton.join());
        let baton = || Some(Arc::new(Wakeable(Baton::new(shard.clone()))));
        let (begin, key) = Shard::begin(shard, hash, key, admit, baton);
        let role = match begin {
            Begin::Primary(primary) => {
                let participant = Participant {
                    flight: primary.into_flight(),
                    seat: Seat::NONE,
                    duplicate: false,
                };
                participant.make(make);
                Role::Participant(participant)
            }
            Begin::Waiter(waiter) if waiter.flight().baton.is_some() => {
                Role::Participant(Participant::duplicate(waiter))
            }
            Begin::Waiter(waiter) => Role::Waiter(waiter),
            Begin::Rejected(why) => Role::Rejected(why),
        };
        // Now that everything counted is a guard: the drop of a duplicate's key is the user's.
        let work = Work { role };
        drop(key);
        work
    }
}

/// A caller of [`Group::work`]: takes part in the flight, and drives it when it has to.
///
/// A future of `Result<Settled, WorkError>`. It has begun already; polling it again after it was ready is ready again.
///
/// # Cancel safety
///
/// Dropping it leaves the flight. If it drove, another participant goes on with the same operation. If it was the
/// last, the flight ends as [`Cause::Dropped`] and the operation is dropped.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Work<K, T> {
    role: Role<K, T>,
}

enum Role<K, T> {
    Participant(Participant<K, T>),
    /// The flight was begun in another way: it is not this caller's to drive.
    Waiter(Waiter<K, T>),
    Rejected(Rejected),
}

struct Participant<K, T> {
    flight: Arc<Flight<K, T>>,
    seat: Seat,
    /// Counted as a waiter of the flight; the one that began it is not.
    duplicate: bool,
}

impl<K, T> Work<K, T> {
    /// The identity of the flight it takes part in; `None` if it was turned away.
    pub fn id(&self) -> Option<FlightId> {
        match &self.role {
            Role::Participant(participant) => Some(participant.flight.id),
            Role::Waiter(waiter) => Some(waiter.id()),
            Role::Rejected(_) => None,
        }
    }

    /// The outcome, if the flight has ended (or the call was turned away), without polling.
    pub fn get(&self) -> Option<Result<Settled<K, T>, WorkError>> {
        let outcome = match &self.role {
            Role::Participant(participant) => Flight::get(&participant.flight),
            Role::Waiter(waiter) => waiter.get(),
            Role::Rejected(why) => return Some(Err(WorkError::Rejected(*why))),
        };
        outcome.map(|outcome| outcome.map_err(WorkError::Aborted))
    }
}

impl<K, T> Participant<K, T> {
    fn baton(&self) -> &Arc<Wakeable<Baton<K, T>>> {
        self.flight
            .baton
            .as_ref()
            .unwrap_or_else(|| unreachable!("participants are of flights with a baton"))
    }

    /// For a waiter whose flight has admitted it as a participant.
    fn duplicate(waiter: Waiter<K, T>) -> Self {
        let flight = waiter.flight().clone();
        waiter.disarm();
        Self {
            flight,
            seat: Seat::NONE,
            duplicate: true,
        }
    }

    /// Makes the operation. A panic ends the flight, as one in a poll would.
    fn make<F>(&self, make: impl FnOnce() -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let baton = self.baton();
        let guard = AbortOnUnwind::new(&self.flight, &baton.shard);
        let operation = Operation::new(make());
        guard.defuse();
        baton.made(operation);
    }
}

impl<K, T> Participant<K, T>
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Settled<K, T>, WorkError>> {
        let Self { flight, seat, .. } = self;
        let Some(baton) = &flight.baton else {
            unreachable!("participants are of flights with a baton")
        };
        if !flight.cell.snapshot().ended() {
            // Dropped last: its drop is the user's, and the operation must be laid down before it.
            let (turn, _old) = baton.turn(seat, cx.waker());
            if let Turn::Drive(operation) = turn {
                drive(flight, baton, operation);
            }
        }
        match Flight::get(flight) {
            Some(outcome) => Poll::Ready(outcome.map_err(WorkError::Aborted)),
            None => Poll::Pending,
        }
    }
}

/// Polls the operation once, as the driver.
fn drive<K, T>(
    flight: &Arc<Flight<K, T>>,
    baton: &Arc<Wakeable<Baton<K, T>>>,
    mut operation: Operation<T>,
) where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    let waker = waker(baton.clone());
    // After the operation, so that on a panic the others are told before it is dropped.
    let guard = AbortOnUnwind::new(flight, &baton.shard);
    let poll = operation.poll(&mut Context::from_waker(&waker));
    guard.defuse();
    match poll {
        // Refused only when the flight was ended from outside: then that is the outcome, for this caller too.
        Poll::Ready(value) => drop(Flight::settle(flight, &baton.shard, value)),
        Poll::Pending => baton.pause(operation),
    }
}

impl<K, T> Drop for Participant<K, T> {
    fn drop(&mut self) {
        if self.duplicate {
            self.flight.cell.leave();
        }
        if self.flight.cell.snapshot().ended() && !self.seat.taken() {
            return;
        }
        let Self { flight, seat, .. } = self;
        let Some(baton) = &flight.baton else { return };
        let left = baton.leave(seat);
        if left.last {
            Flight::abort(flight, &baton.shard, Cause::Dropped);
        }
        // What is left behind goes last: its drop is the user's.
        drop(left);
    }
}

impl<K, T> Future for Work<K, T>
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Output = Result<Settled<K, T>, WorkError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.role {
            Role::Participant(participant) => participant.poll(cx),
            Role::Waiter(waiter) => Pin::new(waiter).poll(cx).map_err(WorkError::Aborted),
            Role::Rejected(why) => Poll::Ready(Err(WorkError::Rejected(*why))),
        }
    }
}

impl<K, T> UnwindSafe for Work<K, T> {}
impl<K, T> RefUnwindSafe for Work<K, T> {}

impl<K, T> fmt::Debug for Work<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match &self.role {
            Role::Participant(_) => "participant",
            Role::Waiter(_) => "waiter",
            Role::Rejected(_) => "rejected",
        };
        f.debug_struct("Work")
            .field("id", &self.id())
            .field("role", &role)
            .finish_non_exhaustive()
    }
}
