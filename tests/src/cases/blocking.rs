//! Threads that park themselves, beside tasks.

use std::thread;
use std::time::{Duration, Instant};

use oneflight::error::Cause;
use oneflight::{Error, SettleCell};
use std::sync::Arc;

use super::Group;
use crate::{TestRuntime, cause_of, primary, until, waiter};

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Settled by a task, told on a thread.
pub async fn parked_threads_get_the_outcome_of_a_task<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let threads: Vec<_> = (0..6)
        .map(|nth| {
            let mut waiter = waiter(group.begin("k"));
            thread::spawn(move || match nth % 2 {
                0 => *waiter.wait_blocking().unwrap(),
                _ => *waiter.wait_deadline(far()).unwrap(),
            })
        })
        .collect();
    let task = rt.task(waiter(group.begin("k")));
    until(|| group.waiters("k") == 7).await;
    rt.task(async move { guard.settle(7).map(drop).is_ok() })
        .await;
    assert_eq!(*task.await.unwrap(), 7);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 7);
    }
}

/// Settled on a thread of the executor's blocking pool, told to tasks.
pub async fn a_settle_from_the_blocking_pool_reaches_tasks<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let tasks: Vec<_> = (0..20).map(|_| rt.task(waiter(group.begin("k")))).collect();
    let settled = rt.unblock(move || guard.settle(7).map(drop).is_ok());
    for task in tasks {
        assert_eq!(*task.await.unwrap(), 7);
    }
    assert!(settled.await);
}

/// The loss of the primary ends every kind of wait.
pub async fn parked_threads_are_told_of_an_abort<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let blocking = waiter(group.begin("k"));
    let mut until_then = waiter(group.begin("k"));
    let first = thread::spawn(move || cause_of(blocking.wait_blocking()));
    let second = thread::spawn(move || until_then.wait_deadline(far()).unwrap_err());
    rt.task(async move { drop(guard) }).await;
    assert_eq!(first.join().unwrap(), Cause::Dropped);
    let Error::Aborted(aborted) = second.join().unwrap() else {
        panic!("an abort is no time-out")
    };
    assert_eq!(aborted.cause(), Cause::Dropped);
}

/// It keeps its place, and may wait again, in any way.
pub async fn a_deadline_that_passes_ends_nothing<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let mut late = waiter(group.begin("k"));
    let thread = thread::spawn(move || {
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(late.wait_deadline(soon).unwrap_err(), Error::TimedOut);
        assert!(Instant::now() >= soon, "too early");
        let past = soon - Duration::from_millis(5);
        assert_eq!(late.wait_deadline(past).unwrap_err(), Error::TimedOut);
        late
    });
    until(|| thread.is_finished()).await;
    let late = thread.join().unwrap();
    assert_eq!(group.waiters("k"), 1);
    assert!(group.contains("k"));
    let task = rt.task(late);
    guard.settle(7).unwrap();
    let mut late = rt.task(async move { task.await.unwrap() }).await;
    assert_eq!(*late, 7);
    late = late.clone();
    assert_eq!(*late.key(), "k");
}

/// Ready, though the deadline is long over.
pub async fn an_outcome_comes_before_a_deadline<R: TestRuntime>(_: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let mut late = waiter(group.begin("k"));
    guard.settle(7).unwrap();
    for _ in 0..2 {
        assert_eq!(*late.wait_deadline(Instant::now()).unwrap(), 7);
    }
    assert_eq!(*late.wait_blocking().unwrap(), 7);
}

/// Without a key.
pub async fn threads_and_tasks_wait_for_a_bare_cell<R: TestRuntime>(rt: R) {
    let cell = Arc::new(SettleCell::new());
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let cell = cell.clone();
            thread::spawn(move || *cell.wait_blocking())
        })
        .collect();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let cell = cell.clone();
            rt.task(async move { *cell.wait().await })
        })
        .collect();
    let settler = cell.clone();
    assert_eq!(
        rt.unblock(move || settler.settle(7).ok().copied()).await,
        Some(7)
    );
    for task in tasks {
        assert_eq!(task.await, 7);
    }
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 7);
    }
}
