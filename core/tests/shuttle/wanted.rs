//! `spawn_while_wanted`, and a `spawn` that joins it or a `work`.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use oneflight_core::error::Cause;
use oneflight_core::rt::Spawn;
use oneflight_core::{Error, Settled};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use crate::{Count, Counted, Registry, cause_of, check, choose, group, join, poll_once, threads};

/// A thread for each task. One in four is dropped instead, now or after a poll, where the runtime
/// may do that.
#[derive(Clone, Default)]
struct Threads {
    running: Arc<Mutex<Vec<JoinHandle<()>>>>,
    loses: bool,
}

impl Spawn for Threads {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        let fate = if self.loses { choose(8) } else { 7 };
        let mut task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
        let thread = thread::spawn(move || match fate {
            0 => drop(task),
            1 => drop(poll_once(&mut task)),
            _ => block_on(task),
        });
        self.running.lock().unwrap().push(thread);
    }
}

impl Threads {
    fn join(&self) {
        loop {
            let next = self.running.lock().unwrap().pop();
            match next {
                Some(thread) => thread.join().unwrap(),
                None => return,
            }
        }
    }
}

fn assert_idle(group: &Registry) {
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting, stats.ending), (0, 0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
}

/// Gives way some times, and is counted while it lives.
async fn operation(live: Counted) -> u64 {
    let _live = live;
    for _ in 0..choose(3) {
        shuttle::future::yield_now().await;
    }
    7
}

#[test]
fn who_stays_gets_the_outcome_and_who_comes_never_inherits_a_cancel() {
    check(|| {
        let (group, live, runtime) = (group(), Count::default(), Threads::default());
        let (calls, count, spawns) = (group.clone(), live.clone(), runtime.clone());
        join(threads(4, move |_| {
            let key = 1 + choose(2) as u8;
            let alive = count.clone();
            let entry = calls.entry(key);
            let make = move || operation(Counted::new(&alive));
            let mut call = entry.spawn_while_wanted_on(&spawns, make);
            match choose(3) {
                0 => drop(call),
                1 => {
                    let _ = poll_once(&mut call);
                    drop(call);
                }
                _ => assert_eq!(*block_on(call).unwrap(), 7),
            }
        }));
        runtime.join();
        assert_eq!(live.get(), 0);
        assert_idle(&group);
        let stats = group.stats();
        assert_eq!(stats.aborted, stats.aborted_by(Cause::Dropped));
    });
}

#[test]
fn a_spawn_among_those_who_leave_runs_to_its_end() {
    check(|| {
        let (group, live, runtime) = (group(), Count::default(), Threads::default());
        let make = |live: &Count| {
            let live = live.clone();
            move || operation(Counted::new(&live))
        };
        let leavers = (0..3).map(|_| {
            let entry = group.entry(1);
            entry.spawn_while_wanted_on(&runtime, make(&live))
        });
        let mut leavers: Vec<_> = leavers.collect();
        leavers.rotate_left(choose(3));
        let mut all: Vec<_> = leavers
            .into_iter()
            .map(|call| thread::spawn(move || drop(call)))
            .collect();
        let (calls, count, spawns) = (group.clone(), live.clone(), runtime.clone());
        all.push(thread::spawn(move || {
            let call = calls.entry(1).spawn_on(&spawns, make(&count));
            if choose(2) == 0 {
                assert_eq!(*block_on(call).unwrap(), 7);
            }
        }));
        join(all);
        runtime.join();
        assert_eq!(live.get(), 0);
        assert_idle(&group);
        assert!(group.stats().settled >= 1);
    });
}

/// The outcome; or, if the runtime may lose a task, that it has.
fn told(outcome: Result<Settled<u8, u64>, Error>, loses: bool) {
    match outcome {
        Ok(settled) => assert_eq!(*settled, 7),
        lost => assert!(loses && cause_of(lost) == Cause::Dropped),
    }
}

#[test]
fn a_spawn_among_those_who_work_runs_to_its_end() {
    check(|| {
        let (group, live) = (group(), Count::default());
        let runtime = Threads {
            loses: choose(2) == 0,
            ..Threads::default()
        };
        let (calls, count, spawns) = (group.clone(), live.clone(), runtime.clone());
        join(threads(4, move |index| {
            let alive = count.clone();
            let make = move || operation(Counted::new(&alive));
            if index < 2 {
                let mut work = calls.work(1, make);
                let polled = choose(2) == 0 && poll_once(&mut work).is_ready();
                if !polled && choose(3) == 0 {
                    told(block_on(work), spawns.loses);
                }
            } else {
                let call = calls.entry(1).spawn_on(&spawns, make);
                told(block_on(call), spawns.loses);
            }
        }));
        runtime.join();
        assert_eq!(live.get(), 0);
        assert_idle(&group);
    });
}

#[test]
fn plain_waiters_that_leave_and_come_keep_the_operation_or_end_it() {
    check(|| {
        let (group, live, runtime) = (group(), Count::default(), Threads::default());
        let alive = live.clone();
        let make = move || operation(Counted::new(&alive));
        let owner = group.entry(1).spawn_while_wanted_on(&runtime, make);
        // None of them, if the task was fast.
        let waiters = (0..3).filter_map(|_| group.join(&1).unwrap());
        let waiters: Vec<_> = waiters.collect();
        let stays = choose(4);
        let stayed = stays < waiters.len();
        let mut all: Vec<_> = waiters
            .into_iter()
            .enumerate()
            .map(|(index, mut waiting)| {
                thread::spawn(move || {
                    if index == stays {
                        assert_eq!(*block_on(waiting).unwrap(), 7);
                    } else {
                        let _ = poll_once(&mut waiting);
                        drop(waiting);
                    }
                })
            })
            .collect();
        all.push(thread::spawn(move || drop(owner)));
        join(all);
        runtime.join();
        assert_eq!(live.get(), 0);
        assert_idle(&group);
        assert!(!stayed || group.stats().settled == 1);
    });
}
