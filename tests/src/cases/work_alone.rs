//! `work`: a driver that is the only participant.

use std::future::{Ready, ready};

use oneflight::error::Cause;

use super::Group;
use crate::{Counted, CountingWaker, TestRuntime, cause_of, poll, scripted, until};

fn never_made() -> Ready<usize> {
    unreachable!("made for a duplicate")
}

/// A poll that nothing has asked for changes nothing: it is woken all the same, once for each wake of the operation.
pub async fn a_lone_driver_that_is_polled_for_nothing_is_woken<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut work = group.work("k", || operation);
    let bell = CountingWaker::new();
    for round in 1..=3 {
        assert!(poll(&mut work, bell.waker()).is_pending());
        assert_eq!((remote.polls(), bell.kept()), (round, 1));
        assert!(poll(&mut work, bell.waker()).is_pending());
        assert_eq!((remote.polls(), bell.kept()), (round, 1));
        remote.wake();
        assert_eq!((bell.wakes(), bell.kept()), (round, 0));
    }
    let (work, counts) = Counted::new(work);
    let task = rt.task(work);
    until(|| counts.polls() > 0).await;
    remote.finish();
    assert_eq!(*task.await.unwrap(), 5);
}

/// Woken as often as it likes before the next poll: its driver is told once.
pub async fn a_lone_driver_is_woken_once_for_each_time_that_it_parks<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut work = group.work("k", || operation);
    let bell = CountingWaker::new();
    for round in 1..=3 {
        assert!(poll(&mut work, bell.waker()).is_pending());
        let waker = remote.take_waker().unwrap();
        for _ in 0..3 {
            waker.wake_by_ref();
        }
        assert_eq!(
            (remote.polls(), bell.wakes(), bell.kept()),
            (round, round, 0)
        );
    }
    remote.finish();
    assert_eq!(*rt.task(work).await.unwrap(), 4);
}

/// Its future goes from one task to another: the last one is woken, and of the one before nothing is kept.
pub async fn a_lone_driver_is_woken_by_the_task_that_polled_it_last<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut work = group.work("k", || operation);
    let bells = [(); 3].map(|()| CountingWaker::new());
    for bell in &bells {
        assert!(poll(&mut work, bell.waker()).is_pending());
    }
    assert_eq!(bells.each_ref().map(CountingWaker::kept), [0, 0, 1]);
    remote.wake();
    assert_eq!(bells.each_ref().map(CountingWaker::wakes), [0, 0, 1]);
    // And to a third one, while it is woken.
    let (work, counts) = Counted::new(work);
    let task = rt.task(work);
    until(|| counts.polls() > 0).await;
    assert_eq!(remote.polls(), 2);
    remote.finish();
    assert_eq!(*task.await.unwrap(), 3);
    assert_eq!(bells.each_ref().map(CountingWaker::wakes), [0, 0, 1]);
}

/// Parked, woken, or polled for nothing: its waker and the operation go with it, and a wake that comes later is nobody's.
pub async fn a_lone_driver_that_leaves_leaves_nothing<R: TestRuntime>(rt: R) {
    let group = Group::new();
    for (wakes, polls) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
        let (remote, operation) = scripted();
        let mut work = group.work("k", || operation);
        let bell = CountingWaker::new();
        for _ in 0..polls {
            assert!(poll(&mut work, bell.waker()).is_pending());
        }
        let waker = remote.take_waker().unwrap();
        if wakes {
            waker.wake_by_ref();
        }
        drop(work);
        assert_eq!((bell.wakes(), bell.kept()), (usize::from(wakes), 0));
        assert!(remote.dropped() && group.is_empty());
        waker.wake();
        assert_eq!(bell.wakes(), usize::from(wakes));
    }
    assert_eq!(group.stats().aborted_by(Cause::Dropped), 4);
    assert_eq!(*rt.task(group.work("k", || ready(7))).await.unwrap(), 7);
}

/// Parked or woken: it gets its end, the operation is gone at once, and no waker is kept.
pub async fn a_lone_driver_is_told_of_an_end_from_outside<R: TestRuntime>(rt: R) {
    let group = Group::new();
    for wakes in [false, true] {
        let (remote, operation) = scripted();
        let mut work = group.work("k", || operation);
        let bell = CountingWaker::new();
        assert!(poll(&mut work, bell.waker()).is_pending());
        if wakes {
            remote.wake();
        }
        assert!(group.abort("k"));
        assert!(remote.dropped());
        assert_eq!((bell.wakes(), bell.kept()), (1, 0));
        assert_eq!(cause_of(rt.task(work).await), Cause::Cancelled);
    }
}

/// The one that is polled first goes on with it, and drives from then on.
pub async fn a_newcomer_goes_on_with_what_a_lone_driver_was_woken_for<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut work = group.work("k", || operation);
    let bell = CountingWaker::new();
    assert!(poll(&mut work, bell.waker()).is_pending());
    remote.wake();
    let mut newcomer = group.work("k", never_made);
    let second = CountingWaker::new();
    assert!(poll(&mut newcomer, second.waker()).is_pending());
    assert_eq!((remote.polls(), second.kept()), (2, 1));
    assert!(poll(&mut work, bell.waker()).is_pending());
    assert_eq!((remote.polls(), bell.kept()), (2, 1));
    remote.wake();
    assert_eq!((bell.wakes(), second.wakes()), (1, 1), "its driver alone");
    drop(newcomer);
    assert_eq!(bell.wakes(), 2);
    remote.finish();
    assert_eq!(*rt.task(work).await.unwrap(), 3);
}
