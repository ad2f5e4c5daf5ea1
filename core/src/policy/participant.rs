//! [`Participant`]: a caller that can drive a flight. What `work` and `try_work` have in common.

use core::hash::Hash;
use core::mem;
use core::task::Waker;

use equivalent::Equivalent;

use crate::cell::{Place, Snapshot};
use crate::error::{Cause, Error, Rejected};
use crate::flight::operation::{Operation, Policy, RunIsOver, SharedOperation};
use crate::flight::reentry::leads_back;
use crate::flight::{Attached, Flight, FlightId, Settled};
use crate::group::shard::{Call, InHand, Shard};
use crate::group::{Begin, Entry, Primary, Registry, Waiter};
use crate::sync::{Arc, Wakeable};
use crate::unwind::OnDrop;

/// What a caller of `work` or `try_work` has become.
pub(crate) enum Role<K, T> {
    Participant(Participant<K, T>),
    /// The flight was begun by another kind of call, so this caller does not drive it.
    Waiter(Waiter<K, T>),
    Rejected(Rejected),
}

pub(crate) struct Participant<K, T> {
    pub(crate) flight: Arc<Flight<K, T>>,
    pub(crate) shard: Arc<Shard<K, T>>,
    pub(super) place: Place,
    part: Part,
    /// Whether this call began the flight.
    began: bool,
}

/// How a participant takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It is not counted as a waiter: it began the flight, or its waiter has not come yet.
    Uncounted,
    /// It is counted as a waiter of the flight.
    Counted,
    /// It is a task of a runtime, which a `spawn` has added. It is not counted as a waiter.
    Task,
    /// It has left. It can still be polled, if its operation panicked.
    Left,
}

/// A call that begins a flight with this policy, or is a participant of the one there is.
struct Participate<K, T> {
    policy: Policy,
    joined: Option<Participant<K, T>>,
}

impl<K, T> Call<K, T> for Participate<K, T> {
    /// If the last participant of a flight has left, the flight is about to end, and a newcomer
    /// begins the next one. A flight that has settled is shared, whoever drove it. A flight with
    /// another policy, or without a shared operation, is driven by others.
    fn try_share(&mut self, shard: &Arc<Shard<K, T>>, flight: &Arc<Flight<K, T>>) -> bool {
        let state = flight.cell.snapshot();
        let joined = flight.with_shared(state, |shared| {
            (shared.policy == self.policy).then(|| shared.join())
        });
        let joined = match joined {
            Some(Some(joined)) => joined,
            Some(None) => return true,
            // It never had one, or has ended and shed it.
            None => return flight.cell.snapshot().cause().is_none(),
        };
        if joined {
            // A guard at once: a subscriber is told of the join before this call has the waiter.
            self.joined = Some(Participant::new(flight.clone(), shard.clone(), false));
        }
        joined || flight.cell.snapshot().settled()
    }

    fn attach(
        &mut self,
        _shard: &Arc<Shard<K, T>>,
        turn: bool,
    ) -> Option<Arc<Wakeable<Attached<T>>>> {
        let shared = SharedOperation::new(self.policy, turn);
        Some(Arc::new(Wakeable(Attached::Shared(shared))))
    }
}

impl<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Entry<'_, G, Q> {
    /// Begins a flight with this policy, or becomes a participant of the one there is.
    pub(super) fn participate(self, policy: Policy) -> Role<G::Key, G::Value> {
        let mut call = Participate {
            policy,
            joined: None,
        };
        match self.begin_with(&mut call, true) {
            Begin::Primary(primary) => {
                let first = Participant::first(primary);
                if policy == Policy::Rerun {
                    first.hand_in(Operation::elsewhere());
                }
                Role::Participant(first)
            }
            Begin::Waiter(waiter) => match call.joined {
                // The call came after the record, and before the ender took the operation.
                Some(participant) if !waiter.is_replayed() => {
                    Role::Participant(participant.duplicate(waiter))
                }
                _ => Role::Waiter(waiter),
            },
            Begin::Rejected(why) => Role::Rejected(why),
        }
    }
}

impl<K, T> Role<K, T> {
    /// Before a poll. A participant that would wait for itself leaves, for good.
    pub(super) fn leave_if_polled_inside(&mut self, waker: &Waker) {
        self.leave_if(|flight| leads_back(flight, waker));
    }

    /// Before the thread parks. A caller that would wait for itself leaves, for good.
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub(super) fn leave_if_parked_inside(&mut self) {
        match self {
            Role::Waiter(waiter) => waiter.watch().leave_if_inside(),
            _ => self.leave_if(crate::flight::reentry::is_inside),
        }
    }

    fn leave_if(&mut self, certain: impl FnOnce(&Arc<Flight<K, T>>) -> bool) {
        if let Role::Participant(participant) = self {
            if participant.waits_for_itself(certain) {
                let name = participant.flight.observed.name().clone();
                // The drop of the participant is the user's. It has left by then, also if that
                // panics.
                *self = Role::Rejected(Rejected::Reentrant);
                name.report_rejected(Rejected::Reentrant);
            }
        }
    }

    pub(crate) fn id(&self) -> Option<FlightId> {
        match self {
            Role::Participant(participant) => Some(participant.flight.id),
            Role::Waiter(waiter) => Some(waiter.id()),
            Role::Rejected(_) => None,
        }
    }

    pub(crate) fn is_primary(&self) -> bool {
        matches!(self, Role::Participant(participant) if participant.is_first())
    }

    pub(crate) fn is_replayed(&self) -> bool {
        matches!(self, Role::Waiter(waiter) if waiter.is_replayed())
    }

    pub(crate) fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        match self {
            Role::Participant(participant) => Flight::get(&participant.flight),
            Role::Waiter(waiter) => waiter.get(),
            Role::Rejected(why) => Some(Err(Error::Rejected(*why))),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Role::Participant(_) => "participant",
            Role::Waiter(_) => "waiter",
            Role::Rejected(_) => "rejected",
        }
    }
}

impl<K, T> Participant<K, T> {
    fn new(flight: Arc<Flight<K, T>>, shard: Arc<Shard<K, T>>, began: bool) -> Self {
        Self {
            flight,
            shard,
            place: Place::NONE,
            part: Part::Uncounted,
            began,
        }
    }

    /// Of a `spawn`, for which the operation has counted it.
    pub(super) fn task(flight: Arc<Flight<K, T>>, shard: Arc<Shard<K, T>>) -> Self {
        let mut task = Self::new(flight, shard, false);
        task.part = Part::Task;
        task
    }

    fn first(primary: Primary<K, T>) -> Self {
        let shard = primary.shard().clone();
        Self::new(primary.into_flight(), shard, true)
    }

    /// Takes over the waiter's place in the count.
    fn duplicate(mut self, waiter: Waiter<K, T>) -> Self {
        waiter.disarm();
        self.part = Part::Counted;
        self
    }

    /// Calls `f` with the operation, and with this participant's place at it, unless the flight has
    /// ended and has shed its operation. `state` is any that the flight's cell has had.
    #[inline(always)]
    pub(super) fn with_operation<R>(
        &mut self,
        state: Snapshot,
        f: impl FnOnce(&SharedOperation<T>, &mut Place) -> R,
    ) -> Option<R> {
        self.flight
            .with_shared(state, |shared| f(shared, &mut self.place))
    }

    /// Makes the operation of a *Continue* flight. A panic ends the flight, as one in a poll would.
    pub(super) fn make(&mut self, make: impl FnOnce() -> Operation<T>) {
        let gone = OnDrop(|| self.shard.gone(&self.flight));
        let operation = self.shard.guarded(&self.flight, None, make);
        mem::forget(gone);
        self.hand_in(operation);
    }

    /// Hands in the operation of a flight that this call began.
    fn hand_in(&self, operation: Operation<T>) {
        let mut in_hand = InHand::new(&self.shard, &self.flight, Some(operation));
        // It stays in hand if the flight has ended.
        let state = self.flight.cell.snapshot();
        self.flight.with_shared(state, |shared| {
            shared.hand_in(&mut in_hand.operation);
        });
    }

    /// Leaves the flight, and ends it if it cannot continue. `run`: it had the run of a *Rerun*
    /// flight, which has ended for this cause, and has dropped its operation. What it leaves behind
    /// is dropped last: its drop is the user's.
    pub(super) fn leave(&mut self, run: Option<Cause>) {
        let part = mem::replace(&mut self.part, Part::Left);
        let state = self.flight.cell.snapshot();
        if part == Part::Left || (state.is_told() && run.is_none()) {
            return;
        }
        if part == Part::Counted {
            self.flight.cell.leave();
        }
        if state.ended() && !self.place.is_taken() {
            return;
        }
        if part == Part::Task {
            self.with_operation(state, |shared, _| shared.task_leaves());
        }
        let run_is_over = run.map(|cause| RunIsOver {
            cause,
            max_reruns: self
                .shard
                .rules()
                .map_or(usize::MAX, |rules| rules.max_reruns),
        });
        let left = self.with_operation(state, |shared, place| shared.leave(place, run_is_over));
        let Some(left) = left else {
            if run.is_some() {
                self.shard.gone(&self.flight);
            }
            return;
        };
        let _waker = left.waker;
        match left.end {
            Some(cause) if left.operation.is_some() => {
                let _in_hand = InHand::new(&self.shard, &self.flight, left.operation);
                self.shard.abort(&self.flight, cause);
            }
            Some(cause) if run.is_some() => self.shard.lose(&self.flight, cause),
            // `max_reruns` is used up: the caller that had the last run ends the flight at this
            // moment. Only that one says that the run is gone.
            Some(cause) => {
                self.shard.abort(&self.flight, cause);
            }
            None if left.gone => self.shard.gone(&self.flight),
            None => {}
        }
    }

    /// Whether it waits for its own flight from inside of it, as it does if `certain` says so.
    fn waits_for_itself(&self, certain: impl FnOnce(&Arc<Flight<K, T>>) -> bool) -> bool {
        certain(&self.flight) && !self.flight.cell.snapshot().ended()
    }

    pub(super) fn is_first(&self) -> bool {
        self.began
    }

    pub(super) fn has_left(&self) -> bool {
        self.part == Part::Left
    }
}

impl<K, T> Drop for Participant<K, T> {
    fn drop(&mut self) {
        self.leave(None);
    }
}
