//! The succession of `try_work`.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use oneflight_core::error::Cause;
use oneflight_core::{Error, Group};
use shuttle::future::block_on;
use shuttle::thread;

use crate::{Count, Fixed, Registry, cause_of, check, group, join, poll_once, threads};

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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ends,
    Fails,
    Stuck,
}

impl Kind {
    /// One that fails, two that are stuck, and then those that end.
    fn of(index: usize) -> Self {
        match index {
            0 => Kind::Fails,
            1 | 2 => Kind::Stuck,
            _ => Kind::Ends,
        }
    }
}

/// The error of an operation. No flight ends with it.
const OWN: Error = Error::TimedOut;

async fn run(running: Running, kind: Kind) -> Result<u64, Error> {
    thread::yield_now();
    poll_fn(|_| {
        if kind == Kind::Stuck {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    drop(running);
    if kind == Kind::Fails { Err(OWN) } else { Ok(7) }
}

type Call = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send>>;

fn call(group: &Registry, kind: Kind, running: &Count, runs: &Count) -> Call {
    let (running, runs) = (running.clone(), runs.clone());
    let call = group.try_work(1, move || {
        let alone = Running::new(&running, &runs);
        run(alone, kind)
    });
    Box::pin(async move { call.await.map(|settled| *settled) })
}

/// Polls once and is lost, or waits for its outcome.
fn go(mut call: Call, kind: Kind) -> Option<Result<u64, Error>> {
    if kind == Kind::Stuck {
        let _ = poll_once(&mut call);
        return None;
    }
    let outcome = block_on(call);
    // Its own error, if its operation ran.
    assert!(kind == Kind::Fails || outcome != Err(OWN));
    outcome.ne(&Err(OWN)).then_some(outcome)
}

#[test]
fn a_driver_that_fails_or_is_lost_is_succeeded_by_exactly_one() {
    check(|| {
        let (group, running, runs) = (group(), Count::default(), Count::default());
        // All of them take part before anybody moves.
        let calls: Vec<_> = (0..6)
            .map(|index| call(&group, Kind::of(index), &running, &runs))
            .collect();
        let mut all = Vec::new();
        for (index, call) in calls.into_iter().enumerate() {
            all.push(thread::spawn(move || go(call, Kind::of(index))));
        }
        assert!(join(all).into_iter().flatten().all(|told| told == Ok(7)));
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!((stats.begun, stats.settled), (1, 1));
        assert_eq!(stats.reruns, runs.get() as u64 - 1);
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
        assert_eq!(stats.joined, stats.waited + stats.cancelled);
    });
}

#[test]
fn max_reruns_that_is_used_up_tells_everyone_and_frees_the_key() {
    check(|| {
        let group = Group::<u8, u64>::builder().shards(1).hasher(Fixed);
        let group: Registry = group.max_reruns(1).build();
        let (running, runs) = (Count::default(), Count::default());
        let calls: Vec<_> = (0..5)
            .map(|index| call(&group, Kind::of(index), &running, &runs))
            .collect();
        let mut all = Vec::new();
        for (index, call) in calls.into_iter().enumerate() {
            all.push(thread::spawn(move || go(call, Kind::of(index))));
        }
        let told = join(all).into_iter().flatten();
        let told: Vec<bool> = told
            .map(|told| match told {
                Ok(value) => value == 7,
                told => {
                    assert_eq!(cause_of(told), Cause::Exhausted);
                    false
                }
            })
            .collect();
        assert!(
            told.iter().all(|it| *it == told[0]),
            "one flight, one outcome"
        );
        assert!(runs.get() <= 2, "one more run is allowed");
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
        let told = join(threads(5, move |index| {
            let kind = Kind::of(index);
            go(call(&calls, kind, &alone, &count), kind)
        }));
        assert!(told.into_iter().flatten().all(|told| told == Ok(7)));
        assert!(group.is_empty());
        let stats = group.stats();
        let left = stats.aborted_by(Cause::Dropped) + stats.aborted_by(Cause::Failed);
        assert_eq!(stats.aborted, left);
        assert_eq!(stats.begun, stats.settled + stats.aborted);
        assert_eq!(stats.begun + stats.joined, 5);
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    });
}
