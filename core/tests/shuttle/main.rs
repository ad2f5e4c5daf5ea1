//! Random schedules of five to seven threads on the real code, through the shim: more than loom can explore in full.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo nextest run -p oneflight-core --features shuttle --test shuttle --release`
//!
//! A lost wake-up shows as a dead-lock that shuttle reports, with the schedule that led there; everything else as a failed
//! assertion. Orderings weaker than `SeqCst` are not explored: that is loom's part.
#![cfg(all(shuttle, feature = "shuttle"))]

mod cell;
mod drain;
mod gate;
mod group;
mod limits;
#[path = "../support/outcome.rs"]
mod outcome;
mod try_work;
mod wanted;
mod work;

pub(crate) use outcome::cause_of;

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use oneflight_core::clock::Clock;
use oneflight_core::error::Cause;
use oneflight_core::{Begin, Error, Group, Primary, Settled, Stats, Waiter};
use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, Runner};

/// Runs the body under so many schedules as `SHUTTLE_SCHEDULES` says: the one half at random, the other with few
/// pre-emptions at chosen moments, where most faults need no more (PCT). The seed is fixed, so that what is red is red
/// again; `SHUTTLE_RANDOM_SEED` sets another.
pub(crate) fn check<F: Fn() + Send + Sync + 'static>(body: F) {
    let schedules = std::env::var("SHUTTLE_SCHEDULES")
        .map_or(2_000, |given| given.parse().expect("a number of schedules"));
    let name = std::any::type_name::<F>().replace("::{{closure}}", "");
    let body = Arc::new(body);
    let pct = schedules / 2;
    let ran = run(RandomScheduler::new_from_seed(1, schedules - pct), &body)
        + run(PctScheduler::new_from_seed(1, 4, pct), &body);
    assert_eq!(ran, schedules);
    println!("checked {name}: {ran} schedules");
}

fn run<F: Fn() + Send + Sync + 'static>(
    scheduler: impl Scheduler + 'static,
    body: &Arc<F>,
) -> usize {
    let mut config = Config::new();
    // The orderings are loom's to check.
    config.silence_warnings = true;
    let body = body.clone();
    Runner::new(scheduler, config).run(move || body())
}

/// Starts so many threads and gives each its number.
pub(crate) fn threads<R: Send + 'static>(
    count: usize,
    body: impl Fn(usize) -> R + Send + Sync + 'static,
) -> Vec<JoinHandle<R>> {
    let body = Arc::new(body);
    (0..count)
        .map(|index| {
            let body = body.clone();
            thread::spawn(move || body(index))
        })
        .collect()
}

/// Waits for every thread.
pub(crate) fn join<R>(threads: Vec<JoinHandle<R>>) -> Vec<R> {
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

/// One of so many choices, a part of the schedule.
pub(crate) fn choose(choices: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..choices)
}

/// Every key has the same hash, and no run differs from another.
#[derive(Clone, Default)]
pub(crate) struct Fixed;

impl BuildHasher for Fixed {
    type Hasher = Fixed;
    fn build_hasher(&self) -> Fixed {
        Fixed
    }
}

impl Hasher for Fixed {
    fn finish(&self) -> u64 {
        7
    }
    fn write(&mut self, _: &[u8]) {}
}

pub(crate) type Registry<T = u64> = Group<u8, T, Fixed>;

pub(crate) fn group<T>() -> Registry<T> {
    Group::<u8, T>::builder().shards(1).hasher(Fixed).build()
}

/// The primary of a begin that must be one.
pub(crate) fn primary<K, T>(begin: Begin<K, T>) -> Primary<K, T> {
    match begin {
        Begin::Primary(primary) => primary,
        other => panic!("{other:?}"),
    }
}

/// The waiter of a begin that must be one.
pub(crate) fn waiter<K, T>(begin: Begin<K, T>) -> Waiter<K, T> {
    match begin {
        Begin::Waiter(waiter) => waiter,
        other => panic!("{other:?}"),
    }
}

/// Polls once, with a waker that wakes nobody.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_counted(future, &Count::default())
}

/// Polls once, with a waker that wakes nobody and is counted while it is kept. Another one at each call, so that wakers
/// are replaced.
pub(crate) fn poll_counted<F: Future + Unpin>(future: &mut F, kept: &Count) -> Poll<F::Output> {
    struct Nobody(#[expect(dead_code, reason = "held for its drop")] Counted);
    impl std::task::Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let waker = Arc::new(Nobody(Counted::new(kept))).into();
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// A clock that is turned by hand, one second at a time.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn turn(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// How many are here at once. Shuttle does not see it: counting is no moment at which it switches.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    /// Returns how many were here before.
    pub(crate) fn enter(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A value, or an operation, that is counted while it lives.
pub(crate) struct Counted(Count);

impl Counted {
    pub(crate) fn new(live: &Count) -> Self {
        live.enter();
        Self(live.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// An event that an operation waits for, set by another thread, which then wakes it. Switches threads between the two.
#[derive(Clone, Default)]
pub(crate) struct Signal(Arc<Mutex<(bool, Option<std::task::Waker>)>>);

impl Signal {
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Cloned and dropped outside of the lock: shuttle sees that, and may let another thread go on.
        let own = cx.waker().clone();
        let (set, _old) = {
            let mut state = self.0.lock().unwrap();
            (state.0, state.1.replace(own))
        };
        if set { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Wakes what waits, with or without the event.
    pub(crate) fn wake(&self, set: bool) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 |= set;
            state.1.take()
        };
        thread::yield_now();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What became of a flight: as its primary saw it, or as a duplicate was told.
pub(crate) type End = Result<u64, Cause>;

pub(crate) fn told<K>(outcome: Result<Settled<K, u64>, Error>) -> End {
    match outcome {
        Ok(settled) => Ok(*settled),
        outcome => Err(cause_of(outcome)),
    }
}

/// What became of each flight, and what each duplicate was told of it.
#[derive(Clone, Default)]
pub(crate) struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    ends: BTreeMap<u64, End>,
    told: Vec<(u64, End)>,
    left: u64,
}

impl Book {
    /// Settles with the flight's own id, and notes the end.
    pub(crate) fn settle<K>(&self, primary: Primary<K, u64>) {
        let id = primary.id().get();
        self.end(
            id,
            match primary.settle(id) {
                Ok(settled) => Ok(*settled),
                Err(late) => {
                    let cause = late.aborted.cause();
                    assert_eq!(late.value, id);
                    Err(cause)
                }
            },
        );
    }

    /// Notes how a flight ended. Once for each: there is one primary.
    pub(crate) fn end(&self, id: u64, end: End) {
        let before = self.0.lock().unwrap().ends.insert(id, end);
        assert_eq!(before, None, "flight {id} had two primaries");
    }

    /// Waits to the end, and notes what it was told.
    pub(crate) fn wait<K>(&self, waiter: Waiter<K, u64>) {
        let id = waiter.id().get();
        let end = told(shuttle::future::block_on(waiter));
        self.told(id, end);
    }

    pub(crate) fn told(&self, id: u64, end: End) {
        self.0.lock().unwrap().told.push((id, end));
    }

    /// Notes a duplicate that left, before or after the end.
    pub(crate) fn left(&self) {
        self.0.lock().unwrap().left += 1;
    }

    /// When all is over: everyone was told the truth, and the stats agree to the last figure.
    pub(crate) fn balance(&self, stats: Stats) {
        let pages = self.0.lock().unwrap();
        for (id, end) in &pages.told {
            assert_eq!(pages.ends.get(id), Some(end), "told of flight {id}");
        }
        assert_eq!(stats.begun, pages.ends.len() as u64);
        let settled = pages.ends.values().filter(|end| end.is_ok()).count() as u64;
        assert_eq!(
            (stats.settled, stats.aborted),
            (settled, stats.begun - settled)
        );
        for cause in [
            Cause::Dropped,
            Cause::Cancelled,
            Cause::AbortedAll,
            Cause::Superseded,
        ] {
            let ended = pages
                .ends
                .values()
                .filter(|end| **end == Err(cause))
                .count();
            assert_eq!(stats.aborted_by(cause), ended as u64, "{cause}");
        }
        let here = pages.told.len() as u64;
        assert_eq!(stats.joined, here + pages.left);
        assert_eq!(stats.joined, stats.waited + stats.cancelled);
        assert!(stats.cancelled <= pages.left);
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    }
}
