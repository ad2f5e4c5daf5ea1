//! [`Participant`]: a caller that may drive a flight. What `work` and `work_rerun` have in common.

use core::cell::Cell;
use core::hash::{BuildHasher, Hash};
use core::mem::discriminant;

use crate::baton::{Baton, Operation, Policy, Turn};
use crate::error::{Rejected, WorkError};
use crate::fingerprint::Fingerprint;
use crate::flight::{AbortOnUnwind, Flight, FlightId};
use crate::group::shard::Shard;
use crate::group::{Begin, Group};
use crate::primary::Primary;
use crate::reentry::Entered;
use crate::settled::Settled;
use crate::slab::Seat;
use crate::sync::{Arc, Wakeable};
use crate::waiter::Waiter;
use crate::wake::Spent;

/// What a caller of `work` or `work_rerun` came to.
pub(crate) enum Role<K, T> {
    Participant(Participant<K, T>),
    /// The flight was begun in another way: it is not this caller's to drive.
    Waiter(Waiter<K, T>),
    Rejected(Rejected),
}

pub(crate) struct Participant<K, T> {
    pub(crate) flight: Arc<Flight<K, T>>,
    pub(crate) shard: Arc<Shard<K, T>>,
    seat: Seat,
    /// Counted as a waiter of the flight; the one that began it is not.
    duplicate: bool,
    /// It has left already: its operation panicked.
    gone: bool,
}

impl<K: Hash + Eq, T, S: BuildHasher> Group<K, T, S> {
    /// Begins a flight with this policy, or takes part in the one there is.
    pub(crate) fn participate(
        &self,
        key: K,
        fingerprint: Option<Fingerprint>,
        policy: Policy,
    ) -> Role<K, T> {
        let joined = Cell::new(None);
        // A flight whose last participant has left is about to end: a newcomer begins the next one.
        // One that has settled is shared, whoever drove it. One with another policy, or without a
        // baton, is another's to drive.
        let admit = |shard: &Arc<Shard<K, T>>, flight: &Arc<Flight<K, T>>| {
            let mine = flight.baton.as_ref();
            let mine = mine.filter(|baton| discriminant(&baton.policy) == discriminant(&policy));
            let admitted = mine.is_some_and(|baton| baton.join());
            if admitted {
                // A guard at once: a subscriber is told of the join before this call has the waiter.
                joined.set(Some(Participant::joined(flight, shard)));
            }
            admitted || mine.is_none() || flight.cell.snapshot().settled()
        };
        let baton = || Some(Arc::new(Wakeable(Baton::new(policy))));
        let ((begin, key), _) = self.begin_with(key, fingerprint, admit, baton);
        let role = match begin {
            Begin::Primary(primary) => Role::Participant(Participant::primary(primary)),
            Begin::Waiter(waiter) => match joined.take() {
                Some(participant) => Role::Participant(participant.duplicate(waiter)),
                None => Role::Waiter(waiter),
            },
            Begin::Rejected(why) => Role::Rejected(why),
        };
        // Now that everything counted is a guard: the drop of a duplicate's key is the user's.
        drop(key);
        role
    }
}

impl<K, T> Role<K, T> {
    pub(crate) fn id(&self) -> Option<FlightId> {
        match self {
            Role::Participant(participant) => Some(participant.flight.id),
            Role::Waiter(waiter) => Some(waiter.id()),
            Role::Rejected(_) => None,
        }
    }

    pub(crate) fn get(&self) -> Option<Result<Settled<K, T>, WorkError>> {
        let outcome = match self {
            Role::Participant(participant) => Flight::get(&participant.flight),
            Role::Waiter(waiter) => waiter.get(),
            Role::Rejected(why) => return Some(Err(WorkError::Rejected(*why))),
        };
        outcome.map(|outcome| outcome.map_err(WorkError::Aborted))
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
    fn primary(primary: Primary<K, T>) -> Self {
        let shard = primary.shard().clone();
        Self {
            flight: primary.into_flight(),
            shard,
            seat: Seat::NONE,
            duplicate: false,
            gone: false,
        }
    }

    /// One that the baton has just counted, and whose waiter is in other hands yet.
    fn joined(flight: &Arc<Flight<K, T>>, shard: &Arc<Shard<K, T>>) -> Self {
        Self {
            flight: flight.clone(),
            shard: shard.clone(),
            seat: Seat::NONE,
            duplicate: false,
            gone: false,
        }
    }

    /// Takes the waiter's count over.
    fn duplicate(mut self, waiter: Waiter<K, T>) -> Self {
        waiter.disarm();
        self.duplicate = true;
        self
    }

    /// The baton, and the seat at it.
    pub(crate) fn baton(&mut self) -> (&Arc<Wakeable<Baton<T>>>, &mut Seat) {
        match &self.flight.baton {
            Some(baton) => (baton, &mut self.seat),
            None => unreachable!("participants are of flights with a baton"),
        }
    }

    pub(crate) fn turn(&mut self, waker: &core::task::Waker) -> (Turn<T>, Spent) {
        let (baton, seat) = self.baton();
        baton.turn(seat, waker)
    }

    /// Makes the operation of a *Continue* flight. A panic ends the flight, as one in a poll would.
    pub(crate) fn make(&mut self, make: impl FnOnce() -> Operation<T>) {
        let guard = AbortOnUnwind::new(&self.flight, &self.shard);
        let operation = {
            let _entered = Entered::new(&self.flight);
            make()
        };
        guard.defuse();
        self.baton().0.made(operation);
    }

    /// Leaves the flight, ending it if it can not go on. What is left behind is dropped last: its
    /// drop is the user's.
    pub(crate) fn leave(&mut self) {
        if core::mem::replace(&mut self.gone, true) {
            return;
        }
        let word = self.flight.cell.snapshot();
        if word.is_drained() {
            return;
        }
        if self.duplicate {
            self.flight.cell.leave();
        }
        if word.ended() && !self.seat.taken() {
            return;
        }
        let (baton, seat) = self.baton();
        let left = baton.leave(seat);
        if let Some(cause) = left.end {
            Flight::abort(&self.flight, &self.shard, cause);
        }
        drop(left);
    }

    /// Whether it began the flight.
    pub(crate) fn is_first(&self) -> bool {
        !self.duplicate
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }
}

impl<K, T> Drop for Participant<K, T> {
    fn drop(&mut self) {
        self.leave();
    }
}
