//! The rules of a group or a gate: its limits and its replay window. A builder collects them as
//! [`Options`]. They are fixed when the registry is built and shared by its shards. A registry
//! without rules has none of this.

use alloc::boxed::Box;
use core::time::Duration;

use crate::clock::{self, Clock};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Says how long an outcome is retained.
pub(crate) type HowLong<T> = Box<dyn Fn(&T) -> Option<Duration> + Send + Sync>;

/// Says how much an outcome weighs.
pub(crate) type Weigh<T> = Box<dyn Fn(&T) -> usize + Send + Sync>;

/// What a builder has been given.
pub(crate) struct Options<T> {
    pub(crate) clock: Option<Box<dyn Clock>>,
    pub(crate) retain: Option<HowLong<T>>,
    pub(crate) max_retained: usize,
    pub(crate) max_retained_weight: Option<(usize, Weigh<T>)>,
    pub(crate) max_waiters: usize,
    pub(crate) max_flights: usize,
    pub(crate) max_reruns: usize,
    pub(crate) supersede_after: Option<Duration>,
}

impl<T> Default for Options<T> {
    fn default() -> Self {
        Self {
            clock: None,
            retain: None,
            max_retained: 1 << 16,
            max_retained_weight: None,
            max_waiters: usize::MAX,
            max_flights: usize::MAX,
            max_reruns: usize::MAX,
            supersede_after: None,
        }
    }
}

impl<T> Options<T> {
    /// Every outcome, for this long.
    pub(crate) fn retain_for(&mut self, time: Duration) {
        self.retain = (!time.is_zero()).then(|| Box::new(move |_: &T| Some(time)) as HowLong<T>);
    }

    /// Returns `None` if nothing has been set. Panics if time matters and there is no clock.
    #[track_caller]
    pub(crate) fn into_rules(self) -> Option<Rules<T>> {
        let retain = self.retain.filter(|_| self.max_retained > 0);
        let timed = retain.is_some() || self.supersede_after.is_some();
        let limits = [self.max_waiters, self.max_flights, self.max_reruns];
        let limited = limits != [usize::MAX; 3];
        if !timed && !limited {
            return None;
        }
        let clock = self.clock.or_else(clock::default);
        assert!(
            clock.is_some() || !timed,
            "a group or gate that retains or ages needs a clock: call `clock`"
        );
        let retention = retain.map(|how_long| Retention {
            how_long,
            max: self.max_retained,
            max_weight: self.max_retained_weight,
        });
        Some(Rules {
            clock,
            retention,
            max_waiters: self.max_waiters,
            max_reruns: self.max_reruns,
            supersede_after: self.supersede_after,
            max_flights: self.max_flights,
            in_flight: AtomicUsize::new(0),
        })
    }
}

impl<V, E> Options<Result<V, E>> {
    /// Successes, for this long.
    pub(crate) fn retain_ok_for(&mut self, time: Duration) {
        let how_long = move |outcome: &Result<V, E>| outcome.is_ok().then_some(time);
        self.retain = (!time.is_zero()).then(|| Box::new(how_long) as HowLong<Result<V, E>>);
    }
}

pub(crate) struct Rules<T> {
    clock: Option<Box<dyn Clock>>,
    pub(crate) retention: Option<Retention<T>>,
    pub(crate) max_waiters: usize,
    /// Of a flight of `try_work`: how many operations run after the first one.
    pub(crate) max_reruns: usize,
    pub(crate) supersede_after: Option<Duration>,
    pub(crate) max_flights: usize,
    /// Counted only if there is a limit: all shards share this word.
    in_flight: AtomicUsize,
}

pub(crate) struct Retention<T> {
    pub(crate) how_long: HowLong<T>,
    /// The maximum number of outcomes retained in the group.
    pub(crate) max: usize,
    /// The maximum of the sum of what they weigh, and who weighs them.
    pub(crate) max_weight: Option<(usize, Weigh<T>)>,
}

/// How an outcome is to be retained, decided before it is published.
#[derive(Clone, Copy)]
pub(crate) struct Stay {
    pub(crate) now: Duration,
    pub(crate) deadline: Deadline,
    pub(crate) weight: usize,
}

/// When an outcome expires. In nanoseconds of the clock for 292 years after its zero, and in 1,024
/// nanoseconds after that: 64 bits are enough wherever the clock has its zero, and for any window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(u64);

impl Deadline {
    pub(crate) fn at(time: Duration) -> Self {
        const FINE: u128 = 1 << 63;
        let nanos = time.as_nanos();
        let steps = nanos.min(FINE) + (nanos.saturating_sub(FINE) >> 10);
        Self(u64::try_from(steps).unwrap_or(u64::MAX))
    }

    /// Whether it has come.
    pub(crate) fn is_due(self, now: Duration) -> bool {
        self <= Self::at(now)
    }
}

impl<T> Rules<T> {
    /// Whether an outcome can be retained.
    pub(crate) fn retains(&self) -> bool {
        self.retention.is_some()
    }

    /// Whether and how the outcome is to be retained. Runs the user's closures and clock: called
    /// under no lock, before the value is published.
    pub(crate) fn stay(&self, value: &T) -> Option<Stay> {
        let retention = self.retention.as_ref()?;
        let time = (retention.how_long)(value).filter(|time| !time.is_zero())?;
        let weight = match &retention.max_weight {
            Some((most, weigh)) => Some(weigh(value)).filter(|weight| weight <= most)?,
            None => 0,
        };
        let now = self.read();
        Some(Stay {
            now,
            deadline: Deadline::at(now.saturating_add(time)),
            weight,
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

    /// As [`count_in`](Self::count_in), whatever the limit allows.
    pub(crate) fn count_in_beyond(&self) {
        if self.max_flights != usize::MAX {
            self.in_flight.fetch_add(1, Ordering::AcqRel);
        }
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

    struct Zero;

    impl Clock for Zero {
        fn now(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn rules(time: Option<Duration>, most: usize) -> Rules<usize> {
        let options = Options {
            clock: Some(Box::new(Zero)),
            retain: Some(Box::new(move |_: &usize| time)),
            max_retained_weight: Some((most, Box::new(|value: &usize| *value))),
            ..Options::default()
        };
        let rules = options.into_rules();
        rules.unwrap_or_else(|| unreachable!("it retains"))
    }

    #[test]
    fn an_outcome_with_an_empty_window_is_not_retained() {
        let stays = |time| rules(time, usize::MAX).stay(&1).is_some();
        let least = Some(Duration::from_nanos(1));
        let answers = [None, Some(Duration::ZERO), least, Some(Duration::MAX)];
        assert_eq!(answers.map(stays), [false, false, true, true]);
    }

    #[test]
    fn an_outcome_heavier_than_the_limit_is_not_retained() {
        let rules = rules(Some(Duration::MAX), 7);
        let stays = [0, 7, 8, usize::MAX].map(|weight| rules.stay(&weight).is_some());
        assert_eq!(stays, [true, true, false, false]);
    }

    #[test]
    fn a_deadline_comes_when_its_time_comes_wherever_the_clock_has_its_zero() {
        let step = Duration::from_nanos(1);
        let fine = Duration::from_nanos(1 << 63);
        for time in [step, Duration::from_secs(1), fine - step, fine] {
            let deadline = Deadline::at(time);
            assert!(
                deadline.is_due(time) && !deadline.is_due(time - step),
                "{time:?}"
            );
        }
        let thousands_of_years = Duration::from_secs(1 << 42);
        let step = Duration::from_nanos(1 << 10);
        for time in [fine + step, fine * 4, thousands_of_years] {
            let deadline = Deadline::at(time);
            assert!(
                deadline.is_due(time) && !deadline.is_due(time - step),
                "{time:?}"
            );
        }
        assert!(!Deadline::at(Duration::MAX).is_due(thousands_of_years));
    }
}
