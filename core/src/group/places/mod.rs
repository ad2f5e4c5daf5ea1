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

mod order;

use alloc::vec::Vec;
use core::time::Duration;

pub(crate) use order::Mark;

use crate::flight::FlightRef;
use crate::group::hasher::shard_index;
use crate::group::rules::{Retention, Stay};
use crate::group::shard::Shard;
use crate::sync::{Arc, Mutex};
use crate::unwind::{Fragile, discard, for_each};
use order::{Load, Order};

/// The maximum number of expired outcomes that one settle clears away. It is more than one settle
/// adds, so none is left for long.
const EXPIRED_PER_SETTLE: usize = 2;

/// The maximum number of marks that are taken out in one lock acquisition.
const BATCH: usize = 1_024;

type Shards<K, T> = Arc<Vec<Arc<Shard<K, T>>>>;

pub(crate) struct Places<K, T> {
    most: Load,
    index: Mutex<Index<K, T>>,
}

struct Index<K, T> {
    order: Order<K, T>,
    /// Places that settles hold without a mark.
    held: Load,
    /// A circle: each shard knows this index. It is broken when the last handle of the group is
    /// dropped. Nothing is retained after that.
    shards: Option<Shards<K, T>>,
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

/// A flight that was removed from its shard. Its drop frees the place, and then drops the flight.
#[must_use = "dropped under a lock, it would drop a key and a value there"]
pub(crate) struct Vacated<K, T> {
    places: Arc<Places<K, T>>,
    mark: Fragile<Mark<K, T>>,
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
                order: Order::new(),
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
    pub(crate) fn enter(&self, flight: &FlightRef<K, T>, stay: Stay) -> Answer<K, T> {
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
                let due = index.order.is_due(stay.now);
                let there = index.order.load().plus(index.held);
                let full = !self.most.admits(there, stay.weight);
                if !full && (!due || marks.len() >= EXPIRED_PER_SETTLE) {
                    break;
                }
                let Some((first, weight)) = index.order.pop() else {
                    break;
                };
                marks.push(first);
                if !due {
                    held = held.plus(Load { count: 1, weight });
                }
            }
            if held.count == 0 {
                index.order.insert(mark, stay.weight);
            } else {
                held.weight = held.weight.max(stay.weight);
                index.held = index.held.plus(held);
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
    pub(crate) fn take(&self, left: &Leaving<K, T>, flight: &FlightRef<K, T>, stay: Stay) -> bool {
        if left.held.count == 0 {
            return true;
        }
        let mark = Mark::new(flight, stay.deadline);
        self.index.with(|index| {
            index.held = index.held.minus(left.held);
            let open = index.shards.is_some();
            if open {
                index.order.insert(mark, stay.weight);
            }
            open
        })
    }

    /// The flights are retained no longer. It does not matter whether their marks are still here.
    pub(crate) fn remove(&self, marks: &[Mark<K, T>]) {
        self.index
            .with(|index| marks.iter().for_each(|mark| index.order.remove(mark)));
    }

    /// How many outcomes are retained.
    pub(crate) fn len(&self) -> usize {
        self.index.with(|index| index.order.load().count)
    }

    /// Drops what is retained now. Returns how many outcomes that were. What is retained meanwhile
    /// stays, also if it expires before what is dropped.
    pub(crate) fn clear(&self) -> usize {
        let (marks, shards) = self.index.with(|index| {
            let marks: Vec<_> = index.order.iter().cloned().collect();
            (marks, index.shards.clone())
        });
        let mut dropped = 0;
        if let Some(shards) = &shards {
            for batch in marks.chunks(BATCH) {
                dropped += self.remove_retained(shards, batch);
            }
        }
        // The drops are the user's.
        for_each(marks.into_iter(), discard);
        dropped
    }

    /// Drops what has expired. Returns how many outcomes that were.
    pub(crate) fn purge(&self, now: Duration) -> usize {
        let mut dropped = 0;
        loop {
            let (marks, shards) = self.index.with(|index| {
                let due = |mark: &&Mark<K, T>| mark.deadline.is_due(now);
                let first = index.order.iter().take_while(due);
                let marks: Vec<_> = first.take(BATCH).cloned().collect();
                (marks, index.shards.clone())
            });
            let Some(shards) = shards.filter(|_| !marks.is_empty()) else {
                return dropped;
            };
            dropped += self.remove_retained(&shards, &marks);
            // The drops are the user's.
            for_each(marks.into_iter(), discard);
        }
    }

    /// Removes the flights of these marks from their shards, and then the marks. Returns how many
    /// of the flights were there still.
    fn remove_retained(&self, shards: &Shards<K, T>, marks: &[Mark<K, T>]) -> usize {
        let removed = |mark: &&Mark<K, T>| shard_of(shards, mark).remove_retained(mark);
        let count = marks.iter().filter(removed).count();
        self.remove(marks);
        count
    }

    /// No handle of the group is left: drops what is retained, and retains nothing more.
    pub(crate) fn close(&self) {
        let (order, shards) = self
            .index
            .with(|index| (index.order.take(), index.shards.take()));
        if let Some(shards) = shards {
            for mark in order.iter() {
                shard_of(&shards, mark).remove_retained(mark);
            }
        }
        for_each(order.into_marks(), discard);
    }
}

impl<K, T> Leaving<K, T> {
    /// The marks, each with the shard of its flight.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Shard<K, T>, &Mark<K, T>)> {
        let marks = self.marks.iter();
        marks.map(|mark| (shard_of(&self.shards, mark), mark))
    }
}

impl<K, T> Drop for Leaving<K, T> {
    fn drop(&mut self) {
        // The drops are the user's.
        for_each(self.marks.drain(..), discard);
    }
}

impl<K, T> Vacated<K, T> {
    pub(crate) fn new(places: &Arc<Places<K, T>>, mark: Mark<K, T>) -> Self {
        Self {
            places: places.clone(),
            mark: Fragile(Some(mark)),
        }
    }
}

impl<K, T> Drop for Vacated<K, T> {
    fn drop(&mut self) {
        self.places.remove(self.mark.0.as_slice());
    }
}

fn shard_of<'a, K, T>(shards: &'a Shards<K, T>, mark: &Mark<K, T>) -> &'a Shard<K, T> {
    &shards[shard_index(mark.flight.hash, shards.len())]
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use super::*;
    use crate::group::begin::Begin;
    use crate::group::rules::Deadline;
    use crate::group::shard::Plain;

    struct Fixture {
        places: Places<u8, u8>,
        shard: Arc<Shard<u8, u8>>,
    }

    type Entered = (FlightRef<u8, u8>, Leaving<u8, u8>);

    fn fixture(max: usize, most: usize) -> Fixture {
        let retention = Retention {
            how_long: Box::new(|_: &u8| None),
            max,
            max_weight: Some((most, Box::new(|_: &u8| 0))),
        };
        let (places, shard) = (Places::new(&retention), Arc::new(Shard::new(0, 1, None)));
        places.open(vec![shard.clone()]);
        Fixture { places, shard }
    }

    impl Fixture {
        fn flight(&self, key: u8) -> FlightRef<u8, u8> {
            let Begin::Primary(primary) = Shard::begin(&self.shard, key.into(), key, &mut Plain)
            else {
                unreachable!("each key is begun once")
            };
            primary.flight().clone()
        }

        /// What leaves for an outcome that expires after so many seconds. `None` if it is refused.
        fn enter(&self, key: u8, stay: Stay) -> Option<Entered> {
            let flight = self.flight(key);
            match self.places.enter(&flight, stay) {
                Answer::Place(leaving) => Some((flight, leaving)),
                Answer::Full => None,
                Answer::Closed => unreachable!("it is open"),
            }
        }
    }

    fn stay(now: u64, weight: usize) -> Stay {
        let now = Duration::from_secs(now);
        Stay {
            now,
            deadline: Deadline::at(now + Duration::from_secs(60)),
            weight,
        }
    }

    fn left(leaving: &Leaving<u8, u8>) -> Vec<u8> {
        leaving.iter().map(|(_, mark)| mark.flight.key).collect()
    }

    #[test]
    fn a_settle_is_refused_only_while_other_settles_hold_every_place() {
        let it = fixture(2, 0);
        let enter = |key| it.enter(key, stay(key.into(), 0));
        for key in [1, 2] {
            assert!(enter(key).is_some_and(|(_, leaving)| left(&leaving).is_empty()));
        }
        let (three, for_three) = enter(3).expect("the first one leaves");
        let (four, for_four) = enter(4).expect("the second one leaves");
        assert_eq!((left(&for_three), left(&for_four)), (vec![1], vec![2]));
        assert!(enter(5).is_none() && it.places.len() == 0);
        assert!(it.places.take(&for_three, &three, stay(3, 0)));
        let (_, for_six) = enter(6).expect("the third one leaves");
        assert_eq!(left(&for_six), [3]);
        it.places.close();
        assert!(!it.places.take(&for_four, &four, stay(4, 0)));
        assert_eq!(it.places.len(), 0);
    }

    #[test]
    fn what_has_expired_leaves_its_place_at_once() {
        let it = fixture(3, 0);
        for key in 1..=3 {
            assert!(it.enter(key, stay(0, 0)).is_some());
        }
        let (_, leaving) = it.enter(4, stay(60, 0)).expect("there is a place");
        assert_eq!(left(&leaving).len(), EXPIRED_PER_SETTLE);
        assert_eq!(it.places.len(), 2);
        // Nobody holds a place.
        for key in 5..=7 {
            assert!(it.enter(key, stay(60, 0)).is_some());
        }
    }

    #[test]
    fn a_settle_holds_the_heavier_of_what_left_and_its_own() {
        for (first, second) in [(2, 10), (10, 2)] {
            let it = fixture(9, 10);
            assert!(it.enter(1, stay(0, first)).is_some());
            let (two, leaving) = it.enter(2, stay(0, second)).expect("the first one leaves");
            assert_eq!(left(&leaving), [1]);
            assert!(it.enter(3, stay(0, 5)).is_none());
            assert!(it.places.take(&leaving, &two, stay(0, second)));
            assert!(it.enter(4, stay(0, 5)).is_some());
        }
    }

    #[test]
    fn weights_that_overflow_in_sum_do_not_fit() {
        let it = fixture(9, usize::MAX);
        let enter = |key| {
            it.enter(key, stay(0, usize::MAX))
                .map(|(_, leaving)| left(&leaving))
        };
        assert_eq!(enter(1), Some(vec![]));
        assert_eq!(enter(2), Some(vec![1]));
        assert_eq!(enter(3), None);
    }
}
