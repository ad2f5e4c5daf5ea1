//! Callers of different kinds on one key: the policy is the flight's, everybody else only waits.

use std::future::ready;
use std::thread;

use oneflight::Waiter;

use super::Group;
use crate::{Counted, CountingWaker, TestRuntime, poll, primary, scripted, until, waiter};

fn never_made() -> std::future::Ready<usize> {
    panic!("a duplicate's operation was made")
}

fn thread(waiter: Waiter<&'static str, usize>) -> thread::JoinHandle<usize> {
    thread::spawn(move || *waiter.wait_blocking().unwrap())
}

/// However often it is polled, and though the operation is ready and nobody drives.
pub async fn a_begin_on_a_work_flight_never_drives<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let work = group.work("k", || operation);
    let mut plain = waiter(group.begin("k"));
    let bell = CountingWaker::new();
    for _ in 0..3 {
        assert!(poll(&mut plain, bell.waker()).is_pending());
    }
    assert_eq!(remote.polls(), 0, "a plain waiter drove");
    let plain = rt.task(plain);
    let work = rt.task(work);
    until(|| remote.polls() == 1).await;
    remote.finish();
    assert_eq!(*plain.await.unwrap(), 2);
    assert_eq!(*work.await.unwrap(), 2);
}

/// Its operation is never made, and the primary's outcome is its own.
pub async fn a_work_call_on_a_begin_flight_only_waits<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let (work, counts) = Counted::new(group.work("k", never_made));
    let work = rt.task(work);
    until(|| counts.polls() == 1).await;
    assert_eq!(group.waiters("k"), 1);
    guard.settle(7).unwrap();
    assert_eq!(*work.await.unwrap(), 7);
    assert_eq!((counts.polls(), counts.wakes()), (2, 1));
}

/// Nor does it drive what is spawned; and a spawn starts nothing where a flight is.
pub async fn work_and_spawn_wait_for_each_other<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let spawned = rt.detach(&group, "k", || operation);
    let (work, counts) = Counted::new(group.work("k", never_made));
    let work = rt.task(work);
    until(|| remote.polls() == 1 && counts.polls() == 1).await;
    remote.wake();
    until(|| remote.polls() == 2).await;
    assert_eq!((counts.polls(), counts.wakes()), (1, 0));
    remote.finish();
    assert_eq!(*work.await.unwrap(), 3);
    assert_eq!(*spawned.await.unwrap(), 3);

    let (remote, operation) = scripted();
    let work = rt.task(group.work("k", || operation));
    until(|| remote.polls() == 1).await;
    let spawned = rt.detach(&group, "k", never_made);
    let blocking = rt.detach_blocking(&group, "k", || panic!("a duplicate's call was made"));
    assert!(!spawned.is_primary() && !blocking.is_primary());
    assert_eq!(group.waiters("k"), 2);
    remote.finish();
    assert_eq!(*spawned.await.unwrap() + *blocking.await.unwrap(), 4);
    assert_eq!(*work.await.unwrap(), 2);
}

/// Threads that park, beside tasks.
pub async fn a_blocking_thread_waits_on_a_flight_of_any_kind<R: TestRuntime>(rt: R) {
    let group = Group::new();

    let guard = primary(group.begin("k"));
    let parked = thread(waiter(group.begin("k")));
    let task = rt.task(waiter(group.begin("k")));
    guard.settle(1).unwrap();
    assert_eq!(*task.await.unwrap(), 1);
    assert_eq!(parked.join().unwrap(), 1);

    let (remote, operation) = scripted();
    let work = rt.task(group.work("k", || operation));
    until(|| remote.polls() == 1).await;
    let parked = thread(waiter(group.begin("k")));
    remote.wake();
    until(|| remote.polls() == 2).await;
    remote.finish();
    assert_eq!(*work.await.unwrap(), 3);
    assert_eq!(parked.join().unwrap(), 3);

    let (remote, operation) = scripted();
    let spawned = rt.detach(&group, "k", || operation);
    let parked = thread(waiter(group.begin("k")));
    until(|| remote.polls() == 1).await;
    remote.finish();
    assert_eq!(*spawned.await.unwrap(), 2);
    assert_eq!(parked.join().unwrap(), 2);
}

/// Of a flight begun by `begin`, no number of `work` calls changes the end.
pub async fn work_calls_that_leave_a_begin_flight_end_nothing<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let (first, cancel) = rt.cancellable(group.work("k", never_made));
    drop(group.work("k", || ready(0)));
    cancel.cancel();
    assert!(first.await.is_none());
    assert_eq!(group.waiters("k"), 0);
    assert!(group.contains("k"));
    guard.settle(7).unwrap();
}
