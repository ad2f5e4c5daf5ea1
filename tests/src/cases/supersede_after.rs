//! `supersede_after`: a flight that is too old gives way to the next begin of its key.

use std::future::{Ready, pending};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use oneflight::error::Cause;
use oneflight::{Begin, Error};

use super::Group;
use crate::{
    CountingWaker, HandClock, TestRuntime, cause_of, poll, primary, scripted, until, waiter,
};

fn aged(clock: &HandClock) -> Group {
    let age = Duration::from_secs(10);
    Group::builder()
        .supersede_after(age)
        .clock(clock.clone())
        .build()
}

/// Older than the greatest age; not as old. Nothing happens until somebody begins.
pub async fn a_flight_that_is_too_old_gives_way<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let group = aged(&clock);
    let old = primary(group.begin("k"));
    let told = rt.task(waiter(group.begin("k")));
    clock.forward(10);
    let in_time = rt.task(waiter(group.begin("k")));
    clock.forward(1);
    assert!(group.contains("k"));
    let new = primary(group.begin("k"));
    assert!(new.id() > old.id());
    assert_eq!(cause_of(told.await), Cause::Superseded);
    assert_eq!(cause_of(in_time.await), Cause::Superseded);

    // The late settle has its value back and touches nothing.
    let joined = rt.task(waiter(group.begin("k")));
    let late = old.settle(1).unwrap_err();
    assert_eq!((late.aborted.cause(), late.value), (Cause::Superseded, 1));
    assert!(group.contains("k"));
    new.settle(2).unwrap();
    assert_eq!(*joined.await.unwrap(), 2);
    assert_eq!(
        (
            group.stats().aborted_by(Cause::Superseded),
            group.stats().settled
        ),
        (1, 1)
    );
}

/// Of four that find it too old at once, one begins the new flight and the others join that.
pub async fn racers_supersede_a_flight_exactly_once<R: TestRuntime>(_: R) {
    for _ in 0..100 {
        let clock = HandClock::default();
        let group = aged(&clock);
        let old = primary(group.begin("k"));
        let mut told = waiter(group.begin("k"));
        let bell = CountingWaker::new();
        assert!(poll(&mut told, bell.waker()).is_pending());
        clock.forward(11);
        let start = Barrier::new(4);
        let came = thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope.spawn(|| {
                    start.wait();
                    group.begin("k")
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        let primaries = came
            .iter()
            .filter(|begin| matches!(begin, Begin::Primary(_)));
        let waiters = came
            .iter()
            .filter(|begin| matches!(begin, Begin::Waiter(_)));
        assert_eq!((primaries.count(), waiters.count()), (1, 3));
        assert_eq!(bell.wakes(), 1);
        assert_eq!(cause_of(told.get().unwrap()), Cause::Superseded);
        let stats = group.stats();
        assert_eq!(
            (
                stats.aborted_by(Cause::Superseded),
                stats.in_flight,
                stats.waiting
            ),
            (1, 1, 3)
        );
        assert!(old.settle(0).is_err());
        drop(came);
        assert!(group.is_empty());
    }
}

/// It is woken for that, and nothing else wakes it.
pub async fn an_operation_that_is_superseded_is_dropped<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let group = aged(&clock);
    let (in_run, operation) = scripted();
    let run = rt.task(primary(group.begin("run")).run(operation));
    let (in_task, operation) = scripted();
    let spawned = rt.detach(&group, "spawn", || operation);
    let (in_work, operation) = scripted();
    let work = rt.task(group.work("work", || operation));
    let remotes = [in_run, in_task, in_work];
    until(|| remotes.iter().all(|remote| remote.polls() == 1)).await;
    clock.forward(11);
    let new = ["run", "spawn", "work"].map(|key| primary(group.begin(key)));
    assert_eq!(cause_of(run.await), Cause::Superseded);
    for outcome in [spawned.await, work.await] {
        let Err(Error::Aborted(aborted)) = outcome else {
            panic!("not told")
        };
        assert_eq!(aborted.cause(), Cause::Superseded);
    }
    until(|| remotes.iter().all(|remote| remote.dropped())).await;
    assert_eq!(group.len(), 3);
    drop(new);
}

/// It counts until its primary is done, though its waiters have been told long ago.
pub async fn a_superseded_primary_keeps_the_group_from_draining<R: TestRuntime>(rt: R) {
    for settles in [true, false] {
        let clock = HandClock::default();
        let group = aged(&clock);
        let old = primary(group.begin("k"));
        clock.forward(11);
        primary(group.begin("k")).settle(1).unwrap();
        group.close();
        assert!(group.is_empty());
        let mut drained = group.drained();
        let bell = CountingWaker::new();
        assert!(poll(&mut drained, bell.waker()).is_pending());
        if settles {
            assert!(old.settle(0).is_err());
        } else {
            drop(old);
        }
        assert_eq!(bell.wakes(), 1);
        rt.task(drained).await;
    }
}

/// Any kind of call, not only `begin`.
pub async fn every_kind_of_call_supersedes<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let group = aged(&clock);
    let mut old = vec![primary(group.begin("k"))];
    let step = || clock.forward(11);
    step();
    old.push(primary(group.entry_ref(&"k").begin()));
    step();
    let spawned = rt.detach(&group, "k", pending::<usize>);
    assert!(spawned.is_primary());
    step();
    let blocking = rt.detach_blocking(&group, "k", || 3);
    assert!(blocking.is_primary());
    assert_eq!(*blocking.await.unwrap(), 3);
    until(|| group.is_empty()).await;
    let last = primary(group.begin("k"));
    step();
    let work = group.work("k", || -> Ready<usize> { std::future::ready(4) });
    assert_eq!(*rt.task(work).await.unwrap(), 4);
    assert_eq!(group.stats().aborted_by(Cause::Superseded), 4);
    assert!(last.settle(0).is_err());
    assert!(old.into_iter().all(|old| old.settle(0).is_err()));
    assert!(spawned.await.is_err());
}
