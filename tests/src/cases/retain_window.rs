//! Retained outcomes: for how long, and how many.

use std::sync::Arc;
use std::time::Duration;

use oneflight::{Group, Keep};

use crate::{HandClock, TestRuntime, primary, waiter};

type Charge = Result<usize, usize>;

const MINUTE: Duration = Duration::from_secs(60);

/// It is there one second before, and gone at the deadline.
pub async fn an_outcome_expires_exactly_at_its_deadline<R: TestRuntime>(_: R) {
    let clock = HandClock::default();
    let group = Group::<&str, Arc<()>>::builder()
        .retain(MINUTE)
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
        .retain(MINUTE)
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
fn kept<Q: Into<Keep>>(keep: impl Fn(&Charge) -> Q + Send + Sync + 'static) -> [[bool; 2]; 3] {
    let clock = HandClock::default();
    let group = Group::<&str, Charge>::builder()
        .retain(MINUTE)
        .keep(keep)
        .clock(clock.clone())
        .build();
    primary(group.begin("a")).settle(Ok(1)).unwrap();
    primary(group.begin("b")).settle(Err(2)).unwrap();
    [0, 10, 50].map(|seconds| {
        clock.forward(seconds);
        ["a", "b"].map(|key| group.peek(key).is_some())
    })
}

/// Whatever `keep` answers with.
pub async fn successes_and_failures_have_windows_of_their_own<R: TestRuntime>(_: R) {
    const TEN: Duration = Duration::from_secs(10);
    let only_ok = [[true, false], [true, false], [false, false]];
    let ten_for_errors = [[true, true], [true, false], [false, false]];
    assert_eq!(kept(|charge| charge.is_ok()), only_ok);
    assert_eq!(
        kept(|charge| if charge.is_ok() { MINUTE } else { TEN }),
        ten_for_errors
    );
    assert_eq!(
        kept(|charge| if charge.is_ok() {
            MINUTE
        } else {
            Duration::ZERO
        }),
        only_ok
    );
    assert_eq!(kept(|charge| charge.is_ok().then_some(MINUTE)), only_ok);
    let keep = |charge: &Charge| match charge {
        Ok(_) => Keep::Yes,
        Err(_) => Keep::For(TEN),
    };
    assert_eq!(kept(keep), ten_for_errors);
    assert_eq!(kept(|_| Keep::No), [[false; 2]; 3]);
    assert_eq!(kept(|_| 2 * MINUTE), [[true; 2]; 3]);
}

/// Whatever its window: the one that settled first.
pub async fn the_oldest_outcome_of_a_full_shard_goes<R: TestRuntime>(_: R) {
    let group = Group::<usize, Arc<usize>>::builder()
        .shards(1)
        .retain(MINUTE)
        // Two windows: the long one first.
        .keep(|value: &Arc<usize>| Duration::from_secs(if **value < 2 { 90 } else { 30 }))
        .capacity(3)
        .clock(HandClock::default())
        .build();
    let values: Vec<_> = (0..5).map(Arc::new).collect();
    for (key, value) in values.iter().enumerate() {
        drop(primary(group.begin(key)).settle(value.clone()).unwrap());
        assert_eq!(group.stats().retained, (key + 1).min(3));
    }
    let kept: Vec<_> = (0..5).filter(|key| group.peek(key).is_some()).collect();
    assert_eq!(kept, [2, 3, 4]);
    let freed: Vec<_> = values
        .iter()
        .map(|value| Arc::strong_count(value) == 1)
        .collect();
    assert_eq!(freed, [true, true, false, false, false]);

    // A forgotten one makes room.
    assert!(group.forget(&3));
    drop(primary(group.begin(9)).settle(Arc::new(9)).unwrap());
    assert!(group.peek(&2).is_some() && group.peek(&9).is_some());
}

/// An equal part for each shard, rounded up.
pub async fn the_capacity_is_shared_out_among_the_shards<R: TestRuntime>(_: R) {
    let group = Group::<usize, usize>::builder()
        .shards(4)
        .retain(MINUTE)
        .capacity(5)
        .clock(HandClock::default())
        .build();
    for key in 0..1_000 {
        primary(group.begin(key)).settle(key).unwrap();
    }
    // Two for each of four; a thousand keys fill them all.
    assert_eq!(group.stats().retained, 8);
    assert_eq!(group.len(), 0);
}

/// It need not be asked for: others that settle clear it away.
pub async fn what_has_expired_is_freed_by_later_calls<R: TestRuntime>(_: R) {
    let clock = HandClock::default();
    let group = Group::<usize, usize>::builder()
        .shards(1)
        .retain(MINUTE)
        .clock(clock.clone())
        .build();
    for key in 0..100 {
        primary(group.begin(key)).settle(key).unwrap();
    }
    clock.forward(60);
    for key in 100..200 {
        primary(group.begin(key)).settle(key).unwrap();
    }
    assert_eq!(group.stats().retained, 100);
}
