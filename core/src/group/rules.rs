//! The rules of a group: its limits and its replay window. They are fixed when the group is built
//! and shared by its shards. A group without rules has none of this.

use alloc::boxed::Box;
use core::time::Duration;

use crate::clock::Clock;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Whether an outcome is retained. What a group's `keep` answers, directly or by `into()`.
///
/// `true` and `false`, a `Duration` and an `Option<Duration>` can be answered as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Not retained: the key is free when the flight settles.
    No,
    /// For the group's `retain` time.
    Yes,
    /// For a time of its own. Each distinct duration is a window with a queue of its own: use a
    /// handful of them.
    For(Duration),
}

impl From<bool> for Keep {
    fn from(keep: bool) -> Self {
        if keep { Keep::Yes } else { Keep::No }
    }
}

impl From<Duration> for Keep {
    fn from(time: Duration) -> Self {
        Keep::For(time)
    }
}

impl From<Option<Duration>> for Keep {
    fn from(time: Option<Duration>) -> Self {
        time.map_or(Keep::No, Keep::For)
    }
}

/// Decides whether an outcome is retained.
pub(crate) type Classify<T> = Box<dyn Fn(&T) -> Keep + Send + Sync>;

pub(crate) struct Rules<T> {
    clock: Option<Box<dyn Clock>>,
    pub(crate) retention: Option<Retention<T>>,
    pub(crate) max_waiters: usize,
    pub(crate) supersede_after: Option<Duration>,
    pub(crate) max_flights: usize,
    /// Counted only if there is a limit: all shards share this word.
    in_flight: AtomicUsize,
}

pub(crate) struct Retention<T> {
    pub(crate) time: Duration,
    /// The maximum number of outcomes retained in one shard.
    pub(crate) capacity: usize,
    pub(crate) classify: Option<Classify<T>>,
}

/// When an outcome that is being settled expires. Outcomes with the same `time` share a queue.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) time: Duration,
    pub(crate) now: Duration,
}

impl Window {
    pub(crate) fn deadline(self) -> Duration {
        self.now.saturating_add(self.time)
    }
}

impl<T> Rules<T> {
    pub(crate) fn new(
        clock: Option<Box<dyn Clock>>,
        retention: Option<Retention<T>>,
        max_waiters: usize,
        supersede_after: Option<Duration>,
        max_flights: usize,
    ) -> Self {
        Self {
            clock,
            retention,
            max_waiters,
            supersede_after,
            max_flights,
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Runs the user's `keep` and clock. Called under no lock, before the value is published.
    pub(crate) fn window(&self, value: &T) -> Option<Window> {
        let retention = self.retention.as_ref()?;
        let time = match retention
            .classify
            .as_ref()
            .map_or(Keep::Yes, |classify| classify(value))
        {
            Keep::No => return None,
            Keep::Yes => retention.time,
            Keep::For(time) => time,
        };
        (time > Duration::ZERO).then(|| Window {
            time,
            now: self.read(),
        })
    }

    /// The time, if the rules depend on it. Runs the user's clock.
    pub(crate) fn now(&self) -> Option<Duration> {
        (self.retention.is_some() || self.supersede_after.is_some()).then(|| self.read())
    }

    fn read(&self) -> Duration {
        self.clock
            .as_ref()
            .map_or(Duration::ZERO, |clock| clock.now())
    }

    /// Counts one more flight of the group, if the limit allows it.
    pub(crate) fn count_in(&self) -> bool {
        self.max_flights == usize::MAX
            || self
                .in_flight
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                    (n < self.max_flights).then(|| n + 1)
                })
                .is_ok()
    }

    /// Whether the limit allows one more flight at this moment.
    pub(crate) fn has_room(&self) -> bool {
        self.max_flights == usize::MAX || self.in_flight.load(Ordering::Acquire) < self.max_flights
    }

    pub(crate) fn count_out(&self) {
        if self.max_flights != usize::MAX {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_with_an_empty_window_is_not_retained() {
        let retention = |time| Retention {
            time: Duration::from_secs(60),
            capacity: 1,
            classify: Some(Box::new(move |_: &u32| Keep::For(time)) as Classify<u32>),
        };
        let window = |time| {
            let rules = Rules::new(None, Some(retention(time)), usize::MAX, None, usize::MAX);
            rules.window(&1).map(|window| window.time)
        };
        let least = Duration::from_nanos(1);
        assert_eq!([window(Duration::ZERO), window(least)], [None, Some(least)]);
    }
}
