//! `work`: who drives, and what happens when that one leaves.

use std::future::ready;
use std::sync::mpsc::channel;
use std::thread;

use oneflight::handle::Work;

use super::Group;
use crate::{Counted, CountingWaker, TestRuntime, poll, scripted, until};

type Participant = (Work<&'static str, usize>, CountingWaker);

/// Duplicates, each polled once so that it is parked.
fn parked<const N: usize>(group: &Group) -> [Participant; N] {
    [(); N].map(|()| {
        let mut work = group.work("k", || ready(0));
        let bell = CountingWaker::new();
        assert!(poll(&mut work, bell.waker()).is_pending());
        (work, bell)
    })
}

fn wakes(participants: &[Participant]) -> Vec<usize> {
    participants.iter().map(|(_, bell)| bell.wakes()).collect()
}

/// Only the first caller's.
pub async fn a_duplicates_operation_is_never_made<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let first = rt.task(group.work("k", || operation));
    let duplicates: Vec<_> = (0..5)
        .map(|_| {
            let make = || -> std::future::Ready<usize> { panic!("made for a duplicate") };
            rt.task(group.work("k", make))
        })
        .collect();
    assert_eq!(group.waiters("k"), 5);
    until(|| remote.polls() == 1).await;
    remote.finish();
    for task in duplicates {
        assert_eq!(*task.await.unwrap(), 2);
    }
    assert_eq!(*first.await.unwrap(), 2);
    assert_eq!(group.stats().begun, 1);
}

/// Driver after driver is lost; the operation's own count of its polls goes on.
pub async fn a_lost_driver_leaves_the_operation_where_it_stood<R: TestRuntime>(rt: R) {
    const DRIVERS: usize = 6;
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut drivers = vec![rt.cancellable(group.work("k", || operation))];
    until(|| remote.polls() == 1).await;
    for _ in 1..DRIVERS {
        drivers.push(rt.cancellable(group.work("k", || ready(0))));
    }
    let last = rt.task(group.work("k", || ready(0)));
    let mut polls = 1;
    for (task, cancel) in drivers {
        cancel.cancel();
        assert!(task.await.is_none());
        assert!(!remote.dropped());
        // Ready, and whoever is polled first drives: it may be any of those that are left.
        remote.wake();
        polls += 1;
        until(|| remote.polls() == polls).await;
    }
    remote.finish();
    assert_eq!(*last.await.unwrap(), polls + 1);
    assert_eq!(remote.polls(), polls + 1, "it was made anew");
}

/// Somebody has to go on with it.
pub async fn a_driver_that_leaves_a_ready_operation_wakes_every_participant<R: TestRuntime>(rt: R) {
    // More than two batches of wakers.
    const OTHERS: usize = 130;
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut driver = group.work("k", || operation);
    let bell = CountingWaker::new();
    assert!(poll(&mut driver, bell.waker()).is_pending());
    let mut others = parked::<OTHERS>(&group);

    remote.wake();
    assert_eq!((bell.wakes(), wakes(&others)), (1, vec![0; OTHERS]));
    drop(driver);
    assert_eq!(wakes(&others), [1; OTHERS]);
    assert_eq!(bell.kept(), 0);

    // The first one polled takes it. The others have nothing to do.
    let (work, bell) = &mut others[1];
    assert!(poll(work, bell.waker()).is_pending());
    assert_eq!(remote.polls(), 2);
    let (work, bell) = &mut others[0];
    assert!(poll(work, bell.waker()).is_pending());
    assert_eq!(remote.polls(), 2);
    remote.wake();
    let mut told = [1; OTHERS];
    told[1] = 2;
    assert_eq!(wakes(&others), told, "its driver alone");
    finish_with(rt, others, remote, 3).await;
}

/// Nobody has to go on with it, until it wants to.
pub async fn a_driver_that_leaves_a_waiting_operation_wakes_nobody<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut driver = group.work("k", || operation);
    assert!(poll(&mut driver, CountingWaker::new().waker()).is_pending());
    let others = parked::<3>(&group);
    drop(driver);
    assert_eq!(wakes(&others), [0, 0, 0]);
    remote.wake();
    assert_eq!(wakes(&others), [1, 1, 1]);
    finish_with(rt, others, remote, 2).await;
}

/// A participant that does not drive is as any waiter: its going is noticed by nobody.
pub async fn a_participant_that_does_not_drive_leaves_unnoticed<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut driver = group.work("k", || operation);
    let driving = CountingWaker::new();
    assert!(poll(&mut driver, driving.waker()).is_pending());
    let [gone, others @ ..] = parked::<4>(&group);
    assert_eq!(group.waiters("k"), 4);
    let (work, bell) = gone;
    drop(work);
    assert_eq!((bell.wakes(), bell.kept()), (0, 0));
    assert_eq!((driving.wakes(), wakes(&others)), (0, vec![0, 0, 0]));
    assert_eq!(group.waiters("k"), 3);
    drop(driver);
    remote.wake();
    finish_with(rt, others, remote, 2).await;
}

/// The rest of the flight, on the executor: the operation goes on, and everyone gets its count.
async fn finish_with<R: TestRuntime, const N: usize>(
    rt: R,
    others: [Participant; N],
    remote: crate::Remote,
    polls: usize,
) {
    let tasks = others.map(|(work, _)| rt.task(work));
    until(|| remote.polls() == polls).await;
    remote.finish();
    for task in tasks {
        assert_eq!(*task.await.unwrap(), polls + 1);
    }
    assert!(remote.dropped());
}

/// It stalls those that nobody polls; one that is polled goes on without it.
pub async fn an_idle_driver_does_not_stall_a_participant_that_is_polled<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut idle = group.work("k", || operation);
    let bell = CountingWaker::new();
    assert!(poll(&mut idle, bell.waker()).is_pending());
    remote.wake();
    assert_eq!(bell.wakes(), 1);
    // And nobody polls it.
    let active = rt.task(group.work("k", || ready(0)));
    until(|| remote.polls() == 2).await;
    remote.finish();
    assert_eq!(*active.await.unwrap(), 3);
    assert_eq!(bell.wakes(), 1, "a wake that it has not followed is enough");
    assert_eq!(*idle.await.unwrap(), 3);
}

/// They park, and are woken when it is made, since the maker need not come back soon.
pub async fn duplicates_that_come_while_the_operation_is_made_take_it_over<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let (go, wait) = channel::<()>();
    let maker = thread::spawn({
        let group = group.clone();
        move || {
            group.work("k", || {
                wait.recv().expect("told to go on");
                operation
            })
        }
    });
    until(|| group.contains("k")).await;
    let (counted, counts): (Vec<_>, Vec<_>) = (0..4)
        .map(|_| Counted::new(group.work("k", || ready(0))))
        .unzip();
    let tasks: Vec<_> = counted.into_iter().map(|work| rt.task(work)).collect();
    until(|| counts.iter().all(|c| c.polls() == 1)).await;
    assert!(counts.iter().all(|c| c.wakes() == 0));
    assert_eq!(remote.polls(), 0);

    go.send(()).unwrap();
    until(|| remote.polls() == 1).await;
    until(|| counts.iter().all(|c| c.wakes() == 1)).await;
    // Never polled, and stalls nobody.
    let idle = maker.join().unwrap();
    remote.finish();
    for task in tasks {
        assert_eq!(*task.await.unwrap(), 2);
    }
    assert_eq!(*idle.get().unwrap().unwrap(), 2);
}

/// While it is polled: its poller goes on.
pub async fn an_operation_that_wakes_itself_is_polled_again<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let operation = || async {
        let mut steps = 0;
        while steps < 50 {
            steps += 1;
            futures_lite::future::yield_now().await;
        }
        steps
    };
    let tasks: Vec<_> = (0..4)
        .map(|_| rt.task(group.work("k", operation)))
        .collect();
    for task in tasks {
        assert_eq!(*task.await.unwrap(), 50);
    }
}
