//! The flights of one shard: what its lock guards. Nothing here runs anything of the user's.
//!
//! # Invariants
//! 1. Every flight is in exactly one of three tables until it is over: it has ended, and its
//!    operation or guard is gone (`end`). It is in `registered` under its key, or in `unregistered`
//!    if it has lost its key (it was forgotten, or replaced by a search that could not share it) or
//!    never shared it. Once its end is counted it is in `ending`, if it is not over then. A
//!    retained flight is over, and is in none of them: it is among the `extras`. One that ended and
//!    whose operation is gone, before its end is counted, is in `ending` too until that is done.
//! 2. A flight is found for removal by identity, never by equality of keys: a later flight of the
//!    same key stays where it is.

use alloc::boxed::Box;
use core::time::Duration;

use hashbrown::HashTable;

use crate::cell::{Join, RawCell, Snapshot};
use crate::flight::observe::Observed;
use crate::flight::reentry::is_nested;
use crate::flight::{Flight, FlightId, FlightRef, Pair, Settler, Two};
use crate::group::rules::Rules;
use crate::group::shard::Shard;
use crate::group::shard::after::After;
use crate::group::shard::extras::{Extras, Note, id_hash};
use crate::group::shard::keyed::{Keyed, Slot};
use crate::group::shard::request::{Call, Request};
use crate::group::stats::Counts;
use crate::sync::{Arc, Section};

/// In this order for the same reason as [`Shard`].
#[repr(C)]
pub(super) struct Table<K, T> {
    registered: Keyed<K, T>,
    pub(super) extras: Option<Box<Extras<K, T>>>,
    pub(super) counts: Counts,
    unregistered: HashTable<FlightRef<K, T>>,
    ending: HashTable<FlightRef<K, T>>,
    /// How many of those that are in `ending` are there since their operation or guard was gone
    /// before their end was counted.
    gone_early: usize,
}

/// A flight that was in one of the two tables.
#[must_use = "it can be the last handle of its flight, whose drop is the user's"]
pub(super) struct Removed<K, T> {
    /// It was the registered flight of its key.
    pub(super) had_key: bool,
    pub(super) flight: Option<FlightRef<K, T>>,
}

/// The critical section of every begin. If no flight has this hash and nothing can refuse a new
/// one, it takes the key and begins a flight. If the flight with this hash is open, it joins that,
/// unless this thread is inside of a flight.
pub(super) struct JoinOrBegin<'a, K, T, C> {
    pub(super) shard: &'a Arc<Shard<K, T>>,
    pub(super) hash: u64,
    pub(super) key: &'a mut Option<K>,
    pub(super) call: &'a mut C,
}

impl<K, T, C: Call<K, T>> Section<Table<K, T>> for JoinOrBegin<'_, K, T, C> {
    type Output = Option<Met<K, T>>;

    #[inline(always)]
    fn run(self, table: &mut Table<K, T>) -> Self::Output {
        let Self {
            shard,
            hash,
            key,
            call,
        } = self;
        match table.registered.slot(hash) {
            Slot::Free(place) => {
                if table.extras.is_some() {
                    return None;
                }
                let key = || match key.take() {
                    Some(key) => key,
                    None => unreachable!("a begin has a key"),
                };
                let open = Snapshot::open(false);
                let (settler, entry) =
                    new_flight(&mut table.counts, shard, hash, key, call, true, open);
                place.insert(entry);
                if table.counts.begun % BETWEEN_LOOKS == 0 {
                    table.shrink();
                }
                Some(Met::Begun(settler))
            }
            Slot::Taken(_) if is_nested() => None,
            Slot::Taken(flight) => match flight.cell.join(usize::MAX) {
                Join::Open(waiting) => {
                    table.counts.join(waiting);
                    Some(Met::Joined(flight.clone_two()))
                }
                _ => None,
            },
        }
    }
}

/// What a begin has come to by the short way.
pub(crate) enum Met<K, T> {
    /// It has begun a flight, and the key is taken.
    Begun(Settler<K, T>),
    /// It has joined the flight with this hash, whose key has not been compared.
    Joined(Two<K, T>),
}

/// The critical section of every settle that has nothing more to do than to remove the flight and
/// to count it. Returns `None` if there is more to do; then it has done nothing.
pub(super) struct RemoveSettled<'a, K, T> {
    pub(super) flight: &'a FlightRef<K, T>,
    pub(super) before: Snapshot,
    pub(super) reruns: usize,
}

impl<K, T> Section<Table<K, T>> for RemoveSettled<'_, K, T> {
    type Output = Option<FlightRef<K, T>>;

    #[inline(always)]
    fn run(self, table: &mut Table<K, T>) -> Self::Output {
        if table.extras.is_some() {
            return None;
        }
        let removed = table.registered.remove(self.flight)?;
        table.counts.settled(self.before.duplicates(), self.reruns);
        Some(removed)
    }
}

impl<K, T> Table<K, T> {
    pub(super) fn new(extras: Option<Box<Extras<K, T>>>) -> Self {
        Self {
            registered: Keyed::new(),
            extras,
            counts: Counts::default(),
            unregistered: HashTable::new(),
            ending: HashTable::new(),
            gone_early: 0,
        }
    }

    /// How many flights are registered.
    pub(super) fn len(&self) -> usize {
        self.registered.len()
    }

    /// Whether no new flight begins.
    #[inline(always)]
    pub(super) fn is_closed(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.closed)
    }

    /// Whether every flight that is left is a retained one.
    pub(super) fn is_idle(&self) -> bool {
        self.len() == 0 && self.unregistered.is_empty() && self.ending.is_empty()
    }

    /// The flights with this hash, registered or retained, whose ids are higher than `after`.
    pub(super) fn with_hash(
        &self,
        hash: u64,
        after: Option<FlightId>,
    ) -> impl Iterator<Item = &FlightRef<K, T>> {
        let extras = self.extras.as_ref().into_iter();
        let retained = extras.flat_map(move |extras| extras.retained.with_hash(hash));
        self.registered
            .with_hash(hash)
            .chain(retained)
            .filter(move |flight| Some(flight.id) > after)
    }

    /// Begins a flight and registers it, unless the request is for one that cannot be joined. It
    /// has its `turn`, or waits for that.
    #[inline(never)]
    pub(super) fn begin(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        request: &Request,
        key: K,
        call: &mut impl Call<K, T>,
        turn: bool,
    ) -> Settler<K, T> {
        // A group that retains frees what hangs on its flights when they have ended.
        let sheds = shard.rules().is_some_and(Rules::retains);
        let open = Snapshot::open(sheds);
        // Nothing runs while it waits, but a `work` makes its operation.
        let begun = turn || call.makes_at_once();
        let open = if begun { open } else { open.unbegun() };
        let hash = request.hash;
        let (settler, entry) = new_flight(&mut self.counts, shard, hash, || key, call, turn, open);
        let aged = shard
            .rules()
            .is_some_and(|rules| rules.supersede_after.is_some());
        let born = if aged && turn { request.now } else { None };
        if request.fingerprint.is_some() || born.is_some() {
            let note = Note {
                fingerprint: request.fingerprint,
                born,
            };
            self.extras_mut().set_note(entry.id, note);
        }
        if request.alone {
            insert(&mut self.unregistered, entry);
        } else {
            self.registered.insert(hash, entry);
        }
        if self.counts.begun % BETWEEN_LOOKS == 0 {
            self.shrink();
        }
        settler
    }

    /// After a burst: gives back what the tables do not need any more.
    #[cold]
    fn shrink(&mut self) {
        self.registered.shrink();
        shrink(&mut self.unregistered, |flight| id_hash(flight.id));
        shrink(&mut self.ending, |flight| id_hash(flight.id));
        if let Some(extras) = &mut self.extras {
            extras.shrink();
        }
    }

    /// Takes the key from a flight. A retained flight is removed with that. Returns false if the
    /// flight had lost its key before.
    pub(super) fn unregister(
        &mut self,
        shard: &Shard<K, T>,
        flight: &FlightRef<K, T>,
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
                    .map(|flight| insert(&mut self.unregistered, flight))
                    .is_some()
            }
        }
    }

    /// Keeps an ended flight, whose end is counted, without its key: its operation or guard is
    /// still here.
    pub(super) fn keep_ending(&mut self, flight: &FlightRef<K, T>) -> Removed<K, T> {
        let Removed { had_key, flight } = self.remove(flight);
        if let Some(flight) = flight {
            insert(&mut self.ending, flight);
        }
        Removed {
            had_key,
            flight: None,
        }
    }

    /// The operation or guard of an ended flight is gone. Returns the flight if that makes it over,
    /// and otherwise notes it for [`is_gone`](Self::is_gone): its ender comes later.
    pub(super) fn meet(&mut self, flight: &FlightRef<K, T>) -> Option<FlightRef<K, T>> {
        let counted = remove(&mut self.ending, flight);
        if counted.is_none() {
            insert(&mut self.ending, flight.clone());
            self.gone_early += 1;
        }
        counted
    }

    /// For the ender: whether the operation or guard is gone already.
    pub(super) fn is_gone(&mut self, flight: &FlightRef<K, T>) -> bool {
        // The caller holds the flight too, so this drops nothing of the user's.
        let gone = remove(&mut self.ending, flight).is_some();
        self.gone_early -= usize::from(gone);
        gone
    }

    /// How many flights have ended and are not over.
    pub(super) fn ending(&self) -> usize {
        self.ending.len() - self.gone_early
    }

    /// Removes a flight whose end is not counted yet from the table in which it is.
    pub(super) fn remove(&mut self, flight: &FlightRef<K, T>) -> Removed<K, T> {
        match self.remove_registered(flight) {
            Some(flight) => Removed {
                had_key: true,
                flight: Some(flight),
            },
            None => Removed {
                had_key: false,
                flight: remove(&mut self.unregistered, flight),
            },
        }
    }

    pub(super) fn remove_registered(
        &mut self,
        flight: &FlightRef<K, T>,
    ) -> Option<FlightRef<K, T>> {
        self.registered.remove(flight)
    }

    pub(super) fn is_registered(&self, flight: &FlightRef<K, T>) -> bool {
        self.registered.contains(flight)
    }

    /// The flight with this id, registered or not.
    pub(super) fn by_id(&self, hash: u64, id: FlightId) -> Option<&FlightRef<K, T>> {
        let same = |flight: &FlightRef<K, T>| flight.id == id;
        self.registered_by_id(hash, id)
            .or_else(|| self.unregistered.find(id_hash(id), same))
    }

    /// The flight with this id, if it has its key still.
    pub(super) fn registered_by_id(&self, hash: u64, id: FlightId) -> Option<&FlightRef<K, T>> {
        self.with_hash(hash, None).find(|flight| flight.id == id)
    }

    /// The flights that have their keys still, and are not retained.
    pub(super) fn registered(&self) -> impl Iterator<Item = &FlightRef<K, T>> {
        self.registered.iter()
    }

    /// All but those that are retained or ending.
    pub(super) fn all(&self) -> impl Iterator<Item = &FlightRef<K, T>> {
        self.registered().chain(self.unregistered.iter())
    }

    /// The states of the flights whose end is not counted yet.
    pub(super) fn states(&self) -> impl Iterator<Item = Snapshot> {
        self.all().map(|flight| flight.cell.snapshot())
    }

    pub(super) fn note(&self, id: FlightId) -> Note {
        self.extras
            .as_ref()
            .map_or(Note::default(), |extras| extras.note(id))
    }

    /// The age of a flight starts at `born`.
    pub(super) fn set_born(&mut self, flight: &FlightRef<K, T>, born: Option<Duration>) {
        let note = Note {
            born,
            ..self.note(flight.id)
        };
        self.extras_mut().set_note(flight.id, note);
    }

    pub(super) fn drop_note(&mut self, flight: &FlightRef<K, T>) {
        if let Some(extras) = &mut self.extras {
            extras.drop_note(flight.id);
        }
    }

    pub(super) fn extras_mut(&mut self) -> &mut Extras<K, T> {
        self.extras.get_or_insert_with(Box::default)
    }
}

fn insert<K, T>(table: &mut HashTable<FlightRef<K, T>>, flight: FlightRef<K, T>) {
    table.insert_unique(id_hash(flight.id), flight, |flight| id_hash(flight.id));
}

fn remove<K, T>(
    table: &mut HashTable<FlightRef<K, T>>,
    flight: &FlightRef<K, T>,
) -> Option<FlightRef<K, T>> {
    let same = |other: &FlightRef<K, T>| other.ptr_eq(flight);
    let entry = table.find_entry(id_hash(flight.id), same).ok()?;
    Some(entry.remove().0)
}

/// Makes a flight and counts it. `key` is moved from where it is into the flight, and nowhere
/// else in between.
#[inline(always)]
fn new_flight<K, T>(
    counts: &mut Counts,
    shard: &Arc<Shard<K, T>>,
    hash: u64,
    key: impl FnOnce() -> K,
    call: &mut impl Call<K, T>,
    turn: bool,
    open: Snapshot,
) -> Pair<K, T> {
    counts.begun += 1;
    let id = FlightId::new(shard.first_id, counts.begun, shard.shards);
    call.allocate(shard, turn, open, |attached, open| Flight {
        cell: RawCell::new(attached, open),
        key: key(),
        hash,
        id,
        observed: Observed::new(shard.label().name()),
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
