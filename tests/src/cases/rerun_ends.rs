//! `work_rerun`: the budget, the end of a flight, and callers of other kinds.

use std::future::{Ready, pending, ready};
use std::task::Waker;

use oneflight::Error;
use oneflight::error::Cause;
use oneflight::handle::Budget;

use super::Group;
use crate::{TestRuntime, cause_of, poll, primary, scripted, until, waiter};

fn never_made() -> Ready<usize> {
    panic!("its operation was made")
}

/// Loses one driver after the other, each by a drop after its first poll; returns how many there were.
fn lose_all(group: &Group, first: usize) -> usize {
    let mut participants: Vec<_> = (0..10)
        .map(|nth| {
            let budget = if nth == 0 { first } else { 9 - first };
            Box::pin(group.work_rerun("k", Budget::times(budget), pending::<usize>))
        })
        .collect();
    let mut lost = 0;
    while group.contains("k") {
        let mut driver = participants.remove(0);
        assert!(poll(&mut driver, Waker::noop()).is_pending());
        drop(driver);
        lost += 1;
    }
    for mut participant in participants {
        for _ in 0..2 {
            let std::task::Poll::Ready(Err(Error::Aborted(aborted))) =
                poll(&mut participant, Waker::noop())
            else {
                panic!("not told")
            };
            assert_eq!(aborted.cause(), Cause::Exhausted);
        }
    }
    lost
}

/// The one that began the flight decides, for everyone; whoever is left is told.
pub async fn a_budget_that_is_used_up_ends_the_flight_for_everyone<R: TestRuntime>(rt: R) {
    for budget in [0, 1, 3] {
        let group = Group::new();
        let first = group.work_rerun("k", Budget::times(budget), pending::<usize>);
        let plain = rt.task(waiter(group.begin("k")));
        // It never ran, so nothing was lost; but nobody is left.
        drop(first);
        assert_eq!(cause_of(plain.await), Cause::Dropped);

        assert_eq!(lose_all(&group, budget), budget + 1);
        let stats = group.stats();
        assert_eq!(stats.reruns, budget as u64);
        assert_eq!(stats.aborted_by(Cause::Exhausted), 1);
        assert!(group.is_empty());
    }
}

/// A plain waiter is told that the budget is used up, too.
pub async fn plain_waiters_hear_that_the_budget_is_used_up<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let mut driver = Box::pin(group.work_rerun("k", Budget::times(0), pending::<usize>));
    assert!(poll(&mut driver, Waker::noop()).is_pending());
    let heir = group.work_rerun("k", Budget::times(5), never_made);
    let plain = rt.task(waiter(group.begin("k")));
    drop(driver);
    assert_eq!(cause_of(plain.await), Cause::Exhausted);
    assert!(matches!(
        heir.await,
        Err(Error::Aborted(aborted)) if aborted.cause() == Cause::Exhausted
    ));
}

/// With budget left, and nobody to use it.
pub async fn the_last_participant_of_a_rerun_ends_the_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let mut driver = Box::pin(group.work_rerun("k", Budget::times(9), pending::<usize>));
    assert!(poll(&mut driver, Waker::noop()).is_pending());
    let other = group.work_rerun("k", Budget::times(9), never_made);
    let plain = rt.task(waiter(group.begin("k")));
    drop(other);
    assert!(group.contains("k"));
    drop(driver);
    assert!(group.is_empty());
    assert_eq!(cause_of(plain.await), Cause::Dropped);
    assert_eq!(group.stats().reruns, 0);
}

/// From `begin`, `work` and `spawn`: they wait, and do not keep a flight that has lost its last participant.
pub async fn callers_of_other_kinds_never_run_a_rerun_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let driver = rt.task(group.work_rerun("k", Budget::times(9), || operation));
    until(|| remote.polls() == 1).await;
    let plain = rt.task(waiter(group.begin("k")));
    let work = rt.task(group.work("k", never_made));
    let spawned = rt.detach(&group, "k", never_made);
    assert!(!spawned.is_primary());
    assert_eq!(group.waiters("k"), 3);
    remote.finish();
    assert_eq!(*plain.await.unwrap(), 2);
    assert_eq!(*work.await.unwrap(), 2);
    assert_eq!(*spawned.await.unwrap(), 2);
    assert_eq!(*driver.await.unwrap(), 2);

    let mut driver = Box::pin(group.work_rerun("k", Budget::times(9), pending::<usize>));
    assert!(poll(&mut driver, Waker::noop()).is_pending());
    let work = rt.task(group.work("k", never_made));
    drop(driver);
    assert!(matches!(
        work.await,
        Err(Error::Aborted(aborted)) if aborted.cause() == Cause::Dropped
    ));
}

/// Its operation is never made where the flight was begun in another way.
pub async fn a_rerun_call_on_another_flight_only_waits<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let rerun = rt.task(group.work_rerun("k", Budget::times(9), never_made));
    guard.settle(1).unwrap();
    assert_eq!(*rerun.await.unwrap(), 1);

    let (remote, operation) = scripted();
    let work = group.work("k", || operation);
    let rerun = group.work_rerun("k", Budget::times(9), never_made);
    let (work, cancel) = rt.cancellable(work);
    until(|| remote.polls() == 1).await;
    cancel.cancel();
    assert!(work.await.is_none());
    // It was no participant: the flight ended with its last one.
    assert!(remote.dropped());
    assert!(matches!(
        rt.task(rerun).await,
        Err(Error::Aborted(aborted)) if aborted.cause() == Cause::Dropped
    ));
    assert_eq!(
        *rt.task(group.work_rerun("k", Budget::times(0), || ready(3)))
            .await
            .unwrap(),
        3
    );
}
