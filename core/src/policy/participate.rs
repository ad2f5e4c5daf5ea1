//! [`Participate`]: how a call of `work` or `try_work` begins a flight, or becomes a participant.

use alloc::boxed::Box;
use core::future::Future;
use core::hash::Hash;

use equivalent::Equivalent;

use crate::cell::Snapshot;
use crate::flight::operation::Policy;
use crate::flight::{Attached, Flight, FlightRef, Fresh, Operation, Pair, Seat, Shared};
use crate::group::rules::Rules;
use crate::group::shard::{Call, Met, Shard};
use crate::group::{Begin, Entry, Registry, Waiter};
use crate::policy::participant::{BEGAN, COUNTED, IN_HAND, OUTSIDE, Other, Participant, Role};
use crate::sync::Arc;

/// A call that begins a flight with this policy, or is a participant of the one there is. In
/// *Continue* `F` is the type of its operation.
pub(super) struct Participate<K, T, F> {
    policy: Policy,
    joined: Option<Participant<K, T>>,
    /// Where its operation goes, if it has begun a flight in *Continue*.
    pub(super) fresh: Option<Fresh<T, F>>,
}

/// Whether a call can share a flight that has counted it, without being its participant.
/// Otherwise the flight is about to end, and a newcomer begins the next one: so it is if its last
/// participant has left. A flight that has settled is shared, whoever drove it. A flight with
/// another policy, or without a shared operation, is driven by others.
fn shares<K, T>(flight: &FlightRef<K, T>, policy: Policy) -> bool {
    match flight.with_shared(|shared| shared.policy() == policy) {
        Some(true) => flight.cell.snapshot().settled(),
        _ => flight.cell.snapshot().cause().is_none(),
    }
}

impl<K, T, F: Future<Output = T>> Call<K, T> for Participate<K, T, F> {
    fn try_share(&mut self, shard: &Arc<Shard<K, T>>, flight: &FlightRef<K, T>) -> bool {
        let joined = flight.join_operation(self.policy) == Some(true);
        if joined {
            // A guard at once: a subscriber is told of the join before this call has the waiter.
            self.joined = Some(Participant::new(
                Seat::new(flight.clone(), 0),
                shard.clone(),
            ));
        }
        joined || shares(flight, self.policy)
    }

    fn makes_at_once(&self) -> bool {
        self.policy == Policy::Continue
    }

    #[inline(always)]
    fn allocate(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        turn: bool,
        open: Snapshot,
        make: impl FnOnce(Option<Box<Attached<T>>>, Snapshot) -> Flight<K, T>,
    ) -> Pair<K, T> {
        if shard.rules().is_some_and(Rules::retains) {
            let shared = if self.policy == Policy::Rerun {
                Shared::alone_with_right(turn)
            } else {
                let (shared, fresh) = Shared::alone(turn);
                self.fresh = Some(fresh);
                shared
            };
            return FlightRef::pair(|| make(Some(Box::new(Attached::Shared(shared))), open));
        }
        let open = open.driven();
        if self.policy == Policy::Rerun {
            return FlightRef::pair_with_right(|| make(None, open), turn);
        }
        let make = || make(None, open.reserved());
        let (pair, fresh) = FlightRef::pair_with_operation(make, turn);
        self.fresh = Some(fresh);
        pair
    }
}

impl<K, T, F: Future<Output = T>> Participate<K, T, F> {
    #[inline(always)]
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            joined: None,
            fresh: None,
        }
    }

    /// Begins a flight with this policy, or becomes a participant of the one there is. What the
    /// call has become is written into `role`, and not returned: a future that is moved in other
    /// pieces than it was written in waits until the writes have left the core.
    #[inline(always)]
    pub(super) fn participate<G, Q>(&mut self, entry: Entry<'_, G, Q>, role: &mut Role<K, T>)
    where
        G: Registry<Key = K, Value = T>,
        K: Hash + Eq,
        Q: Hash + Equivalent<K> + ?Sized,
    {
        entry.locate(
            (self, role),
            |shard, hash, key, (call, role)| call.shortly(role, shard, hash, key),
            |sought, (call, role)| call.longly(role, |call| sought.begin(call, true)),
        );
    }

    /// The short way, as in [`Shard::begin`]. What it joins is a participant at once, and not a
    /// waiter that becomes one.
    #[inline(always)]
    fn shortly(&mut self, role: &mut Role<K, T>, shard: &Arc<Shard<K, T>>, hash: u64, key: K)
    where
        K: Eq,
    {
        let mut unused = Some(key);
        let found = Shard::join_or_begin(shard, hash, &mut unused, self);
        let key = |unused: Option<K>| match unused {
            Some(key) => key,
            None => unreachable!("a key is taken for a flight only"),
        };
        match found {
            Some(Met::Begun(settler)) => {
                let first = role.set(|| Seat::new(settler.into_handle(), BEGAN | IN_HAND), shard);
                shard.report_begun(first.flight());
                first.seat.mark(0, IN_HAND);
                self.hand_in_right(first);
            }
            Some(Met::Joined(two)) => {
                let key = key(unused);
                let joined = role.set(|| Seat::of_two(two, COUNTED | OUTSIDE), shard);
                let is_same = joined.flight().key == key;
                if is_same && joined.flight().join_operation(self.policy) == Some(true) {
                    joined.seat.mark(0, OUTSIDE);
                    // It is a guard by now, and the drop of the key is the user's.
                    drop(key);
                    joined.report_joined();
                } else {
                    self.join_otherwise(role, shard, hash, key, is_same);
                }
            }
            None => self.begin_otherwise(role, shard, hash, key(unused), None),
        }
    }

    /// The flight that the short way has joined has another key, or participants of this policy do
    /// not drive it.
    #[cold]
    #[inline(never)]
    fn join_otherwise(
        &mut self,
        role: &mut Role<K, T>,
        shard: &Arc<Shard<K, T>>,
        hash: u64,
        key: K,
        is_same: bool,
    ) where
        K: Eq,
    {
        let Some(waiter) = role.give_up() else {
            unreachable!("it has joined")
        };
        if is_same && shares(waiter.flight(), self.policy) {
            drop(key);
            waiter.report_joined();
            *role = Role::Other(Other::Waiter(waiter));
        } else {
            self.begin_otherwise(role, shard, hash, key, Some(waiter));
        }
    }

    #[cold]
    #[inline(never)]
    fn begin_otherwise(
        &mut self,
        role: &mut Role<K, T>,
        shard: &Arc<Shard<K, T>>,
        hash: u64,
        key: K,
        joined: Option<Waiter<K, T>>,
    ) where
        K: Eq,
    {
        self.longly(role, |call| {
            Shard::begin_the_long_way(shard, hash, key, joined, call)
        });
    }

    #[inline(never)]
    fn longly(&mut self, role: &mut Role<K, T>, begin: impl FnOnce(&mut Self) -> Begin<K, T>) {
        *role = match begin(self) {
            Begin::Primary(primary) => {
                let shard = primary.shard().clone();
                let first = Participant::new(Seat::new(primary.into_flight(), BEGAN), shard);
                self.hand_in_right(&first);
                Role::Participant(first)
            }
            Begin::Waiter(waiter) => match self.joined.take() {
                // The call came after the record, and before the ender took the operation.
                Some(participant) if !waiter.is_replayed() => {
                    Role::Participant(participant.duplicate(waiter))
                }
                _ => Role::Other(Other::Waiter(waiter)),
            },
            Begin::Rejected(why) => Role::Other(Other::Rejected(why)),
        };
    }

    /// In *Rerun* nothing is made, and the right to run is there at once.
    #[inline(always)]
    fn hand_in_right(&self, first: &Participant<K, T>) {
        if self.policy == Policy::Rerun {
            first.hand_in(Operation::elsewhere());
        }
    }
}
