//! The flights of one shard: what its lock guards. Nothing here runs anything of the user's.
//!
//! # Invariants
//! 1. Every flight that has not ended is in exactly one of the two tables, and so is a flight that
//!    has ended until its ender removes it, or, if it was superseded, until its primary is done
//!    with it. It is in `registered` under its key, or in `unregistered` if it has lost its key (it
//!    was forgotten, superseded, or replaced by a search that could not share it) or never shared
//!    it. A retained flight has settled and is in neither: it is among the `extras`.
//! 2. A flight is found for removal by identity, never by equality of keys: a later flight of the
//!    same key stays where it is.

use alloc::boxed::Box;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::cell::{Join, RawCell, Snapshot, arc};
use crate::error::Cause;
use crate::flight::observe::Observed;
use crate::flight::operation::SharedOperation;
use crate::flight::reentry::is_nested;
use crate::flight::{Flight, FlightCell, FlightId};
use crate::group::rules::Rules;
use crate::group::shard::Shard;
use crate::group::shard::end::After;
use crate::group::shard::extras::{Extras, Note, id_hash};
use crate::group::shard::request::Request;
use crate::group::stats::Counts;
use crate::sync::{Arc, Section, Wakeable};

/// In this order for the same reason as [`Shard`].
#[repr(C)]
pub(super) struct Table<K, T> {
    registered: HashTable<Registered<K, T>>,
    pub(super) extras: Option<Box<Extras<K, T>>>,
    pub(super) counts: Counts,
    unregistered: HashTable<Arc<Flight<K, T>>>,
}

/// The hash is beside the pointer, so that growing the table reads no flight.
struct Registered<K, T> {
    hash: u64,
    flight: Arc<Flight<K, T>>,
}

/// A flight that was in one of the two tables.
#[must_use = "it can be the last handle of its flight, whose drop is the user's"]
pub(super) struct Removed<K, T> {
    /// It was the registered flight of its key.
    pub(super) had_key: bool,
    pub(super) flight: Option<Arc<Flight<K, T>>>,
}

/// The critical section of every begin. If no flight has this hash and nothing can refuse a new
/// one, it takes the key and begins a flight. If the flight with this hash is open, it joins that,
/// unless this thread is inside of a flight.
pub(super) struct JoinOrBegin<'a, K, T> {
    pub(super) shard: &'a Shard<K, T>,
    pub(super) hash: u64,
    pub(super) key: &'a mut Option<K>,
}

impl<K, T> Section<Table<K, T>> for JoinOrBegin<'_, K, T> {
    type Output = Option<Arc<Flight<K, T>>>;

    #[inline(always)]
    fn run(self, table: &mut Table<K, T>) -> Self::Output {
        let Self { shard, hash, key } = self;
        let same = |entry: &Registered<K, T>| entry.hash == hash;
        match table.registered.entry(hash, same, |entry| entry.hash) {
            Entry::Vacant(slot) => {
                if table.extras.is_some() {
                    return None;
                }
                let key = || match key.take() {
                    Some(key) => key,
                    None => unreachable!("a begin has a key"),
                };
                let cell = || RawCell::new(None, false);
                let flight = new_flight(&mut table.counts, shard, hash, key, cell);
                slot.insert(Registered {
                    hash,
                    flight: flight.clone(),
                });
                if table.counts.begun % BETWEEN_LOOKS == 0 {
                    table.shrink();
                }
                Some(flight)
            }
            Entry::Occupied(_) if is_nested() => None,
            Entry::Occupied(entry) => match entry.get().flight.cell.join(usize::MAX) {
                Join::Open(waiting) => {
                    table.counts.join(waiting);
                    Some(entry.get().flight.clone())
                }
                _ => None,
            },
        }
    }
}

/// The critical section of every settle that has nothing more to do than to remove the flight and
/// to count it. Returns `None` if there is more to do; then it has done nothing.
pub(super) struct RemoveSettled<'a, K, T> {
    pub(super) flight: &'a Arc<Flight<K, T>>,
    pub(super) before: Snapshot,
}

impl<K, T> Section<Table<K, T>> for RemoveSettled<'_, K, T> {
    type Output = Option<Arc<Flight<K, T>>>;

    #[inline(always)]
    fn run(self, table: &mut Table<K, T>) -> Self::Output {
        if table.extras.is_some() {
            return None;
        }
        let same = |entry: &Registered<K, T>| Arc::ptr_eq(&entry.flight, self.flight);
        let entry = table.registered.find_entry(self.flight.hash, same).ok()?;
        table.counts.settled(self.before.duplicates());
        Some(entry.remove().0.flight)
    }
}

impl<K, T> Table<K, T> {
    pub(super) fn new(extras: Option<Box<Extras<K, T>>>) -> Self {
        Self {
            registered: HashTable::new(),
            extras,
            counts: Counts::default(),
            unregistered: HashTable::new(),
        }
    }

    /// How many flights are registered.
    pub(super) fn len(&self) -> usize {
        self.registered.len()
    }

    /// Whether every flight that is left is a retained one.
    pub(super) fn is_idle(&self) -> bool {
        self.registered.is_empty() && self.unregistered.is_empty()
    }

    /// The flights with this hash, registered or retained, whose ids are higher than `after`.
    pub(super) fn with_hash(
        &self,
        hash: u64,
        after: Option<FlightId>,
    ) -> impl Iterator<Item = &Arc<Flight<K, T>>> {
        let same = self
            .registered
            .iter_hash(hash)
            .filter(move |entry| entry.hash == hash);
        let extras = self.extras.as_ref().into_iter();
        let retained = extras.flat_map(move |extras| extras.retained.with_hash(hash));
        same.map(|entry| &entry.flight)
            .chain(retained)
            .filter(move |flight| Some(flight.id) > after)
    }

    /// Begins a flight and registers it, unless the request is for one that cannot be joined.
    #[inline(never)]
    pub(super) fn begin(
        &mut self,
        shard: &Shard<K, T>,
        request: &Request,
        key: K,
        operation: Option<Arc<Wakeable<SharedOperation<T>>>>,
    ) -> Arc<Flight<K, T>> {
        // A group that retains frees what hangs on its flights when they have ended.
        let sheds = shard.rules().is_some_and(Rules::retains);
        let cell = || RawCell::new(operation, sheds);
        let flight = new_flight(&mut self.counts, shard, request.hash, || key, cell);
        let aged = shard
            .rules()
            .is_some_and(|rules| rules.supersede_after.is_some());
        let born = if aged { request.now } else { None };
        if request.fingerprint.is_some() || born.is_some() {
            let note = Note {
                fingerprint: request.fingerprint,
                born,
            };
            self.extras_mut().set_note(flight.id, note);
        }
        if let Some(line) = self.line_mut() {
            line.enter(&flight, request.queued.as_ref());
        }
        if request.alone {
            self.insert_unregistered(flight.clone());
        } else {
            let entry = Registered {
                hash: flight.hash,
                flight: flight.clone(),
            };
            self.registered
                .insert_unique(flight.hash, entry, |entry| entry.hash);
        }
        if self.counts.begun % BETWEEN_LOOKS == 0 {
            self.shrink();
        }
        flight
    }

    /// After a burst: gives back what the tables do not need any more.
    #[cold]
    fn shrink(&mut self) {
        shrink(&mut self.registered, |entry| entry.hash);
        shrink(&mut self.unregistered, |flight| id_hash(flight.id));
        if let Some(extras) = &mut self.extras {
            extras.shrink();
        }
    }

    /// Takes the key from a flight. A retained flight is removed with that. Returns false if the
    /// flight had lost its key before.
    pub(super) fn unregister(
        &mut self,
        shard: &Shard<K, T>,
        flight: &Arc<Flight<K, T>>,
        after: &mut After<K, T>,
    ) -> bool {
        match self.take_retained(flight) {
            Some(mark) => {
                after.drop_retained(shard, mark);
                true
            }
            None => {
                let flight = self.remove_registered(flight);
                flight
                    .map(|flight| self.insert_unregistered(flight))
                    .is_some()
            }
        }
    }

    fn insert_unregistered(&mut self, flight: Arc<Flight<K, T>>) {
        self.unregistered
            .insert_unique(id_hash(flight.id), flight, |flight| id_hash(flight.id));
    }

    /// Removes a flight from the table in which it is.
    pub(super) fn remove(&mut self, flight: &Arc<Flight<K, T>>) -> Removed<K, T> {
        match self.remove_registered(flight) {
            Some(flight) => Removed {
                had_key: true,
                flight: Some(flight),
            },
            None => Removed {
                had_key: false,
                flight: self.remove_unregistered(flight),
            },
        }
    }

    pub(super) fn remove_registered(
        &mut self,
        flight: &Arc<Flight<K, T>>,
    ) -> Option<Arc<Flight<K, T>>> {
        let same = |entry: &Registered<K, T>| Arc::ptr_eq(&entry.flight, flight);
        let entry = self.registered.find_entry(flight.hash, same).ok()?;
        Some(entry.remove().0.flight)
    }

    pub(super) fn remove_unregistered(
        &mut self,
        flight: &Arc<Flight<K, T>>,
    ) -> Option<Arc<Flight<K, T>>> {
        let same = |other: &Arc<Flight<K, T>>| Arc::ptr_eq(other, flight);
        let entry = self
            .unregistered
            .find_entry(id_hash(flight.id), same)
            .ok()?;
        Some(entry.remove().0)
    }

    pub(super) fn is_registered(&self, flight: &Arc<Flight<K, T>>) -> bool {
        let same = |entry: &Registered<K, T>| Arc::ptr_eq(&entry.flight, flight);
        self.registered.find(flight.hash, same).is_some()
    }

    /// The flight with this id, registered or not.
    pub(super) fn by_id(&self, hash: u64, id: FlightId) -> Option<&Arc<Flight<K, T>>> {
        let same = |flight: &Arc<Flight<K, T>>| flight.id == id;
        self.registered_by_id(hash, id)
            .or_else(|| self.unregistered.find(id_hash(id), same))
    }

    /// The flight with this id, if it has its key still.
    pub(super) fn registered_by_id(&self, hash: u64, id: FlightId) -> Option<&Arc<Flight<K, T>>> {
        self.with_hash(hash, None).find(|flight| flight.id == id)
    }

    /// The flights that have their keys still, and are not retained.
    pub(super) fn registered(&self) -> impl Iterator<Item = &Arc<Flight<K, T>>> {
        self.registered.iter().map(|entry| &entry.flight)
    }

    /// The flights that are not retained.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Flight<K, T>>> {
        self.registered().chain(self.unregistered.iter())
    }

    /// The state of a flight whose end is not counted yet.
    pub(super) fn uncounted(&self, flight: &Arc<Flight<K, T>>) -> Option<Snapshot> {
        let state = flight.cell.snapshot();
        (state.cause() != Some(Cause::Superseded)).then_some(state)
    }

    pub(super) fn note(&self, id: FlightId) -> Note {
        self.extras
            .as_ref()
            .map_or(Note::default(), |extras| extras.note(id))
    }

    pub(super) fn extras_mut(&mut self) -> &mut Extras<K, T> {
        self.extras.get_or_insert_with(Box::default)
    }
}

/// Makes a flight and counts it. `key` is moved from where it is into the flight, and nowhere
/// else in between.
#[inline(always)]
fn new_flight<K, T>(
    counts: &mut Counts,
    shard: &Shard<K, T>,
    hash: u64,
    key: impl FnOnce() -> K,
    cell: impl FnOnce() -> FlightCell<T>,
) -> Arc<Flight<K, T>> {
    counts.begun += 1;
    let id = FlightId::new(shard.first_id, counts.begun, shard.shards);
    arc(|| Flight {
        cell: cell(),
        key: key(),
        hash,
        id,
        observed: Observed::new(),
    })
}

/// How many flights of a shard begin between two looks whether its tables are too large.
const BETWEEN_LOOKS: u64 = 64;

/// A table of this capacity is not worth shrinking.
const SMALL: usize = 64;

/// The maximum number of entries that one call moves to shrink a table.
const MOVED: usize = 4_096;

/// Gives memory back if few entries are left of many. It keeps room for twice as many, so that the
/// next ones do not grow the table again.
pub(super) fn shrink<E>(table: &mut HashTable<E>, hash: impl Fn(&E) -> u64) {
    let (len, capacity) = (table.len(), table.capacity());
    if capacity > SMALL && len <= MOVED && len < capacity / 8 {
        table.shrink_to(2 * len, hash);
    }
}
