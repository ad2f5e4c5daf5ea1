//! The replay window of one shard: which settled flights are still registered, and in which order
//! they go.
//!
//! A retained outcome is a settled flight that stays in the shard's table. It has its key, its
//! value, no wakers, no operation and no way back to the registry. What is kept here is only the
//! order: a queue of marks for each distinct window, so that the front of each queue expires first
//! and expiry needs no search and no timer.
//!
//! # Invariants
//! 1. Every retained flight has exactly one mark. A mark may be without its flight (it was
//!    forgotten): it is passed over, and when such marks outnumber the others they are swept.
//! 2. Within a queue, deadlines rise: the window is the same, and the clock never runs backwards.
//!    (Should it do so, an outcome goes later than it might; a lookup compares its own deadline
//!    anyway.)

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::flight::FlightId;
use crate::rules::Window;

/// How many expired outcomes one call clears away at the most: more than one call can add, so none
/// is left for long.
pub(crate) const SWEEP: usize = 8;

#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) deadline: Duration,
    pub(crate) hash: u64,
    pub(crate) id: FlightId,
    /// Order of settling.
    turn: u64,
}

#[derive(Default)]
pub(crate) struct Retained {
    /// How many flights are retained now.
    pub(crate) kept: usize,
    windows: Vec<(Duration, VecDeque<Mark>)>,
    turns: u64,
}

impl Retained {
    pub(crate) fn push(&mut self, window: Window, hash: u64, id: FlightId) {
        let mark = Mark {
            deadline: window.deadline(),
            hash,
            id,
            turn: self.turns,
        };
        self.turns += 1;
        self.kept += 1;
        match self
            .windows
            .iter_mut()
            .find(|(time, _)| *time == window.time)
        {
            Some((_, queue)) => queue.push_back(mark),
            None => self.windows.push((window.time, VecDeque::from([mark]))),
        }
    }

    /// Takes the first mark out that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<Mark> {
        let due = |queue: &VecDeque<Mark>| queue.front().is_some_and(|mark| mark.deadline <= now);
        let index = self.windows.iter().position(|(_, queue)| due(queue))?;
        self.pop(index)
    }

    /// Takes the mark out that was settled first.
    pub(crate) fn pop_oldest(&mut self) -> Option<Mark> {
        let fronts = self.windows.iter().enumerate();
        let (_, index) = fronts
            .filter_map(|(index, (_, queue))| Some((queue.front()?.turn, index)))
            .min()?;
        self.pop(index)
    }

    /// Drops the marks whose flights are gone, when they outnumber the others.
    pub(crate) fn sweep(&mut self, is_kept: impl Fn(&Mark) -> bool) {
        let marks: usize = self.windows.iter().map(|(_, queue)| queue.len()).sum();
        if marks > 2 * self.kept + 4 * SWEEP {
            for (_, queue) in &mut self.windows {
                queue.retain(&is_kept);
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

#[cfg(all(test, not(loom)))]
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
        FlightId::new(count as u64, 0, 1)
    }

    fn marks(retained: &Retained) -> usize {
        retained.windows.iter().map(|(_, queue)| queue.len()).sum()
    }

    #[test]
    fn marks_without_their_flights_are_swept() {
        let mut retained = Retained::default();
        // All but one are forgotten: each loses its flight and keeps its mark.
        let most = 2 + 4 * SWEEP;
        for count in 1..=most {
            retained.push(window(0), 0, id(count));
        }
        retained.kept = 1;
        let is_kept = |mark: &Mark| mark.id == id(1);
        retained.sweep(is_kept);
        assert_eq!(marks(&retained), most, "swept before it is worth it");
        retained.push(window(0), 0, id(most + 1));
        retained.kept = 1;
        retained.sweep(is_kept);
        assert_eq!(marks(&retained), 1);
        retained.kept = 0;
        for count in 1..=4 * SWEEP {
            retained.push(window(0), 0, id(count));
            retained.kept = 0;
        }
        retained.sweep(|_| false);
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
        assert_eq!(retained.kept, 4);
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
