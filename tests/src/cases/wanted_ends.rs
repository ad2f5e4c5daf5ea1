//! How a flight of `spawn_while_wanted` ends otherwise, and what is left of it.

use std::future::{Future, Ready, pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;
use std::time::Duration;

use futures_lite::future::block_on;
use oneflight::error::{Cause, Rejected};
use oneflight::rt::Spawn;
use oneflight::{Begin, Error};

use super::Group;
use crate::{
    CountingWaker, HandClock, TestRuntime, cause_of, poll, primary, quiet_panic, scripted, until,
    waiter,
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A runtime that keeps its tasks.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<Task>>>);

impl Spawn for Shelf {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.lock().unwrap().push(Box::pin(task));
    }
}

/// A runtime that runs each task at once, to its end.
struct Inline;

impl Spawn for Inline {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        block_on(task);
    }
}

/// A runtime that has shut down.
struct Gone;

impl Spawn for Gone {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        drop(task);
    }
}

/// Its closure is dropped uncalled, and the error says so.
pub async fn an_operation_nobody_wants_before_it_begins_never_begins<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let shelf = Shelf::default();
    let make = || -> Ready<usize> { panic!("made after its end") };
    let held = {
        let entry = group.entry("k");
        entry.spawn_while_wanted_on(&shelf, make)
    };
    let mut inside = waiter(group.begin("k"));
    assert!(poll(&mut inside, Waker::noop()).is_pending());
    drop(held);
    drop(inside);
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.ending, stats.aborted_by(Cause::Dropped)), (0, 1));
    let task = shelf.0.lock().unwrap().pop().expect("one task");
    rt.task(task).await;
    assert_eq!(group.stats().aborted, 1);

    // The same end from outside: `has_begun` is false for those who wait.
    let call = group.entry("k").spawn_while_wanted_on(&shelf, make);
    assert!(group.abort("k"));
    match call.await {
        Err(Error::Aborted(why)) => assert!(!why.has_begun()),
        other => panic!("{other:?}"),
    }
}

/// In the task alone, as with `spawn`.
pub async fn a_panic_of_a_wanted_operation_ends_in_its_task<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let in_a_poll = rt.wanted(&group, "poll", || operation);
    let duplicate = rt.task(waiter(group.begin("poll")));
    until(|| remote.polls() == 1).await;
    remote.panic();
    let in_the_making = rt.wanted(&group, "make", || -> Ready<usize> { quiet_panic() });
    assert_eq!(cause_of(rt.task(in_a_poll).await), Cause::Panicked);
    assert_eq!(cause_of(duplicate.await), Cause::Panicked);
    assert_eq!(cause_of(rt.task(in_the_making).await), Cause::Panicked);
    assert!(group.is_empty());
    assert_eq!(*rt.wanted(&group, "k", || ready(1)).await.unwrap(), 1);
}

/// No lock is held across `spawn`.
pub async fn a_runtime_runs_or_drops_a_wanted_task_inline<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let inside = group.clone();
    let make = move || async move { *primary(inside.begin("other")).settle(1).unwrap() };
    let call = group.entry("k").spawn_while_wanted_on(&Inline, make);
    assert_eq!(*call.get().expect("at once").unwrap(), 1);
    let call = group.entry("k").spawn_while_wanted_on(&Gone, || ready(0));
    assert!(call.is_primary() && !group.contains("k"));
    assert_eq!(cause_of(rt.task(call).await), Cause::Dropped);
    assert!(group.is_empty());
}

/// Those who leave afterwards change nothing.
pub async fn every_end_from_outside_ends_a_wanted_flight<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    for end in 0..4 {
        let group = oneflight::Group::<&str, usize>::builder()
            .clock(clock.clone())
            .supersede_after(Duration::from_secs(1))
            .build();
        let (remote, operation) = scripted();
        let owner = group
            .entry("k")
            .spawn_while_wanted_on(&rt.adapter(), || operation);
        let told = rt.task(waiter(group.begin("k")));
        until(|| remote.polls() == 1).await;
        let cause = match end {
            0 => {
                group.abort_all();
                Cause::AbortedAll
            }
            1 => {
                assert!(group.abort("k"));
                Cause::Cancelled
            }
            2 => {
                clock.forward(2);
                drop(primary(group.begin("k")));
                Cause::Superseded
            }
            _ => {
                assert!(group.forget("k"));
                group.abort_all();
                Cause::AbortedAll
            }
        };
        assert_eq!(cause_of(told.await), cause);
        until(|| remote.dropped()).await;
        drop(owner);
        let stats = group.stats();
        assert_eq!(stats.begun, stats.aborted);
    }
}

/// It has no key any more, so only its callers can stop it.
pub async fn a_forgotten_flight_ends_with_its_last_caller<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let owner = rt.wanted(&group, "k", || operation);
    until(|| remote.polls() == 1).await;
    assert!(group.forget("k"));
    let newer = primary(group.begin("k"));
    drop(owner);
    until(|| remote.dropped()).await;
    assert!(group.contains("k"), "the newer flight was touched");
    newer.settle(7).unwrap();
    until(|| group.stats().ending == 0).await;
    assert_eq!(group.stats().aborted_by(Cause::Dropped), 1);
}

/// The place for flights is free when the operation is gone, not when it is told to go.
pub async fn an_operation_nobody_wants_counts_until_it_is_gone<R: TestRuntime>(rt: R) {
    let group = oneflight::Group::<&str, usize>::builder()
        .max_flights(1)
        .build();
    let shelf = Shelf::default();
    let (remote, operation) = scripted();
    let owner = group.entry("k").spawn_while_wanted_on(&shelf, || operation);
    let mut task = shelf.0.lock().unwrap().pop().expect("one task");
    assert!(poll(&mut task, Waker::noop()).is_pending());
    drop(owner);
    assert_eq!(group.stats().ending, 1);
    let refused = group.begin("k");
    assert!(matches!(refused, Begin::Rejected(Rejected::TooManyFlights)));
    group.close();
    let mut drained = group.drained();
    assert!(poll(&mut drained, Waker::noop()).is_pending());
    rt.task(task).await;
    assert!(remote.dropped());
    drained.await;
    assert_eq!(group.stats().ending, 0);
}

/// With the replay window of the group; and the outcome keeps no registry.
pub async fn the_outcome_of_a_wanted_operation_is_retained<R: TestRuntime>(rt: R) {
    let alive = Arc::new(7);
    let group = oneflight::Group::<&str, Arc<usize>>::builder()
        .retain_for(Duration::from_secs(3600))
        .build();
    let weak: Weak<usize> = Arc::downgrade(&alive);
    let call = group
        .entry("k")
        .spawn_while_wanted_on(&rt.adapter(), || ready(alive));
    let settled = call.await.unwrap();
    let replay = waiter(group.begin("k"));
    assert!(replay.is_replayed());
    drop((replay, settled));
    assert_eq!(weak.strong_count(), 1, "retained");
    until(|| group.stats().in_flight + group.stats().ending == 0).await;
    drop(group);
    until(|| weak.strong_count() == 0).await;
}

/// Nobody waits, so nobody is woken: not even the waker of the one who leaves.
pub async fn the_last_caller_wakes_only_the_task<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut owner = rt.wanted(&group, "k", || operation);
    let mut duplicate = waiter(group.begin("k"));
    let (one, two) = (CountingWaker::new(), CountingWaker::new());
    assert!(poll(&mut owner, one.waker()).is_pending());
    assert!(poll(&mut duplicate, two.waker()).is_pending());
    until(|| remote.polls() == 1).await;
    drop(duplicate);
    drop(owner);
    assert_eq!((one.wakes(), two.wakes()), (0, 0));
    assert_eq!((one.kept(), two.kept()), (0, 0));
    until(|| remote.dropped()).await;

    let mut owner = rt.wanted(&group, "k", pending);
    let mut duplicate = waiter(group.begin("k"));
    assert!(poll(&mut owner, one.waker()).is_pending());
    assert!(poll(&mut duplicate, two.waker()).is_pending());
    drop(owner);
    drop(duplicate);
    assert_eq!((one.wakes(), two.wakes()), (0, 0));
}
