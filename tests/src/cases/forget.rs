//! A key that is taken from its flight; and handles that go first.

use oneflight::error::Cause;

use super::Group;
use crate::{Counted, TestRuntime, cause_of, primary, scripted, until, waiter};

/// By identity: the old one ends, the new one stays.
pub async fn a_forgotten_flight_settles_for_its_own_and_touches_no_newer_one<R: TestRuntime>(
    rt: R,
) {
    let group = Group::new();
    let old = primary(group.begin("k"));
    let of_old = rt.task(waiter(group.begin("k")));
    assert!(group.forget("k"));
    assert!(!group.contains("k"));
    assert!(!group.forget("k"), "forgotten twice");

    let new = primary(group.begin("k"));
    assert_ne!(old.id(), new.id());
    let (of_new, counts) = Counted::new(waiter(group.begin("k")));
    let of_new = rt.task(of_new);
    until(|| counts.polls() == 1).await;
    assert_eq!((old.waiters(), new.waiters()), (1, 1));
    assert_eq!((group.len(), group.stats().in_flight), (1, 2));

    old.settle(1).unwrap();
    assert_eq!(*of_old.await.unwrap(), 1);
    assert!(group.contains("k"), "the newer one is gone");
    assert_eq!((group.waiters("k"), counts.wakes()), (1, 0));
    new.settle(2).unwrap();
    assert_eq!(*of_new.await.unwrap(), 2);
    assert!(group.is_empty());
    assert_eq!(group.stats().in_flight, 0);
}

/// Nor does it when it is lost.
pub async fn the_loss_of_an_old_flight_touches_no_newer_one<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let old = primary(group.begin("k"));
    let of_old = rt.task(waiter(group.begin("k")));
    assert!(group.forget("k"));
    let new = primary(group.begin("k"));
    let of_new = rt.task(waiter(group.begin("k")));
    rt.task(async move { drop(old) }).await;
    assert_eq!(cause_of(of_old.await), Cause::Dropped);
    assert!(group.contains("k"));
    new.settle(2).unwrap();
    assert_eq!(*of_new.await.unwrap(), 2);
}

/// In whatever order, and any number of them.
pub async fn forgotten_flights_of_one_key_end_in_any_order<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let mut flights = Vec::new();
    for nth in 0..10 {
        let guard = primary(group.begin("k"));
        let task = rt.task(waiter(group.begin("k")));
        assert!(group.forget("k"));
        flights.push((nth, guard, task));
    }
    assert_eq!((group.len(), group.stats().in_flight), (0, 10));
    for at in [5, 0, 7, 3, 3, 0, 1, 2, 0, 0] {
        let (nth, guard, task) = flights.remove(at);
        guard.settle(nth).unwrap();
        assert_eq!(*task.await.unwrap(), nth);
        assert_eq!(group.stats().in_flight, flights.len());
    }
}

/// Its participants go on with it, newcomers begin another.
pub async fn a_forgotten_work_flight_goes_on_for_those_in_it<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (old, operation) = scripted();
    let in_old = rt.task(group.work("k", || operation));
    until(|| old.polls() == 1).await;
    assert!(group.forget("k"));
    let (new, operation) = scripted();
    let in_new = rt.task(group.work("k", || operation));
    until(|| new.polls() == 1).await;
    old.wake();
    until(|| old.polls() == 2).await;
    old.finish();
    assert_eq!(*in_old.await.unwrap(), 3);
    new.finish();
    assert_eq!(*in_new.await.unwrap(), 2);
    assert!(group.is_empty());
}

/// There is nothing to forget before, or after the end.
pub async fn only_a_key_in_flight_can_be_forgotten<R: TestRuntime>(rt: R) {
    let group = Group::new();
    assert!(!group.forget("k"));
    let guard = primary(group.begin("k"));
    assert!(!group.forget("other"));
    rt.task(async move { guard.settle(1).map(drop).is_ok() })
        .await;
    assert!(!group.forget("k"));
}

/// The registry goes when the last flight does.
pub async fn flights_outlive_the_last_handle_of_their_group<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("settles"));
    let settles = rt.task(waiter(group.begin("settles")));
    let lost = primary(group.begin("is lost"));
    let aborts = rt.task(waiter(group.begin("is lost")));
    let (remote, operation) = scripted();
    let works = rt.task(group.work("works", || operation));
    let (detached, detached_operation) = scripted();
    let spawned = rt.detach(&group, "spawned", || detached_operation);
    until(|| remote.polls() == 1 && detached.polls() == 1).await;
    drop(group);

    guard.settle(7).unwrap();
    drop(lost);
    remote.finish();
    detached.finish();
    assert_eq!(*settles.await.unwrap(), 7);
    assert_eq!(cause_of(aborts.await), Cause::Dropped);
    assert_eq!(*works.await.unwrap(), 2);
    assert_eq!(*spawned.await.unwrap(), 2);
}
