//! Retained outcomes: a duplicate that comes late gets what was settled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use oneflight::error::Cause;

use super::Group;
use crate::{
    CountingWaker, HandClock, TestRuntime, cause_of, fine, poll, primary, quiet_panic, waiter,
};

const MINUTE: Duration = Duration::from_secs(60);

fn never_made() -> std::future::Ready<usize> {
    panic!("its operation was made")
}

/// Of any kind, and without being polled. What is retained is no flight.
pub async fn a_late_duplicate_gets_the_outcome_at_once<R: TestRuntime>(rt: R) {
    let group = Group::builder()
        .retain_for(MINUTE)
        .clock(HandClock::default())
        .build();
    let guard = primary(group.begin("k"));
    assert!(group.peek("k").is_none());
    let in_time = waiter(group.begin("k"));
    let id = guard.settle(7).unwrap().flight_id();
    assert_eq!(
        (group.len(), group.contains("k"), group.waiters("k")),
        (0, false, 0)
    );
    assert_eq!((group.stats().retained, group.stats().in_flight), (1, 0));

    let late = waiter(group.begin("k"));
    assert_eq!(late.id(), id);
    assert_eq!((in_time.is_replayed(), late.is_replayed()), (false, true));
    assert_eq!(*late.get().expect("at once").unwrap(), 7);
    assert_eq!(*rt.task(late).await.unwrap(), 7);
    assert_eq!(
        *waiter(group.entry_ref(&"k").begin())
            .get()
            .unwrap()
            .unwrap(),
        7
    );
    let work = group.work("k", never_made);
    assert_eq!((work.is_primary(), work.is_replayed()), (false, true));
    assert_eq!(*work.get().unwrap().unwrap(), 7);
    let tries = group.try_work("k", fine(never_made));
    assert_eq!((tries.is_primary(), tries.is_replayed()), (false, true));
    assert_eq!(*tries.await.unwrap(), 7);
    let spawned = rt.detach(&group, "k", never_made);
    assert_eq!((spawned.is_primary(), spawned.is_replayed()), (false, true));
    assert_eq!(*spawned.get().unwrap().unwrap(), 7);
    assert_eq!(*group.peek("k").expect("retained"), 7);

    let stats = group.stats();
    assert_eq!((stats.begun, stats.joined, stats.waited), (1, 6, 6));
    assert_eq!(group.waiters("k"), 0);
}

/// An abort is no outcome to keep.
pub async fn only_what_was_settled_is_retained<R: TestRuntime>(_: R) {
    let group = Group::builder()
        .retain_for(MINUTE)
        .clock(HandClock::default())
        .build();
    primary(group.begin("k")).abort();
    drop(primary(group.begin("k")));
    assert!(group.peek("k").is_none());
    assert_eq!(group.stats().retained, 0);
}

/// The key is the new flight's: nobody comes upon the old value.
pub async fn a_forgotten_flight_is_not_retained<R: TestRuntime>(_: R) {
    let group = Group::builder()
        .retain_for(MINUTE)
        .clock(HandClock::default())
        .build();
    let old = primary(group.begin("k"));
    assert!(group.forget("k"));
    let new = primary(group.begin("k"));
    old.settle(1).unwrap();
    assert!(group.peek("k").is_none());
    new.settle(2).unwrap();
    assert_eq!(*group.peek("k").unwrap(), 2);
    assert_eq!(group.stats().retained, 1);
}

/// Now, and not at its deadline.
pub async fn forgetting_a_retained_outcome_frees_it<R: TestRuntime>(_: R) {
    let group = oneflight::Group::<&str, Arc<()>>::builder()
        .retain_for(MINUTE)
        .clock(HandClock::default())
        .build();
    let value = Arc::new(());
    drop(primary(group.begin("k")).settle(value.clone()).unwrap());
    assert_eq!(Arc::strong_count(&value), 2);
    assert!(group.forget("k"));
    assert_eq!(Arc::strong_count(&value), 1);
    assert!(!group.forget("k"));
    assert_eq!(group.stats().retained, 0);
    drop(primary(group.begin("k")));
}

/// The wakers of its waiters are gone, and whoever leaves it leaves nothing.
pub async fn a_retained_outcome_keeps_no_waker<R: TestRuntime>(_: R) {
    let group = Group::builder()
        .retain_for(MINUTE)
        .clock(HandClock::default())
        .build();
    let guard = primary(group.begin("k"));
    let mut joined = waiter(group.begin("k"));
    let bell = CountingWaker::new();
    assert!(poll(&mut joined, bell.waker()).is_pending());
    guard.settle(7).unwrap();
    assert_eq!((bell.wakes(), bell.kept()), (1, 0));
    let mut late = waiter(group.begin("k"));
    assert!(poll(&mut late, bell.waker()).is_ready());
    assert_eq!(bell.kept(), 0);
}

/// Its flight ends; the registry goes on.
pub async fn a_panic_of_retain_by_ends_the_flight<R: TestRuntime>(rt: R) {
    let group = Group::builder()
        .retain_by(|value: &usize| {
            if *value == 13 {
                quiet_panic()
            } else {
                Some(MINUTE)
            }
        })
        .build();
    let guard = primary(group.begin("k"));
    let joined = rt.task(waiter(group.begin("k")));
    let settle = AssertUnwindSafe(|| drop(guard.settle(13)));
    assert!(catch_unwind(settle).is_err());
    assert_eq!(cause_of(joined.await), Cause::Panicked);
    assert!(group.is_empty() && group.peek("k").is_none());
    primary(group.begin("k")).settle(7).unwrap();
    assert_eq!(*group.peek("k").unwrap(), 7);
}

/// Nobody can ask any more. A primary that goes on settles for its waiters, and is not retained.
pub async fn the_last_handle_frees_what_is_retained<R: TestRuntime>(rt: R) {
    let group = oneflight::Group::<&str, Arc<()>>::builder()
        .shards(1)
        .retain_for(MINUTE)
        .build();
    let value = Arc::new(());
    drop(primary(group.begin("a")).settle(value.clone()).unwrap());
    let runs = primary(group.begin("b"));
    // It keeps the shard, as `runs` does until it settles.
    let _other = primary(group.begin("c"));
    let joined = rt.task(waiter(group.begin("b")));
    let clone = group.clone();
    drop(group);
    assert_eq!(Arc::strong_count(&value), 2);
    drop(clone);
    assert_eq!(Arc::strong_count(&value), 1);
    drop(runs.settle(value.clone()).unwrap());
    drop(joined.await.unwrap());
    assert_eq!(Arc::strong_count(&value), 1);
}
