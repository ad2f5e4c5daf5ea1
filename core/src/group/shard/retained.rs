//! The retained outcomes of one shard. Each is a settled flight that stays in the shard, in a table
//! of its own: it has a key and a value, and no wakers and no operation. How many there may be and
//! in which order they go is decided for the whole group, in `group/places`.
//!
//! # Invariants
//! 1. A flight is retained by its settle, in the critical section that frees its key, if it is
//!    registered still and has its place by then. A call that gives the flight up before that says
//!    so in `given_up`. The settle takes that out again, and does not retain the flight.
//! 2. A retained flight is removed once; the call that removes it sees to its mark.

use core::time::Duration;

use hashbrown::HashTable;

use crate::flight::FlightRef;
use crate::group::places::{Answer, Mark};
use crate::group::rules::{Deadline, Stay};
use crate::group::shard::Shard;
use crate::group::shard::after::After;
use crate::group::shard::extras::Note;
use crate::group::shard::table::{Removed, Table, shrink};

/// Sixteen bytes each. The hash is the flight's, so growing the table reads the flights.
pub(super) struct Retained<K, T>(HashTable<Mark<K, T>>);

/// Whether the outcome of a flight that has been recorded is retained.
#[derive(Clone, Copy)]
pub(super) enum Retain {
    No,
    /// It has a place.
    Until(Deadline),
    /// It was to be retained, and every place is held by another settle.
    Refused,
}

impl<K, T> Default for Retained<K, T> {
    fn default() -> Self {
        Self(HashTable::new())
    }
}

impl<K, T> Retained<K, T> {
    pub(super) fn with_hash(&self, hash: u64) -> impl Iterator<Item = &FlightRef<K, T>> {
        let marks = self.0.iter_hash(hash).map(|mark| &mark.flight);
        marks.filter(move |flight| flight.hash == hash)
    }

    fn insert(&mut self, mark: Mark<K, T>) {
        self.0
            .insert_unique(mark.flight.hash, mark, |mark| mark.flight.hash);
    }

    fn deadline(&self, flight: &FlightRef<K, T>) -> Option<Deadline> {
        let same = |mark: &Mark<K, T>| mark.flight.ptr_eq(flight);
        self.0.find(flight.hash, same).map(|mark| mark.deadline)
    }

    fn remove(&mut self, flight: &FlightRef<K, T>) -> Option<Mark<K, T>> {
        let same = |mark: &Mark<K, T>| mark.flight.ptr_eq(flight);
        let entry = self.0.find_entry(flight.hash, same).ok()?;
        Some(entry.remove().0)
    }

    pub(super) fn shrink(&mut self) {
        shrink(&mut self.0, |mark| mark.flight.hash);
    }
}

impl<K, T> Table<K, T> {
    /// Retains a flight that has ended, or removes it.
    pub(super) fn retain_or_remove(
        &mut self,
        shard: &Shard<K, T>,
        flight: &FlightRef<K, T>,
        place: Retain,
        after: &mut After<K, T>,
    ) -> Removed<K, T> {
        if let Retain::Until(deadline) = place {
            if self.retain(flight, deadline) {
                return Removed {
                    had_key: true,
                    flight: None,
                };
            }
            // Its mark is there for nothing.
            after.drop_retained(shard, Mark::new(flight, deadline));
        }
        let removed = self.remove(flight);
        if matches!(place, Retain::Refused) && removed.had_key {
            self.counts.given_up += 1;
        }
        self.drop_note(flight);
        removed
    }

    /// Retains a flight that has settled. Returns false if it has lost its key, or was given up
    /// before.
    fn retain(&mut self, flight: &FlightRef<K, T>, deadline: Deadline) -> bool {
        let given_up = &mut self.extras_mut().given_up;
        if let Some(index) = given_up.iter().position(|id| *id == flight.id) {
            given_up.swap_remove(index);
            return false;
        }
        let Some(flight) = self.remove_registered(flight) else {
            return false;
        };
        let extras = self.extras_mut();
        // Of its note only the fingerprint is of use from now on.
        match extras.note(flight.id) {
            Note {
                fingerprint: None, ..
            } => extras.drop_note(flight.id),
            note => extras.set_note(flight.id, Note { born: None, ..note }),
        }
        extras.retained.insert(Mark { deadline, flight });
        true
    }

    /// Whether a flight is retained and past its window.
    pub(super) fn is_expired(&self, flight: &FlightRef<K, T>, now: Option<Duration>) -> bool {
        now.zip(self.deadline(flight))
            .is_some_and(|(now, deadline)| deadline.is_due(now))
    }

    /// Whether a flight has its key still: it is registered or retained.
    pub(super) fn has_key(&self, flight: &FlightRef<K, T>) -> bool {
        self.is_registered(flight) || self.deadline(flight).is_some()
    }

    /// When a retained flight expires. `None` if it is not retained.
    fn deadline(&self, flight: &FlightRef<K, T>) -> Option<Deadline> {
        let extras = self.extras.as_ref()?;
        extras.retained.deadline(flight)
    }

    /// The retained flights.
    pub(super) fn retained(&self) -> impl Iterator<Item = &FlightRef<K, T>> {
        let extras = self.extras.as_ref().into_iter();
        let marks = extras.flat_map(|extras| extras.retained.0.iter());
        marks.map(|mark| &mark.flight)
    }

    /// Removes a retained flight.
    pub(super) fn take_retained(&mut self, flight: &FlightRef<K, T>) -> Option<Mark<K, T>> {
        let extras = self.extras.as_mut()?;
        let mark = extras.retained.remove(flight)?;
        extras.drop_note(flight.id);
        Some(mark)
    }
}

impl<K, T> Shard<K, T> {
    /// Takes a place for an outcome that has been recorded and not been told yet. Calls `then` with
    /// it, and drops what was given up for it after that.
    ///
    /// Takes the lock of this shard, then that of the places. If an outcome is given up, takes the
    /// lock of its shard, and that of the places again if it had not expired. It holds one lock at
    /// a time.
    pub(super) fn with_place<R>(
        &self,
        flight: &FlightRef<K, T>,
        stay: Option<Stay>,
        then: impl FnOnce(Retain) -> R,
    ) -> R {
        let (Some(stay), Some(places)) = (stay, self.places()) else {
            return then(Retain::No);
        };
        // Nothing is given up for a flight that has been forgotten.
        if !self.table.with(|table| table.is_registered(flight)) {
            return then(Retain::No);
        }
        let leaving = match places.enter(flight, stay) {
            Answer::Place(leaving) => leaving,
            Answer::Full => return then(Retain::Refused),
            Answer::Closed => return then(Retain::No),
        };
        let given_up = leaving.iter();
        let given_up = given_up.filter(|(shard, mark)| shard.give_up(mark, stay.now));
        let given_up = given_up.count();
        // When the flight has ended for everybody. It is dropped before what left.
        let _reported = flight.observed.report_given_up_on_drop(given_up);
        let taken = places.take(&leaving, flight, stay);
        then(if taken {
            Retain::Until(stay.deadline)
        } else {
            Retain::No
        })
    }

    /// Removes a flight whose place is needed for another one. Returns whether it was given up
    /// early, which is counted.
    fn give_up(&self, mark: &Mark<K, T>, now: Duration) -> bool {
        self.table.with(|table| {
            let early = table.remove_marked(mark) && !mark.deadline.is_due(now);
            table.counts.given_up += u64::from(early);
            early
        })
    }

    /// Removes a flight that is retained, or that its settle is about to retain. Returns false if
    /// that had been done before. The caller sees to the mark.
    pub(crate) fn remove_retained(&self, mark: &Mark<K, T>) -> bool {
        self.table.with(|table| table.remove_marked(mark))
    }

    /// Whether a flight is retained, and within its window.
    pub(crate) fn is_retained(&self, flight: &FlightRef<K, T>, now: Option<Duration>) -> bool {
        let deadline = self.table.with(|table| table.deadline(flight));
        now.zip(deadline)
            .is_some_and(|(now, deadline)| !deadline.is_due(now))
    }
}

impl<K, T> Table<K, T> {
    fn remove_marked(&mut self, mark: &Mark<K, T>) -> bool {
        // The caller holds the flight by its mark, so this drops nothing of the user's.
        self.take_retained(&mark.flight).is_some() || self.give_up_early(&mark.flight)
    }

    /// A flight that is about to be retained will not be. It keeps its key until its settle frees
    /// that: nobody has forgotten it.
    fn give_up_early(&mut self, flight: &FlightRef<K, T>) -> bool {
        let registered = self.is_registered(flight);
        let given_up = &mut self.extras_mut().given_up;
        let early = registered && !given_up.contains(&flight.id);
        if early {
            given_up.push(flight.id);
        }
        early
    }
}
