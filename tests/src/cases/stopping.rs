//! A graceful stop: `close`, `abort_all`, `drained`.

use std::future::{Ready, pending};
use std::time::Duration;

use oneflight::Error;
use oneflight::error::{Cause, Rejected};

use super::Group;
use crate::{
    CountingWaker, TestRuntime, cause_of, fine, poll, polled, primary, rejected, scripted, until,
    waiter,
};

fn never_made() -> Ready<usize> {
    panic!("its operation was made")
}

fn is_closed<T>(outcome: Option<Result<T, Error>>) -> bool {
    matches!(outcome, Some(Err(Error::Rejected(Rejected::Closed))))
}

/// Whatever kind of call: no new flight, and the one there is takes duplicates.
pub async fn a_closed_group_begins_nothing_and_lets_duplicates_join<R: TestRuntime>(rt: R) {
    let group = Group::builder().retain_for(Duration::from_secs(60)).build();
    primary(group.begin("retained")).settle(5).unwrap();
    let (remote, operation) = scripted();
    let running = group.work("k", || operation);
    group.close();
    group.close();
    assert_eq!(rejected(group.begin("new")), Rejected::Closed);
    assert_eq!(rejected(group.entry_ref(&"new").begin()), Rejected::Closed);
    assert!(is_closed(group.work("new", never_made).get()));
    assert!(is_closed(polled(group.try_work("new", fine(never_made)))));
    assert!(is_closed(rt.detach(&group, "new", never_made).get()));
    assert!(is_closed(
        rt.detach_blocking(&group, "new", || panic!()).get()
    ));
    assert_eq!(group.stats().rejected_by(Rejected::Closed), 6);

    let plain = rt.task(waiter(group.begin("k")));
    let work = rt.task(group.work("k", never_made));
    drop(running);
    until(|| remote.polls() == 1).await;
    remote.finish();
    assert_eq!(*plain.await.unwrap() + *work.await.unwrap(), 4);
    let late = waiter(group.begin("retained"));
    assert_eq!(*late.get().expect("still given out").unwrap(), 5);
    // What it settles with is retained; a key that is free stays closed.
    assert_eq!(*waiter(group.begin("k")).get().unwrap().unwrap(), 2);
    assert!(group.forget("k"));
    assert_eq!(rejected(group.begin("k")), Rejected::Closed);
}

/// Forgotten ones too; each operation is dropped by whoever runs it, which is woken for that.
pub async fn abort_all_ends_every_flight_there_is<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("guard"));
    let forgotten = primary(group.begin("forgotten"));
    let mut waiters = vec![
        waiter(group.begin("guard")),
        waiter(group.begin("forgotten")),
    ];
    assert!(group.forget("forgotten"));
    let (of_run, operation) = scripted();
    let run = rt.task(primary(group.begin("run")).run(operation));
    let (of_work, operation) = scripted();
    let work = rt.task(group.work("work", || operation));
    let (of_rerun, operation) = scripted();
    let rerun = rt.task(group.try_work("rerun", fine(|| operation)));
    let (of_spawn, operation) = scripted();
    let spawned = rt.detach(&group, "spawn", || operation);
    let remotes = [of_run, of_work, of_rerun, of_spawn];
    for key in ["run", "work", "rerun", "spawn"] {
        waiters.push(waiter(group.begin(key)));
    }
    until(|| remotes.iter().all(|remote| remote.polls() == 1)).await;
    // Not before: the first that is polled would run its own.
    let heir = rt.task(group.try_work("rerun", fine(never_made)));

    group.abort_all();
    assert!(group.is_empty());
    assert_eq!((group.stats().in_flight, group.stats().waiting), (0, 0));
    for waiter in &waiters {
        let outcome = waiter.get().expect("at once");
        assert_eq!(cause_of(outcome), Cause::AbortedAll);
    }
    let late = forgotten.settle(7).unwrap_err();
    assert_eq!((late.aborted.cause(), late.value), (Cause::AbortedAll, 7));
    drop(guard);
    assert_eq!(cause_of(run.await), Cause::AbortedAll);
    let outcomes = [work.await, rerun.await, heir.await, spawned.await];
    for outcome in outcomes {
        assert_eq!(cause_of(outcome), Cause::AbortedAll);
    }
    until(|| remotes.iter().all(|remote| remote.dropped())).await;
    assert!(remotes.iter().all(|remote| remote.polls() == 1));
    assert_eq!(group.stats().aborted_by(Cause::AbortedAll), 6);
    // It is not closed by that.
    primary(group.begin("guard")).settle(1).unwrap();
}

/// Before `close` it is not even asked; after it, every flight counts, forgotten ones too.
pub async fn a_group_is_drained_when_it_is_closed_and_empty<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let mut drained = group.drained();
    let bell = CountingWaker::new();
    assert!(poll(&mut drained, bell.waker()).is_pending(), "not closed");
    let (first, second) = (primary(group.begin("a")), primary(group.begin("b")));
    let forgotten = primary(group.begin("c"));
    assert!(group.forget("c"));
    group.close();
    let in_a_task = rt.task(group.drained());
    first.settle(1).unwrap();
    drop(second);
    assert!(group.is_empty());
    assert!(
        poll(&mut drained, bell.waker()).is_pending(),
        "one is forgotten, and runs"
    );
    assert_eq!(bell.wakes(), 0);
    forgotten.settle(1).unwrap();
    assert_eq!((bell.wakes(), bell.kept()), (1, 0));
    drained.await;
    in_a_task.await;
    rt.task(group.drained()).await;

    // One without a flight is drained by its close.
    let group = Group::new();
    let drained = rt.task(group.drained());
    group.close();
    drained.await;
}

/// Not polled, parked, and resolved; others go on waiting, and nothing of it is kept.
pub async fn waiting_for_the_drain_may_be_given_up<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    group.close();
    drop(group.drained());
    let bells = [(); 3].map(|()| CountingWaker::new());
    let mut waits = bells.each_ref().map(|_| group.drained());
    for (drained, bell) in waits.iter_mut().zip(&bells) {
        assert!(poll(drained, bell.waker()).is_pending());
        assert_eq!(bell.kept(), 1);
    }
    let [first, second, third] = waits;
    drop(second);
    assert_eq!(bells[1].kept(), 0);
    let (gone, cancel) = rt.cancellable(group.drained());
    cancel.cancel();
    assert!(gone.await.is_none());
    drop(guard);
    assert_eq!(bells.each_ref().map(CountingWaker::wakes), [1, 0, 1]);
    drop(first);
    rt.task(third).await;
    assert!(bells.iter().all(|bell| bell.kept() == 0));
}

/// Stop at once: nothing new, nothing old.
pub async fn close_and_abort_all_drain_a_group<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let spawned = rt.detach(&group, "k", pending::<usize>);
    let held = primary(group.begin("held"));
    group.close();
    group.abort_all();
    let drained = rt.task(group.drained());
    assert!(spawned.await.is_err());
    assert!(group.stats().ending > 0, "its guard is still here");
    assert_eq!(
        held.settle(1).unwrap_err().aborted.cause(),
        Cause::AbortedAll
    );
    drained.await;
    assert_eq!(group.stats().ending, 0);
}
