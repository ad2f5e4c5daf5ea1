//! A `spawn` that joins a `work` hands its runtime one task, which drives.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use oneflight::error::Cause;
use oneflight::rt::Spawn;

use super::Group;
use crate::{TestRuntime, cause_of, poll, scripted, until, waiter};

fn never_made() -> Ready<usize> {
    panic!("a duplicate's operation was made")
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A runtime that keeps its tasks, or drops them at once.
#[derive(Clone, Default)]
struct Shelf {
    tasks: Arc<Mutex<Vec<Task>>>,
    drops: bool,
}

impl Spawn for Shelf {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        if !self.drops {
            self.tasks.lock().unwrap().push(Box::pin(task));
        }
    }
}

impl Shelf {
    fn len(&self) -> usize {
        self.tasks.lock().unwrap().len()
    }

    fn take(&self) -> Task {
        self.tasks.lock().unwrap().pop().expect("a task")
    }
}

/// Whoever leaves: the caller by `work`, who drove, and the caller by `spawn`.
pub async fn a_work_that_a_spawn_joins_runs_to_its_end<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let (screen, cancel) = rt.cancellable(group.work("k", || operation));
    until(|| remote.polls() == 1).await;
    let job = rt.detach(&group, "k", never_made);
    assert!(!job.is_primary() && job.abort_handle().is_none());
    assert_eq!(group.waiters("k"), 1, "the task is no waiter");
    drop(job);
    assert_eq!(group.waiters("k"), 0);
    cancel.cancel();
    assert!(screen.await.is_none());
    assert!(group.contains("k") && !remote.dropped());
    remote.finish();
    until(|| group.is_empty()).await;
    let stats = group.stats();
    assert_eq!((stats.begun, stats.joined, stats.settled), (1, 1, 1));
}

/// A caller that drove and is kept without being polled stalls nobody then.
pub async fn the_task_drives_though_the_last_driver_is_kept<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut idle = group.work("k", || operation);
    assert!(poll(&mut idle, Waker::noop()).is_pending());
    let job = rt.task(rt.detach(&group, "k", never_made));
    // Nothing says that the task has parked but that it drives: a wake before that goes to the idle one.
    until(|| {
        if remote.polls() < 3 && group.waiters("k") == 1 {
            if let Some(waker) = remote.take_waker() {
                waker.wake();
            }
        }
        remote.polls() >= 3
    })
    .await;
    remote.finish();
    assert!(job.await.is_ok());
    assert!(idle.await.is_ok());
}

/// One is enough; when it is dropped, the next call hands another.
pub async fn spawns_that_join_a_work_hand_one_task_between_them<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let shelf = Shelf::default();
    let (remote, operation) = scripted();
    let mut work = group.work("k", || operation);
    assert!(poll(&mut work, Waker::noop()).is_pending());
    let first = group.entry("k").spawn_on(&shelf, never_made);
    let second = group.entry("k").spawn_on(&shelf, never_made);
    assert_eq!((shelf.len(), group.waiters("k")), (1, 2));
    let task = shelf.take();
    rt.task(async move { drop(task) }).await;
    assert!(group.contains("k"), "a work caller is left");
    let third = group.entry("k").spawn_on(&shelf, never_made);
    assert_eq!((shelf.len(), group.waiters("k")), (1, 3));
    drop(work);
    assert!(group.contains("k") && !remote.dropped());
    let task = rt.task(shelf.take());
    remote.finish();
    for call in [first, second, third] {
        assert_eq!(*rt.task(call).await.unwrap(), 2);
    }
    task.await;
    assert_eq!(shelf.len(), 0);
}

/// Then nobody is left who could drive.
pub async fn a_runtime_that_drops_the_task_of_a_spawn_leaves_the_work_to_its_callers<
    R: TestRuntime,
>(
    rt: R,
) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut work = group.work("k", || operation);
    assert!(poll(&mut work, Waker::noop()).is_pending());
    let gone = Shelf {
        drops: true,
        ..Shelf::default()
    };
    let call = group.entry("k").spawn_on(&gone, never_made);
    assert!(group.contains("k") && call.get().is_none());
    drop(work);
    assert_eq!(cause_of(rt.task(call).await), Cause::Dropped);
    assert!(remote.dropped() && group.is_empty());

    // The task is the last participant, and its runtime drops it.
    let shelf = Shelf::default();
    let (remote, operation) = scripted();
    let work = group.work("k", || operation);
    let call = group.entry("k").spawn_on(&shelf, never_made);
    drop(work);
    assert!(group.contains("k"));
    drop(shelf.take());
    assert_eq!(cause_of(call.await), Cause::Dropped);
    assert!(remote.dropped() && group.is_empty());
}

/// The task is woken by it, and ends.
pub async fn the_task_of_a_spawn_ends_with_its_flight<R: TestRuntime>(rt: R) {
    for panics in [false, true] {
        let group = Group::new();
        let shelf = Shelf::default();
        let (remote, operation) = scripted();
        let work = group.work("k", || operation);
        let call = group.entry("k").spawn_on(&shelf, never_made);
        let task = rt.task(shelf.take());
        until(|| remote.polls() == 1).await;
        let cause = if panics {
            remote.panic();
            Cause::Panicked
        } else {
            assert!(group.abort("k"));
            Cause::Cancelled
        };
        task.await;
        assert_eq!(cause_of(rt.task(call).await), cause);
        assert_eq!(cause_of(rt.task(work).await), cause);
        assert!(remote.dropped() && group.is_empty());
        assert_eq!(group.stats().ending, 0);
    }
}

/// It would keep its own flight alive.
pub async fn a_spawn_from_inside_its_own_work_hands_nothing<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let shelf = Shelf::default();
    let (inside, runtime) = (group.clone(), shelf.clone());
    let work = group.work("k", move || async move {
        drop(inside.entry("k").spawn_on(&runtime, never_made));
        7
    });
    assert_eq!(*rt.task(work).await.unwrap(), 7);
    assert_eq!(shelf.len(), 0);
}

/// What it joins is out of its reach.
pub async fn a_spawn_behind_another_call_only_waits<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let shelf = Shelf::default();
    let guard = crate::primary(group.begin("k"));
    let call = group.entry("k").spawn_on(&shelf, never_made);
    drop(guard);
    assert_eq!(cause_of(rt.task(call).await), Cause::Dropped);
    let work = group.work("k", || ready(7));
    let blocking = rt.detach_blocking(&group, "k", || panic!("a second call"));
    let wanted = group.entry("k").spawn_while_wanted_on(&shelf, never_made);
    let plain = waiter(group.begin("k"));
    drop(work);
    for call in [blocking, wanted] {
        assert_eq!(cause_of(rt.task(call).await), Cause::Dropped);
    }
    assert_eq!(cause_of(plain.await), Cause::Dropped);
    assert_eq!(shelf.len(), 0);
}
