//! Waiting for a while, on the executor's own clock. The only cases that are about time.

use std::pin::pin;
use std::time::Duration;

use oneflight::Error;
use oneflight::error::Cause;
use oneflight::rt::Timer;

use super::Group;
use crate::{Counted, CountingWaker, TestRuntime, fine, poll, primary, scripted, until, waiter};

const SOON: Duration = Duration::from_millis(5);
const NEVER: Duration = Duration::from_secs(3600);

/// It touches nobody: not the flight, not the others, not its own place.
pub async fn a_time_out_is_no_abort_and_touches_nobody<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let (other, counts) = Counted::new(waiter(group.begin("k")));
    let other = rt.task(other);
    until(|| counts.polls() == 1).await;
    let mut hasty = waiter(group.begin("k"));
    for _ in 0..2 {
        let early = rt.timeout(&mut hasty, SOON).await;
        assert_eq!(early.unwrap_err(), Error::TimedOut);
        assert_eq!(group.waiters("k"), 2);
    }
    assert_eq!((counts.polls(), counts.wakes()), (1, 0));
    assert!(group.contains("k"));

    // Waiting again works, in whatever way.
    guard.settle(7).unwrap();
    assert_eq!(*rt.timeout(&mut hasty, SOON).await.unwrap(), 7);
    assert_eq!(*hasty.await.unwrap(), 7);
    assert_eq!(*other.await.unwrap(), 7);
}

/// The settle comes while it waits.
pub async fn an_outcome_within_the_time_is_the_outcome<R: TestRuntime>(rt: R) {
    let group = Group::new();
    for settles in [true, false] {
        let guard = primary(group.begin("k"));
        let mut patient = waiter(group.begin("k"));
        let end = rt.task({
            let group = group.clone();
            async move {
                until(|| group.waiters("k") == 1).await;
                if settles {
                    guard.settle(7).unwrap();
                }
            }
        });
        match rt.timeout(&mut patient, NEVER).await {
            Ok(settled) => assert!(settles && *settled == 7),
            Err(Error::Aborted(aborted)) => {
                assert!(!settles && aborted.cause() == Cause::Dropped);
            }
            Err(other) => panic!("{other}"),
        }
        end.await;
    }
}

/// It borrows the waiter and nothing else.
pub async fn a_dropped_time_out_leaves_the_waiter_as_it_was<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let mut patient = waiter(group.begin("k"));
    let bell = CountingWaker::new();
    {
        let mut timeout = Box::pin(rt.timeout(&mut patient, NEVER));
        assert!(poll(&mut timeout, bell.waker()).is_pending());
    }
    assert_eq!(group.waiters("k"), 1);
    let task = rt.task(patient);
    guard.settle(7).unwrap();
    assert_eq!(*task.await.unwrap(), 7);
}

/// The clock of the adapter, from any task of the executor.
pub async fn the_adapters_clock_rings_in_a_task<R: TestRuntime>(rt: R) {
    let since = std::time::Instant::now();
    let sleep = rt.adapter().sleep(SOON); // about time
    // Not every clock's future is `'static`; the case awaits it itself.
    sleep.await;
    assert!(since.elapsed() >= SOON, "too early");
}

/// One that drives: it is polled with the time-out, and stays the driver after that.
pub async fn a_pinned_try_work_waits_for_a_while<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut call = pin!(group.try_work("k", fine(|| operation)));
    for polls in [1, 2] {
        let early = rt.timeout(&mut call, SOON).await;
        assert_eq!(early.unwrap_err(), Error::TimedOut);
        assert!(remote.polls() >= polls && !remote.dropped());
    }
    remote.finish();
    let settled = rt.timeout(&mut call, NEVER).await;
    assert_eq!(*settled.unwrap(), remote.polls());
}
