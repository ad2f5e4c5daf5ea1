//! A primary that is lost hangs nobody.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use futures_lite::FutureExt;
use futures_lite::future::yield_now;
use oneflight::error::Cause;
use oneflight::{Error, Settled, Waiter};

use super::Group;
use crate::{
    Counted, Task, TestRuntime, cause_of, elsewhere, primary, quiet_panic, scripted, until, waiter,
};

type Outcome = Result<Settled<&'static str, usize>, Error>;

/// A few that are parked, each in a task of its own.
async fn parked<R: TestRuntime>(rt: &R, group: &Group) -> Vec<Task<Outcome>> {
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let (waiter, counts) = Counted::new(waiter(group.begin("k")));
        tasks.push(rt.task(waiter));
        until(|| counts.polls() == 1).await;
    }
    tasks
}

async fn all_get(tasks: Vec<Task<Outcome>>, cause: Cause) {
    for task in tasks {
        assert_eq!(cause_of(task.await), cause);
    }
}

fn nothing_is_left(group: &Group, cause: Cause) {
    let stats = group.stats();
    assert!(group.is_empty());
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.aborted_by(cause), stats.aborted);
    // And nothing is poisoned.
    primary(group.begin("k")).settle(1).unwrap();
}

/// The guard, dropped in a task that ends early.
pub async fn a_dropped_guard_aborts_its_waiters_and_frees_the_key<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let tasks = parked(&rt, &group).await;
    let holder = rt.task(async move {
        yield_now().await;
        let _guard = guard;
    });
    holder.await;
    assert!(!group.contains("k"));
    all_get(tasks, Cause::Dropped).await;
    nothing_is_left(&group, Cause::Dropped);
}

/// On purpose.
pub async fn an_abort_says_that_it_was_cancelled<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let tasks = parked(&rt, &group).await;
    rt.task(async move { guard.abort() }).await;
    all_get(tasks, Cause::Cancelled).await;
    nothing_is_left(&group, Cause::Cancelled);
}

/// The panic goes on where the guard is; the others get an outcome.
pub async fn a_guard_dropped_by_a_panic_says_so<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let tasks = parked(&rt, &group).await;
    let unwound = rt.task(async move {
        let panic = || {
            let _guard = guard;
            quiet_panic()
        };
        catch_unwind(AssertUnwindSafe(panic)).is_err()
    });
    assert!(unwound.await);
    all_get(tasks, Cause::Panicked).await;
    nothing_is_left(&group, Cause::Panicked);
}

/// The same for the future that runs an operation.
pub async fn a_panic_in_run_goes_on_in_the_primary_alone<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let tasks = parked(&rt, &group).await;
    let run = guard.run(async {
        yield_now().await;
        quiet_panic()
    });
    let unwound = rt.task(AssertUnwindSafe(run).catch_unwind());
    assert!(unwound.await.is_err(), "the primary is not told");
    all_get(tasks, Cause::Panicked).await;
    nothing_is_left(&group, Cause::Panicked);
}

/// The operation is dropped first; then the waiters are told.
pub async fn a_dropped_run_drops_its_operation_before_it_aborts_its_waiters<R: TestRuntime>(rt: R) {
    struct Watches(Waiter<&'static str, usize>, Arc<Mutex<Option<bool>>>);
    impl Drop for Watches {
        fn drop(&mut self) {
            *self.1.lock().unwrap() = Some(self.0.get().is_none());
        }
    }
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let seen = Arc::new(Mutex::new(None));
    let watches = Watches(waiter(group.begin("k")), seen.clone());
    let tasks = parked(&rt, &group).await;
    let (run, counts) = Counted::new(guard.run(async move {
        let _watches = watches;
        pending().await
    }));
    let (run, cancel) = rt.cancellable(run);
    until(|| counts.polls() == 1).await;
    cancel.cancel();
    assert!(run.await.is_none());
    let seen = seen.lock().unwrap().take();
    assert_eq!(seen, Some(true), "ended before the drop");
    all_get(tasks, Cause::Dropped).await;
    nothing_is_left(&group, Cause::Dropped);
}

/// A poll of a shared operation: its driver unwinds, participants and plain waiters get an outcome.
pub async fn a_panic_in_a_poll_of_work_goes_on_in_its_driver_alone<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let driver = rt.task(AssertUnwindSafe(group.work("k", || operation)).catch_unwind());
    until(|| remote.polls() == 1).await;
    let tasks = parked(&rt, &group).await;
    let (other, counts) = Counted::new(group.work("k", || async { 0 }));
    let other = rt.task(other);
    until(|| counts.polls() == 1).await;

    remote.panic();
    assert!(driver.await.is_err(), "the driver is not told");
    let Err(Error::Aborted(aborted)) = other.await else {
        panic!("the participant is not told")
    };
    assert_eq!(aborted.cause(), Cause::Panicked);
    all_get(tasks, Cause::Panicked).await;
    assert!(remote.dropped());
    nothing_is_left(&group, Cause::Panicked);
}

/// Making the operation counts as polling it.
pub async fn a_panic_in_the_making_of_work_ends_the_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let inside = group.clone();
    let joined = Arc::new(Mutex::new(None));
    let slot = joined.clone();
    let maker = rt.task(async move {
        let work = || {
            inside.work("k", || -> std::future::Ready<usize> {
                *slot.lock().unwrap() = Some(elsewhere(|| waiter(inside.begin("k"))));
                quiet_panic()
            })
        };
        catch_unwind(AssertUnwindSafe(work)).is_err()
    });
    assert!(maker.await, "the maker is not told");
    let joined = joined.lock().unwrap().take().expect("joined while made");
    assert_eq!(cause_of(rt.task(joined).await), Cause::Panicked);
    nothing_is_left(&group, Cause::Panicked);
}

/// An error is an outcome, and is shared like one.
pub async fn an_error_of_the_operation_reaches_everyone<R: TestRuntime>(rt: R) {
    /// Neither `Clone` nor `Debug`.
    struct Declined(u32);
    let group = oneflight::Group::<&str, Result<u32, Declined>>::new();
    let guard = primary(group.begin("k"));
    let tasks: Vec<_> = (0..3).map(|_| rt.task(waiter(group.begin("k")))).collect();
    let run = rt.task(guard.run(async { Err(Declined(51)) }));
    assert!(run.await.is_ok());
    for task in tasks {
        let outcome = task.await.unwrap();
        assert!(matches!(&*outcome, Err(Declined(51))));
    }
}

/// Each with a key of its own.
pub async fn ten_thousand_cancelled_primaries_leave_nothing<R: TestRuntime>(rt: R) {
    const KEYS: usize = 10_000;
    let group = oneflight::Group::<String, usize>::new();
    let task = rt.task({
        let group = group.clone();
        async move {
            let guards: Vec<_> = (0..KEYS)
                .map(|nth| primary(group.begin(format!("key {nth}"))))
                .collect();
            let waiters: Vec<_> = (0..KEYS)
                .map(|nth| waiter(group.begin(format!("key {nth}"))))
                .collect();
            assert_eq!((group.len(), group.stats().in_flight), (KEYS, KEYS));
            drop(guards);
            waiters
        }
    });
    for waiter in task.await {
        assert_eq!(cause_of(waiter.await), Cause::Dropped);
    }
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.aborted_by(Cause::Dropped), KEYS as u64);
}
