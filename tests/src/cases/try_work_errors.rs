//! `try_work`: an operation that fails. Its error is its own caller's, by value, and the next participant runs its own.

use std::future::{Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Poll, Waker};

use oneflight::Error;
use oneflight::error::{Cause, Rejected};

use super::Group;
use crate::{TestRuntime, cause_of, fine, poll, polled, rejected, scripted, waiter};

/// An error of one caller. It has no `Clone`.
#[derive(Debug, PartialEq)]
enum Mine {
    Own(Box<usize>),
    OfFlight(Error),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::OfFlight(error)
    }
}

fn fails(who: usize) -> Ready<Result<usize, Mine>> {
    ready(Err(Mine::Own(Box::new(who))))
}

fn never_made() -> Ready<Result<usize, Mine>> {
    panic!("its operation was made")
}

/// The errors of two callers have different types.
pub async fn an_error_is_its_own_callers_and_the_next_one_runs<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let first = group.try_work("k", || async {
        operation.await;
        fails(1).await
    });
    let id = first.id();
    let second = group.try_work("k", || async {
        Err::<usize, _>(std::io::Error::other("2"))
    });
    let third = group.try_work("k", fine(|| ready(3)));
    let mut first = Box::pin(first);
    assert!(poll(&mut first, Waker::noop()).is_pending());
    let mut second = Box::pin(second);
    assert!(poll(&mut second, Waker::noop()).is_pending());
    remote.finish();
    assert_eq!(rt.task(first).await.unwrap_err(), Mine::Own(Box::new(1)));
    assert!(group.contains("k"), "the flight goes on");
    assert_eq!(second.await.unwrap_err().to_string(), "2");
    let settled = rt.task(third).await.unwrap();
    assert_eq!((*settled, Some(settled.flight_id())), (3, id));
    let stats = group.stats();
    assert_eq!((stats.begun, stats.settled, stats.reruns), (1, 1, 2));
}

/// By participants that wait, and by plain waiters.
pub async fn a_success_after_failures_is_shared<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let failing: Vec<_> = (0..3)
        .map(|who| group.try_work("k", move || fails(who)))
        .collect();
    let (succeeds, other) = (
        group.try_work("k", fine(|| ready(7))),
        group.try_work("k", never_made),
    );
    let plain = rt.task(waiter(group.begin("k")));
    for (who, call) in failing.into_iter().enumerate() {
        assert_eq!(rt.task(call).await.unwrap_err(), Mine::Own(Box::new(who)));
    }
    assert_eq!(*rt.task(succeeds).await.unwrap(), 7);
    assert_eq!(*rt.task(other).await.unwrap(), 7);
    assert_eq!(*plain.await.unwrap(), 7);
    assert!(group.is_empty());
}

/// The key is free: a newcomer begins its own flight.
pub async fn nobody_left_after_a_failure_is_failed<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let call = group.try_work("k", || fails(1));
    let plain = rt.task(waiter(group.begin("k")));
    let work = rt.task(group.work("k", || ready(0)));
    assert_eq!(rt.task(call).await.unwrap_err(), Mine::Own(Box::new(1)));
    assert_eq!(cause_of(plain.await), Cause::Failed);
    assert_eq!(cause_of(work.await), Cause::Failed);
    assert!(group.is_empty());
    assert_eq!(group.stats().aborted_by(Cause::Failed), 1);
    let newcomer = group.try_work("k", fine(|| ready(2)));
    assert!(newcomer.is_primary());
    assert_eq!(*newcomer.await.unwrap(), 2);
}

/// The callers whose operations failed get their own errors, also the last of them.
pub async fn max_reruns_used_up_by_failures_is_exhausted_for_those_left<R: TestRuntime>(rt: R) {
    for most in [0, 2] {
        let group = Group::builder().max_reruns(most).build();
        let calls: Vec<_> = (0..=most)
            .map(|who| group.try_work("k", move || fails(who)))
            .collect();
        let left = group.try_work("k", never_made);
        let plain = rt.task(waiter(group.begin("k")));
        for (who, call) in calls.into_iter().enumerate() {
            assert_eq!(rt.task(call).await.unwrap_err(), Mine::Own(Box::new(who)));
        }
        let told = rt.task(left).await.unwrap_err();
        assert!(
            matches!(told, Mine::OfFlight(why) if cause_of::<()>(Err(why)) == Cause::Exhausted)
        );
        assert_eq!(cause_of(plain.await), Cause::Exhausted);
        let stats = group.stats();
        assert_eq!(
            (stats.reruns, stats.aborted_by(Cause::Exhausted)),
            (most as u64, 1)
        );
        // With nobody left, the run that is not allowed is missed by nobody.
        let last = group.try_work("k", || fails(9));
        let plain = rt.task(waiter(group.begin("k")));
        assert!(rt.task(last).await.is_err());
        assert_eq!(cause_of(plain.await), Cause::Failed);
    }
}

/// An operation that ends its flight from outside, and then is ready in that poll.
pub async fn an_own_error_comes_also_when_the_flight_was_ended_meanwhile<R: TestRuntime>(rt: R) {
    for succeeds in [false, true] {
        let group = Group::new();
        let inside = group.clone();
        let call = group.try_work("k", move || async move {
            inside.abort_all();
            if succeeds { Ok(7) } else { fails(1).await }
        });
        let (other, plain) = (group.try_work("k", never_made), waiter(group.begin("k")));
        let told = rt.task(call).await.unwrap_err();
        match told {
            Mine::Own(who) => assert!(!succeeds && *who == 1),
            Mine::OfFlight(why) => {
                assert!(succeeds && cause_of::<()>(Err(why)) == Cause::AbortedAll);
            }
        }
        let Mine::OfFlight(why) = other.await.unwrap_err() else {
            panic!("its operation was not made")
        };
        assert_eq!(cause_of::<()>(Err(why)), Cause::AbortedAll);
        assert_eq!(cause_of(plain.await), Cause::AbortedAll);
        group.close();
        group.drained().await;
    }
}

/// It is counted as one that has left before the end.
pub async fn a_failed_caller_has_left_and_frees_its_place<R: TestRuntime>(rt: R) {
    let group = Group::builder().max_waiters(2).build();
    let first = group.try_work("k", || fails(1));
    let (second, third) = (
        group.try_work("k", || fails(2)),
        group.try_work("k", fine(|| ready(3))),
    );
    assert_eq!(rejected(group.begin("k")), Rejected::TooManyWaiters);
    assert!(polled(first).is_some_and(|outcome| outcome.is_err()));
    assert_eq!(group.waiters("k"), 2, "the first one was not counted");
    let mut second = Box::pin(second);
    assert!(poll(&mut second, Waker::noop()).is_ready());
    assert_eq!(group.waiters("k"), 1);
    let plain = rt.task(waiter(group.begin("k")));
    drop(second);
    assert_eq!(group.waiters("k"), 2);
    assert_eq!(*rt.task(third).await.unwrap() + *plain.await.unwrap(), 6);
    let stats = group.stats();
    assert_eq!((stats.joined, stats.waited, stats.cancelled), (3, 2, 1));
}

/// After its own error, the flight's outcome, and a rejection.
pub async fn a_call_polled_after_it_was_ready_panics<R: TestRuntime>(_: R) {
    let group = Group::new();
    let failed = group.try_work("k", (|| fails(1)) as fn() -> _);
    let settled = group.try_work("k", (|| ready(Ok(7))) as fn() -> _);
    let joined = group.try_work("k", never_made as fn() -> _);
    let calls = [failed, settled, joined, {
        group.close();
        group.try_work("closed", never_made as fn() -> _)
    }];
    for (nth, call) in calls.into_iter().enumerate() {
        let mut call = Box::pin(call);
        let Poll::Ready(outcome) = poll(&mut call, Waker::noop()) else {
            panic!("{nth} is pending")
        };
        assert_eq!(outcome.is_ok(), [false, true, true, false][nth]);
        // What it was is known still.
        assert_eq!(
            (call.id().is_some(), call.is_primary()),
            (nth < 3, nth == 0)
        );
        let again = AssertUnwindSafe(|| poll(&mut call, Waker::noop()).is_ready());
        assert!(catch_unwind(again).is_err(), "{nth} gave its outcome twice");
    }
}
