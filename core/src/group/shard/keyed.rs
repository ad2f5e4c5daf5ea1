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

/// A place for a flight with this hash, which no other one has.
pub(super) struct Free<'a, K, T> {
    place: Spot<'a, K, T>,
    hash: u64,
}

enum Spot<'a, K, T> {
    First(&'a mut Option<One<K, T>>),
    Other(VacantEntry<'a, One<K, T>>),
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
            let place = Spot::First(&mut self.first);
            Slot::Free(Free { place, hash })
        } else {
            self.slot_of_others(hash)
        }
    }

    #[inline(never)]
    fn slot_of_others(&mut self, hash: u64) -> Slot<'_, K, T> {
        let same = |one: &One<K, T>| one.hash == hash;
        let place = match self.others.entry(hash, same, |one| one.hash) {
            Entry::Occupied(entry) => return Slot::Taken(&entry.into_mut().flight),
            Entry::Vacant(_) if self.first.is_none() => Spot::First(&mut self.first),
            Entry::Vacant(entry) => Spot::Other(entry),
        };
        Slot::Free(Free { place, hash })
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
        let Self { place, hash } = self;
        let one = One { hash, flight };
        match place {
            Spot::First(first) => *first = Some(one),
            Spot::Other(other) => {
                other.insert(one);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::cell::{RawCell, Snapshot};
    use crate::flight::observe::{Name, Observed};
    use crate::flight::{Flight, FlightId};

    /// The handle of a new flight with this hash.
    fn flight(hash: u64) -> FlightRef<(), ()> {
        let (_settler, handle) = FlightRef::pair(|| Flight {
            cell: RawCell::new(None, Snapshot::open(false)),
            key: (),
            hash,
            id: FlightId::new(1, 1, 1),
            observed: Observed::new(&Name::default()),
        });
        handle
    }

    fn count(keyed: &Keyed<(), ()>) -> [usize; 2] {
        [keyed.len(), keyed.iter().count()]
    }

    /// Takes the place for this hash, which has to be free.
    fn take(keyed: &mut Keyed<(), ()>, hash: u64) -> FlightRef<(), ()> {
        let new = flight(hash);
        match keyed.slot(hash) {
            Slot::Free(place) => place.insert(new.clone()),
            Slot::Taken(_) => panic!("taken"),
        }
        new
    }

    #[test]
    fn a_flight_is_found_wherever_it_is_and_the_first_place_is_used_again() {
        let mut keyed = Keyed::new();
        let flights = [1, 2, 3].map(|hash| take(&mut keyed, hash));
        assert_eq!((count(&keyed), keyed.others.len()), ([3, 3], 2));
        for one in &flights {
            assert!(keyed.contains(one));
            assert!(matches!(keyed.slot(one.hash), Slot::Taken(found) if found.ptr_eq(one)));
        }
        let removed = keyed.remove(&flights[0]);
        assert!(removed.is_some_and(|it| it.ptr_eq(&flights[0])));
        assert!(keyed.remove(&flights[0]).is_none() && !keyed.contains(&flights[0]));
        // Those in the table are looked at before the first place is taken.
        assert!(matches!(keyed.slot(2), Slot::Taken(found) if found.ptr_eq(&flights[1])));
        let again = take(&mut keyed, 1);
        assert_eq!((count(&keyed), keyed.others.len()), ([3, 3], 2));
        for one in [&again, &flights[1], &flights[2]] {
            assert!(keyed.remove(one).is_some());
        }
        assert_eq!(count(&keyed), [0, 0]);
    }

    #[test]
    fn several_with_one_hash_are_all_found() {
        let mut keyed = Keyed::new();
        let flights = [7, 7, 8, 7].map(flight);
        for one in &flights {
            keyed.insert(one.hash, one.clone());
        }
        assert_eq!(keyed.with_hash(7).count(), 3);
        assert!(keyed.remove(&flights[0]).is_some());
        let found: Vec<_> = keyed.with_hash(7).collect();
        assert!(found.len() == 2 && found.iter().all(|it| !it.ptr_eq(&flights[2])));
        assert_eq!(
            (keyed.with_hash(8).count(), keyed.with_hash(9).count()),
            (1, 0)
        );
    }
}
