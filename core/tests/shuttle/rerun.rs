//! The succession of `work_rerun`.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use oneflight_core::Error;
use oneflight_core::error::Cause;
use oneflight_core::handle::Budget;
use shuttle::future::block_on;
use shuttle::thread;

use crate::{Count, Registry, check, group, join, poll_once, threads};

/// Runs alone, and is lost or ends: `stuck` never ends by itself.
struct Running(Count);

impl Running {
    fn new(running: &Count, runs: &Count) -> Self {
        assert_eq!(running.enter(), 0, "two run at once");
        runs.enter();
        Self(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        thread::yield_now();
        self.0.leave();
    }
}

async fn run(running: Running, stuck: bool) -> u64 {
    thread::yield_now();
    poll_fn(|_| {
        if stuck {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    drop(running);
    7
}

type Call = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send>>;

fn call(group: &Registry, budget: Budget, stuck: bool, running: &Count, runs: &Count) -> Call {
    let (running, runs) = (running.clone(), runs.clone());
    let rerun = group.work_rerun(1, budget, move || {
        let alone = Running::new(&running, &runs);
        run(alone, stuck)
    });
    Box::pin(async move { rerun.await.map(|settled| *settled) })
}

#[test]
fn a_lost_driver_is_succeeded_by_exactly_one() {
    check(|| {
        let (group, running, runs) = (group(), Count::default(), Count::default());
        // All of them take part before anybody moves.
        let calls: Vec<_> = (0..6)
            .map(|index| call(&group, Budget::times(9), index < 3, &running, &runs))
            .collect();
        let mut all = Vec::new();
        for (index, mut call) in calls.into_iter().enumerate() {
            let stuck = index < 3;
            all.push(thread::spawn(move || {
                if stuck {
                    // Drives, or waits, and is lost.
                    let _ = poll_once(&mut call);
                    drop(call);
                } else {
                    assert_eq!(block_on(call).unwrap(), 7);
                }
            }));
        }
        join(all);
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!((stats.begun, stats.settled), (1, 1));
        assert_eq!(stats.reruns, runs.get() as u64 - 1);
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
        assert_eq!(stats.joined, stats.waited + stats.cancelled);
    });
}

#[test]
fn a_budget_that_is_used_up_tells_everyone_and_frees_the_key() {
    check(|| {
        let (group, running, runs) = (group(), Count::default(), Count::default());
        let calls: Vec<_> = (0..5)
            .map(|index| call(&group, Budget::times(1), index < 3, &running, &runs))
            .collect();
        let mut all = Vec::new();
        for (index, mut call) in calls.into_iter().enumerate() {
            let stuck = index < 3;
            all.push(thread::spawn(move || {
                if stuck {
                    let _ = poll_once(&mut call);
                    drop(call);
                    return None;
                }
                match block_on(call) {
                    Ok(value) => Some(value == 7),
                    Err(Error::Aborted(why)) => {
                        assert_eq!(why.cause(), Cause::Exhausted);
                        Some(false)
                    }
                    Err(other) => panic!("{other}"),
                }
            }));
        }
        let told: Vec<bool> = join(all).into_iter().flatten().collect();
        assert_eq!(told[0], told[1], "one flight, one outcome");
        assert!(runs.get() <= 2, "the budget is one more run");
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!(stats.begun, 1);
        assert_eq!(stats.aborted_by(Cause::Exhausted), u64::from(!told[0]));
        assert_eq!(stats.joined, stats.waited + stats.cancelled);
    });
}

#[test]
fn newcomers_take_over_or_begin_anew_when_everyone_leaves() {
    check(|| {
        let (group, running, runs) = (group(), Count::default(), Count::default());
        let (calls, alone, count) = (group.clone(), running.clone(), runs.clone());
        join(threads(5, move |index| {
            let stuck = index < 3;
            let mut call = call(&calls, Budget::times(9), stuck, &alone, &count);
            if stuck {
                let _ = poll_once(&mut call);
            } else {
                assert_eq!(block_on(call).unwrap(), 7);
            }
        }));
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!(stats.aborted, stats.aborted_by(Cause::Dropped));
        assert_eq!(stats.begun, stats.settled + stats.aborted);
        assert_eq!(stats.begun + stats.joined, 5);
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    });
}
