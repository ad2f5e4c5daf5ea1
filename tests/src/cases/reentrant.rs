//! An operation that begins its own key from within itself is told, instead of waiting for itself.

use std::future::{Future, Ready, ready};
use std::sync::{Arc, Mutex};

use futures_lite::future::yield_now;
use oneflight::error::Rejected;
use oneflight::handle::Budget;
use oneflight::{Begin, Error};

use super::Group;
use crate::{TestRuntime, primary, rejected, scripted, until, waiter};

fn never_made() -> Ready<usize> {
    panic!("its operation was made")
}

/// Every kind of call is turned away, and other keys are not.
fn attempts<R: TestRuntime>(adapter: &R::Adapter, group: &Group) {
    let is_told = |outcome: Option<Result<_, Error>>| match outcome {
        Some(Err(Error::Rejected(why))) => assert_eq!(why, Rejected::Reentrant),
        Some(Err(other)) => panic!("{other}"),
        Some(Ok(settled)) => {
            let _: oneflight::Settled<&str, usize> = settled;
            panic!("it has settled")
        }
        None => panic!("it would wait for itself"),
    };
    assert_eq!(rejected(group.begin("k")), Rejected::Reentrant);
    assert_eq!(rejected(group.entry_ref(&"k").begin()), Rejected::Reentrant);
    is_told(group.work("k", never_made).get());
    is_told(group.work_rerun("k", Budget::times(1), never_made).get());
    is_told(group.entry("k").spawn_on(adapter, never_made).get());
    is_told(
        group
            .entry("k")
            .spawn_blocking_on(adapter, || panic!())
            .get(),
    );
    drop(primary(group.begin("another")));
    drop(primary(Group::new().begin("k")));
}

/// An operation that tries, in its first poll and in a later one.
fn tries<R: TestRuntime>(
    rt: &R,
    group: &Group,
) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = usize> + Send>> + Send + 'static {
    let (adapter, group) = (rt.adapter(), group.clone());
    move || {
        attempts::<R>(&adapter, &group);
        Box::pin(async move {
            attempts::<R>(&adapter, &group);
            yield_now().await;
            attempts::<R>(&adapter, &group);
            7
        })
    }
}

/// While it is made and while it is polled, whatever runs it.
pub async fn an_operation_that_begins_its_own_key_is_told<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let work = rt.task(group.work("k", tries(&rt, &group)));
    assert_eq!(*work.await.unwrap(), 7);
    let rerun = rt.task(group.work_rerun("k", Budget::times(0), tries(&rt, &group)));
    assert_eq!(*rerun.await.unwrap(), 7);
    let spawned = rt.detach(&group, "k", tries(&rt, &group));
    assert_eq!(*spawned.await.unwrap(), 7);
    let (adapter, inside) = (rt.adapter(), group.clone());
    let blocking = rt.detach_blocking(&group, "k", move || {
        attempts::<R>(&adapter, &inside);
        7
    });
    assert_eq!(*blocking.await.unwrap(), 7);
    until(|| group.is_empty()).await;

    let (adapter, inside) = (rt.adapter(), group.clone());
    let run = primary(group.begin("k")).run(async move {
        attempts::<R>(&adapter, &inside);
        yield_now().await;
        attempts::<R>(&adapter, &inside);
        7
    });
    assert_eq!(*rt.task(run).await.unwrap(), 7);
    // Nothing is left of it, in the registry or in the counts.
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.joined, stats.waiting, stats.cancelled), (0, 0, 0));
    assert_eq!(stats.rejected_by(Rejected::Reentrant), stats.rejected);
    assert_eq!(stats.rejected, 6 * (3 + 3 + 3 + 1 + 2));
}

/// Through the operation of another group, in any of its kinds, on the same task.
pub async fn a_nested_call_of_another_group_is_seen_through<R: TestRuntime>(rt: R) {
    let outer = Group::new();
    let inner = Group::new();
    let begins = {
        let outer = outer.clone();
        move || async move {
            assert_eq!(rejected(outer.begin("k")), Rejected::Reentrant);
            yield_now().await;
            assert_eq!(rejected(outer.begin("k")), Rejected::Reentrant);
            1
        }
    };
    let nested = inner.clone();
    let work = outer.work("k", move || async move {
        let work = *nested.work("k", begins.clone()).await.unwrap();
        let rerun = *nested
            .work_rerun("k", Budget::times(0), begins.clone())
            .await
            .unwrap();
        let run = *primary(nested.begin("k")).run(begins()).await.unwrap();
        work + rerun + run
    });
    assert_eq!(*rt.task(work).await.unwrap(), 3);
    assert!(outer.is_empty() && inner.is_empty());
}

/// Between its polls, and beside them, its key is as any other.
pub async fn what_is_reentrant_ends_with_the_poll<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let seen = Arc::new(Mutex::new(None));
    let (inside, slot) = (group.clone(), seen.clone());
    let mut work = group.work("k", move || async move {
        *slot.lock().unwrap() = Some(rejected(inside.begin("k")));
        operation.await
    });
    assert!(crate::poll(&mut work, std::task::Waker::noop()).is_pending());
    assert_eq!(seen.lock().unwrap().take(), Some(Rejected::Reentrant));
    // On the same thread, now that the poll is over.
    let beside = rt.task(waiter(group.begin("k")));
    let work = rt.task(work);
    remote.finish();
    assert_eq!(*beside.await.unwrap(), *work.await.unwrap());

    // And after a panic of the poll.
    let inside = group.clone();
    let panics = primary(group.begin("k")).run(async move {
        assert_eq!(rejected(inside.begin("k")), Rejected::Reentrant);
        crate::quiet_panic()
    });
    let mut panics = Box::pin(panics);
    let poll = || crate::poll(&mut panics, std::task::Waker::noop()).is_ready();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).is_err());
    drop(panics);
    let guard = primary(group.begin("k"));
    drop(waiter(group.begin("k")));
    drop(guard);
}

/// A flight that took the forgotten one's place is another one.
pub async fn a_forgotten_operation_may_begin_its_key<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let inside = group.clone();
    let work = group.work("k", move || async move {
        assert!(inside.forget("k"));
        *inside.work("k", || ready(5)).await.unwrap()
    });
    assert_eq!(*rt.task(work).await.unwrap(), 5);
    assert!(matches!(group.begin("k"), Begin::Primary(_)));
}
