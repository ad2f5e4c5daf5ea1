//! `try_work`: `max_reruns`, the end of a flight, and callers of other kinds.

use std::future::{Ready, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use oneflight::Error;
use oneflight::error::Cause;

use super::Group;
use crate::{
    TestRuntime, cause_of, fine, poll, polled, primary, quiet_panic, scripted, until, waiter,
};

fn never_made() -> Ready<usize> {
    panic!("its operation was made")
}

/// Loses one driver after the other, each by a drop after its first poll; returns how many there were.
fn lose_all(group: &Group) -> usize {
    let call = || Box::pin(group.try_work("k", fine(pending::<usize>)));
    let mut participants: Vec<_> = (0..10).map(|_| call()).collect();
    let mut lost = 0;
    while group.contains("k") {
        let mut driver = participants.remove(0);
        assert!(poll(&mut driver, Waker::noop()).is_pending());
        drop(driver);
        lost += 1;
    }
    for participant in participants {
        let outcome = polled(participant).expect("the flight has ended");
        assert_eq!(cause_of(outcome), Cause::Exhausted);
    }
    lost
}

/// The group decides, for everyone; those who are left are told.
pub async fn max_reruns_used_up_by_losses_ends_the_flight_for_everyone<R: TestRuntime>(rt: R) {
    for most in [0, 1, 3] {
        let group = Group::builder().max_reruns(most).build();
        let first = group.try_work("k", fine(pending::<usize>));
        let plain = rt.task(waiter(group.begin("k")));
        // It never ran, so nothing was lost; but nobody is left.
        drop(first);
        assert_eq!(cause_of(plain.await), Cause::Dropped);

        assert_eq!(lose_all(&group), most + 1);
        let stats = group.stats();
        assert_eq!(stats.reruns, most as u64);
        assert_eq!(stats.aborted_by(Cause::Exhausted), 1);
        assert!(group.is_empty());
    }
}

/// A plain waiter is told that no more runs are allowed, too.
pub async fn plain_waiters_hear_that_max_reruns_is_used_up<R: TestRuntime>(rt: R) {
    let group = Group::builder().max_reruns(0).build();
    let mut driver = Box::pin(group.try_work("k", fine(pending::<usize>)));
    assert!(poll(&mut driver, Waker::noop()).is_pending());
    let heir = group.try_work("k", fine(never_made));
    let plain = rt.task(waiter(group.begin("k")));
    drop(driver);
    assert_eq!(cause_of(plain.await), Cause::Exhausted);
    assert_eq!(cause_of(heir.await), Cause::Exhausted);
}

/// It could run again, and nobody is there to do so.
pub async fn the_last_participant_of_a_try_work_ends_the_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let mut driver = Box::pin(group.try_work("k", fine(pending::<usize>)));
    assert!(poll(&mut driver, Waker::noop()).is_pending());
    let other = group.try_work("k", fine(never_made));
    let plain = rt.task(waiter(group.begin("k")));
    drop(other);
    assert!(group.contains("k"));
    drop(driver);
    assert!(group.is_empty());
    assert_eq!(cause_of(plain.await), Cause::Dropped);
    assert_eq!(group.stats().reruns, 0);
}

/// How the run of a participant ends. An idle one is dropped and never polled.
#[derive(Clone, Copy)]
enum End {
    Idle,
    Dropped,
    Panicked,
    Failed,
}

/// The participants come, and then leave one after the other in these ways. Returns what a plain waiter gets.
fn cause_after(ends: &[End]) -> Cause {
    let group = Group::new();
    let call = |end: &End| {
        let end = *end;
        let operation = move || async move {
            match end {
                End::Panicked => quiet_panic(),
                End::Failed => Err(Error::TimedOut),
                End::Idle | End::Dropped => pending().await,
            }
        };
        (end, Box::pin(group.try_work("k", operation)))
    };
    let participants: Vec<_> = ends.iter().map(call).collect();
    let plain = waiter(group.begin("k"));
    for (end, mut participant) in participants {
        assert!(plain.get().is_none(), "somebody is left");
        let idle = matches!(end, End::Idle);
        let polled = || idle || poll(&mut participant, Waker::noop()).is_ready();
        let ready = catch_unwind(AssertUnwindSafe(polled));
        assert_eq!(ready.is_err(), matches!(end, End::Panicked));
    }
    assert!(group.is_empty());
    cause_of(plain.get().expect("nobody is left"))
}

/// Also if the last participant never ran. If nobody ever ran, it is that of the last one that leaves.
pub async fn the_cause_is_how_the_last_run_ended<R: TestRuntime>(_: R) {
    use End::{Dropped, Failed, Idle, Panicked};
    let ends: [(&[End], Cause); 9] = [
        (&[Failed], Cause::Failed),
        (&[Dropped], Cause::Dropped),
        (&[Panicked], Cause::Panicked),
        (&[Failed, Idle, Idle], Cause::Failed),
        (&[Panicked, Idle], Cause::Panicked),
        (&[Failed, Dropped], Cause::Dropped),
        (&[Dropped, Failed], Cause::Failed),
        (&[Panicked, Failed, Panicked, Idle], Cause::Panicked),
        (&[Idle, Idle], Cause::Dropped),
    ];
    for (nth, (ends, cause)) in ends.into_iter().enumerate() {
        assert_eq!(cause_after(ends), cause, "{nth}");
    }
}

/// From `begin`, `work` and `spawn`: they wait, and do not keep a flight that has lost its last participant.
pub async fn callers_of_other_kinds_never_run_a_try_work_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let driver = rt.task(group.try_work("k", fine(|| operation)));
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

    let mut driver = Box::pin(group.try_work("k", fine(pending::<usize>)));
    assert!(poll(&mut driver, Waker::noop()).is_pending());
    let work = rt.task(group.work("k", never_made));
    drop(driver);
    assert!(matches!(
        work.await,
        Err(Error::Aborted(aborted)) if aborted.cause() == Cause::Dropped
    ));
}

/// Its operation is never made where the flight was begun in another way.
pub async fn a_try_work_behind_another_flight_only_waits<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let behind = rt.task(group.try_work("k", fine(never_made)));
    guard.settle(1).unwrap();
    assert_eq!(*behind.await.unwrap(), 1);

    let (remote, operation) = scripted();
    let work = group.work("k", || operation);
    let behind = group.try_work("k", fine(never_made));
    let (work, cancel) = rt.cancellable(work);
    until(|| remote.polls() == 1).await;
    cancel.cancel();
    assert!(work.await.is_none());
    // It was no participant: the flight ended with its last one.
    assert!(remote.dropped());
    assert_eq!(cause_of(rt.task(behind).await), Cause::Dropped);
    let own = group.try_work("k", fine(|| ready(3)));
    assert_eq!(*rt.task(own).await.unwrap(), 3);
}

/// Behind a guard, a `run`, a `work` and a `spawn` it waits as any duplicate does. It does not run its own operation
/// instead of theirs.
pub async fn a_try_work_behind_another_flight_gets_its_error<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let behind = |group: &Group| group.try_work("k", fine(never_made));
    let guard = primary(group.begin("k"));
    let told = behind(&group);
    drop(guard);
    assert_eq!(cause_of(told.await), Cause::Dropped);

    let run = primary(group.begin("k")).run(pending());
    let told = behind(&group);
    drop(run);
    assert_eq!(cause_of(told.await), Cause::Dropped);

    let work = group.work("k", pending);
    let told = behind(&group);
    drop(work);
    assert_eq!(cause_of(told.await), Cause::Dropped);

    let (remote, operation) = scripted();
    let spawned = rt.detach(&group, "k", || operation);
    let told = behind(&group);
    remote.panic();
    assert_eq!(cause_of(told.await), Cause::Panicked);
    drop(spawned);
    until(|| group.is_empty()).await;
}
