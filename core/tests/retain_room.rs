//! Room among the retained outcomes: what has expired takes none.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, LazyLock};

use oneflight_core::clock::Clock;
use oneflight_core::{Begin, Group};

#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn an_expired_outcome_takes_the_place_of_none_that_has_not() {
    let clock = Arc::new(Hand::default());
    let group: Group<&str, u64> = Group::builder()
        .shards(1)
        .clock(clock.clone())
        .retain_by(|value: &u64| Some(Duration::from_millis(*value)))
        .max_retained(2)
        .build();
    let begin = |key| match group.begin(key) {
        Begin::Primary(primary) => primary,
        other => panic!("{other:?}"),
    };
    begin("long").settle(1_000).unwrap();
    begin("short").settle(1).unwrap();
    // Begun while both are there, settled when one has expired and nothing has cleared it away.
    let newest = begin("newest");
    clock.0.store(1, Ordering::Relaxed);
    newest.settle(1_000).unwrap();
    assert!(group.peek("short").is_none());
    assert_eq!(group.peek("long").as_deref(), Some(&1_000));
    assert_eq!(group.peek("newest").as_deref(), Some(&1_000));
    assert_eq!(group.stats().retained, 2);
}

/// A begin clears away a few of those that have expired; the rest must not be taken for outcomes.
#[test]
fn of_many_that_have_expired_none_is_joined() {
    const KEYS: u64 = 100;
    let clock = Arc::new(Hand::default());
    let group: Group<u64, u64> = Group::builder()
        .shards(1)
        .clock(clock.clone())
        .retain_for(Duration::from_secs(60))
        .build();
    for key in 0..KEYS {
        let Begin::Primary(primary) = group.begin(key) else {
            panic!("nobody has begun it")
        };
        primary.settle(key).unwrap();
    }
    clock.0.store(60_000, Ordering::Relaxed);
    assert!(matches!(group.begin(KEYS - 1), Begin::Primary(_)));
    assert!(matches!(group.begin(KEYS - 1), Begin::Primary(_)));
}

#[test]
fn for_a_forgotten_flight_nothing_is_given_up() {
    let group: Group<&str, u64> = Group::builder()
        .clock(Arc::new(Hand::default()))
        .retain_for(Duration::from_secs(60))
        .max_retained(1)
        .build();
    let begin = |key| match group.begin(key) {
        Begin::Primary(primary) => primary,
        other => panic!("{other:?}"),
    };
    begin("kept").settle(1).unwrap();
    let forgotten = begin("forgotten");
    assert!(group.forget("forgotten"));
    let (_, registered) = forgotten.settle_registered(2).unwrap();
    assert!(!registered && group.peek("forgotten").is_none());
    assert_eq!(group.peek("kept").as_deref(), Some(&1));
    assert_eq!((group.stats().retained, group.stats().given_up), (1, 0));
}

/// A clock may have its zero anywhere, and a window may be as long as it likes.
#[test]
fn no_time_is_too_late_or_too_long() {
    const YEAR: u64 = 365 * 24 * 60 * 60 * 1_000;
    for zero in [0, 292 * YEAR, 293 * YEAR, 2_026 * YEAR, 100_000 * YEAR] {
        let clock = Arc::new(Hand(AtomicU64::new(zero)));
        for (time, ends) in [(1, true), (60_000, true), (u64::MAX, false)] {
            let group: Group<&str, u64> = Group::builder()
                .clock(clock.clone())
                .retain_for(Duration::from_millis(time))
                .build();
            clock.0.store(zero, Ordering::Relaxed);
            let Begin::Primary(primary) = group.begin("k") else {
                panic!("nobody has begun it")
            };
            primary.settle(7).unwrap();
            clock
                .0
                .store(zero + time.min(60_000) - 1, Ordering::Relaxed);
            assert!(group.peek("k").is_some(), "{zero} {time}");
            clock.0.store(zero + time.min(60_000), Ordering::Relaxed);
            assert_eq!(group.peek("k").is_none(), ends, "{zero} {time}");
        }
    }
}

/// The drop of this value retains another one, for a shorter time.
struct Shorter(u64);

static SHORTER: LazyLock<Group<u64, Shorter>> = LazyLock::new(|| {
    Group::builder()
        .clock(Arc::new(Hand::default()))
        .retain_by(|value: &Shorter| Some(Duration::from_secs(1 + value.0)))
        .max_retained(2)
        .build()
});

fn retain(seconds: u64) {
    let Begin::Primary(primary) = SHORTER.begin(seconds) else {
        panic!("nobody has begun it")
    };
    assert!(primary.settle(Shorter(seconds)).is_ok());
}

impl Drop for Shorter {
    fn drop(&mut self) {
        if let Some(less) = self.0.checked_sub(1) {
            retain(less);
        }
    }
}

#[test]
fn what_is_retained_while_all_is_cleared_stays() {
    let kept = |seconds: [u64; 2]| seconds.map(|key| SHORTER.peek(&key).is_some());
    retain(20);
    retain(9);
    for left in [[19, 8], [18, 7]] {
        assert_eq!(SHORTER.clear_retained(), 2);
        assert_eq!((SHORTER.stats().retained, kept(left)), (2, [true; 2]));
    }
}
