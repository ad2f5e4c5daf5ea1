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
