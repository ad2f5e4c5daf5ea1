//! [`Rerun`]: runs an operation in a flight. If its caller is lost, another caller runs its own.
//! Policy *Rerun*.

use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use equivalent::Equivalent;
use pin_project_lite::pin_project;

use crate::error::{Aborted, Cause, Error};
use crate::flight::operation::Policy;
use crate::flight::reentry::Entered;
use crate::flight::{Flight, FlightId, Settled};
use crate::group::{Entry, Group, Registry};
use crate::policy::participant::{Participant, Role};
use crate::unwind::{FragilePin, OnDrop};

/// How often a lost operation is run again, for a whole flight. The budget of the call that begins
/// the flight counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget(usize);

impl Budget {
    /// Allows up to `reruns` runs after the first one.
    pub const fn times(reruns: usize) -> Self {
        Self(reruns)
    }
}

impl<K: Hash + Eq, T, S: BuildHasher> Group<K, T, S> {
    /// Runs the operation for `key`, or waits for the one that runs, ready to run its own if that
    /// one is lost.
    ///
    /// Each caller brings its own operation, which is made only when it is that caller's turn. It
    /// stays in its caller's future, so it can be `!Send` and can borrow. If the driver is lost
    /// (dropped, or its operation panicked), its operation is dropped first. Then all participants
    /// are woken, and the first one that is polled runs its own, from the beginning. Exactly one
    /// does. A participant that nobody polls does not stall the others, unless it drives. The
    /// flight stays registered throughout.
    ///
    /// Use it where running the operation again is harmless. Where it is not, use
    /// [`work`](Self::work), which never restarts, or an adapter's `spawn`.
    ///
    /// # Errors
    ///
    /// The future yields [`Error::Aborted`] if the flight ends without a value. The cause is
    /// [`Cause::Exhausted`] if the budget is used up. If no participant is left, callers that came
    /// by another call get [`Cause::Dropped`], or [`Cause::Panicked`] if the last operation
    /// panicked. If the call was rejected, the first poll yields [`Error::Rejected`].
    ///
    /// # Panics
    ///
    /// A panic of the operation propagates to the caller that ran it, and counts as a loss for the
    /// others. If that caller's future is polled again while the flight continues, it yields
    /// [`Error::Aborted`] with [`Cause::Panicked`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the flight. If it drove, its operation is lost and another
    /// participant runs its own.
    ///
    /// # Deadlocks
    ///
    /// As for [`work`](Self::work), a driver that is kept but no longer polled stalls the others.
    /// If something else ends the flight, such a driver keeps [`drained`](Self::drained) waiting,
    /// because its operation is dropped only when its future is polled next, or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use oneflight_core::handle::Budget;
    /// use oneflight_core::Group;
    /// # futures_lite::future::block_on(async {
    /// let group: Group<&str, String> = Group::new();
    /// let name = String::from("borrowed");
    /// let mut first = group.work_rerun("k", Budget::times(1), || std::future::pending());
    /// let second = group.work_rerun("k", Budget::times(1), || async { name.clone() });
    /// // The first one drives, and is lost.
    /// assert!(futures_lite::future::poll_once(&mut std::pin::pin!(first)).await.is_none());
    /// assert_eq!(*second.await.unwrap(), "borrowed");
    /// # });
    /// ```
    #[doc(alias = "retry")]
    pub fn work_rerun<M, F>(&self, key: K, budget: Budget, make: M) -> Rerun<K, T, M, F>
    where
        M: FnOnce() -> F,
        F: Future<Output = T>,
    {
        self.entry(key).work_rerun(budget, make)
    }
}

impl<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Entry<'_, G, Q> {
    /// Runs the operation for the key, or waits for the one that runs, ready to run its own if that
    /// one is lost. See [`Group::work_rerun`](crate::Group::work_rerun).
    pub fn work_rerun<M, F>(self, budget: Budget, make: M) -> Rerun<G::Key, G::Value, M, F>
    where
        M: FnOnce() -> F,
        F: Future<Output = G::Value>,
    {
        Rerun {
            role: self.participate(Policy::Rerun(budget.0)),
            make: Some(make),
            operation: None,
        }
    }
}

pin_project! {
    /// A caller of [`Group::work_rerun`]: takes part in the flight, with an operation of its own.
    ///
    /// It is a future that yields `Result<Settled, Error>`. It has begun already. Polling it again
    /// after it was ready returns the same outcome.
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
    pub struct Rerun<K, T, M, F> {
        pub(super) role: Role<K, T>,
        make: Option<M>,
        #[pin]
        operation: Option<F>,
    }

    impl<K, T, M, F> PinnedDrop for Rerun<K, T, M, F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Role::Participant(participant) = this.role {
                let run = this.operation.is_some();
                drop(DropThenLeave { operation: this.operation, participant, run });
            }
        }
    }
}

/// Drops the operation, and then leaves the flight, also if that drop panics. In this order, since
/// two operations of one flight must never exist at once. Meanwhile this thread counts as inside of
/// the flight: nobody runs another operation until the drop returns, so a drop that waits for its
/// own key would wait for itself.
struct DropThenLeave<'a, K, T, F> {
    operation: Pin<&'a mut Option<F>>,
    participant: &'a mut Participant<K, T>,
    /// Whether the participant has the run: an operation, or one that is being made.
    run: bool,
}

impl<K, T, F> Drop for DropThenLeave<'_, K, T, F> {
    fn drop(&mut self) {
        let flight = self.participant.flight.clone();
        let _then = OnDrop(|| self.participant.leave(self.run));
        // A local, so that it is dropped before the leaving, also if a subscriber panics.
        let operation = FragilePin(self.operation.as_mut());
        let _entered = self.run.then(|| Entered::new(&flight, None));
        drop(operation);
    }
}

impl<K, T, M, F> Rerun<K, T, M, F> {
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

impl<K, T, M, F> Future for Rerun<K, T, M, F>
where
    M: FnOnce() -> F,
    F: Future<Output = T>,
{
    type Output = Result<Settled<K, T>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        this.role.leave_if_polled_inside(cx.waker());
        let participant = match this.role {
            Role::Participant(participant) => participant,
            Role::Waiter(waiter) => return Pin::new(waiter).poll(cx),
            Role::Rejected(why) => return Poll::Ready(Err(Error::Rejected(*why))),
        };
        let state = participant.flight.cell.snapshot();
        if !state.ended() {
            if participant.has_left() {
                // Polled again after its operation panicked: there is nothing left to run.
                return Poll::Ready(Err(Error::Aborted(Aborted::new(Cause::Panicked))));
            }
            let has_begun = this.operation.is_some();
            let stepped = participant.with_operation(state, |shared, place| {
                if has_begun {
                    return (true, shared.repark(place, cx.waker()));
                }
                let (step, old) = shared.step(place, cx.waker());
                (step.is_some(), old)
            });
            // `_old` is dropped last: its drop is the user's.
            if let Some((true, _old)) = stepped {
                // The first run begins a flight that has waited for a gate, if that has not ended.
                if state.has_begun() || participant.flight.cell.begin() {
                    poll_own(participant, this.make, this.operation.as_mut(), cx);
                }
            }
        }
        match Flight::get(&participant.flight) {
            Some(outcome) => {
                if this.operation.is_some() {
                    // The flight was ended from outside. The operation is not needed any more.
                    let _then = OnDrop(|| participant.shard.run_is_over(&participant.flight));
                    this.operation.set(None);
                }
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

/// Polls this caller's own operation once. Makes it first, if it is new. Drops it when it is ready.
fn poll_own<K, T, M, F>(
    participant: &mut Participant<K, T>,
    make: &mut Option<M>,
    mut operation: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) where
    M: FnOnce() -> F,
    F: Future<Output = T>,
{
    let flight = participant.flight.clone();
    let mut guard = DropThenLeave {
        operation: operation.as_mut(),
        participant,
        run: true,
    };
    let entered = Entered::new(&flight, Some([cx.waker(); 2]));
    if let Some(make) = make.take() {
        guard.operation.set(Some(make()));
    }
    let poll = match guard.operation.as_mut().as_pin_mut() {
        Some(operation) => operation.poll(cx),
        None => unreachable!("a participant drives once"),
    };
    // Not at the end of a block: if a subscriber panicked there, the value would be leaked.
    drop(entered);
    // It did not panic, so this participant keeps driving.
    core::mem::forget(guard);
    if let Poll::Ready(value) = poll {
        // Dropped after the settle.
        let _operation = FragilePin(operation);
        drop(participant.shard.settle(&flight, value));
    }
}

impl<K, T, M: UnwindSafe, F: UnwindSafe> UnwindSafe for Rerun<K, T, M, F> {}
impl<K, T, M: RefUnwindSafe, F: RefUnwindSafe> RefUnwindSafe for Rerun<K, T, M, F> {}

impl<K, T, M, F> fmt::Debug for Rerun<K, T, M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rerun")
            .field("id", &self.id())
            .field("role", &self.role.name())
            .finish_non_exhaustive()
    }
}
