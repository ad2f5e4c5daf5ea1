//! The long way of a begin: it respects everything that can have a say (rules, fingerprints, a
//! gate, other keys of the same hash, flights that have ended).
//!
//! Keys are the user's, so they cannot be compared under the lock. A search repeats two steps until
//! it has an answer:
//!
//! 1. [`look`](Search::look), in one lock acquisition. If the flight of this key is known,
//!    [`decide`](Search::decide) joins it, replaces it or rejects the call. If not, this takes
//!    every flight with this hash that has not been compared. If there is none, a new flight
//!    begins, or the call is rejected.
//! 2. [`compare`](Search::compare), under no lock: one pass over those flights. It finds the flight
//!    of this key, or none.
//!
//! Nearly always one flight has this hash, and it has this key. So if that flight can be joined,
//! the look joins it before the keys are compared. A wrong join is taken back.
//!
//! # Invariants
//! 1. Each flight with this hash is compared once. Ids rise within a shard (invariant 2 there), so
//!    a flight that has not been compared has a higher id than all that have.
//! 2. A key has at most one registered flight. So a flight that is known to have this key, and is
//!    still registered, can be replaced in that critical section, whatever other flights there are.
//! 3. A flight of a group is superseded in the critical section in which its successor begins, so
//!    it ends only for a call that begins. The holder of a gate that is too old ends for every call
//!    through the gate, also for one that shares a flight that waits: then the search looks again.
//! 4. A fingerprint is recorded in the critical section of the join that brings it, and only after
//!    the keys have compared equal. So two different ones never share a flight.

use alloc::vec::Vec;

use crate::cell::Join;
use crate::error::Rejected;
use crate::flight::reentry::is_inside;
use crate::flight::{FlightId, FlightRef};
use crate::group::begin::Begin;
use crate::group::primary::Primary;
use crate::group::shard::Shard;
use crate::group::shard::after::After;
use crate::group::shard::line::Answer;
use crate::group::shard::request::{Call, Key, OwnedKey, Plain, Request};
use crate::group::shard::room::Room;
use crate::group::shard::share::State;
use crate::group::shard::table::Table;
use crate::group::stats::WrongJoin;
use crate::group::waiter::Waiter;
use crate::sync::Arc;

/// A search and how far it has come.
pub(super) struct Search<'a, K, T> {
    shard: &'a Arc<Shard<K, T>>,
    request: &'a Request,
    /// Every flight up to this one has been compared.
    compared: Option<FlightId>,
    /// The flight of this key.
    known: Option<FlightRef<K, T>>,
    /// The known flight is about to end and cannot be shared.
    stale: bool,
    room: Room<'a, K, T>,
    /// A wrong join that is still counted.
    wrong: Option<WrongJoin>,
    after: After<K, T>,
}

/// What a look under the lock has come to.
enum Look<K, T> {
    Answer(Begin<K, T>),
    /// It has joined the only flight with this hash, whose key has not been compared.
    Joined(Waiter<K, T>),
    Compare(Candidates<K, T>),
    /// A new flight can begin, and its key has not been made.
    NoKey,
    /// It has ended a flight that is too old and holds the gate. What that has left behind is seen
    /// to, and then the call looks again.
    Again,
    /// There is none to join, and the call begins none.
    Absent,
}

/// Flights with this hash that have not been compared. The first one is apart, since a `Vec` of one
/// would allocate.
struct Candidates<K, T> {
    one: FlightRef<K, T>,
    others: Vec<FlightRef<K, T>>,
}

impl<K, T> Shard<K, T> {
    /// Joins the key's flight, or begins one.
    pub(crate) fn search(
        this: &Arc<Self>,
        request: &Request,
        key: impl Key<K>,
        call: &mut impl Call<K, T>,
    ) -> Begin<K, T> {
        Search::new(this, request).begin(key, call)
    }

    /// Continues where the short way has given up. It may have joined a flight of another key, or
    /// one that cannot be shared.
    #[cold]
    #[inline(never)]
    pub(crate) fn begin_the_long_way(
        this: &Arc<Self>,
        hash: u64,
        key: K,
        joined: Option<Waiter<K, T>>,
        call: &mut impl Call<K, T>,
    ) -> Begin<K, T>
    where
        K: Eq,
    {
        let request = Request::new(this, hash, None);
        let mut search = Search::new(this, &request);
        if let Some(waiter) = joined {
            search.take_back(waiter);
        }
        search.begin(OwnedKey(Some(key)), call)
    }

    /// Joins the key's flight, if there is one. It begins and ends none.
    pub(crate) fn join_only(
        this: &Arc<Self>,
        request: Request,
        key: impl Key<K>,
    ) -> Result<Option<Waiter<K, T>>, Rejected> {
        match Search::new(this, &request.joins_only()).run(key, &mut Plain) {
            None => Ok(None),
            Some(Begin::Waiter(waiter)) => Ok(Some(waiter)),
            Some(Begin::Rejected(why)) => Err(why),
            Some(Begin::Primary(_)) => unreachable!("it has no key to begin with"),
        }
    }
}

impl<'a, K, T> Search<'a, K, T> {
    fn new(shard: &'a Arc<Shard<K, T>>, request: &'a Request) -> Self {
        Self {
            shard,
            request,
            compared: None,
            known: None,
            stale: false,
            room: Room::new(shard),
            wrong: None,
            after: After::default(),
        }
    }

    fn begin(mut self, key: impl Key<K>, call: &mut impl Call<K, T>) -> Begin<K, T> {
        self.run(key, call)
            .unwrap_or_else(|| unreachable!("a begin that finds no flight begins one"))
    }

    /// Returns `None` if there is none to join and the call begins none.
    fn run(&mut self, mut key: impl Key<K>, call: &mut impl Call<K, T>) -> Option<Begin<K, T>> {
        loop {
            let look = self.look(&mut key, call);
            // Under no lock, and before anything more is counted: these drops can be the user's.
            self.after.run();
            let begin = match look {
                Look::Answer(begin) => begin,
                Look::Joined(waiter) if key.is(waiter.key()) => Begin::Waiter(waiter),
                Look::Joined(waiter) => {
                    self.compared = Some(waiter.id());
                    self.take_back(waiter);
                    continue;
                }
                Look::Compare(candidates) => {
                    self.compare(candidates, &key);
                    continue;
                }
                Look::NoKey => {
                    key.make();
                    continue;
                }
                Look::Again => continue,
                Look::Absent => return None,
            };
            if let Some(begin) = self.share(begin, call) {
                // This can be the last handle by now, and its drop is the user's.
                self.known = None;
                begin.report(self.shard.label().name());
                // A key that was not needed: its drop is the user's. What was begun is a guard by
                // now.
                drop(key);
                return Some(begin);
            }
        }
    }

    /// One lock acquisition: the answer, or what has to be done for it under no lock.
    fn look(&mut self, key: &mut impl Key<K>, call: &mut impl Call<K, T>) -> Look<K, T> {
        self.shard.table.with(|table| {
            table.counts.take_back(self.wrong.take());
            if let Some(flight) = self.known.clone() {
                if table.has_key(&flight) {
                    return self.decide(table, &flight, key, call);
                }
                // It has lost its key since. A newer flight can have it.
                self.forget_known();
            }
            match self.candidates(table) {
                Some(candidates) => self.try_join(table, candidates),
                None => self.begin_flight(table, key, call),
            }
        })
    }

    /// The flights with this hash that have not been compared.
    fn candidates(&self, table: &Table<K, T>) -> Option<Candidates<K, T>> {
        if self.request.alone {
            return None;
        }
        let mut flights = table.with_hash(self.request.hash, self.compared);
        let one = flights.next()?.clone();
        let others = flights.cloned().collect();
        Some(Candidates { one, others })
    }

    /// Joins the candidate before its key is compared, if it is the only one and nothing is in the
    /// way.
    fn try_join(&mut self, table: &mut Table<K, T>, candidates: Candidates<K, T>) -> Look<K, T> {
        let Candidates { one, others } = &candidates;
        if others.is_empty() {
            if self.request.state(self.shard, table, one) == State::Joinable
                && !self.request.brings_fingerprint(table, one)
                && !is_inside(one)
                && table.old_holder(self.shard, self.request).is_none()
            {
                if let Ok(waiter) = self.shard.admit(table, one) {
                    return Look::Joined(waiter);
                }
            }
        } else if !self.request.joins_only {
            let too_old = |flight: &FlightRef<K, T>| {
                let note = table.note(flight.id);
                self.request.is_too_old(self.shard, note, flight)
            };
            if too_old(one) || others.iter().any(too_old) {
                // If that is this key's flight, no other call takes the place of its successor
                // while the keys are compared.
                self.room.reserve();
            }
        }
        Look::Compare(candidates)
    }

    /// The flight has this key, and is registered.
    fn decide(
        &mut self,
        table: &mut Table<K, T>,
        flight: &FlightRef<K, T>,
        key: &mut impl Key<K>,
        call: &mut impl Call<K, T>,
    ) -> Look<K, T> {
        let state = match self.request.state(self.shard, table, flight) {
            _ if self.stale => State::Ended,
            State::TooOld if table.is_closed() || !self.room.can_supersede(flight) => {
                State::Joinable
            }
            state => state,
        };
        match state {
            State::Ended => return self.replace(table, flight, key, call),
            State::Mismatch => return reject(table, Rejected::Mismatch),
            _ if table.supersede_holder(self.shard, self.request, &mut self.after) => {
                return Look::Again;
            }
            State::TooOld if !key.is_made() => return Look::NoKey,
            State::TooOld if self.room.supersede(table, flight, &mut self.after) => {
                return self.begin_flight(table, key, call);
            }
            // Also if its settler is about to end it: then this call joins it and does not spin.
            State::TooOld | State::Joinable => {}
        }
        if is_inside(flight) && !flight.cell.snapshot().ended() {
            // It counts for no limit and in no figure, since nothing may depend on it.
            self.request.record_fingerprint(table, flight);
            let waiter = Waiter::uncounted(flight.clone_two());
            return Look::Answer(Begin::Waiter(waiter));
        }
        match self.shard.admit(table, flight) {
            Ok(waiter) => {
                self.request.record_fingerprint(table, flight);
                Look::Answer(Begin::Waiter(waiter))
            }
            Err(Join::Full) => reject(table, Rejected::TooManyWaiters),
            Err(_) => self.replace(table, flight, key, call),
        }
    }

    /// Takes the key from a flight that is over, or is about to be, and begins a new one.
    fn replace(
        &mut self,
        table: &mut Table<K, T>,
        flight: &FlightRef<K, T>,
        key: &mut impl Key<K>,
        call: &mut impl Call<K, T>,
    ) -> Look<K, T> {
        table.unregister(self.shard, flight, &mut self.after);
        self.begin_flight(table, key, call)
    }

    /// No flight has this key: begins one, if nothing refuses it.
    #[inline(always)]
    fn begin_flight(
        &mut self,
        table: &mut Table<K, T>,
        key: &mut impl Key<K>,
        call: &mut impl Call<K, T>,
    ) -> Look<K, T> {
        if self.request.joins_only {
            return Look::Absent;
        }
        let (closed, has_line) = match &table.extras {
            None => (false, false),
            Some(extras) => (extras.closed, extras.line.is_some()),
        };
        if closed {
            return reject(table, Rejected::Closed);
        }
        let mut turn = true;
        if has_line {
            match table.ask_gate(self.shard, self.request, &mut self.after) {
                Answer::Enter => {}
                Answer::Wait => turn = false,
                Answer::Busy => return reject(table, Rejected::Busy),
                Answer::AskAgain => return Look::Again,
            }
        }
        if !key.is_made() && self.room.is_there() {
            return Look::NoKey;
        }
        if !key.is_made() || !self.room.fill() {
            return reject(table, Rejected::TooManyFlights);
        }
        let Some(key) = key.take() else {
            unreachable!("looked at above")
        };
        let flight = table.begin(self.shard, self.request, key, call, turn);
        if has_line {
            table.enter_line(self.shard, self.request, &flight, &mut self.after);
        }
        Look::Answer(Begin::Primary(Primary::new(flight, self.shard.clone())))
    }

    /// Compares the keys, under no lock. The newest first: a flight that others have left behind is
    /// old.
    fn compare(&mut self, candidates: Candidates<K, T>, key: &impl Key<K>) {
        let Candidates { one, mut others } = candidates;
        if others.is_empty() {
            self.compared = Some(one.id);
            if key.is(&one.key) {
                self.known = Some(one);
            }
            return;
        }
        others.push(one);
        others.sort_unstable_by_key(|flight| flight.id);
        self.compared = others.last().map(|flight| flight.id);
        self.known = others.into_iter().rev().find(|flight| key.is(&flight.key));
    }

    /// Lets the kind of call take part in the flight that it has joined, unless it comes from
    /// inside: then it drives nothing. Returns `None` if the flight is about to end: the next look
    /// replaces it.
    fn share(&mut self, begin: Begin<K, T>, call: &mut impl Call<K, T>) -> Option<Begin<K, T>> {
        let Begin::Waiter(waiter) = begin else {
            return Some(begin);
        };
        if !waiter.is_counted() || call.try_share(self.shard, waiter.flight()) {
            return Some(Begin::Waiter(waiter));
        }
        self.known = Some(waiter.flight().clone());
        self.stale = true;
        self.take_back(waiter);
        None
    }

    fn forget_known(&mut self) {
        self.stale = false;
        if let Some(flight) = self.known.take() {
            self.compared = self.compared.max(Some(flight.id));
            // This can be the last handle by now, and its drop is the user's.
            self.after.drop_flight(flight);
        }
    }

    /// Takes back a join. If the flight's end came first, it was counted as one that waited.
    #[cold]
    fn take_back(&mut self, waiter: Waiter<K, T>) {
        let replayed = waiter.is_replayed();
        self.wrong = Some(WrongJoin::new(waiter.withdraw(), replayed));
    }
}

/// Counts the rejection, in the critical section that finds it.
fn reject<K, T>(table: &mut Table<K, T>, why: Rejected) -> Look<K, T> {
    table.counts.reject(why);
    Look::Answer(Begin::Rejected(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Fingerprint;
    use crate::group::shard::request::BorrowedKey;

    const OTHERS: u32 = 500;

    /// How many looks a call takes, and what it comes to.
    fn looks(
        shard: &Arc<Shard<u32, u8>>,
        request: &Request,
        mut key: impl Key<u32>,
    ) -> (usize, Begin<u32, u8>) {
        let mut search = Search::new(shard, request);
        for looks in 1.. {
            match search.look(&mut key, &mut Plain) {
                Look::Answer(begin) => return (looks, begin),
                Look::NoKey => key.make(),
                Look::Compare(candidates) => search.compare(candidates, &key),
                Look::Joined(_) | Look::Again | Look::Absent => panic!("it begins"),
            }
        }
        unreachable!()
    }

    #[test]
    fn a_call_among_others_with_its_hash_takes_at_most_three_lock_acquisitions() {
        let shard = Arc::new(Shard::<u32, u8>::new(0, 1, None));
        let request = |mine| Request::new(&shard, 7, mine);
        let (mine, theirs) = (Fingerprint::new(1), Fingerprint::new(2));
        let _others: Vec<_> = (1..=OTHERS)
            .map(|key| {
                let request = request((key != 3).then_some(theirs));
                Shard::search(&shard, &request, OwnedKey(Some(key)), &mut Plain)
            })
            .collect();
        // A key in flight; one that is given its first fingerprint; another payload; a new key.
        for (key, print) in [(4, None), (3, Some(mine)), (4, Some(mine)), (0, Some(mine))] {
            let request = request(print);
            assert_eq!(looks(&shard, &request, OwnedKey(Some(key))).0, 2);
            let (looks, begin) = looks(&shard, &request, BorrowedKey::new(&key, u32::clone));
            assert_eq!(looks, if key == 0 { 3 } else { 2 });
            let rejected = matches!(begin, Begin::Rejected(Rejected::Mismatch));
            assert_eq!(rejected, (key, print) == (4, Some(mine)));
        }
    }
}
