//! The table of one shard: what is guarded by its lock. Nothing here runs anything of the user's.
//!
//! # Invariants
//! 1. Every flight that has not ended is in exactly one of the two tables, and so is one that has
//!    ended but whose ender has not come by yet: in `live` under its key, or in `detached` when the
//!    key has been taken from it (forgotten, replaced after it ended, superseded, or never shared).
//!    A retained one is in `live`, ended and settled.
//! 2. A flight is found for removal by identity.
//! 3. A flight lands once: when its ender takes it out, or, if it was superseded, when its primary
//!    lets go of it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashTable;

use crate::baton::Baton;
use crate::cell::{SettleCell, arc};
use crate::error::{Cause, Rejected};
use crate::flight::{Flight, FlightId};
use crate::group::extras::{After, Extras, Later, Line, Note, by_id};
use crate::group::search::{Candidate, Search, bar};
use crate::group::shard::{Request, Shard};
use crate::observe::Observed;
use crate::primary::Primary;
use crate::retain::{Mark, SWEEP};
use crate::rules::Window;
use crate::state::{Join, Snapshot};
use crate::stats::Tally;
use crate::sync::{Arc, Section, Wakeable};
use crate::waiter::Waiter;

/// In this order: as [`Shard`].
#[repr(C)]
pub(crate) struct Table<K, T> {
    live: HashTable<Entry<K, T>>,
    extras: Option<Box<Extras<K, T>>>,
    pub(crate) tally: Tally,
    detached: HashTable<Arc<Flight<K, T>>>,
}

/// The hash stands beside the pointer, so that growing the table touches no flight.
pub(crate) struct Entry<K, T> {
    hash: u64,
    flight: Arc<Flight<K, T>>,
}

/// How a flight ended; a settled one may be retained.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    Settled(Option<Window>),
    Aborted(Cause),
}

/// The section of every begin: takes the key for a new flight, or joins the one that is registered
/// with this hash.
pub(crate) struct First<'a, K, T> {
    pub(crate) shard: &'a Shard<K, T>,
    pub(crate) hash: u64,
    pub(crate) key: &'a mut Option<K>,
}

impl<K, T> Section<Table<K, T>> for First<'_, K, T> {
    type Output = Option<Arc<Flight<K, T>>>;

    #[inline(always)]
    fn run(self, table: &mut Table<K, T>) -> Self::Output {
        let Self { shard, hash, key } = self;
        match table.live.find(hash, |entry| entry.hash == hash) {
            None if table.extras.is_none() => {
                let key = || match key.take() {
                    Some(key) => key,
                    None => unreachable!("a begin has a key"),
                };
                let flight = table.create(shard, hash, key, None);
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
pub(crate) struct Last<'a, K, T> {
    pub(crate) flight: &'a Arc<Flight<K, T>>,
    pub(crate) before: Snapshot,
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
    pub(crate) fn new(extras: Option<Box<Extras<K, T>>>) -> Self {
        Self {
            live: HashTable::new(),
            extras,
            tally: Tally::default(),
            detached: HashTable::new(),
        }
    }

    pub(crate) fn has_extras(&self) -> bool {
        self.extras.is_some()
    }

    /// Flights that are registered, in flight or retained.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// The flights with this hash that the search has not compared yet.
    pub(crate) fn left<'a>(
        &'a self,
        search: &Search<K, T>,
    ) -> impl Iterator<Item = &'a Arc<Flight<K, T>>> {
        let (hash, after) = (search.hash, search.after);
        let same = self
            .live
            .iter_hash(hash)
            .filter(move |entry| entry.hash == hash);
        same.map(|entry| &entry.flight)
            .filter(move |flight| Some(flight.id) > after)
    }

    pub(crate) fn others(&self, search: &Search<K, T>) -> Vec<Arc<Flight<K, T>>> {
        self.left(search).cloned().collect()
    }

    /// The next candidate, joined before its key is compared.
    pub(crate) fn find(
        &mut self,
        shard: &Shard<K, T>,
        search: &mut Search<K, T>,
        request: &Request,
    ) -> Option<Candidate<K, T>> {
        self.resume(shard, search);
        self.expire(request.now, &mut search.later);
        if request.alone {
            return None;
        }
        let flight = self.left(search).min_by_key(|flight| flight.id)?.clone();
        if core::mem::take(&mut search.taken_off) {
            // Another key of the same hash comes first: that place was for a flight that begins
            // now.
            shard.land();
        }
        Some(self.candidate(shard, search, request, flight))
    }

    fn candidate(
        &mut self,
        shard: &Shard<K, T>,
        search: &Search<K, T>,
        request: &Request,
        flight: Arc<Flight<K, T>>,
    ) -> Candidate<K, T> {
        let note = self.note(flight.id);
        let word = flight.cell.snapshot();
        let expired = note
            .deadline
            .is_some_and(|deadline| Some(deadline) <= request.now);
        if expired || word.cause().is_some() {
            return Candidate::Over(flight);
        }
        // Before it takes a place that another could have.
        if let Some(why) = bar(&flight, request.fingerprint, note.fingerprint) {
            return Candidate::Barred(flight, why);
        }
        let age = request
            .now
            .zip(note.born)
            .map(|(now, born)| now.saturating_sub(born));
        let most = shard.rules().and_then(|rules| rules.max_age);
        if most.is_some() && age > most && !word.ended() && !search.spare_old {
            return Candidate::Old(flight);
        }
        match flight
            .cell
            .join(shard.rules().map_or(usize::MAX, |rules| rules.max_waiters))
        {
            Join::Open(waiting) => self.tally.join(waiting),
            Join::Ended(word) if word.settled() => self.tally.join_settled(),
            Join::Ended(_) => return Candidate::Over(flight),
            Join::Full => return Candidate::Barred(flight, Rejected::Full),
        }
        Candidate::Joined(Waiter::new(flight))
    }

    /// Does what the last comparison asked for, in the same lock hold in which the search goes on.
    fn resume(&mut self, shard: &Shard<K, T>, search: &mut Search<K, T>) {
        if let Some(stale) = &search.stale {
            self.detach(stale, &mut search.later);
        }
        if let Some(old) = search.superseded.take() {
            self.supersede(shard, search, old);
        }
        self.tally.uncount(search.take_undo());
    }

    /// Ends a flight that is too old, if a new one can take its place. Of all who found it so, the
    /// one whose abort this is begins the next flight.
    fn supersede(
        &mut self,
        shard: &Shard<K, T>,
        search: &mut Search<K, T>,
        old: Arc<Flight<K, T>>,
    ) {
        let closed = self.extras.as_ref().is_some_and(|extras| extras.closed);
        let taken_off = !closed && shard.take_off();
        let before = if taken_off {
            old.cell.abort(Cause::Superseded)
        } else {
            None
        };
        let Some(before) = before else {
            // Also when its settler is a moment from the end: join it then, and do not spin.
            search.spare_old = true;
            if taken_off {
                shard.land();
            }
            // It may be the last handle by now.
            After::of(&mut search.later).gone.push(old);
            return;
        };
        search.taken_off = true;
        let ending = Ending::Aborted(Cause::Superseded);
        self.tally.end(ending, before.waiting(), old.reruns());
        if old.baton.is_some() {
            // Its operation ends with it, so there is nobody to wait for.
            self.remove(&old);
            self.over(shard, &old, &mut search.later);
        } else {
            self.detach(&old, &mut search.later);
        }
        After::of(&mut search.later).superseded = Some((old, before));
    }

    /// Why a new flight may not begin. If it may, it is counted.
    pub(crate) fn refusal(
        &self,
        shard: &Shard<K, T>,
        search: &Search<K, T>,
        request: &Request,
    ) -> Option<Rejected> {
        let extras = self.extras.as_ref()?;
        if extras.closed {
            return Some(Rejected::Closed);
        }
        if request.ticket.is_none() && extras.line.as_ref().is_some_and(Line::is_busy) {
            return Some(Rejected::Busy);
        }
        let counted = search.taken_off || shard.take_off();
        (!counted).then_some(Rejected::Full)
    }

    pub(crate) fn insert(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        request: &Request,
        key: K,
        baton: Option<Arc<Wakeable<Baton<T>>>>,
    ) -> Primary<K, T> {
        let flight = self.create(shard, request.hash, || key, baton);
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

    /// `key` is moved from where it is into the flight, and nowhere else in between.
    #[inline(always)]
    pub(crate) fn create(
        &mut self,
        shard: &Shard<K, T>,
        hash: u64,
        key: impl FnOnce() -> K,
        baton: Option<Arc<Wakeable<Baton<T>>>>,
    ) -> Arc<Flight<K, T>> {
        self.tally.begun += 1;
        let id = FlightId::new(self.tally.begun, shard.index, shard.shards);
        arc(|| Flight {
            cell: SettleCell::new(),
            key: key(),
            hash,
            id,
            baton,
            observed: Observed::new(),
        })
    }

    /// Notes what the rules will ask of a new flight, and gives it its place at the gate.
    pub(crate) fn register(
        &mut self,
        shard: &Shard<K, T>,
        request: &Request,
        flight: &Arc<Flight<K, T>>,
    ) {
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

    pub(crate) fn retire_with_extras(
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
                self.landed(shard, flight, later);
            }
            _ => {
                self.remove(flight);
                self.over(shard, flight, later);
            }
        }
    }

    /// A flight that is not registered any more is over.
    pub(crate) fn over(
        &mut self,
        shard: &Shard<K, T>,
        flight: &Arc<Flight<K, T>>,
        later: &mut Later<K, T>,
    ) {
        self.extras_mut().drop_note(flight.id);
        self.landed(shard, flight, later);
    }

    /// A flight counts for no limit, holds no gate, and keeps no group from draining any more.
    pub(crate) fn landed(
        &mut self,
        shard: &Shard<K, T>,
        flight: &Arc<Flight<K, T>>,
        later: &mut Later<K, T>,
    ) {
        shard.land();
        if let Some(line) = &mut self.extras_mut().line {
            if let Some(ticket) = line.leave(flight) {
                After::of(later).turn = Some(ticket);
            }
        }
        self.arrive(later);
    }

    pub(crate) fn arrive(&mut self, later: &mut Later<K, T>) {
        if self.live.len() == self.kept() && self.detached.is_empty() {
            if let Some(drain) = self.extras_mut().drain.take() {
                After::of(later).drained = Some(drain);
            }
        }
    }

    pub(crate) fn keep(
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
            ..extras.note(flight.id)
        };
        extras.set_note(flight.id, note);
        extras.retained.push(window, flight.hash, flight.id);
        while self.kept() > capacity {
            // What has expired and lingers takes the place of nothing that has not.
            let retained = &mut self.extras_mut().retained;
            let due = retained.pop_due(window.now);
            let Some(mark) = due.or_else(|| retained.pop_oldest()) else {
                break;
            };
            self.release(&mark, later);
        }
        self.expire(Some(window.now), later);
    }

    /// Clears away some of what has expired.
    pub(crate) fn expire(&mut self, now: Option<Duration>, later: &mut Later<K, T>) {
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
    pub(crate) fn release(&mut self, mark: &Mark, later: &mut Later<K, T>) {
        if let Some(flight) = find(&self.live, mark).cloned() {
            self.detach(&flight, later);
        }
    }

    /// Takes the key from a flight. One that is retained has nothing else to be here for.
    pub(crate) fn detach(&mut self, flight: &Arc<Flight<K, T>>, later: &mut Later<K, T>) -> bool {
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
    pub(crate) fn remove(&mut self, flight: &Arc<Flight<K, T>>) -> Option<Arc<Flight<K, T>>> {
        match self
            .live
            .find_entry(flight.hash, |entry| Arc::ptr_eq(&entry.flight, flight))
        {
            Ok(entry) => Some(entry.remove().0.flight),
            Err(_) => self.take_detached(flight),
        }
    }

    #[cold]
    pub(crate) fn take_detached(
        &mut self,
        flight: &Arc<Flight<K, T>>,
    ) -> Option<Arc<Flight<K, T>>> {
        let entry = self
            .detached
            .find_entry(by_id(flight.id), |other| Arc::ptr_eq(other, flight));
        Some(entry.ok()?.remove().0)
    }

    pub(crate) fn is_live(&self, flight: &Arc<Flight<K, T>>) -> bool {
        self.live
            .find(flight.hash, |entry| Arc::ptr_eq(&entry.flight, flight))
            .is_some()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Flight<K, T>>> {
        self.live
            .iter()
            .map(|entry| &entry.flight)
            .chain(self.detached.iter())
    }

    /// The word of a flight whose end is not counted yet.
    pub(crate) fn pending(&self, flight: &Arc<Flight<K, T>>) -> Option<Snapshot> {
        let word = flight.cell.snapshot();
        let counted =
            self.note(flight.id).deadline.is_some() || word.cause() == Some(Cause::Superseded);
        (!counted).then_some(word)
    }

    pub(crate) fn note(&self, id: FlightId) -> Note {
        self.extras
            .as_ref()
            .map_or(Note::default(), |extras| extras.note(id))
    }

    pub(crate) fn kept(&self) -> usize {
        self.extras
            .as_ref()
            .map_or(0, |extras| extras.retained.kept)
    }

    pub(crate) fn line(&self) -> Option<&Line<K, T>> {
        self.extras.as_ref()?.line.as_ref()
    }

    pub(crate) fn extras_mut(&mut self) -> &mut Extras<K, T> {
        self.extras.get_or_insert_with(Box::default)
    }
}

fn find<'a, K, T>(live: &'a HashTable<Entry<K, T>>, mark: &Mark) -> Option<&'a Arc<Flight<K, T>>> {
    let same = |entry: &Entry<K, T>| entry.hash == mark.hash && entry.flight.id == mark.id;
    live.find(mark.hash, same).map(|entry| &entry.flight)
}
