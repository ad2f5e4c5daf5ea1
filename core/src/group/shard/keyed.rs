//! [`Keyed`]: the flights of a shard by the hashes of their keys.
//!
//! Most shards have no flight or one. So the first one has a place of its own, beside the shard's
//! lock, and the hash table is looked at only while there are others.

use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, VacantEntry};

use crate::flight::FlightRef;
use crate::group::shard::table::shrink;

/// At most one of them has a given key, but several can have the same hash.
pub(super) struct Keyed<K, T> {
    first: Option<One<K, T>>,
    others: HashTable<One<K, T>>,
}

/// The hash is beside the pointer, so that growing the table reads no flight.
struct One<K, T> {
    hash: u64,
    flight: FlightRef<K, T>,
}

/// What is found for a hash.
pub(super) enum Slot<'a, K, T> {
    /// A flight with this hash.
    Taken(&'a FlightRef<K, T>),
    Free(Free<'a, K, T>),
}

/// A place for a flight with a hash that no other one has.
pub(super) enum Free<'a, K, T> {
    First(&'a mut Option<One<K, T>>, u64),
    Other(VacantEntry<'a, One<K, T>>, u64),
}

impl<K, T> Keyed<K, T> {
    pub(super) fn new() -> Self {
        Self {
            first: None,
            others: HashTable::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    #[inline(always)]
    pub(super) fn slot(&mut self, hash: u64) -> Slot<'_, K, T> {
        if self.first.as_ref().is_some_and(|one| one.hash == hash) {
            match &self.first {
                Some(first) => Slot::Taken(&first.flight),
                None => unreachable!("looked at above"),
            }
        } else if self.first.is_none() && self.others.is_empty() {
            Slot::Free(Free::First(&mut self.first, hash))
        } else {
            self.slot_of_others(hash)
        }
    }

    #[inline(never)]
    fn slot_of_others(&mut self, hash: u64) -> Slot<'_, K, T> {
        let same = |one: &One<K, T>| one.hash == hash;
        match self.others.entry(hash, same, |one| one.hash) {
            Entry::Occupied(entry) => Slot::Taken(&entry.into_mut().flight),
            Entry::Vacant(_) if self.first.is_none() => {
                Slot::Free(Free::First(&mut self.first, hash))
            }
            Entry::Vacant(entry) => Slot::Free(Free::Other(entry, hash)),
        }
    }

    /// Adds a flight, also if others have this hash.
    pub(super) fn insert(&mut self, hash: u64, flight: FlightRef<K, T>) {
        let one = One { hash, flight };
        if self.first.is_none() {
            self.first = Some(one);
        } else {
            self.others.insert_unique(hash, one, |one| one.hash);
        }
    }

    /// Removes this flight, if it is here.
    #[inline(always)]
    pub(super) fn remove(&mut self, flight: &FlightRef<K, T>) -> Option<FlightRef<K, T>> {
        if let Some(first) = self.first.take_if(|one| one.flight.ptr_eq(flight)) {
            return Some(first.flight);
        }
        let same = |one: &One<K, T>| one.flight.ptr_eq(flight);
        let entry = self.others.find_entry(flight.hash, same).ok()?;
        Some(entry.remove().0.flight)
    }

    pub(super) fn contains(&self, flight: &FlightRef<K, T>) -> bool {
        self.with_hash(flight.hash)
            .any(|other| other.ptr_eq(flight))
    }

    pub(super) fn with_hash(&self, hash: u64) -> impl Iterator<Item = &FlightRef<K, T>> {
        self.first
            .iter()
            .chain(self.others.iter_hash(hash))
            .filter(move |one| one.hash == hash)
            .map(|one| &one.flight)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &FlightRef<K, T>> {
        self.first.iter().chain(&self.others).map(|one| &one.flight)
    }

    pub(super) fn shrink(&mut self) {
        shrink(&mut self.others, |one| one.hash);
    }
}

impl<K, T> Free<'_, K, T> {
    #[inline(always)]
    pub(super) fn insert(self, flight: FlightRef<K, T>) {
        match self {
            Free::First(first, hash) => *first = Some(One { hash, flight }),
            Free::Other(entry, hash) => {
                entry.insert(One { hash, flight });
            }
        }
    }
}
