//! `spawn_while_wanted`: who wants an operation keeps it, and it stops when the last of them leaves.

use std::future::{Ready, pending, ready};
use std::task::Waker;
use std::thread;
use std::time::Instant;

use oneflight::Error;

use super::Group;
use crate::{Cancel, TestRuntime, cause_of, elsewhere, fine, poll, scripted, until, waiter};
use oneflight::error::Cause;

fn never_made() -> Ready<usize> {
    panic!("a duplicate's operation was made")
}

/// Its flight has ended when the drop returns, and nobody polls it again.
pub async fn the_last_caller_to_leave_stops_the_operation<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let owner = rt.wanted(&group, "k", || operation);
    let second = rt.wanted(&group, "k", never_made);
    assert!(owner.is_primary() && !second.is_primary());
    assert_eq!(group.waiters("k"), 1, "the owner is no duplicate");
    until(|| remote.polls() == 1).await;
    drop(owner);
    assert!(group.contains("k") && !remote.dropped());
    drop(second);
    assert!(!group.contains("k"));
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.aborted_by(Cause::Dropped), 1);
    assert_eq!((stats.joined, stats.cancelled), (1, 1));
    until(|| remote.dropped()).await;
    until(|| group.stats().ending == 0).await;
    assert_eq!(remote.polls(), 1, "polled after its end");
}

/// In tasks, which have parked: the executor drops them.
pub async fn callers_that_are_cancelled_stop_the_operation<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut calls = vec![rt.wanted(&group, "k", || operation)];
    calls.extend((0..3).map(|_| rt.wanted(&group, "k", never_made)));
    let tasks: Vec<_> = calls.into_iter().map(|call| rt.cancellable(call)).collect();
    until(|| remote.polls() == 1).await;
    let (tasks, cancels): (Vec<_>, Vec<Cancel>) = tasks.into_iter().unzip();
    for (left, cancel) in cancels.into_iter().enumerate() {
        assert!(group.contains("k"), "ended after {left} had left");
        cancel.cancel();
        until(|| group.waiters("k") == 3_usize.saturating_sub(left) || !group.contains("k")).await;
    }
    for task in tasks {
        assert!(task.await.is_none());
    }
    until(|| !group.contains("k") && remote.dropped()).await;
}

/// It runs to its end as long as one of them is there, whatever call that made.
pub async fn each_kind_of_caller_keeps_the_operation<R: TestRuntime>(rt: R) {
    for kind in 0..7 {
        let group = Group::new();
        let (remote, operation) = scripted();
        let owner = rt.wanted(&group, "k", || operation);
        until(|| remote.polls() == 1).await;
        let other = match kind {
            0 => rt.task(waiter(group.begin("k"))),
            1 => rt.task(group.join("k").unwrap().expect("in flight")),
            2 => rt.task(group.work("k", never_made)),
            3 => rt.task(group.try_work("k", fine(never_made))),
            4 => rt.task(rt.wanted(&group, "k", never_made)),
            5 => rt.task(rt.detach_blocking(&group, "k", || panic!("a second call"))),
            _ => {
                let calls = group.clone();
                rt.unblock(move || calls.work_blocking("k", || panic!("a second call")))
            }
        };
        until(|| group.waiters("k") == 1).await;
        drop(owner);
        remote.wake();
        until(|| remote.polls() == 2).await;
        assert!(group.contains("k"), "{kind}");
        remote.finish();
        assert_eq!(*other.await.unwrap(), 3, "{kind}");
        assert!(group.is_empty());
    }
}

/// The starter is one of those who want it, though it is no duplicate.
pub async fn the_caller_that_began_keeps_the_operation<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut owner = rt.wanted(&group, "k", || operation);
    until(|| remote.polls() == 1).await;
    drop(waiter(group.begin("k")));
    drop(rt.wanted(&group, "k", never_made));
    assert_eq!(
        owner.wait_deadline(Instant::now()).unwrap_err(),
        Error::TimedOut
    );
    assert!(group.contains("k"));
    let handle = owner.abort_handle().expect("it started the operation");
    remote.finish();
    assert_eq!(*rt.task(owner).await.unwrap(), 2);
    assert!(!handle.abort());
}

/// A handle wants nothing.
pub async fn an_abort_handle_keeps_no_operation<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let owner = rt.wanted(&group, "k", || operation);
    let handle = owner.abort_handle().expect("it started the operation");
    drop(owner);
    assert!(!group.contains("k") && !handle.abort());
    until(|| remote.dropped()).await;

    let owner = rt.wanted(&group, "k", pending);
    let duplicate = rt.task(waiter(group.begin("k")));
    assert!(
        owner
            .abort_handle()
            .expect("it started the operation")
            .abort()
    );
    assert_eq!(cause_of(duplicate.await), Cause::Cancelled);
    drop(owner);
    let stats = group.stats();
    assert_eq!((stats.aborted, stats.aborted_by(Cause::Cancelled)), (2, 1));
}

/// Also before its operation is dropped; and neither is told of the other.
pub async fn a_newcomer_after_the_end_begins_its_own<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    drop(rt.wanted(&group, "k", || operation));
    let (second, operation) = scripted();
    let newcomer = rt.wanted(&group, "k", || operation);
    assert!(newcomer.is_primary());
    let duplicate = rt.task(waiter(group.begin("k")));
    until(|| remote.dropped() && second.polls() == 1).await;
    second.finish();
    assert_eq!(*newcomer.await.unwrap(), 2);
    assert_eq!(*duplicate.await.unwrap(), 2);
    let stats = group.stats();
    assert_eq!((stats.begun, stats.settled, stats.aborted), (2, 1, 1));
}

/// Atomically: the call is counted first.
pub async fn a_spawn_that_joins_makes_it_run_to_its_end<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let owner = rt.wanted(&group, "k", || operation);
    until(|| remote.polls() == 1).await;
    let spawned = rt.detach(&group, "k", never_made);
    assert!(!spawned.is_primary());
    drop(spawned);
    drop(rt.wanted(&group, "k", never_made));
    drop(owner);
    assert!(group.contains("k"));
    remote.wake();
    until(|| remote.polls() == 2).await;
    remote.finish();
    until(|| group.is_empty()).await;
    assert_eq!(group.stats().settled, 1);
}

/// A waiter from inside of the operation, kept elsewhere, counts for nothing.
pub async fn a_waiter_from_inside_keeps_nothing<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (inside, from) = (group.clone(), std::sync::mpsc::channel());
    let send = from.0;
    let owner = rt.wanted(&group, "k", move || async move {
        send.send(waiter(inside.begin("k"))).ok();
        pending().await
    });
    let mut own = None;
    until(|| {
        own = from.1.try_recv().ok();
        own.is_some()
    })
    .await;
    drop(owner);
    assert!(!group.contains("k"));
    assert_eq!(cause_of(own.expect("sent").await), Cause::Dropped);
}

/// A caller that timed out keeps its place, as a thread does and as a task does.
pub async fn a_caller_that_times_out_still_wants_it<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let owner = rt.wanted(&group, "k", || operation);
    let mut waiting = waiter(group.begin("k"));
    drop(owner);
    let late = waiting.wait_deadline(Instant::now()).unwrap_err();
    assert_eq!(late, Error::TimedOut);
    assert!(poll(&mut waiting, Waker::noop()).is_pending());
    assert!(group.contains("k"));
    until(|| remote.polls() == 1).await;
    remote.finish();
    assert_eq!(*waiting.await.unwrap(), 2);
}

/// It would wait for itself, so it is told, and wants nothing any more.
pub async fn a_caller_that_waits_for_itself_leaves<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (give, take) = std::sync::mpsc::channel::<oneflight::handle::Spawned<_, usize>>();
    let (done, told) = std::sync::mpsc::channel();
    let owner = rt.wanted(&group, "k", move || async move {
        let take = std::sync::Mutex::new(take);
        let own = std::future::poll_fn(|cx| match take.lock().unwrap().try_recv() {
            Ok(own) => std::task::Poll::Ready(own),
            Err(_) => {
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            }
        })
        .await;
        done.send(own.await.map(drop)).ok();
        pending().await
    });
    give.send(owner).expect("the operation waits for it");
    let mut outcome = None;
    until(|| {
        outcome = told.try_recv().ok();
        outcome.is_some()
    })
    .await;
    let reentrant = Error::Rejected(oneflight::error::Rejected::Reentrant);
    assert_eq!(outcome, Some(Err(reentrant)));
    until(|| group.is_empty() && group.stats().ending == 0).await;
    assert_eq!(group.stats().aborted_by(Cause::Dropped), 1);
}

/// Threads that park want it too.
pub async fn a_parked_thread_keeps_the_operation<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let owner = rt.wanted(&group, "k", || operation);
    let waiting = elsewhere(|| waiter(group.begin("k")));
    let parked = thread::spawn(move || *waiting.wait_blocking().unwrap());
    drop(owner);
    until(|| remote.polls() == 1).await;
    remote.finish();
    let done = rt.unblock(move || parked.join().unwrap());
    assert_eq!(done.await, 2);
    let also = rt.wanted(&group, "k", || ready(7));
    assert_eq!(*rt.unblock(move || also.wait_blocking().unwrap()).await, 7);
}
