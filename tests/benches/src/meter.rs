//! What one case measures: time, or allocations, of the part of it that is asked about.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use stats_alloc::Stats;

use crate::counted;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// How long it takes.
    Time,
    /// What it allocates.
    Heap,
}

/// Passed to a case, which calls [`Meter::of`] once or several times and sets up what it needs in between.
#[derive(Debug)]
pub struct Meter {
    ask: Ask,
    /// Operations in the measured parts.
    pub ops: u64,
    /// Time in them.
    pub elapsed: Duration,
    /// Allocations in them.
    pub allocs: f64,
    /// Bytes asked for in them.
    pub bytes: f64,
    /// Bytes asked for and not given back in them.
    pub live: f64,
    /// Polls or runs, where the case counts them.
    pub polls: Option<f64>,
    /// The longest single operation, where the case looks.
    pub worst: Option<Duration>,
}

impl Meter {
    /// Nothing measured yet.
    #[must_use]
    pub fn new(ask: Ask) -> Self {
        Self {
            ask,
            ops: 0,
            elapsed: Duration::ZERO,
            allocs: 0.0,
            bytes: 0.0,
            live: 0.0,
            polls: None,
            worst: None,
        }
    }

    /// What is asked.
    #[must_use]
    pub fn ask(&self) -> Ask {
        self.ask
    }

    /// Measures `part`, which does `ops` operations.
    #[inline(always)]
    pub fn of<R>(&mut self, ops: u64, part: impl FnOnce() -> R) -> R {
        self.ops += ops;
        match self.ask {
            Ask::Time => {
                let start = Instant::now();
                let result = part();
                self.took(start.elapsed());
                result
            }
            Ask::Heap => {
                let (result, stats) = counted::count(part);
                self.counted(&stats);
                result
            }
        }
    }

    /// Adds what was counted elsewhere.
    pub fn counted(&mut self, stats: &Stats) {
        self.allocs += (stats.allocations + stats.reallocations) as f64;
        self.bytes += stats.bytes_allocated as f64;
        self.live += counted::live(stats);
    }

    /// Takes `before` bytes out of what was held and puts `after` in: what is the harness's, and what does not lie on the heap.
    pub fn correct(&mut self, before: usize, after: usize) {
        if self.ask == Ask::Heap {
            self.live += after as f64 - before as f64;
        }
    }

    /// Adds a time that was taken elsewhere, without what the clock itself takes.
    pub fn took(&mut self, time: Duration) {
        self.elapsed += time.saturating_sub(clock());
    }
}

/// What it takes to read the clock twice.
pub fn clock() -> Duration {
    static CLOCK: OnceLock<Duration> = OnceLock::new();
    *CLOCK.get_or_init(|| {
        let mut all: Vec<_> = (0..10_001)
            .map(|_| {
                let start = Instant::now();
                start.elapsed()
            })
            .collect();
        all.sort_unstable();
        all[all.len() / 2]
    })
}
