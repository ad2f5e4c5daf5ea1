//! The marks of what is retained, in the order in which they expire, and what they weigh.

use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Ordering;
use core::mem;
use core::time::Duration;

use crate::flight::{FlightId, FlightRef};
use crate::group::rules::Deadline;

/// A retained flight, or one that is about to be. Ordered by when it expires.
pub(crate) struct Mark<K, T> {
    pub(crate) deadline: Deadline,
    pub(crate) flight: FlightRef<K, T>,
}

pub(super) struct Order<K, T> {
    marks: BTreeSet<Mark<K, T>>,
    /// What the marked flights weigh, if they weigh anything.
    weights: BTreeMap<FlightId, usize>,
    /// The sum of `weights`.
    weight: usize,
}

/// How many outcomes, and what they weigh together.
#[derive(Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) count: usize,
    pub(super) weight: usize,
}

impl<K, T> Order<K, T> {
    pub(super) fn new() -> Self {
        Self {
            marks: BTreeSet::new(),
            weights: BTreeMap::new(),
            weight: 0,
        }
    }

    pub(super) fn load(&self) -> Load {
        Load {
            count: self.marks.len(),
            weight: self.weight,
        }
    }

    /// From the one that expires first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Mark<K, T>> {
        self.marks.iter()
    }

    /// Whether one has expired.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        let first = self.marks.first();
        first.is_some_and(|mark| mark.deadline.is_due(now))
    }

    pub(super) fn insert(&mut self, mark: Mark<K, T>, weight: usize) {
        if weight > 0 {
            self.weights.insert(mark.flight.id, weight);
            self.weight += weight;
        }
        self.marks.insert(mark);
    }

    /// Takes out the mark that expires first. Returns its weight too.
    pub(super) fn pop(&mut self) -> Option<(Mark<K, T>, usize)> {
        let mark = self.marks.pop_first()?;
        let weight = self.forget_weight(&mark);
        Some((mark, weight))
    }

    pub(super) fn remove(&mut self, mark: &Mark<K, T>) {
        if self.marks.remove(mark) {
            self.forget_weight(mark);
        }
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> Self {
        mem::replace(self, Self::new())
    }

    pub(super) fn into_marks(self) -> impl Iterator<Item = Mark<K, T>> {
        self.marks.into_iter()
    }

    fn forget_weight(&mut self, mark: &Mark<K, T>) -> usize {
        let weight = self.weights.remove(&mark.flight.id).unwrap_or(0);
        self.weight -= weight;
        weight
    }
}

impl Load {
    /// Never overflows: the sum is within the bounds.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            weight: self.weight + other.weight,
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            count: self.count - other.count,
            weight: self.weight - other.weight,
        }
    }

    /// Whether one more outcome of this weight fits, if so much is there.
    pub(super) fn admits(self, there: Load, weight: usize) -> bool {
        let weight = there.weight.checked_add(weight);
        there.count < self.count && weight.is_some_and(|weight| weight <= self.weight)
    }
}

impl<K, T> Mark<K, T> {
    pub(crate) fn new(flight: &FlightRef<K, T>, deadline: Deadline) -> Self {
        Self {
            deadline,
            flight: flight.clone(),
        }
    }
}

impl<K, T> Clone for Mark<K, T> {
    fn clone(&self) -> Self {
        Self::new(&self.flight, self.deadline)
    }
}

impl<K, T> Ord for Mark<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let deadlines = self.deadline.cmp(&other.deadline);
        deadlines.then_with(|| self.flight.id.cmp(&other.flight.id))
    }
}

impl<K, T> PartialOrd for Mark<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K, T> PartialEq for Mark<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K, T> Eq for Mark<K, T> {}
