//! `spawn`, `spawn_blocking`: the operation outlives every caller.

use std::sync::mpsc::channel;
use std::thread;

use oneflight::handle::Spawned;

use super::Group;
use crate::{Counted, TestRuntime, scripted, until, waiter};

/// Every caller leaves; a newcomer before the end gets the outcome.
pub async fn a_spawned_operation_runs_to_its_end_without_callers<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let first = rt.detach(&group, "k", || operation);
    let second = rt.detach(&group, "k", || std::future::ready(0));
    assert!(first.is_primary() && !second.is_primary());
    assert_eq!(group.waiters("k"), 1);
    let (second, cancel) = rt.cancellable(second);
    until(|| remote.polls() == 1).await;
    drop(first);
    cancel.cancel();
    assert!(second.await.is_none());
    assert_eq!(group.waiters("k"), 0);
    assert!(group.contains("k") && !remote.dropped());

    remote.wake();
    until(|| remote.polls() == 2).await;
    let newcomer = rt.task(waiter(group.begin("k")));
    let also = rt.task(rt.detach(&group, "k", || std::future::ready(0)));
    remote.finish();
    assert_eq!(*newcomer.await.unwrap(), 3);
    assert_eq!(*also.await.unwrap(), 3);
    assert!(group.is_empty());
}

/// Nobody is there to see it.
pub async fn a_spawned_operation_settles_though_nobody_waits<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    drop(rt.detach(&group, "k", || operation));
    until(|| remote.polls() == 1).await;
    remote.finish();
    until(|| group.is_empty()).await;
    assert_eq!(group.stats().settled, 1);
}

/// Its starter too is polled only to park and for the outcome.
pub async fn callers_of_spawn_are_left_alone_until_the_outcome<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let starter = rt.detach(&group, "k", || operation);
    let duplicate = rt.detach(&group, "k", || std::future::ready(0));
    assert!(starter.id().is_some() && starter.id() == duplicate.id());
    let (counted, counts): (Vec<_>, Vec<_>) = [starter, duplicate]
        .into_iter()
        .map(Counted::<Spawned<_, _>>::new)
        .unzip();
    let tasks: Vec<_> = counted.into_iter().map(|call| rt.task(call)).collect();
    until(|| remote.polls() == 1 && counts.iter().all(|c| c.polls() == 1)).await;
    for step in 0..20 {
        remote.wake();
        until(|| remote.polls() == step + 2).await;
    }
    remote.finish();
    for task in tasks {
        assert_eq!(*task.await.unwrap(), 22);
    }
    assert!(counts.iter().all(|c| (c.polls(), c.wakes()) == (2, 1)));
}

/// One thread of the pool for a flight, however many wait: on tokio the pool here has two.
pub async fn a_blocking_call_takes_one_thread_whatever_waits<R: TestRuntime>(rt: R) {
    const DUPLICATES: usize = 200;
    let group = oneflight::Group::<&str, thread::ThreadId>::new();
    let (go, wait) = channel::<()>();
    let first = rt.detach_blocking(&group, "k", move || {
        wait.recv().expect("told to go on");
        thread::current().id()
    });
    let tasks: Vec<_> = (0..DUPLICATES)
        .map(|_| {
            let never = || panic!("a duplicate's call was made");
            rt.task(rt.detach_blocking(&group, "k", never))
        })
        .collect();
    until(|| group.waiters("k") == DUPLICATES).await;
    // The pool is still of use to others.
    assert_eq!(rt.unblock(|| 1).await, 1);
    go.send(()).unwrap();
    let ran_on = *first.await.unwrap();
    assert_ne!(ran_on, thread::current().id());
    for task in tasks {
        assert_eq!(*task.await.unwrap(), ran_on);
    }
}

/// As a spawned operation does.
pub async fn a_blocking_call_runs_to_its_end_without_callers<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (go, wait) = channel::<()>();
    drop(rt.detach_blocking(&group, "k", move || {
        wait.recv().expect("told to go on");
        7
    }));
    let newcomer = rt.task(waiter(group.begin("k")));
    go.send(()).unwrap();
    assert_eq!(*newcomer.await.unwrap(), 7);
    assert_eq!(group.stats().begun, 1);
}
