//! Which outcomes a group retains: the places for them, and in which order they expire. There is
//! one index for all shards, so the bounds of a group are exact however many shards it has.
//!
//! A retained outcome is a settled flight that stays in its shard (`shard/retained`), so that a
//! late duplicate finds it as it would find an open flight. Its mark here is its place. Marks are
//! in the order in which they expire, so expiry needs no timer and the first mark is the one to
//! give up.
//!
//! # Invariants
//! 1. A retained flight has its mark here. Its settle inserts the mark before it retains the
//!    flight. A call that removes the flight from its shard takes the mark out after that.
//! 2. A settle for which no place is free takes out another flight's mark before that flight is
//!    removed. It holds the place meanwhile (`held`), and inserts its own mark when the other
//!    flight is gone. The place of an expired flight, which is given to nobody, it takes at once.
//! 3. Marks and held places are never more than the bounds allow, in number and in weight. By
//!    invariants 1 and 2 neither are the flights that are retained and have not expired.
//! 4. A mark without a retained flight is there only while a call is under way: a settle that will
//!    retain the flight, or a call that has removed it. A call that takes a mark out for another
//!    flight also makes sure that the mark's own flight is not retained later.
//! 5. When the last handle of the group is dropped, all marks are taken out and none is inserted
//!    after that.
//!
//! # Deadlock safety
//! The lock is taken under no other, and no other is taken under it. Whoever removes a mark holds
//! the flight by another handle, so no key or value is dropped under it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;
use core::time::Duration;

use crate::flight::{Flight, FlightId};
use crate::group::hasher::shard_index;
use crate::group::rules::{Deadline, Retention, Stay};
use crate::group::shard::Shard;
use crate::sync::{Arc, Mutex};
use crate::unwind::{discard, for_each};

/// The maximum number of expired outcomes that one settle clears away. It is more than one settle
/// adds, so none is left for long.
const EXPIRED_PER_SETTLE: usize = 2;

/// The maximum number of marks that are handled in one lock acquisition.
const BATCH: usize = 1_024;

/// A retained flight, or one that is about to be. Ordered by when it expires.
pub(crate) struct Mark<K, T> {
    pub(crate) deadline: Deadline,
    pub(crate) flight: Arc<Flight<K, T>>,
}

type Shards<K, T> = Arc<Vec<Arc<Shard<K, T>>>>;

pub(crate) struct Places<K, T> {
    most: Load,
    index: Mutex<Index<K, T>>,
}

struct Index<K, T> {
    order: BTreeSet<Mark<K, T>>,
    /// What the marked flights weigh, if they weigh anything.
    weights: BTreeMap<FlightId, usize>,
    /// The sum of `weights`.
    weight: usize,
    /// Places that settles hold without a mark.
    held: Load,
    /// A circle: each shard knows this index. It is broken when the last handle of the group is
    /// dropped. Nothing is retained after that.
    shards: Option<Shards<K, T>>,
}

#[derive(Clone, Copy, Default)]
struct Load {
    count: usize,
    weight: usize,
}

/// What a settle is answered that asks for a place.
pub(crate) enum Answer<K, T> {
    /// It has one. These flights, most of the time none, have to be removed first.
    Place(Leaving<K, T>),
    /// Every place is held by other settles.
    Full,
    /// No handle of the group is left.
    Closed,
}

/// Marks that were taken out for a settle.
pub(crate) struct Leaving<K, T> {
    marks: Vec<Mark<K, T>>,
    shards: Shards<K, T>,
    /// The places of those that have not expired. If it is none, the settle's own mark is inserted.
    held: Load,
}

impl<K, T> Places<K, T> {
    pub(crate) fn new(retention: &Retention<T>) -> Self {
        let weight = retention.max_weight.as_ref();
        Self {
            most: Load {
                count: retention.max,
                weight: weight.map_or(usize::MAX, |(most, _)| *most),
            },
            index: Mutex::new(Index {
                order: BTreeSet::new(),
                weights: BTreeMap::new(),
                weight: 0,
                held: Load::default(),
                shards: None,
            }),
        }
    }

    /// Called once, before the group is handed out.
    pub(crate) fn open(&self, shards: Vec<Arc<Shard<K, T>>>) {
        let shards = Arc::new(shards);
        self.index.with(|index| index.shards = Some(shards));
    }

    /// Asks for a place for an outcome that has been recorded.
    pub(crate) fn enter(&self, flight: &Arc<Flight<K, T>>, stay: Stay) -> Answer<K, T> {
        let mark = Mark::new(flight, stay.deadline);
        self.index.with(|index| {
            let Some(shards) = &index.shards else {
                return Answer::Closed;
            };
            if !self.most.admits(index.held, stay.weight) {
                return Answer::Full;
            }
            let shards = shards.clone();
            let (mut marks, mut held) = (Vec::new(), Load::default());
            loop {
                // What has expired is first in the order.
                let due = index.is_due(stay.now);
                let full = !self.most.admits(index.load(), stay.weight);
                if !full && (!due || marks.len() >= EXPIRED_PER_SETTLE) {
                    break;
                }
                let Some((first, weight)) = index.pop() else {
                    break;
                };
                marks.push(first);
                if !due {
                    held.count += 1;
                    held.weight += weight;
                }
            }
            if held.count == 0 {
                index.insert(mark, stay.weight);
            } else {
                held.weight = held.weight.max(stay.weight);
                index.held.count += held.count;
                index.held.weight += held.weight;
            }
            Answer::Place(Leaving {
                marks,
                shards,
                held,
            })
        })
    }

    /// The flights of the marks that left are removed. If their places are held, gives them back
    /// and takes one of them. Returns false if no handle of the group is left.
    pub(crate) fn take(
        &self,
        left: &Leaving<K, T>,
        flight: &Arc<Flight<K, T>>,
        stay: Stay,
    ) -> bool {
        if left.held.count == 0 {
            return true;
        }
        let mark = Mark::new(flight, stay.deadline);
        self.index.with(|index| {
            index.held.count -= left.held.count;
            index.held.weight -= left.held.weight;
            let open = index.shards.is_some();
            if open {
                index.insert(mark, stay.weight);
            }
            open
        })
    }

    /// The flights are retained no longer. It does not matter whether their marks are still here.
    pub(crate) fn remove(&self, marks: &[Mark<K, T>]) {
        self.index
            .with(|index| marks.iter().for_each(|mark| index.remove(mark)));
    }

    /// How many outcomes are retained.
    pub(crate) fn len(&self) -> usize {
        self.index.with(|index| index.order.len())
    }

    /// Drops what has expired. Returns how many outcomes that were.
    pub(crate) fn purge(&self, now: Duration) -> usize {
        self.sweep(|mark| mark.deadline.is_due(now))
    }

    /// Drops what is retained now. Returns how many outcomes that were.
    pub(crate) fn clear(&self) -> usize {
        let last = self.index.with(|index| index.order.last().cloned());
        last.map_or(0, |last| self.sweep(|mark| *mark <= last))
    }

    /// Removes the first flights in the order, as long as they are `wanted`.
    fn sweep(&self, wanted: impl Fn(&Mark<K, T>) -> bool) -> usize {
        let mut dropped = 0;
        loop {
            let (marks, shards) = self.index.with(|index| {
                let first = index.order.iter().take_while(|mark| wanted(mark));
                let marks: Vec<_> = first.take(BATCH).cloned().collect();
                (marks, index.shards.clone())
            });
            let Some(shards) = shards.filter(|_| !marks.is_empty()) else {
                return dropped;
            };
            for mark in &marks {
                dropped += usize::from(mark.shard(&shards).remove_retained(mark));
            }
            self.remove(&marks);
            // The drops are the user's.
            for_each(marks.into_iter(), discard);
        }
    }

    /// No handle of the group is left: drops what is retained, and retains nothing more.
    pub(crate) fn close(&self) {
        let (order, shards) = self
            .index
            .with(|index| (mem::take(&mut index.order), index.shards.take()));
        if let Some(shards) = shards {
            for mark in &order {
                mark.shard(&shards).remove_retained(mark);
            }
        }
        for_each(order.into_iter(), discard);
    }
}

impl<K, T> Leaving<K, T> {
    /// The marks, each with the shard of its flight.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Shard<K, T>, &Mark<K, T>)> {
        let marks = self.marks.iter();
        marks.map(|mark| (mark.shard(&self.shards), mark))
    }
}

impl<K, T> Drop for Leaving<K, T> {
    fn drop(&mut self) {
        // The drops are the user's.
        for_each(self.marks.drain(..), discard);
    }
}

impl<K, T> Index<K, T> {
    /// Of the marks and the places that are held.
    fn load(&self) -> Load {
        Load {
            count: self.order.len() + self.held.count,
            weight: self.weight + self.held.weight,
        }
    }

    fn is_due(&self, now: Duration) -> bool {
        let first = self.order.first();
        first.is_some_and(|mark| mark.deadline.is_due(now))
    }

    fn insert(&mut self, mark: Mark<K, T>, weight: usize) {
        if weight > 0 {
            self.weights.insert(mark.flight.id, weight);
            self.weight += weight;
        }
        self.order.insert(mark);
    }

    /// Takes out the first mark, with its weight.
    fn pop(&mut self) -> Option<(Mark<K, T>, usize)> {
        let mark = self.order.pop_first()?;
        let weight = self.forget_weight(&mark);
        Some((mark, weight))
    }

    fn remove(&mut self, mark: &Mark<K, T>) {
        if self.order.remove(mark) {
            self.forget_weight(mark);
        }
    }

    fn forget_weight(&mut self, mark: &Mark<K, T>) -> usize {
        let weight = self.weights.remove(&mark.flight.id).unwrap_or(0);
        self.weight -= weight;
        weight
    }
}

impl Load {
    /// Whether one more outcome of this weight fits, if so much is there.
    fn admits(self, there: Load, weight: usize) -> bool {
        let weight = there.weight.checked_add(weight);
        there.count < self.count && weight.is_some_and(|weight| weight <= self.weight)
    }
}

impl<K, T> Mark<K, T> {
    pub(crate) fn new(flight: &Arc<Flight<K, T>>, deadline: Deadline) -> Self {
        Self {
            deadline,
            flight: flight.clone(),
        }
    }

    fn shard<'a>(&self, shards: &'a Shards<K, T>) -> &'a Shard<K, T> {
        &shards[shard_index(self.flight.hash, shards.len())]
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
