//! The replay window of one shard: which settled flights are still registered, and in which order
//! they expire.
//!
//! A retained outcome is a settled flight that stays in the shard's table, so that a late duplicate
//! finds it as it would find an open flight. It has a key and a value, and no wakers and no
//! operation. What is kept here is only the order: a queue of marks for each distinct window. The
//! front of each queue expires first, so expiry needs no search and no timer.
//!
//! # Invariants
//! 1. Every retained flight has exactly one mark. A mark can be without its flight, if that was
//!    forgotten. Such marks are passed over, and swept when they outnumber the others.
//! 2. Within a queue, deadlines rise, but for settles that race: the window is the same, and the
//!    clock is read before the lock is taken. An outcome behind a later one expires later than it
//!    could. A lookup compares the outcome's own deadline anyway.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::flight::{Flight, FlightId};
use crate::group::rules::Window;
use crate::group::shard::Shard;
use crate::group::shard::end::After;
use crate::group::shard::extras::Note;
use crate::group::shard::table::Table;
use crate::sync::Arc;

/// The maximum number of expired outcomes that one call clears away. It is more than one call can
/// add, so none is left for long.
const EXPIRED_PER_CALL: usize = 8;

#[derive(Clone, Copy)]
pub(super) struct Mark {
    deadline: Duration,
    pub(super) hash: u64,
    pub(super) id: FlightId,
    /// The order in which flights were settled.
    order: u64,
}

#[derive(Default)]
pub(super) struct Retained {
    /// How many flights are retained now.
    pub(super) count: usize,
    windows: Vec<(Duration, VecDeque<Mark>)>,
    next_order: u64,
}

impl Retained {
    fn push(&mut self, window: Window, hash: u64, id: FlightId) {
        let mark = Mark {
            deadline: window.deadline(),
            hash,
            id,
            order: self.next_order,
        };
        self.next_order += 1;
        self.count += 1;
        match self
            .windows
            .iter_mut()
            .find(|(time, _)| *time == window.time)
        {
            Some((_, queue)) => queue.push_back(mark),
            None => self.windows.push((window.time, VecDeque::from([mark]))),
        }
    }

    /// Takes out the first mark that is due at `now`.
    fn pop_due(&mut self, now: Duration) -> Option<Mark> {
        let due = |queue: &VecDeque<Mark>| queue.front().is_some_and(|mark| mark.deadline <= now);
        let index = self.windows.iter().position(|(_, queue)| due(queue))?;
        self.pop(index)
    }

    /// Takes out the mark of the flight that was settled first.
    fn pop_oldest(&mut self) -> Option<Mark> {
        let fronts = self.windows.iter().enumerate();
        let (_, index) = fronts
            .filter_map(|(index, (_, queue))| Some((queue.front()?.order, index)))
            .min()?;
        self.pop(index)
    }

    /// Drops the marks without a flight, when they outnumber the others.
    pub(super) fn drop_orphan_marks(&mut self, has_flight: impl Fn(&Mark) -> bool) {
        let marks: usize = self.windows.iter().map(|(_, queue)| queue.len()).sum();
        if marks > 2 * self.count + 4 * EXPIRED_PER_CALL {
            for (_, queue) in &mut self.windows {
                queue.retain(&has_flight);
            }
            self.windows.retain(|(_, queue)| !queue.is_empty());
        }
    }

    fn pop(&mut self, index: usize) -> Option<Mark> {
        let mark = self.windows.get_mut(index)?.1.pop_front();
        if self.windows[index].1.is_empty() {
            self.windows.swap_remove(index);
        }
        mark
    }
}

impl<K, T> Table<K, T> {
    /// Retains a settled flight, and gives up what is over the limit.
    pub(super) fn retain(
        &mut self,
        shard: &Shard<K, T>,
        flight: &Arc<Flight<K, T>>,
        window: Window,
        after: &mut After<K, T>,
    ) {
        let limit = shard
            .rules()
            .and_then(|rules| rules.retention.as_ref())
            .map_or(0, |retention| retention.capacity);
        let extras = self.extras_mut();
        let note = Note {
            deadline: Some(window.deadline()),
            ..extras.note(flight.id)
        };
        extras.set_note(flight.id, note);
        extras.retained.push(window, flight.hash, flight.id);
        while self.retained() > limit {
            // An expired outcome goes before one that has not expired.
            let retained = &mut self.extras_mut().retained;
            let due = retained.pop_due(window.now);
            let Some(mark) = due.or_else(|| retained.pop_oldest()) else {
                break;
            };
            self.give_up(&mark, after);
        }
        self.expire(Some(window.now), after);
    }

    /// Clears away some of what has expired.
    pub(super) fn expire(&mut self, now: Option<Duration>, after: &mut After<K, T>) {
        let (Some(now), true) = (now, self.retained() > 0) else {
            return;
        };
        for _ in 0..EXPIRED_PER_CALL {
            let Some(mark) = self.extras_mut().retained.pop_due(now) else {
                break;
            };
            self.give_up(&mark, after);
        }
        self.drop_orphan_marks();
    }

    /// Removes a retained flight, unless it was forgotten before.
    fn give_up(&mut self, mark: &Mark, after: &mut After<K, T>) {
        if let Some(flight) = self.registered_by_id(mark.hash, mark.id).cloned() {
            self.unregister(&flight, after);
        }
    }
}

impl<K, T> Shard<K, T> {
    /// Whether a flight is retained, and within its window.
    pub(crate) fn is_retained(&self, flight: &Arc<Flight<K, T>>, now: Option<Duration>) -> bool {
        let note = self.table.with(|table| table.note(flight.id));
        now.zip(note.deadline)
            .is_some_and(|(now, deadline)| deadline > now)
    }

    /// No handle of the group is left: drops what is retained, and retains nothing more.
    pub(crate) fn orphan(&self) {
        let mut after = After::default();
        self.table.with(|table| {
            table.extras_mut().orphaned = true;
            while let Some(mark) = table.extras_mut().retained.pop_oldest() {
                table.give_up(&mark, &mut after);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(60);

    fn window(now: u64) -> Window {
        Window {
            time: TIME,
            now: Duration::from_secs(now),
        }
    }

    fn id(count: usize) -> FlightId {
        FlightId::new(0, count as u64, 1)
    }

    fn marks(retained: &Retained) -> usize {
        retained.windows.iter().map(|(_, queue)| queue.len()).sum()
    }

    #[test]
    fn marks_without_their_flights_are_swept() {
        let mut retained = Retained::default();
        // All but one are forgotten: each loses its flight and keeps its mark.
        let most = 2 + 4 * EXPIRED_PER_CALL;
        for count in 1..=most {
            retained.push(window(0), 0, id(count));
        }
        retained.count = 1;
        let has_flight = |mark: &Mark| mark.id == id(1);
        retained.drop_orphan_marks(has_flight);
        assert_eq!(marks(&retained), most, "swept before it is worth it");
        retained.push(window(0), 0, id(most + 1));
        retained.count = 1;
        retained.drop_orphan_marks(has_flight);
        assert_eq!(marks(&retained), 1);
        retained.count = 0;
        for count in 1..=4 * EXPIRED_PER_CALL {
            retained.push(window(0), 0, id(count));
            retained.count = 0;
        }
        retained.drop_orphan_marks(|_| false);
        assert!(retained.windows.is_empty(), "an empty queue is kept");
    }

    #[test]
    fn the_oldest_goes_first_whatever_its_window() {
        let mut retained = Retained::default();
        let long = Window {
            time: TIME * 2,
            ..window(0)
        };
        for (count, window) in [(1, long), (2, window(0)), (3, long), (4, window(1))] {
            retained.push(window, 0, id(count));
        }
        assert_eq!(retained.count, 4);
        let due = Duration::from_secs(60);
        assert!(retained.pop_due(due - Duration::from_nanos(1)).is_none());
        assert!(retained.pop_due(due).is_some_and(|mark| mark.id == id(2)));
        assert!(retained.pop_due(due).is_none());
        let order = core::iter::from_fn(|| retained.pop_oldest().map(|mark| mark.id));
        assert!(order.eq([id(1), id(3), id(4)]));
        assert!(retained.windows.is_empty());
        for (count, window) in [(5, window(0)), (6, long), (7, window(0))] {
            retained.push(window, 0, id(count));
        }
        let order = core::iter::from_fn(|| retained.pop_oldest().map(|mark| mark.id));
        assert!(order.eq([id(5), id(6), id(7)]));
    }
}
