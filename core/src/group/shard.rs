//! One shard of the registry: a table of flights behind a lock.
//!
//! # Invariants
//! 1. Nothing of the user's runs under the lock: no `Hash`, `Eq`, `Clone` or `Drop` of a key or value, no clock. Candidates
//!    are found by their full hash under the lock and compared after it is released (`search`). A hit needs the flight's
//!    `Arc` anyway; a false match resumes the search where it stopped.
//! 2. Every flight that has not ended is in exactly one of the two tables, and so is one that has ended but whose ender
//!    has not come by yet: in `live` under its key, or in `detached` when the key has been taken from it (forgotten,
//!    replaced after it ended, superseded, or never shared). A retained one is in `live`, ended and settled.
//! 3. A flight is found for removal by identity.
//! 4. Flight ids rise within a shard, and all flights of a key are in one shard. So a search that has compared every
//!    candidate up to some id resumes after it, whatever came and went meanwhile.
//!
//! # Deadlock safety
//! A shard's lock is taken alone: no other lock is taken under it, and it is taken under no other.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashTable;

use crate::baton::Baton;
use crate::cell::SettleCell;
use crate::drain::Drain;
use crate::error::{Cause, Rejected};
use crate::fingerprint::Fingerprint;
use crate::flight::{Flight, FlightId};
use crate::group::Begin;
use crate::group::extras::{After, Extras, Later, Line, Note, Ticket, by_id};
use crate::group::search::{Candidate, Search};
use crate::observe::{Observed, rejected};
use crate::primary::Primary;
use crate::reentry::is_inside;
use crate::retain::{Mark, SWEEP};
use crate::rules::{Rules, Window};
use crate::state::{Join, Snapshot};
use crate::stats::Tally;
use crate::sync::{Arc, Mutex, Section, Wakeable};
use crate::waiter::Waiter;

/// In this order, what every call touches comes first and fits two cache lines.
#[repr(C)]
pub(crate) struct Shard<K, T> {
    rules: Option<Arc<Rules<T>>>,
    index: u32,
    shards: u32,
    table: Mutex<Table<K, T>>,
}

/// In this order: as [`Shard`].
#[repr(C)]
pub(crate) struct Table<K, T> {
    live: HashTable<Entry<K, T>>,
    extras: Option<Box<Extras<K, T>>>,
    pub(crate) tally: Tally,
    detached: HashTable<Arc<Flight<K, T>>>,
}

/// The hash stands beside the pointer, so that growing the table touches no flight.
struct Entry<K, T> {
    hash: u64,
    flight: Arc<Flight<K, T>>,
}

/// How a flight ended; a settled one may be retained.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Settled(Option<Window>),
    Aborted(Cause),
}

/// What a begin asks for beyond its key.
#[derive(Clone, Default)]
pub(crate) struct Request {
    pub(crate) hash: u64,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Read before the lock is taken, where the rules need it.
    pub(crate) now: Option<Duration>,
    /// The flight can not be joined, and joins none.
    pub(crate) alone: bool,
    /// At a gate that is held: wait for a turn instead of being turned away.
    pub(crate) ticket: Option<Arc<Ticket>>,
}

/// What a begin came to, and a duplicate's key.
pub(crate) type Begun<K, T> = (Begin<K, T>, Option<K>);

impl<K, T> Shard<K, T> {
    pub(crate) fn new(index: u32, shards: u32, rules: Option<Arc<Rules<T>>>) -> Self {
        let extras = rules.as_ref().map(|_| Box::default());
        let table = Table {
            live: HashTable::new(),
            detached: HashTable::new(),
            tally: Tally::default(),
            extras,
        };
        Self {
            table: Mutex::new(table),
            rules,
            index,
            shards,
        }
    }

    /// The one shard of a gate.
    pub(crate) fn gate() -> Self {
        let shard = Self::new(0, 1, None);
        shard
            .table
            .with(|table| table.extras_mut().line = Some(Line::new()));
        shard
    }

    #[inline(always)]
    pub(crate) fn rules(&self) -> Option<&Rules<T>> {
        self.rules.as_deref()
    }

    /// The time, if anything here depends on it. Runs the user's clock.
    pub(crate) fn now(&self) -> Option<Duration> {
        self.rules()?.now()
    }

    /// Joins the key's flight, or begins one: the short way, in one lock hold. It is for the two common cases: no flight
    /// with this hash and nothing that could refuse one, or one that is open and has this key. Everything else goes the
    /// long way, [`search`](Self::search).
    #[inline(always)]
    pub(crate) fn begin(this: &Arc<Self>, hash: u64, key: K) -> Begin<K, T>
    where
        K: Eq,
    {
        let mut unused = Some(key);
        let found = this.table.enter(First {
            shard: this,
            hash,
            key: &mut unused,
        });
        match (found, unused) {
            (Some(flight), None) => {
                let primary = Primary::new(flight, this.clone());
                primary.observe();
                Begin::Primary(primary)
            }
            (found, Some(key)) => Self::begin_again(this, hash, key, found.map(Waiter::new)),
            (None, None) => unreachable!("a key is taken for a flight only"),
        }
    }

    /// The second half of the short way, and the turn into the long one.
    fn begin_again(this: &Arc<Self>, hash: u64, key: K, found: Option<Waiter<K, T>>) -> Begin<K, T>
    where
        K: Eq,
    {
        let mut search = Search::new(hash);
        if let Some(waiter) = found {
            if *waiter.key() == key && !is_inside(waiter.flight()) {
                // While the waiter is a guard: the drop of a duplicate's key is the user's.
                drop(key);
                waiter.observe();
                return Begin::Waiter(waiter);
            }
            search.uncount(waiter);
        }
        let request = Request {
            hash,
            ..Request::default()
        };
        let (begin, key) = Self::search(this, &request, search, key, |_| true, || None);
        drop(key);
        begin
    }

    /// Joins the key's flight, or begins one, with everything that may have a say: rules, fingerprints, a gate, other
    /// keys of the same hash, flights that have ended. One lock hold for each candidate.
    ///
    /// `admit` may turn a waiter of a flight that is about to end into the primary of the next one. `baton` makes the
    /// new flight's baton; it runs under the lock and allocates at most.
    ///
    /// A duplicate's key comes back, to be dropped by the caller: what is counted is a guard by then, so should that
    /// drop panic, the waiter leaves.
    #[inline(never)]
    pub(crate) fn search(
        this: &Arc<Self>,
        request: &Request,
        mut search: Search<K, T>,
        key: K,
        admit: impl Fn(&Flight<K, T>) -> bool,
        baton: impl FnOnce() -> Option<Arc<Wakeable<Baton<T>>>>,
    ) -> Begun<K, T>
    where
        K: Eq,
    {
        let mut material = Some((key, baton));
        loop {
            let found = this
                .table
                .with(|table| match table.find(this, &mut search, request) {
                    Some(candidate) => Ok(candidate),
                    None => Err(match table.refusal(this, request) {
                        Some(why) => Begin::Rejected(why),
                        None => {
                            let Some((key, baton)) = material.take() else {
                                unreachable!("the loop ends here")
                            };
                            Begin::Primary(table.insert(this, request, key, baton()))
                        }
                    }),
                });
            // Under no lock, and before anything more is counted: these drops may be the user's.
            search.let_go();
            let begin = match found {
                Err(begin) => Some(begin),
                Ok(candidate) => {
                    let Some((key, _)) = &material else {
                        unreachable!("used only when the loop ends")
                    };
                    search.compare(candidate, request.fingerprint, |other| other == key, &admit)
                }
            };
            if let Some(begin) = begin {
                this.finish(search, &begin);
                return (begin, material.map(|(key, _)| key));
            }
            if let Some((key, _)) = &material {
                this.skip_strangers(&mut search, |other| other == key);
            }
        }
    }

    /// Joins the key's flight, if there is one.
    pub(crate) fn join(&self, request: &Request, eq: impl Fn(&K) -> bool) -> Option<Begin<K, T>> {
        let mut search = Search::new(request.hash);
        loop {
            let candidate = self
                .table
                .with(|table| table.find(self, &mut search, request))?;
            search.let_go();
            if let Some(begin) = search.compare(candidate, request.fingerprint, &eq, |_| true) {
                self.finish(search, &begin);
                return Some(begin);
            }
            if search.supersedes() {
                // Only a begin that can put a new flight in its place may end it.
                return None;
            }
        }
    }

    /// Passes over the other keys that share the whole hash, all in one lock hold. There are none but by malice, or by a
    /// poor hasher.
    fn skip_strangers(&self, search: &mut Search<K, T>, eq: impl Fn(&K) -> bool) {
        if !search.has_undone() {
            return;
        }
        let mut others = self.table.with(|table| table.others(search));
        others.sort_unstable_by_key(|flight| flight.id);
        for flight in &others {
            if eq(&flight.key) {
                break;
            }
            search.after = Some(flight.id);
        }
    }

    /// After a search: uncounts what it left counted, counts a refusal, and drops what it held, under no lock.
    fn finish(&self, mut search: Search<K, T>, begin: &Begin<K, T>) {
        if search.has_undone() || matches!(begin, Begin::Rejected(_)) {
            self.table.with(|table| {
                table.tally.uncount(search.take_undo());
                if let Begin::Rejected(why) = begin {
                    table.tally.reject(*why);
                }
            });
        }
        match begin {
            Begin::Primary(primary) => primary.observe(),
            Begin::Waiter(waiter) => waiter.observe(),
            Begin::Rejected(why) => rejected(*why),
        }
    }

    /// Takes the key from a flight: it goes on for those already in it. A retained one is gone with that. False when it
    /// had lost its key before.
    pub(crate) fn detach(&self, flight: &Arc<Flight<K, T>>) -> bool {
        let mut later = None;
        self.table.with(|table| table.detach(flight, &mut later))
    }

    /// The flight registered under the key: in flight, retained, or ended and not taken out yet.
    pub(crate) fn lookup(&self, hash: u64, eq: impl Fn(&K) -> bool) -> Option<Arc<Flight<K, T>>> {
        let mut search = Search::new(hash);
        let flight = self
            .table
            .with(|table| table.left(&search).min_by_key(|flight| flight.id).cloned())?;
        if eq(&flight.key) {
            return Some(flight);
        }
        // Another key that shares the whole hash: look at all of them.
        search.after = Some(flight.id);
        let others = self.table.with(|table| table.others(&search));
        others.into_iter().find(|flight| eq(&flight.key))
    }

    /// Whether a retained flight is past its window.
    pub(crate) fn is_expired(&self, flight: &Arc<Flight<K, T>>, now: Option<Duration>) -> bool {
        self.table.with(|table| {
            table
                .note(flight.id)
                .deadline
                .is_some_and(|deadline| Some(deadline) <= now)
        })
    }

    /// Takes a settled flight out, by identity, and counts it. False if there is more to do than that: then nothing is
    /// done.
    #[inline(always)]
    pub(crate) fn retire_settled(&self, flight: &Arc<Flight<K, T>>, before: Snapshot) -> bool {
        if flight.baton.is_some() {
            return false;
        }
        // The caller holds the flight too: dropping the table's handle drops nothing of the user's.
        self.table.enter(Last { flight, before }).is_some()
    }

    /// Takes an ended flight out, by identity, and counts its end. `before` is the word its end returned.
    pub(crate) fn retire(
        &self,
        flight: &Arc<Flight<K, T>>,
        before: Snapshot,
        ending: Ending,
    ) -> Later<K, T> {
        let reruns = flight.reruns();
        let mut later = None;
        let _removed = self.table.with(|table| {
            table.tally.end(ending, before.waiting(), reruns);
            if table.extras.is_none() {
                return table.remove(flight);
            }
            table.retire_with_extras(self, flight, ending, &mut later);
            None
        });
        later
    }

    /// The primary of a flight that was ended from outside is done with it.
    #[cold]
    pub(crate) fn let_go(&self, flight: &Arc<Flight<K, T>>) {
        let mut later = None;
        self.table.with(|table| {
            if table.extras.is_some() && table.take_detached(flight).is_some() {
                table.landed(self, flight, &mut later);
            }
        });
    }

    /// Begins nothing more. Joins go on.
    pub(crate) fn close(&self, drain: &Arc<Drain>) {
        let mut later = None;
        self.table.with(|table| {
            let extras = table.extras_mut();
            if !extras.closed {
                extras.closed = true;
                extras.drain = Some(drain.clone());
                table.arrive(&mut later);
            }
        });
    }

    /// Drops what is retained, and retains nothing more.
    pub(crate) fn orphan(&self) {
        let mut later = None;
        self.table.with(|table| {
            let Some(extras) = &mut table.extras else {
                return;
            };
            extras.orphaned = true;
            while let Some(mark) = table.extras_mut().retained.pop_oldest() {
                table.release(&mark, &mut later);
            }
        });
    }

    /// Every flight that has not ended, forgotten ones too.
    pub(crate) fn flights(&self) -> Vec<Arc<Flight<K, T>>> {
        self.table.with(|table| {
            table
                .all()
                .filter(|flight| !flight.cell.snapshot().ended())
                .cloned()
                .collect()
        })
    }

    /// The number of keys in flight.
    pub(crate) fn len(&self) -> usize {
        self.table.with(|table| table.live.len() - table.kept())
    }

    /// Callers that wait for their turn at the gate.
    pub(crate) fn queued(&self) -> usize {
        self.table
            .with(|table| table.line().map_or(0, |line| line.queue.len()))
    }

    /// Whether the gate is held, or promised.
    pub(crate) fn is_busy(&self) -> bool {
        self.table
            .with(|table| table.line().is_some_and(Line::is_busy))
    }

    /// Whether this flight holds the gate.
    pub(crate) fn holds(&self, flight: &Arc<Flight<K, T>>) -> bool {
        self.table.with(|table| {
            let holder = table.line().and_then(|line| line.holder.as_ref());
            holder.is_some_and(|holder| Arc::ptr_eq(holder, flight))
        })
    }

    /// What happened here so far, how many flights there are, how many duplicates wait, and how many outcomes are
    /// retained.
    pub(crate) fn tally(&self) -> (Tally, usize, usize, usize) {
        self.table.with(|table| {
            let kept = table.kept();
            let pending = || table.all().filter_map(|flight| table.pending(flight));
            (
                table.tally,
                pending().count(),
                pending().map(Snapshot::waiting).sum(),
                kept,
            )
        })
    }
}

/// The section of every begin: takes the key for a new flight, or joins the one that is registered with this hash.
struct First<'a, K, T> {
    shard: &'a Shard<K, T>,
    hash: u64,
    key: &'a mut Option<K>,
}

impl<K, T> Section<Table<K, T>> for First<'_, K, T> {
    type Output = Option<Arc<Flight<K, T>>>;

    #[inline(always)]
    fn run(self, table: &mut Table<K, T>) -> Self::Output {
        let Self { shard, hash, key } = self;
        match table.live.find(hash, |entry| entry.hash == hash) {
            None if table.extras.is_none() => {
                let flight = table.create(shard, hash, key.take()?, None);
                let entry = Entry {
                    hash,
                    flight: flight.clone(),
                };
                table.live.insert_unique(hash, entry, |entry| entry.hash);
                Some(flight)
            }
            None => None,
            Some(entry) => match entry.flight.cell.join(usize::MAX) {
                Join::Open(waiting) => {
                    table.tally.join(waiting);
                    Some(entry.flight.clone())
                }
                _ => None,
            },
        }
    }
}

/// The section of every settle that has nothing else to do.
struct Last<'a, K, T> {
    flight: &'a Arc<Flight<K, T>>,
    before: Snapshot,
}

impl<K, T> Section<Table<K, T>> for Last<'_, K, T> {
    type Output = Option<Arc<Flight<K, T>>>;

    #[inline(always)]
    fn run(self, table: &mut Table<K, T>) -> Self::Output {
        if table.extras.is_some() {
            return None;
        }
        let same = |entry: &Entry<K, T>| Arc::ptr_eq(&entry.flight, self.flight);
        let entry = table.live.find_entry(self.flight.hash, same).ok()?;
        table.tally.settled(self.before.waiting());
        Some(entry.remove().0.flight)
    }
}

impl<K, T> Table<K, T> {
    /// The flights with this hash that the search has not compared yet.
    fn left<'a>(&'a self, search: &Search<K, T>) -> impl Iterator<Item = &'a Arc<Flight<K, T>>> {
        let (hash, after) = (search.hash, search.after);
        let same = self
            .live
            .iter_hash(hash)
            .filter(move |entry| entry.hash == hash);
        same.map(|entry| &entry.flight)
            .filter(move |flight| Some(flight.id) > after)
    }

    fn others(&self, search: &Search<K, T>) -> Vec<Arc<Flight<K, T>>> {
        self.left(search).cloned().collect()
    }

    /// The next candidate, joined before its key is compared.
    fn find(
        &mut self,
        shard: &Shard<K, T>,
        search: &mut Search<K, T>,
        request: &Request,
    ) -> Option<Candidate<K, T>> {
        self.resume(search);
        self.expire(request.now, &mut search.later);
        if request.alone {
            return None;
        }
        let flight = self.left(search).min_by_key(|flight| flight.id)?.clone();
        let note = self.note(flight.id);
        if note
            .deadline
            .is_some_and(|deadline| Some(deadline) <= request.now)
        {
            return Some(Candidate::Over(flight));
        }
        let rules = shard.rules();
        let age = request
            .now
            .zip(note.born)
            .map(|(now, born)| now.saturating_sub(born));
        let most_age = rules.and_then(|rules| rules.max_age);
        if most_age.is_some() && age > most_age && !flight.cell.snapshot().ended() {
            return Some(Candidate::Old(flight, note.fingerprint));
        }
        Some(
            match flight
                .cell
                .join(rules.map_or(usize::MAX, |rules| rules.max_waiters))
            {
                Join::Open(waiting) => {
                    self.tally.join(waiting);
                    Candidate::Joined(Waiter::new(flight), note.fingerprint)
                }
                Join::Ended(word) if word.settled() => {
                    self.tally.join_settled();
                    Candidate::Joined(Waiter::new(flight), note.fingerprint)
                }
                Join::Ended(_) => Candidate::Over(flight),
                Join::Full => Candidate::Full(flight, note.fingerprint),
            },
        )
    }

    /// Does what the last comparison asked for, in the same lock hold in which the search goes on.
    fn resume(&mut self, search: &mut Search<K, T>) {
        if let Some(stale) = &search.stale {
            self.detach(stale, &mut search.later);
        }
        if let Some(old) = search.superseded.take() {
            // Of all who found it too old, the one whose abort this is begins the next flight.
            if let Some(before) = old.cell.abort(Cause::Superseded) {
                let reruns = old.baton.as_ref().map_or(0, |baton| baton.reruns());
                self.tally
                    .end(Ending::Aborted(Cause::Superseded), before.waiting(), reruns);
                self.detach(&old, &mut search.later);
                After::of(&mut search.later).superseded = Some((old, before));
            }
        }
        self.tally.uncount(search.take_undo());
    }

    /// Why a new flight may not begin.
    fn refusal(&self, shard: &Shard<K, T>, request: &Request) -> Option<Rejected> {
        let extras = self.extras.as_ref()?;
        if extras.closed {
            return Some(Rejected::Closed);
        }
        if request.ticket.is_none() && extras.line.as_ref().is_some_and(Line::is_busy) {
            return Some(Rejected::Busy);
        }
        let full = shard.rules().is_some_and(|rules| !rules.take_off());
        full.then_some(Rejected::Full)
    }

    fn insert(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        request: &Request,
        key: K,
        baton: Option<Arc<Wakeable<Baton<T>>>>,
    ) -> Primary<K, T> {
        let flight = self.create(shard, request.hash, key, baton);
        self.register(shard, request, &flight);
        if request.alone {
            self.detached
                .insert_unique(by_id(flight.id), flight.clone(), |flight| by_id(flight.id));
        } else {
            let entry = Entry {
                hash: flight.hash,
                flight: flight.clone(),
            };
            self.live
                .insert_unique(flight.hash, entry, |entry| entry.hash);
        }
        Primary::new(flight, shard.clone())
    }

    #[inline(always)]
    fn create(
        &mut self,
        shard: &Shard<K, T>,
        hash: u64,
        key: K,
        baton: Option<Arc<Wakeable<Baton<T>>>>,
    ) -> Arc<Flight<K, T>> {
        self.tally.begun += 1;
        let id = FlightId::new(self.tally.begun, shard.index, shard.shards);
        Arc::new(Flight {
            cell: SettleCell::new(),
            key,
            hash,
            id,
            baton,
            observed: Observed::new(),
        })
    }

    /// Notes what the rules will ask of a new flight, and gives it its place at the gate.
    fn register(&mut self, shard: &Shard<K, T>, request: &Request, flight: &Arc<Flight<K, T>>) {
        let aged = shard.rules().is_some_and(|rules| rules.max_age.is_some());
        let born = if aged { request.now } else { None };
        if request.fingerprint.is_some() || born.is_some() {
            let note = Note {
                fingerprint: request.fingerprint,
                born,
                deadline: None,
            };
            self.extras_mut().set_note(flight.id, note);
        }
        let Some(line) = self.extras.as_mut().and_then(|extras| extras.line.as_mut()) else {
            return;
        };
        match &request.ticket {
            Some(ticket) if line.is_busy() => {
                line.queue
                    .insert(flight.id, (flight.clone(), ticket.clone()));
            }
            _ => line.holder = Some(flight.clone()),
        }
    }

    fn retire_with_extras(
        &mut self,
        shard: &Shard<K, T>,
        flight: &Arc<Flight<K, T>>,
        ending: Ending,
        later: &mut Later<K, T>,
    ) {
        let orphaned = self.extras_mut().orphaned;
        match ending {
            Ending::Settled(Some(window)) if !orphaned && self.is_live(flight) => {
                self.keep(shard, flight, window, later);
            }
            _ => {
                self.remove(flight);
                self.extras_mut().drop_note(flight.id);
            }
        }
        self.landed(shard, flight, later);
    }

    /// A flight is over: it counts for no limit, holds no gate, and keeps no group from draining.
    fn landed(&mut self, shard: &Shard<K, T>, flight: &Arc<Flight<K, T>>, later: &mut Later<K, T>) {
        if let Some(rules) = shard.rules() {
            rules.land();
        }
        if let Some(line) = &mut self.extras_mut().line {
            if let Some(ticket) = line.leave(flight) {
                After::of(later).turn = Some(ticket);
            }
        }
        self.arrive(later);
    }

    fn arrive(&mut self, later: &mut Later<K, T>) {
        if self.live.len() == self.kept() && self.detached.is_empty() {
            if let Some(drain) = self.extras_mut().drain.take() {
                After::of(later).drained = Some(drain);
            }
        }
    }

    fn keep(
        &mut self,
        shard: &Shard<K, T>,
        flight: &Arc<Flight<K, T>>,
        window: Window,
        later: &mut Later<K, T>,
    ) {
        let capacity = shard
            .rules()
            .and_then(|rules| rules.retain.as_ref())
            .map_or(0, |retain| retain.capacity);
        let extras = self.extras_mut();
        let note = Note {
            deadline: Some(window.deadline()),
            born: None,
            ..extras.note(flight.id)
        };
        extras.set_note(flight.id, note);
        extras.retained.push(window, flight.hash, flight.id);
        while self.kept() > capacity {
            let Some(mark) = self.extras_mut().retained.pop_oldest() else {
                break;
            };
            self.release(&mark, later);
        }
        self.expire(Some(window.now), later);
    }

    /// Clears away some of what has expired.
    fn expire(&mut self, now: Option<Duration>, later: &mut Later<K, T>) {
        let (Some(now), true) = (now, self.kept() > 0) else {
            return;
        };
        for _ in 0..SWEEP {
            let Some(mark) = self.extras_mut().retained.pop_due(now) else {
                break;
            };
            self.release(&mark, later);
        }
        let Self { live, extras, .. } = self;
        if let Some(extras) = extras {
            extras.retained.sweep(|mark| find(live, mark).is_some());
        }
    }

    /// Takes a retained flight out, unless it was forgotten.
    fn release(&mut self, mark: &Mark, later: &mut Later<K, T>) {
        if let Some(flight) = find(&self.live, mark).cloned() {
            self.detach(&flight, later);
        }
    }

    /// Takes the key from a flight. One that is retained has nothing else to be here for.
    fn detach(&mut self, flight: &Arc<Flight<K, T>>, later: &mut Later<K, T>) -> bool {
        let Ok(entry) = self
            .live
            .find_entry(flight.hash, |entry| Arc::ptr_eq(&entry.flight, flight))
        else {
            return false;
        };
        let flight = entry.remove().0.flight;
        if self.note(flight.id).deadline.is_some() {
            let extras = self.extras_mut();
            extras.retained.kept -= 1;
            extras.drop_note(flight.id);
            After::of(later).gone.push(flight);
        } else {
            self.detached
                .insert_unique(by_id(flight.id), flight, |flight| by_id(flight.id));
        }
        true
    }

    #[inline(always)]
    fn remove(&mut self, flight: &Arc<Flight<K, T>>) -> Option<Arc<Flight<K, T>>> {
        match self
            .live
            .find_entry(flight.hash, |entry| Arc::ptr_eq(&entry.flight, flight))
        {
            Ok(entry) => Some(entry.remove().0.flight),
            Err(_) => self.take_detached(flight),
        }
    }

    #[cold]
    fn take_detached(&mut self, flight: &Arc<Flight<K, T>>) -> Option<Arc<Flight<K, T>>> {
        let entry = self
            .detached
            .find_entry(by_id(flight.id), |other| Arc::ptr_eq(other, flight));
        Some(entry.ok()?.remove().0)
    }

    fn is_live(&self, flight: &Arc<Flight<K, T>>) -> bool {
        self.live
            .find(flight.hash, |entry| Arc::ptr_eq(&entry.flight, flight))
            .is_some()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Flight<K, T>>> {
        self.live
            .iter()
            .map(|entry| &entry.flight)
            .chain(self.detached.iter())
    }

    /// The word of a flight whose end is not counted yet.
    fn pending(&self, flight: &Arc<Flight<K, T>>) -> Option<Snapshot> {
        let word = flight.cell.snapshot();
        let counted =
            self.note(flight.id).deadline.is_some() || word.cause() == Some(Cause::Superseded);
        (!counted).then_some(word)
    }

    fn note(&self, id: FlightId) -> Note {
        self.extras
            .as_ref()
            .map_or(Note::default(), |extras| extras.note(id))
    }

    fn kept(&self) -> usize {
        self.extras
            .as_ref()
            .map_or(0, |extras| extras.retained.kept)
    }

    fn line(&self) -> Option<&Line<K, T>> {
        self.extras.as_ref()?.line.as_ref()
    }

    fn extras_mut(&mut self) -> &mut Extras<K, T> {
        self.extras.get_or_insert_with(Box::default)
    }
}

fn find<'a, K, T>(live: &'a HashTable<Entry<K, T>>, mark: &Mark) -> Option<&'a Arc<Flight<K, T>>> {
    let same = |entry: &Entry<K, T>| entry.hash == mark.hash && entry.flight.id == mark.id;
    live.find(mark.hash, same).map(|entry| &entry.flight)
}
