//! The long way of a begin: it respects everything that can have a say (rules, fingerprints, a
//! gate, other keys of the same hash, flights that have ended).
//!
//! Keys are the user's, so they cannot be compared under the lock. A search repeats two steps until
//! it has an answer:
//!
//! 1. [`look`](Search::look), in one lock acquisition: does what the last comparison found
//!    necessary, then takes the next flight with this hash as a candidate. If none is left, a new
//!    flight begins, or is refused.
//! 2. [`compare`](Search::compare), under no lock: compares the candidate's key. If it is the key,
//!    that is the answer, or the flight has to make room for a new one; if not, the search
//!    continues after the candidate.
//!
//! [`finish`](Search::finish) counts and reports the answer. A candidate is joined under the lock,
//! before its key is compared, so that its end counts this call and no limit is passed. A wrong
//! join is taken back.
//!
//! # Invariants
//! 1. Each flight with this hash is a candidate once, in the order of ids (shard, invariant 2), but
//!    for one that is too old and is joined after all.
//! 2. A new flight is counted for `max_flights` in the critical section in which it begins, so no
//!    call is refused for a flight that has not begun.

use alloc::vec::Vec;

use crate::cell::Join;
use crate::error::Rejected;
use crate::flight::observe::report_rejected;
use crate::flight::reentry::is_inside;
use crate::flight::{Flight, FlightId};
use crate::group::begin::Begin;
use crate::group::primary::Primary;
use crate::group::shard::Shard;
use crate::group::shard::after::After;
use crate::group::shard::extras::Note;
use crate::group::shard::line::Line;
use crate::group::shard::request::{Call, Key, OwnedKey, Plain, Request};
use crate::group::shard::table::Table;
use crate::group::stats::WrongJoin;
use crate::group::waiter::Waiter;
use crate::sync::Arc;

/// A search and how far it has come.
pub(super) struct Search<'a, K, T> {
    shard: &'a Arc<Shard<K, T>>,
    request: &'a Request,
    /// Every candidate up to this one has been compared.
    compared: Option<FlightId>,
    /// The key's flight has ended, or is about to: take the key from it.
    stale: Option<Arc<Flight<K, T>>>,
    /// The key's flight is too old: end it.
    too_old: Option<Arc<Flight<K, T>>>,
    /// A flight that is too old is joined all the same, since no new one could take its place.
    joins_old: bool,
    /// The new flight of this look is counted already: it takes the place of one that was too old.
    counted_in: bool,
    /// A wrong join that is still counted.
    wrong: Option<WrongJoin>,
    after: After<K, T>,
}

/// What a look under the lock has found.
enum Look<K, T> {
    Candidate(Candidate<K, T>),
    Begun(Primary<K, T>),
    Rejected(Rejected),
    /// A new flight can begin, and its key has not been made.
    NoKey,
    /// There is none to join, and the call begins none.
    Absent,
}

/// A flight with the right hash, before its key is compared.
enum Candidate<K, T> {
    /// Joined: it is counted as this call's, or has settled.
    Joined(Waiter<K, T>),
    /// Ended without a value and not removed yet, or past its window.
    Ended(Arc<Flight<K, T>>),
    /// If it has this key, the call cannot share it.
    Rejected(Arc<Flight<K, T>>, Rejected),
    TooOld(Arc<Flight<K, T>>),
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
            stale: None,
            too_old: None,
            joins_old: false,
            counted_in: false,
            wrong: None,
            after: After::default(),
        }
    }

    /// Continues where the short way has given up. It may have joined a flight of another key.
    #[cold]
    #[inline(never)]
    pub(super) fn after_short_way(
        shard: &'a Arc<Shard<K, T>>,
        hash: u64,
        key: K,
        joined: Option<Waiter<K, T>>,
    ) -> Begin<K, T>
    where
        K: Eq,
    {
        let request = Request::new(shard, hash, None);
        let mut search = Search::new(shard, &request);
        if let Some(waiter) = joined {
            search.take_back(waiter);
        }
        search.begin(OwnedKey(Some(key)), &mut Plain)
    }

    fn begin(self, key: impl Key<K>, call: &mut impl Call<K, T>) -> Begin<K, T> {
        self.run(key, call)
            .unwrap_or_else(|| unreachable!("a begin that finds no flight begins one"))
    }

    /// Returns `None` if there is none to join and the call begins none.
    fn run(mut self, mut key: impl Key<K>, call: &mut impl Call<K, T>) -> Option<Begin<K, T>> {
        loop {
            let look = self.look(&mut key, call);
            // Under no lock, and before anything more is counted: these drops can be the user's.
            self.stale = None;
            self.after.run();
            let answer = match look {
                Look::Begun(primary) => Some(Begin::Primary(primary)),
                Look::Rejected(why) => Some(Begin::Rejected(why)),
                Look::Candidate(candidate) => self.compare(candidate, &mut key, call),
                Look::NoKey => {
                    key.make();
                    continue;
                }
                Look::Absent => return None,
            };
            let Some(begin) = answer else {
                self.pass_other_keys(&key);
                continue;
            };
            self.finish(&begin);
            // A key that was not needed: its drop is the user's. What was begun is a guard by now.
            drop(key);
            return Some(begin);
        }
    }

    /// One lock acquisition: what the last comparison found necessary, then the next candidate. If
    /// there is none, a new flight begins.
    fn look(&mut self, key: &mut impl Key<K>, call: &mut impl Call<K, T>) -> Look<K, T> {
        self.shard.table.with(|table| {
            if let Some(stale) = &self.stale {
                table.unregister(self.shard, stale, &mut self.after);
            }
            if let Some(old) = self.too_old.take() {
                if !key.is_made() && self.can_supersede(table, &old) {
                    // The key is made before the flight is ended for a new one, since that can
                    // panic; and only for a call that begins.
                    self.too_old = Some(old);
                    return Look::NoKey;
                }
                self.supersede(table, old, key.is_made());
            }
            table.counts.take_back(self.wrong.take());
            if let Some(flight) = self.next(table) {
                if core::mem::take(&mut self.counted_in) {
                    // This look begins no flight, so the count for it is taken back.
                    self.shard.count_out();
                }
                return Look::Candidate(self.try_join(table, flight));
            }
            if self.request.joins_only {
                return Look::Absent;
            }
            if let Some(why) = self.rejection(table, key.is_made()) {
                return Look::Rejected(why);
            }
            let Some(key) = key.take() else {
                return Look::NoKey;
            };
            self.counted_in = false;
            let flight = table.begin(self.shard, self.request, key, call.make_operation());
            Look::Begun(Primary::new(flight, self.shard.clone()))
        })
    }

    /// The flight with this hash that comes next.
    fn next(&self, table: &Table<K, T>) -> Option<Arc<Flight<K, T>>> {
        if self.request.alone {
            return None;
        }
        let flights = table.with_hash(self.request.hash, self.compared);
        flights.min_by_key(|flight| flight.id).cloned()
    }

    /// Joins a candidate, if it can be joined.
    fn try_join(&self, table: &mut Table<K, T>, flight: Arc<Flight<K, T>>) -> Candidate<K, T> {
        let note = table.note(flight.id);
        let state = flight.cell.snapshot();
        if table.is_expired(&flight, self.request.now) || state.cause().is_some() {
            return Candidate::Ended(flight);
        }
        // Checked before the join, which counts for `max_waiters`. A payload that differs is
        // reported before anything else.
        let both = self.request.fingerprint.zip(note.fingerprint);
        if both.is_some_and(|(mine, its)| mine != its) {
            return Candidate::Rejected(flight, Rejected::Mismatch);
        }
        if is_inside(&flight) {
            return Candidate::Rejected(flight, Rejected::Reentrant);
        }
        let joins_old = self.joins_old || self.request.joins_only;
        if self.is_too_old(note) && !state.ended() && !joins_old {
            return Candidate::TooOld(flight);
        }
        let max_waiters = self
            .shard
            .rules()
            .map_or(usize::MAX, |rules| rules.max_waiters);
        match flight.cell.join(max_waiters) {
            Join::Open(waiting) => table.counts.join(waiting),
            Join::Ended(state) if state.settled() => table.counts.join_settled(),
            Join::Ended(_) => return Candidate::Ended(flight),
            Join::Full => return Candidate::Rejected(flight, Rejected::TooManyWaiters),
        }
        Candidate::Joined(Waiter::new(flight))
    }

    fn is_too_old(&self, note: Note) -> bool {
        let rules = self.shard.rules();
        rules
            .and_then(|rules| rules.supersede_after)
            .zip(self.request.now.zip(note.born))
            .is_some_and(|(most, (now, born))| now.saturating_sub(born) > most)
    }

    /// Ends a flight that is too old, if a new one can begin. Many calls can find it too old at
    /// once: the call whose abort ends it begins the next flight.
    fn supersede(&mut self, table: &mut Table<K, T>, old: Arc<Flight<K, T>>, has_key: bool) {
        if !table.is_registered(&old) || !self.is_too_old(table.note(old.id)) {
            // Since it was found it has lost its key, and continues for those already in it, or its
            // age was renewed, and it is a candidate once more.
            self.after.drop_flight(old);
            return;
        }
        let closed = table.extras.as_ref().is_some_and(|extras| extras.closed);
        self.counted_in = has_key && !closed && self.shard.count_in();
        if self.counted_in && table.supersede(self.shard, &old, &mut self.after) {
            return;
        }
        // Also if its settler is about to end it: then this call joins it and does not spin.
        self.joins_old = true;
        if core::mem::take(&mut self.counted_in) {
            self.shard.count_out();
        }
        // This can be the last handle by now.
        self.after.drop_flight(old);
    }

    /// Whether a new flight can take the place of one that was too old, at this moment.
    fn can_supersede(&self, table: &Table<K, T>, old: &Arc<Flight<K, T>>) -> bool {
        let closed = table.extras.as_ref().is_some_and(|extras| extras.closed);
        let too_old = table.is_registered(old) && self.is_too_old(table.note(old.id));
        too_old && !closed && self.shard.has_room()
    }

    /// Why no new flight can begin. If one begins now, since its key is made, it is counted.
    fn rejection(&mut self, table: &Table<K, T>, begins: bool) -> Option<Rejected> {
        let extras = table.extras.as_ref()?;
        if extras.closed {
            return Some(Rejected::Closed);
        }
        if self.request.queued.is_none() && table.line().is_some_and(Line::is_busy) {
            return Some(Rejected::Busy);
        }
        let admitted = if begins {
            self.counted_in || self.shard.count_in()
        } else {
            self.shard.has_room()
        };
        (!admitted).then_some(Rejected::TooManyFlights)
    }

    /// Compares the candidate's key, under no lock. Returns `None` if the search continues.
    fn compare(
        &mut self,
        candidate: Candidate<K, T>,
        key: &mut impl Key<K>,
        call: &mut impl Call<K, T>,
    ) -> Option<Begin<K, T>> {
        match candidate {
            Candidate::Joined(waiter) => {
                let same = key.is(waiter.key());
                if same && call.try_share(self.shard, waiter.flight()) {
                    return Some(Begin::Waiter(waiter));
                }
                self.pass(waiter.flight(), same);
                self.take_back(waiter);
            }
            Candidate::Ended(flight) => {
                let same = key.is(&flight.key);
                self.pass(&flight, same);
            }
            Candidate::Rejected(flight, why) => {
                if key.is(&flight.key) {
                    return Some(Begin::Rejected(why));
                }
                self.pass(&flight, false);
            }
            Candidate::TooOld(flight) => {
                if key.is(&flight.key) {
                    self.too_old = Some(flight);
                } else {
                    self.pass(&flight, false);
                }
            }
        }
        None
    }

    /// The candidate is not the answer. If it has the same key, the next look unregisters it.
    fn pass(&mut self, flight: &Arc<Flight<K, T>>, same: bool) {
        self.compared = Some(flight.id);
        self.stale = same.then(|| flight.clone());
    }

    /// Takes back a join. If the flight's end came first, it was counted as one that waited.
    #[cold]
    fn take_back(&mut self, waiter: Waiter<K, T>) {
        let waited = !waiter.withdraw();
        self.wrong = Some(WrongJoin { waited });
    }

    /// After a candidate with another key: passes over all other keys with this whole hash in one
    /// lock acquisition. There are none except by malice or by a poor hasher.
    fn pass_other_keys(&mut self, key: &impl Key<K>) {
        if self.stale.is_some() || self.too_old.is_some() {
            // The candidate had this key.
            return;
        }
        let mut others = self.shard.table.with(|table| {
            let flights = table.with_hash(self.request.hash, self.compared);
            flights.cloned().collect::<Vec<_>>()
        });
        others.sort_unstable_by_key(|flight| flight.id);
        for flight in &others {
            if key.is(&flight.key) {
                break;
            }
            self.compared = Some(flight.id);
        }
    }

    /// Counts and reports the answer.
    fn finish(mut self, begin: &Begin<K, T>) {
        let wrong = self.wrong.take();
        if wrong.is_some() || matches!(begin, Begin::Rejected(_)) {
            self.shard.table.with(|table| {
                table.counts.take_back(wrong);
                if let Begin::Rejected(why) = begin {
                    table.counts.reject(*why);
                }
            });
        }
        match begin {
            Begin::Primary(primary) => primary.report_begun(),
            Begin::Waiter(waiter) => waiter.report_joined(),
            Begin::Rejected(why) => report_rejected(*why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Fingerprint;
    use crate::group::shard::request::BorrowedKey;

    const OTHERS: u32 = 500;

    /// How many looks a call for a new key takes among others with its hash.
    fn looks(shard: &Arc<Shard<u32, u8>>, request: &Request, mut key: impl Key<u32>) -> usize {
        let mut search = Search::new(shard, request);
        let mut looks = 0;
        loop {
            looks += 1;
            match search.look(&mut key, &mut Plain) {
                Look::Begun(_) => return looks,
                Look::NoKey => key.make(),
                Look::Rejected(why) => panic!("{why}"),
                Look::Absent => unreachable!("it begins"),
                Look::Candidate(candidate) => {
                    assert!(search.compare(candidate, &mut key, &mut Plain).is_none());
                    search.pass_other_keys(&key);
                }
            }
        }
    }

    #[test]
    fn other_keys_with_the_same_hash_are_passed_over_in_one_step() {
        let shard = Arc::new(Shard::<u32, u8>::new(0, 1, None));
        let request = |mine| Request::new(&shard, 7, mine);
        let (mine, theirs) = (Fingerprint::new(1), Fingerprint::new(2));
        let _others: Vec<_> = (1..=OTHERS)
            .map(|key| {
                let key = OwnedKey(Some(key));
                Shard::search(&shard, &request(Some(theirs)), key, &mut Plain)
            })
            .collect();
        for request in [request(None), request(Some(mine))] {
            assert_eq!(looks(&shard, &request, OwnedKey(Some(0))), 2);
            assert_eq!(looks(&shard, &request, BorrowedKey::new(&0, u32::clone)), 3);
        }
    }
}
