//! One shard of the registry: a table of flights behind a lock.
//!
//! # Invariants
//! 1. Nothing of the user's runs under the lock: no `Hash`, `Eq`, `Clone` or `Drop` of a key or value. Candidates are
//!    found by their full hash under the lock and compared after it is released. A hit needs the flight's `Arc` anyway;
//!    a false match resumes the search where it stopped.
//! 2. Every flight that has not ended is in exactly one of the two tables, and so is one that has ended but whose ender
//!    has not come by yet: in `live` under its key, or in `detached` when the key has been taken from it (forgotten, or
//!    replaced after it ended).
//! 3. A flight is found for removal by identity.
//! 4. Flight ids rise within a shard, and all flights of a key are in one shard. So a search that has compared every
//!    candidate up to some id resumes after it, whatever came and went meanwhile.
//!
//! # Deadlock safety
//! A shard's lock is taken alone: no other lock is taken under it, and it is taken under no other.

use hashbrown::HashTable;

use crate::baton::Baton;
use crate::cell::SettleCell;
use crate::error::{Cause, Rejected};
use crate::flight::{Flight, FlightId};
use crate::group::Begin;
use crate::primary::Primary;
use crate::state::{Join, Snapshot};
use crate::stats::Tally;
use crate::sync::{Arc, Mutex, Wakeable};
use crate::waiter::Waiter;

pub(crate) struct Shard<K, T> {
    table: Mutex<Table<K, T>>,
    index: usize,
    shards: usize,
}

struct Table<K, T> {
    live: HashTable<Entry<K, T>>,
    detached: HashTable<Arc<Flight<K, T>>>,
    tally: Tally,
}

/// The hash stands beside the pointer, so that growing the table touches no flight.
struct Entry<K, T> {
    hash: u64,
    flight: Arc<Flight<K, T>>,
}

/// How a flight ended.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Settled,
    Aborted(Cause),
}

/// A flight's place in the registry as a begin finds it, under the lock, before its key was compared.
enum Candidate<K, T> {
    /// Counted as its waiter, if it has not ended.
    Joined(Waiter<K, T>),
    /// Ended without a value, and not taken out yet.
    Aborted(Arc<Flight<K, T>>),
    /// Can not count one more waiter.
    Full(Arc<Flight<K, T>>),
}

/// How far a search for a key has come.
struct Search<K, T> {
    hash: u64,
    after: Option<FlightId>,
    /// The key's flight, which is over without a value: take the key from it before going on.
    stale: Option<Arc<Flight<K, T>>>,
    /// A join that is to be uncounted: (joined, waited).
    undo: (u64, u64),
}

impl<K, T> Shard<K, T> {
    pub(crate) fn new(index: usize, shards: usize) -> Self {
        let table = Table {
            live: HashTable::new(),
            detached: HashTable::new(),
            tally: Tally::default(),
        };
        Self {
            table: Mutex::new(table),
            index,
            shards,
        }
    }

    /// Joins the key's flight, or begins one: one lock hold unless two keys share a hash.
    ///
    /// `admit` may turn a waiter of a flight that is about to end into the primary of the next one. `baton` makes the
    /// new flight's baton; it runs under the lock and allocates at most.
    ///
    /// A duplicate's key comes back, to be dropped by the caller: what is counted is a guard by then, so should that
    /// drop panic, the waiter leaves.
    #[inline(always)]
    pub(crate) fn begin(
        this: &Arc<Self>,
        hash: u64,
        key: K,
        admit: impl Fn(&Flight<K, T>) -> bool,
        baton: impl FnOnce() -> Option<Arc<Wakeable<Baton<K, T>>>>,
    ) -> (Begin<K, T>, Option<K>)
    where
        K: Eq,
    {
        let mut search = Search::new(hash);
        let mut material = Some((key, baton));
        loop {
            let found = this.table.with(|table| match table.next(&mut search) {
                Some(flight) => Ok(table.join(flight)),
                None => {
                    let Some((key, baton)) = material.take() else {
                        unreachable!("the loop ends here")
                    };
                    table.tally.begun += 1;
                    let id = FlightId::new(table.tally.begun, this.index, this.shards);
                    let cell = SettleCell::new();
                    let flight = Arc::new(Flight {
                        cell,
                        key,
                        hash,
                        id,
                        baton: baton(),
                    });
                    table.live.insert_unique(
                        hash,
                        Entry {
                            hash,
                            flight: flight.clone(),
                        },
                        |entry| entry.hash,
                    );
                    Err(Primary::new(flight, this.clone()))
                }
            });
            let begin = match found {
                Err(primary) => Some(Begin::Primary(primary)),
                Ok(candidate) => {
                    let Some((key, _)) = &material else {
                        unreachable!("used only when the loop ends")
                    };
                    search.compare(candidate, |other| other == key, &admit)
                }
            };
            if let Some(begin) = begin {
                // It may hold the last handle on an old flight, whose drop is the user's.
                drop(search);
                return (begin, material.map(|(key, _)| key));
            }
        }
    }

    /// Joins the key's flight, if there is one.
    pub(crate) fn join(&self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<Begin<K, T>> {
        let mut search = Search::new(hash);
        loop {
            let candidate = self.table.with(|table| {
                let flight = table.next(&mut search)?;
                Some(table.join(flight))
            })?;
            if let Some(begin) = search.compare(candidate, &eq, |_| true) {
                return Some(begin);
            }
        }
    }

    /// Takes the key from a flight: it goes on for those already in it. False when it had lost it before.
    pub(crate) fn detach(&self, flight: &Arc<Flight<K, T>>) -> bool {
        self.table.with(|table| table.detach(flight))
    }

    /// The flight registered under the key, ended or not.
    pub(crate) fn find(&self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<Arc<Flight<K, T>>> {
        let mut search = Search::new(hash);
        loop {
            let flight = self.table.with(|table| table.next(&mut search))?;
            if eq(&flight.key) {
                return Some(flight);
            }
            search.passed(&flight, false);
        }
    }

    /// Takes an ended flight out, by identity, and counts its end. `before` is the word its end returned.
    #[inline(always)]
    pub(crate) fn retire(&self, flight: &Arc<Flight<K, T>>, before: Snapshot, ending: Ending) {
        let removed = self.table.with(|table| {
            table.tally.end(ending, before.waiting());
            match table
                .live
                .find_entry(flight.hash, |entry| Arc::ptr_eq(&entry.flight, flight))
            {
                Ok(entry) => Some(entry.remove().0.flight),
                Err(_) => table.take_detached(flight),
            }
        });
        debug_assert!(removed.is_some(), "invariant 2");
    }

    /// The number of keys in flight.
    pub(crate) fn len(&self) -> usize {
        self.table.with(|table| table.live.len())
    }

    /// What happened here so far, how many flights there are, and how many duplicates wait on them.
    pub(crate) fn tally(&self) -> (Tally, usize, usize) {
        self.table.with(|table| {
            let live = table.live.iter().map(|entry| &entry.flight);
            let all = live.chain(table.detached.iter());
            let waiting = all.map(|flight| flight.cell.snapshot().waiting()).sum();
            (
                table.tally,
                table.live.len() + table.detached.len(),
                waiting,
            )
        })
    }
}

impl<K, T> Table<K, T> {
    /// The oldest flight with this hash that the search has not compared yet.
    #[inline(always)]
    fn next(&mut self, search: &mut Search<K, T>) -> Option<Arc<Flight<K, T>>> {
        if search.after.is_some() {
            self.resume(search);
        }
        self.live
            .iter_hash(search.hash)
            .filter(|entry| entry.hash == search.hash && Some(entry.flight.id) > search.after)
            .min_by_key(|entry| entry.flight.id)
            .map(|entry| entry.flight.clone())
    }

    #[cold]
    fn resume(&mut self, search: &mut Search<K, T>) {
        if let Some(stale) = &search.stale {
            self.detach(stale);
        }
        self.tally.uncount(core::mem::take(&mut search.undo));
    }

    fn join(&mut self, flight: Arc<Flight<K, T>>) -> Candidate<K, T> {
        match flight.cell.join() {
            Join::Open(waiting) => self.tally.join(waiting),
            Join::Ended(word) if word.settled() => self.tally.join_settled(),
            Join::Ended(_) => return Candidate::Aborted(flight),
            Join::Full => return Candidate::Full(flight),
        }
        Candidate::Joined(Waiter::new(flight))
    }

    fn detach(&mut self, flight: &Arc<Flight<K, T>>) -> bool {
        match self
            .live
            .find_entry(flight.hash, |entry| Arc::ptr_eq(&entry.flight, flight))
        {
            Ok(entry) => {
                let flight = entry.remove().0.flight;
                self.detached
                    .insert_unique(by_id(flight.id), flight, |flight| by_id(flight.id));
                true
            }
            Err(_) => false,
        }
    }

    #[cold]
    fn take_detached(&mut self, flight: &Arc<Flight<K, T>>) -> Option<Arc<Flight<K, T>>> {
        let entry = self
            .detached
            .find_entry(by_id(flight.id), |other| Arc::ptr_eq(other, flight));
        Some(entry.ok()?.remove().0)
    }
}

impl<K, T> Search<K, T> {
    fn new(hash: u64) -> Self {
        Self {
            hash,
            after: None,
            stale: None,
            undo: (0, 0),
        }
    }

    /// Compares the candidate's key, outside the lock. `None`: go on searching.
    #[inline(always)]
    fn compare(
        &mut self,
        candidate: Candidate<K, T>,
        eq: impl FnOnce(&K) -> bool,
        admit: impl FnOnce(&Flight<K, T>) -> bool,
    ) -> Option<Begin<K, T>> {
        match candidate {
            Candidate::Joined(waiter) => {
                let same = eq(waiter.key());
                if same && admit(waiter.flight()) {
                    return Some(Begin::Waiter(waiter));
                }
                self.passed(waiter.flight(), same);
                // A join that the flight's end has frozen into its count was counted as one that waited.
                self.undo = if waiter.withdraw() { (1, 0) } else { (1, 1) };
            }
            Candidate::Aborted(flight) => {
                let same = eq(&flight.key);
                self.passed(&flight, same);
            }
            Candidate::Full(flight) => {
                if eq(&flight.key) {
                    return Some(Begin::Rejected(Rejected::Full));
                }
                self.passed(&flight, false);
            }
        }
        None
    }

    #[cold]
    fn passed(&mut self, flight: &Arc<Flight<K, T>>, stale: bool) {
        self.after = Some(flight.id);
        self.stale = stale.then(|| flight.clone());
    }
}

/// Spreads consecutive ids: a detached flight is found by its id, since any number of them may share a key.
fn by_id(id: FlightId) -> u64 {
    id.get().wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
