//! [`Participant`]: a caller that can drive a flight. What `work` and `try_work` have in common.

use core::hash::Hash;
use core::mem;
use core::task::Waker;

use equivalent::Equivalent;

use crate::cell::{MarkedPlace, Place, Snapshot};
use crate::error::{Cause, Error, Rejected};
use crate::flight::operation::{Operation, Policy, RunIsOver, SharedOperation};
use crate::flight::reentry::leads_back;
use crate::flight::{Attached, Flight, FlightId, Settled, loss};
use crate::group::shard::{Call, InHand, Shard};
use crate::group::{Begin, Entry, Registry, Waiter};
use crate::sync::{Arc, Wakeable};
use crate::unwind::OnDrop;

/// What a caller of `work` or `try_work` has become.
///
/// In two levels, so that which of the three it is can be told by the pointers. If it were in a bit
/// of the participant's word, that word would not be written whole.
pub(crate) enum Role<K, T> {
    Participant(Participant<K, T>),
    Other(Other<K, T>),
}

/// A caller that drives nothing.
pub(crate) enum Other<K, T> {
    /// The flight was begun by another kind of call.
    Waiter(Waiter<K, T>),
    Rejected(Rejected),
}

pub(crate) struct Participant<K, T> {
    pub(crate) flight: Arc<Flight<K, T>>,
    pub(crate) shard: Arc<Shard<K, T>>,
    /// Its place at the operation, and flags.
    pub(super) marked: MarkedPlace,
}

/// This call began the flight.
const BEGAN: u32 = 1;
/// It is counted as a waiter of the flight. Not so if it began the flight, is a task, or its waiter
/// has not come yet.
const COUNTED: u32 = 1 << 1;
/// The operation has not counted it.
const OUTSIDE: u32 = 1 << 2;
/// It is a task of a runtime, which a `spawn` has added.
const TASK: u32 = 1 << 3;
/// It has begun the flight, and has it as a guard has it until a subscriber has been told.
const IN_HAND: u32 = 1 << 5;
/// It has left. It can still be polled, if its operation panicked.
const LEFT: u32 = 1 << 4;

/// A call that begins a flight with this policy, or is a participant of the one there is.
struct Participate<K, T> {
    policy: Policy,
    joined: Option<Participant<K, T>>,
}

/// How a call can share a flight that has counted it.
enum Share {
    /// Its operation has counted the call too.
    AsParticipant,
    AsWaiter,
    /// The flight is about to end, and a newcomer begins the next one.
    No,
}

/// If the last participant of a flight has left, the flight is about to end. A flight that has
/// settled is shared, whoever drove it. A flight with another policy, or without a shared
/// operation, is driven by others.
#[inline(always)]
fn share<K, T>(flight: &Flight<K, T>, policy: Policy) -> Share {
    match flight.join_operation(policy) {
        Some(true) => Share::AsParticipant,
        Some(false) if flight.cell.snapshot().settled() => Share::AsWaiter,
        None if flight.cell.snapshot().cause().is_none() => Share::AsWaiter,
        _ => Share::No,
    }
}

impl<K, T> Call<K, T> for Participate<K, T> {
    fn try_share(&mut self, shard: &Arc<Shard<K, T>>, flight: &Arc<Flight<K, T>>) -> bool {
        let share = share(flight, self.policy);
        if let Share::AsParticipant = share {
            // A guard at once: a subscriber is told of the join before this call has the waiter.
            self.joined = Some(Participant::new(flight.clone(), shard.clone(), 0));
        }
        !matches!(share, Share::No)
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
    #[inline(always)]
    pub(super) fn participate(self, policy: Policy) -> Role<G::Key, G::Value> {
        let call = Participate {
            policy,
            joined: None,
        };
        self.locate(
            call,
            |shard, hash, key, call| call.shortly(shard, hash, key),
            |sought, call| call.longly(|call| sought.begin(call, true)),
        )
    }
}

impl<K, T> Participate<K, T> {
    /// The short way, as in [`Shard::begin`]. What it joins is a participant at once, and not a
    /// waiter that becomes one.
    #[inline(always)]
    fn shortly(mut self, shard: &Arc<Shard<K, T>>, hash: u64, key: K) -> Role<K, T>
    where
        K: Eq,
    {
        let mut unused = Some(key);
        let found = Shard::join_or_begin(shard, hash, &mut unused, &mut self);
        let Some(key) = unused else {
            let Some(flight) = found else {
                unreachable!("a key is taken for a flight only")
            };
            let mut first = Participant::new(flight, shard.clone(), BEGAN | IN_HAND);
            shard.report_begun(&first.flight);
            first.marked.mark(0, IN_HAND);
            return self.first(first);
        };
        let joined = found.map(|flight| Participant::new(flight, shard.clone(), COUNTED | OUTSIDE));
        let joined = match joined {
            Some(mut joined) if joined.flight.key == key => {
                match share(&joined.flight, self.policy) {
                    Share::AsParticipant => {
                        joined.marked.mark(0, OUTSIDE);
                        // It is a guard by now, and the drop of the key is the user's.
                        drop(key);
                        joined.report_joined();
                        return Role::Participant(joined);
                    }
                    Share::AsWaiter => {
                        let waiter = joined.into_waiter();
                        drop(key);
                        waiter.report_joined();
                        return Role::Other(Other::Waiter(waiter));
                    }
                    Share::No => Some(joined.into_waiter()),
                }
            }
            joined => joined.map(Participant::into_waiter),
        };
        self.longly(|call| Shard::begin_the_long_way(shard, hash, key, joined, call))
    }

    #[inline(never)]
    fn longly(mut self, begin: impl FnOnce(&mut Self) -> Begin<K, T>) -> Role<K, T> {
        match begin(&mut self) {
            Begin::Primary(primary) => {
                let shard = primary.shard().clone();
                self.first(Participant::new(primary.into_flight(), shard, BEGAN))
            }
            Begin::Waiter(waiter) => match self.joined {
                // The call came after the record, and before the ender took the operation.
                Some(participant) if !waiter.is_replayed() => {
                    Role::Participant(participant.duplicate(waiter))
                }
                _ => Role::Other(Other::Waiter(waiter)),
            },
            Begin::Rejected(why) => Role::Other(Other::Rejected(why)),
        }
    }

    #[inline(always)]
    fn first(&self, first: Participant<K, T>) -> Role<K, T> {
        if self.policy == Policy::Rerun {
            first.hand_in(Operation::elsewhere());
        }
        Role::Participant(first)
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
            Role::Other(Other::Waiter(waiter)) => waiter.watch().leave_if_inside(),
            _ => self.leave_if(crate::flight::reentry::is_inside),
        }
    }

    fn leave_if(&mut self, certain: impl FnOnce(&Arc<Flight<K, T>>) -> bool) {
        if let Role::Participant(participant) = self {
            if participant.waits_for_itself(certain) {
                let name = participant.flight.observed.name().clone();
                // The drop of the participant is the user's. It has left by then, also if that
                // panics.
                *self = Role::Other(Other::Rejected(Rejected::Reentrant));
                name.report_rejected(Rejected::Reentrant);
            }
        }
    }

    pub(crate) fn id(&self) -> Option<FlightId> {
        match self {
            Role::Participant(participant) => Some(participant.flight.id),
            Role::Other(Other::Waiter(waiter)) => Some(waiter.id()),
            Role::Other(Other::Rejected(_)) => None,
        }
    }

    pub(crate) fn is_primary(&self) -> bool {
        matches!(self, Role::Participant(participant) if participant.is_first())
    }

    pub(crate) fn is_replayed(&self) -> bool {
        matches!(self, Role::Other(Other::Waiter(waiter)) if waiter.is_replayed())
    }

    pub(crate) fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        match self {
            Role::Participant(participant) => Flight::get(&participant.flight),
            Role::Other(Other::Waiter(waiter)) => waiter.get(),
            Role::Other(Other::Rejected(why)) => Some(Err(Error::Rejected(*why))),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Role::Participant(_) => "participant",
            Role::Other(Other::Waiter(_)) => "waiter",
            Role::Other(Other::Rejected(_)) => "rejected",
        }
    }
}

impl<K, T> Participant<K, T> {
    #[inline(always)]
    fn new(flight: Arc<Flight<K, T>>, shard: Arc<Shard<K, T>>, flags: u32) -> Self {
        Self {
            flight,
            shard,
            marked: MarkedPlace::new(flags),
        }
    }

    /// Of a `spawn`, for which the operation has counted it.
    pub(super) fn task(flight: Arc<Flight<K, T>>, shard: Arc<Shard<K, T>>) -> Self {
        Self::new(flight, shard, TASK)
    }

    fn report_joined(&self) {
        let flight = &self.flight;
        flight.observed.report_joined(flight.id, false);
    }

    /// Hands over its place in the count to a waiter. The operation has not counted it.
    fn into_waiter(mut self) -> Waiter<K, T> {
        let waiter = Waiter::new(self.flight.clone());
        self.marked.mark(LEFT, COUNTED);
        waiter
    }

    /// Takes over the waiter's place in the count.
    fn duplicate(mut self, waiter: Waiter<K, T>) -> Self {
        waiter.disarm();
        self.marked.mark(COUNTED, 0);
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
        let Self { flight, marked, .. } = self;
        flight.with_shared(state, |shared| marked.with_place(|place| f(shared, place)))
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
        let was = self.marked;
        self.marked.mark(LEFT, 0);
        if was.has(IN_HAND) {
            return self.lose();
        }
        let state = self.flight.cell.snapshot();
        if was.has(LEFT) || (state.is_told() && run.is_none()) {
            return;
        }
        if was.has(COUNTED) {
            self.flight.cell.leave();
        }
        if was.has(OUTSIDE) || (state.ended() && !was.place().is_taken()) {
            return;
        }
        if was.has(TASK) {
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

    #[cold]
    #[inline(never)]
    fn lose(&self) {
        self.shard.lose(&self.flight, loss());
    }

    /// Whether it waits for its own flight from inside of it, as it does if `certain` says so.
    fn waits_for_itself(&self, certain: impl FnOnce(&Arc<Flight<K, T>>) -> bool) -> bool {
        certain(&self.flight) && !self.flight.cell.snapshot().ended()
    }

    pub(super) fn is_first(&self) -> bool {
        self.marked.has(BEGAN)
    }

    pub(super) fn has_left(&self) -> bool {
        self.marked.has(LEFT)
    }
}

impl<K, T> Drop for Participant<K, T> {
    fn drop(&mut self) {
        self.leave(None);
    }
}
