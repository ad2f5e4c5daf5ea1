//! Retained outcomes: for how long, how many, and how heavy.

use std::sync::Arc;
use std::time::Duration;

use oneflight::{Group, GroupBuilder};

use crate::{HandClock, TestRuntime, primary, waiter};

type Charge = Result<usize, usize>;

const MINUTE: Duration = Duration::from_secs(60);

/// It is there one second before, and gone at the deadline.
pub async fn an_outcome_expires_exactly_at_its_deadline<R: TestRuntime>(_: R) {
    let clock = HandClock::default();
    let group = Group::<&str, Arc<()>>::builder()
        .retain_for(MINUTE)
        .clock(clock.clone())
        .build();
    clock.forward(1_000);
    let value = Arc::new(());
    drop(primary(group.begin("k")).settle(value.clone()).unwrap());
    clock.forward(59);
    drop(waiter(group.begin("k")).get().expect("retained"));
    assert!(group.peek("k").is_some());
    clock.forward(1);
    assert!(group.peek("k").is_none());
    let next = primary(group.begin("k"));
    assert_eq!(Arc::strong_count(&value), 1, "freed with the key");
    assert_eq!(group.stats().retained, 0);
    drop(next);
}

/// What settles later starts a window of its own.
pub async fn each_flight_has_a_window_of_its_own<R: TestRuntime>(_: R) {
    let clock = HandClock::default();
    let group = Group::<&str, usize>::builder()
        .retain_for(MINUTE)
        .clock(clock.clone())
        .build();
    primary(group.begin("a")).settle(1).unwrap();
    clock.forward(40);
    primary(group.begin("b")).settle(2).unwrap();
    clock.forward(20);
    let (a, b) = (group.peek("a").is_some(), group.peek("b").is_some());
    assert_eq!((a, b), (false, true));
    primary(group.begin("a")).settle(3).unwrap();
    clock.forward(40);
    let (a, b) = (group.peek("a").is_some(), group.peek("b").is_some());
    assert_eq!((a, b), (true, false));
}

/// Which of `a` (an `Ok`) and `b` (an `Err`) are still there after these seconds.
fn kept(
    set: impl FnOnce(GroupBuilder<&'static str, Charge>) -> GroupBuilder<&'static str, Charge>,
) -> [[bool; 2]; 3] {
    let clock = HandClock::default();
    let group = set(Group::builder()).clock(clock.clone()).build();
    primary(group.begin("a")).settle(Ok(1)).unwrap();
    primary(group.begin("b")).settle(Err(2)).unwrap();
    [0, 10, 50].map(|seconds| {
        clock.forward(seconds);
        ["a", "b"].map(|key| group.peek(key).is_some())
    })
}

/// All for one time, the successes, or each for the time that it says itself.
pub async fn successes_and_failures_have_windows_of_their_own<R: TestRuntime>(_: R) {
    const TEN: Duration = Duration::from_secs(10);
    let none = [[false; 2]; 3];
    let all = [[true; 2], [true; 2], [false; 2]];
    let only_ok = [[true, false], [true, false], [false, false]];
    assert_eq!(kept(|builder| builder), none);
    assert_eq!(kept(|builder| builder.retain_for(MINUTE)), all);
    assert_eq!(kept(|builder| builder.retain_ok_for(MINUTE)), only_ok);
    let by = |builder: GroupBuilder<_, Charge>| {
        builder.retain_by(|charge: &Charge| Some(if charge.is_ok() { MINUTE } else { TEN }))
    };
    assert_eq!(kept(by), [[true, true], [true, false], [false, false]]);
    let zero = |charge: &Charge| {
        Some(if charge.is_ok() {
            MINUTE
        } else {
            Duration::ZERO
        })
    };
    assert_eq!(kept(|builder| builder.retain_by(zero)), only_ok);
    assert_eq!(kept(|builder| builder.retain_by(|_| None)), none);
    assert_eq!(
        kept(|builder| builder.retain_by(|_| Some(2 * MINUTE))),
        [[true; 2]; 3]
    );
    // The last one wins, also if it retains nothing.
    assert_eq!(kept(|builder| by(builder).retain_ok_for(MINUTE)), only_ok);
    assert_eq!(
        kept(|builder| builder.retain_ok_for(MINUTE).retain_for(MINUTE)),
        all
    );
    assert_eq!(
        kept(|builder| builder.retain_for(MINUTE).retain_for(Duration::ZERO)),
        none
    );
    assert_eq!(
        kept(|builder| builder.retain_for(MINUTE).retain_ok_for(Duration::ZERO)),
        none
    );
    // No time is too long.
    assert_eq!(
        kept(|builder| builder.retain_for(Duration::MAX)),
        [[true; 2]; 3]
    );
}

/// What would expire next, never the new one.
pub async fn for_a_new_outcome_the_one_that_expires_next_is_given_up<R: TestRuntime>(_: R) {
    let group = Group::<usize, Arc<usize>>::builder()
        // Two windows: the long one first.
        .retain_by(|value: &Arc<usize>| {
            Some(Duration::from_secs(if **value < 2 { 90 } else { 30 }))
        })
        .max_retained(3)
        .clock(HandClock::default())
        .build();
    let values: Vec<_> = (0..5).map(Arc::new).collect();
    for (key, value) in values.iter().enumerate() {
        drop(primary(group.begin(key)).settle(value.clone()).unwrap());
        let stats = group.stats();
        assert_eq!(stats.retained, (key + 1).min(3));
        assert_eq!(stats.given_up as usize, (key + 1).saturating_sub(3));
        assert!(group.peek(&key).is_some());
    }
    let kept: Vec<_> = (0..5).filter(|key| group.peek(key).is_some()).collect();
    assert_eq!(kept, [0, 1, 4]);
    let freed = values.iter().map(|value| Arc::strong_count(value) == 1);
    assert!(freed.eq([false, false, true, true, false]));

    // A forgotten one makes room, and is not one that was given up.
    assert!(group.forget(&1));
    drop(primary(group.begin(9)).settle(Arc::new(9)).unwrap());
    assert!(group.peek(&4).is_some() && group.peek(&9).is_some());
    assert_eq!(group.stats().given_up, 2);
}

/// However many shards there are: never more, and never fewer.
pub async fn the_bound_is_exact_for_the_whole_group<R: TestRuntime>(_: R) {
    for (shards, most) in [
        (1, 1),
        (1, 64),
        (64, 0),
        (64, 1),
        (64, 2),
        (64, 64),
        (4_096, 64),
    ] {
        let clock = HandClock::default();
        let group = Group::<usize, Arc<()>>::builder()
            .shards(shards)
            .retain_for(60 * MINUTE)
            .max_retained(most)
            .clock(clock.clone())
            .build();
        let value = Arc::new(());
        for key in 0..100 {
            drop(primary(group.begin(key)).settle(value.clone()).unwrap());
            assert_eq!(group.stats().retained, (key + 1).min(most));
            assert_eq!(Arc::strong_count(&value), (key + 1).min(most) + 1);
            clock.forward(1);
        }
        let kept: Vec<_> = (0..100).filter(|key| group.peek(key).is_some()).collect();
        assert!(
            kept.into_iter().eq(100 - most..100),
            "{shards} shards, {most}"
        );
        // Without a place for any, none was promised one.
        let given_up = if most == 0 { 0 } else { 100 - most };
        assert_eq!(group.stats().given_up as usize, given_up);
    }
}

/// What runs out is not what is cut short, and takes no place.
pub async fn what_has_expired_goes_before_what_has_not<R: TestRuntime>(_: R) {
    let clock = HandClock::default();
    let group = Group::<usize, usize>::builder()
        .retain_for(MINUTE)
        .max_retained(10)
        .clock(clock.clone())
        .build();
    let settle = |keys: std::ops::Range<usize>| {
        keys.for_each(|key| drop(primary(group.begin(key)).settle(key).unwrap()));
    };
    settle(0..9);
    clock.forward(30);
    settle(9..10);
    clock.forward(30);
    settle(10..19);
    assert!((9..19).all(|key| group.peek(&key).is_some()));
    assert_eq!((group.stats().retained, group.stats().given_up), (10, 0));
    settle(19..20);
    assert!(group.peek(&9).is_none() && group.peek(&10).is_some());
    assert_eq!((group.stats().retained, group.stats().given_up), (10, 1));
}

/// As many are given up as it takes; what is too heavy alone displaces none.
pub async fn what_is_retained_is_bounded_by_weight<R: TestRuntime>(_: R) {
    let clock = HandClock::default();
    let group = Group::<usize, usize>::builder()
        .retain_for(MINUTE)
        .max_retained_weight(10, |value: &usize| *value)
        .max_retained(5)
        .clock(clock.clone())
        .build();
    let kept_after = |key, weight| {
        clock.forward(1);
        primary(group.begin(key)).settle(weight).unwrap();
        (0..20)
            .filter(|key| group.peek(key).is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(kept_after(0, 4), [0]);
    assert_eq!(kept_after(1, 3), [0, 1]);
    assert_eq!(kept_after(2, 3), [0, 1, 2]);
    assert_eq!(kept_after(3, 11), [0, 1, 2]);
    assert_eq!(kept_after(4, usize::MAX), [0, 1, 2]);
    assert_eq!(group.stats().given_up, 0);
    assert_eq!(kept_after(5, 0), [0, 1, 2, 5]);
    assert_eq!(kept_after(6, 6), [2, 5, 6]);
    assert_eq!(kept_after(7, 10), [7]);
    assert_eq!(group.stats().given_up, 5);
    // Its number is bounded all the same.
    assert_eq!(kept_after(8, 0), [7, 8]);
    (9..12).for_each(|key| drop(kept_after(key, 0)));
    assert_eq!(kept_after(12, 0).len(), 5);
    // What is forgotten weighs nothing.
    assert_eq!(group.clear_retained(), 5);
    assert_eq!(kept_after(13, 10), [13]);
    assert!(group.forget(&13));
    assert_eq!(kept_after(14, 10), [14]);
}

/// Also if no call comes that could clear it away.
pub async fn only_what_is_alive_is_counted<R: TestRuntime>(_: R) {
    let clock = HandClock::default();
    let group = Group::<usize, Arc<()>>::builder()
        .retain_for(MINUTE)
        .clock(clock.clone())
        .build();
    let value = Arc::new(());
    let settle = |key| drop(primary(group.begin(key)).settle(value.clone()).unwrap());
    (0..5_000).for_each(settle);
    clock.forward(59);
    assert_eq!((group.purge_expired(), group.stats().retained), (0, 5_000));
    clock.forward(1);
    let runs = primary(group.begin(9));
    let waits = waiter(group.begin(9));
    let stats = group.stats();
    assert_eq!((stats.retained, stats.given_up), (0, 0));
    assert_eq!((stats.in_flight, stats.waiting), (1, 1));
    assert_eq!(Arc::strong_count(&value), 1);
    drop((runs, waits));

    (0..5_000).for_each(settle);
    clock.forward(60);
    assert_eq!((group.purge_expired(), group.purge_expired()), (5_000, 0));
    assert_eq!(Arc::strong_count(&value), 1);
    (0..5_000).for_each(settle);
    let runs = primary(group.begin(5_000));
    assert_eq!((group.clear_retained(), group.clear_retained()), (5_000, 0));
    assert_eq!(Arc::strong_count(&value), 1);
    assert_eq!(group.stats().given_up, 0);
    drop(runs.settle(value.clone()));
    assert_eq!(group.stats().retained, 1);
    let plain = Group::<usize, usize>::new();
    assert_eq!((plain.purge_expired(), plain.clear_retained()), (0, 0));
}

/// It need not be asked for: others that settle clear it away, of whatever shard.
pub async fn what_has_expired_is_freed_by_later_settles<R: TestRuntime>(_: R) {
    let clock = HandClock::default();
    let group = Group::<usize, Arc<()>>::builder()
        .retain_for(MINUTE)
        .clock(clock.clone())
        .build();
    let value = Arc::new(());
    let settle = |key| drop(primary(group.begin(key)).settle(value.clone()).unwrap());
    (0..100).for_each(settle);
    clock.forward(60);
    (100..150).for_each(settle);
    assert_eq!(Arc::strong_count(&value), 50 + 1);
}
