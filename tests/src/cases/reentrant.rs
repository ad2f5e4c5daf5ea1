//! An operation that waits for its own key from within itself is told, instead of waiting for
//! itself. Nobody else is.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;
use oneflight::error::Rejected;
use oneflight::{Begin, Error, Waiter};

use super::Group;
use crate::{TestRuntime, fine, primary, scripted, until, waiter};

const REENTRANT: Error = Error::Rejected(Rejected::Reentrant);

fn never_made() -> Ready<usize> {
    panic!("its operation was made")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Every kind of call in a poll of the operation: it joins, counts for nothing, drives nothing, and
/// is told when it is polled. Other keys are as ever.
async fn await_own<R: TestRuntime>(adapter: &R::Adapter, group: &Group) {
    let mut own = waiter(group.begin("k"));
    assert!(own.get().is_none() && group.waiters("k") == 0);
    for _ in 0..2 {
        assert_eq!((&mut own).await.unwrap_err(), REENTRANT);
        assert_eq!(own.get().unwrap().unwrap_err(), REENTRANT);
    }
    let own = waiter(group.entry_ref(&"k").begin());
    assert_eq!(own.await.unwrap_err(), REENTRANT);
    assert_eq!(group.work("k", never_made).await.unwrap_err(), REENTRANT);
    let rerun = group.try_work("k", fine(never_made));
    assert_eq!(rerun.await.unwrap_err(), REENTRANT);
    let spawned = group.entry("k").spawn_on(adapter, never_made);
    assert_eq!(spawned.await.unwrap_err(), REENTRANT);
    let blocking = group.entry("k").spawn_blocking_on(adapter, || panic!());
    assert_eq!(blocking.await.unwrap_err(), REENTRANT);
    let spawned = group.entry("k").spawn_on(adapter, never_made);
    assert_eq!(spawned.wait_blocking().unwrap_err(), REENTRANT);
    park_on_own(group);
    drop(primary(group.begin("another")));
    drop(primary(Group::new().begin("k")));
}

/// Where there is no poll: a thread that is about to park is told.
fn park_on_own(group: &Group) {
    assert_eq!(
        waiter(group.begin("k")).wait_blocking().unwrap_err(),
        REENTRANT
    );
    let mut own = waiter(group.begin("k"));
    for _ in 0..2 {
        assert_eq!(own.wait_deadline(soon()).unwrap_err(), REENTRANT);
    }
    assert_eq!(own.get().unwrap().unwrap_err(), REENTRANT);
    let work = group.work("k", never_made);
    assert_eq!(work.wait_blocking().unwrap_err(), REENTRANT);
    let mut work = group.work("k", never_made);
    for _ in 0..2 {
        assert_eq!(work.wait_deadline(soon()).unwrap_err(), REENTRANT);
    }
    let rerun = group.try_work("k", fine(never_made));
    assert_eq!(rerun.wait_blocking().unwrap_err(), REENTRANT);
}

/// An operation that tries while it is made, in its first poll and in a later one.
fn tries<R: TestRuntime>(
    rt: &R,
    group: &Group,
) -> impl FnOnce() -> Pin<Box<dyn Future<Output = usize> + Send>> + Send + 'static {
    let (adapter, group) = (rt.adapter(), group.clone());
    move || {
        park_on_own(&group);
        Box::pin(async move {
            await_own::<R>(&adapter, &group).await;
            yield_now().await;
            await_own::<R>(&adapter, &group).await;
            7
        })
    }
}

/// While it is made and while it is polled, whatever runs it.
pub async fn an_operation_that_waits_for_its_own_key_is_told<R: TestRuntime>(rt: R) {
    let group = Group::builder().max_waiters(0).build();
    let work = rt.task(group.work("k", tries(&rt, &group)));
    assert_eq!(*work.await.unwrap(), 7);
    let rerun = rt.task(group.try_work("k", fine(tries(&rt, &group))));
    assert_eq!(*rerun.await.unwrap(), 7);
    let spawned = rt.detach(&group, "k", tries(&rt, &group));
    assert_eq!(*spawned.await.unwrap(), 7);
    let inside = group.clone();
    let blocking = rt.detach_blocking(&group, "k", move || {
        park_on_own(&inside);
        7
    });
    assert_eq!(*blocking.await.unwrap(), 7);
    until(|| group.is_empty()).await;
    let made = tries(&rt, &group);
    let begun = primary(group.begin("k"));
    let run = begun.run(async move {
        let operation = made();
        operation.await
    });
    assert_eq!(*rt.task(run).await.unwrap(), 7);
    // Nothing is left of it, in the registry or in the counts.
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.joined, stats.waiting, stats.cancelled), (0, 0, 0));
    assert_eq!((stats.largest_flight, stats.rejected), (0, 0));
}

/// Through the operation of another group, in any of its kinds, in one chain of calls.
pub async fn a_ring_through_another_group_is_seen<R: TestRuntime>(rt: R) {
    let outer = Group::new();
    let inner = Group::new();
    let begins = {
        let outer = outer.clone();
        move || async move {
            for _ in 0..2 {
                let own = outer.work("k", never_made);
                assert_eq!(own.await.unwrap_err(), REENTRANT);
                yield_now().await;
            }
            1
        }
    };
    let nested = inner.clone();
    let work = outer.work("k", move || async move {
        let work = *nested.work("k", begins.clone()).await.unwrap();
        let rerun = *nested.try_work("k", fine(begins.clone())).await.unwrap();
        let run = *primary(nested.begin("k"))
            .run(begins.clone()())
            .await
            .unwrap();
        // By a thread that parks inside of the outer one.
        let parked = *nested.work("k", begins).wait_blocking().unwrap();
        work + rerun + run + parked
    });
    assert_eq!(*rt.task(work).await.unwrap(), 4);
    assert!(outer.is_empty() && inner.is_empty());
}

/// What was made inside waits as any other when it is polled elsewhere; it is never counted.
pub async fn a_waiter_from_inside_gets_the_outcome_elsewhere<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let handed_out = Arc::new(Mutex::new(Vec::new()));
    let (inside, slot) = (group.clone(), handed_out.clone());
    let mut work = group.work("k", move || {
        slot.lock().unwrap().push(waiter(inside.begin("k")));
        async move {
            slot.lock().unwrap().push(waiter(inside.begin("k")));
            operation.await
        }
    });
    assert!(crate::poll(&mut work, std::task::Waker::noop()).is_pending());
    let handed_out: Vec<Waiter<_, _>> = std::mem::take(&mut *handed_out.lock().unwrap());
    assert_eq!((handed_out.len(), group.waiters("k")), (2, 0));
    let outside: Vec<_> = handed_out
        .into_iter()
        .map(|waiter| rt.task(waiter))
        .collect();
    let work = rt.task(work);
    remote.finish();
    let value = *work.await.unwrap();
    for waiter in outside {
        assert_eq!(*waiter.await.unwrap(), value);
    }
    let stats = group.stats();
    assert_eq!((stats.joined, stats.waited, stats.cancelled), (0, 0, 0));
}

/// It is about who polls and parks, so a waiter from outside is told as well. It has left then.
pub async fn a_waiter_from_outside_that_is_polled_inside_is_told<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let slot = Arc::new(Mutex::new(None));
    let kept = Arc::new(Mutex::new(None));
    let (given, keeps, inside) = (slot.clone(), kept.clone(), group.clone());
    let work = group.work("k", move || async move {
        let (mut awaited, mut parked, participant) = given.lock().unwrap().take().unwrap();
        assert_eq!(inside.waiters("k"), 3);
        let awaited: &mut Waiter<&str, usize> = &mut awaited;
        assert_eq!(awaited.await.unwrap_err(), REENTRANT);
        let told = Waiter::wait_deadline(&mut parked, soon());
        assert_eq!(told.unwrap_err(), REENTRANT);
        assert_eq!(inside.waiters("k"), 1);
        let participant: oneflight::handle::Work<_, _> = participant;
        assert_eq!(participant.await.unwrap_err(), REENTRANT);
        assert_eq!(inside.waiters("k"), 0);
        *keeps.lock().unwrap() = Some(parked);
        7
    });
    *slot.lock().unwrap() = Some((
        waiter(group.begin("k")),
        waiter(group.begin("k")),
        group.work("k", never_made),
    ));
    assert_eq!(*rt.task(work).await.unwrap(), 7);
    // Also after the end.
    let mut parked = kept.lock().unwrap().take().unwrap();
    assert_eq!(parked.get().unwrap().unwrap_err(), REENTRANT);
    assert_eq!(parked.wait_deadline(soon()).unwrap_err(), REENTRANT);
    assert_eq!(rt.task(parked).await.unwrap_err(), REENTRANT);
    assert_eq!(group.stats().cancelled, 3);
}

/// Between its polls, and beside them, its key is as any other.
pub async fn what_is_inside_ends_with_the_poll<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut work = group.work("k", || operation);
    assert!(crate::poll(&mut work, std::task::Waker::noop()).is_pending());
    // On the same thread, now that the poll is over.
    let beside = rt.task(waiter(group.begin("k")));
    assert_eq!(group.waiters("k"), 1);
    let work = rt.task(work);
    remote.finish();
    assert_eq!(*beside.await.unwrap(), *work.await.unwrap());

    // And after a panic of the poll.
    let inside = group.clone();
    let panics = primary(group.begin("k")).run(async move {
        assert_eq!(inside.work("k", never_made).await.unwrap_err(), REENTRANT);
        crate::quiet_panic()
    });
    let mut panics = Box::pin(panics);
    let poll = || crate::poll(&mut panics, std::task::Waker::noop()).is_ready();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).is_err());
    drop(panics);
    let guard = primary(group.begin("k"));
    let counted = waiter(group.begin("k"));
    assert_eq!(group.waiters("k"), 1);
    drop((guard, counted));
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
