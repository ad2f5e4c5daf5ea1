//! The storm: one slow, blocking call, and thousands of duplicates of it while it runs.
//!
//! Every request runs the same code: the first becomes the primary and gets a thread of the
//! runtime's blocking pool, the others wait as tasks. When all of them have been seen to wait, the
//! threads and the heap are measured. Then the callers that are to leave early do so, and when they
//! are gone the call ends. So nothing depends on how slow the machine is.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_lite::future;
use oneflight::rt::{Spawn, SpawnBlocking, Timer};
use oneflight::{Error, Group, SettleCell, Settled};

use crate::callers::{Callers, Policy};
use crate::executor::{Executor, Name};
use crate::os;
use crate::rows::StormRow;
use crate::tally::Tally;

/// What the call returns: when it did. It is the outcome of the flight, so every duplicate gets it.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    settled_at: Instant,
}

type Key = &'static str;
type Outcome = Result<Settled<Key, Receipt>, Error>;

/// A storm that has not begun.
#[derive(Debug)]
pub struct Storm {
    pub(crate) name: Name,
    pub(crate) executor: Executor,
    pub(crate) duplicates: usize,
    pub(crate) callers: Callers,
}

/// The blocking call that only one request may make, and again only if that one is lost.
#[derive(Debug)]
pub struct Charge(Arc<State>);

impl Charge {
    /// Makes the call on this thread.
    pub fn make(self) -> Receipt {
        let state = self.0;
        state.executions.fetch_add(1, Relaxed);
        // This and the measurement below are the first call's. If there is one more call, the
        // executions tell.
        drop(state.running.settle(()));
        state.parked.wait(state.limit);
        drop(state.measured.settle(Measured {
            waiting: state.group.stats().waiting,
            heap: os::live_heap(),
            threads: os::threads(),
        }));
        state.left.wait(state.limit);
        Receipt {
            settled_at: Instant::now(),
        }
    }

    /// Makes the call on the executor's blocking pool, and waits for it as a task.
    pub async fn make_on_pool(self) -> Receipt {
        let made = Arc::new(SettleCell::new());
        let executor = self.0.executor.clone();
        let call = {
            let made = made.clone();
            move || drop(made.settle(self.make()))
        };
        executor.spawn_blocking(call);
        *made.wait().await
    }
}

/// What the call saw while all duplicates waited.
#[derive(Debug)]
struct Measured {
    waiting: usize,
    threads: Option<usize>,
    heap: usize,
}

#[derive(Debug)]
struct State {
    group: Group<Key, Receipt>,
    executor: Executor,
    limit: Duration,
    /// How often the call ran.
    executions: AtomicUsize,
    /// The call runs, and holds its thread.
    running: SettleCell<()>,
    /// Duplicates that have been polled and found that they have to wait.
    parked: Tally,
    measured: SettleCell<Measured>,
    /// Callers that have left early, the first one included.
    left: Tally,
    /// Duplicates that got the receipt.
    resumed: AtomicUsize,
    /// From the settle to the last of them, in microseconds.
    resumed_last: AtomicU64,
    /// Duplicates that ended, with the receipt or without, or left.
    ended: Tally,
}

impl State {
    /// A duplicate that stays: waits for the receipt, and counts what becomes of it.
    async fn stay(&self, charge: Pin<&mut impl Future<Output = Outcome>>) {
        if let Ok(receipt) = self.wait(charge).await {
            let took = receipt.settled_at.elapsed().as_micros() as u64;
            self.resumed.fetch_add(1, Relaxed);
            self.resumed_last.fetch_max(took, Relaxed);
        }
        self.ended.add();
    }

    /// A duplicate that leaves.
    async fn leave(&self, charge: impl Future<Output = Outcome>) {
        self.until_measured(self.wait(pin!(charge))).await;
        self.ended.add();
    }

    /// A duplicate's wait. Counts the duplicate when it is first seen to wait.
    fn wait<F>(&self, mut charge: Pin<&mut F>) -> impl Future<Output = Outcome>
    where
        F: Future<Output = Outcome>,
    {
        let mut seen = false;
        poll_fn(move |cx| {
            let poll = charge.as_mut().poll(cx);
            if !mem::replace(&mut seen, true) && poll.is_pending() {
                self.parked.add();
            }
            poll
        })
    }

    /// Waits as the others do, until all are seen to. Then drops what it waited for.
    async fn until_measured<T>(&self, waits: impl Future<Output = T>) {
        let leaves = async {
            self.measured.wait().await;
            true
        };
        let stays = async {
            waits.await;
            false
        };
        // The first one is polled first: a caller that is to leave never takes over an operation.
        if future::or(leaves, stays).await {
            self.left.add();
        }
    }
}

impl Storm {
    /// What becomes of the call when its caller leaves.
    pub fn policy(&self) -> Policy {
        self.callers.policy
    }

    /// Runs the storm. Calls `begin` once for each request, with what that request would execute.
    pub async fn run<B, F>(self, group: Group<Key, Receipt>, begin: B) -> StormRow
    where
        B: Fn(&Group<Key, Receipt>, &Executor, Charge) -> F + Copy + Send + 'static,
        F: Future<Output = Outcome> + Send,
    {
        let Self {
            name,
            executor,
            duplicates,
            callers,
        } = self;
        let (policy, cancel) = (callers.policy, callers.cancel);
        let limit = Duration::from_secs(30) + Duration::from_micros(50) * (duplicates as u32);
        let state = Arc::new(State {
            group,
            executor: executor.clone(),
            limit,
            executions: AtomicUsize::new(0),
            running: SettleCell::new(),
            parked: Tally::new(duplicates),
            measured: SettleCell::new(),
            left: Tally::new(cancel.of(duplicates + 1)),
            resumed: AtomicUsize::new(0),
            resumed_last: AtomicU64::new(0),
            ended: Tally::new(duplicates),
        });
        let begin =
            move |state: &Arc<State>| begin(&state.group, &state.executor, Charge(state.clone()));
        warm_up(&executor).await;

        let mut first = Box::pin(begin(&state));
        let begun = future::or(async { *state.running.wait().await }, async {
            drop(first.as_mut().await);
            std::future::pending().await
        });
        // Kept to the end: what a timer has allocated is freed later, elsewhere, and would spoil
        // what is measured below.
        let mut time_is_up = executor.sleep(limit); // about time
        future::or(begun, time_is_up.as_mut()).await;
        let threads_before = os::threads();
        let heap_before = os::live_heap();
        for index in 1..=duplicates {
            let state = state.clone();
            // Apart, so that a task that stays needs no room for what leaving takes.
            if cancel.leaves(index) {
                executor.spawn(async move { state.leave(begin(&state)).await });
            } else {
                executor.spawn(async move { state.stay(pin!(begin(&state))).await });
            }
        }

        let first = async {
            match cancel.leaves(0) {
                true => state.until_measured(first).await,
                false => drop(first.await),
            }
        };
        let ended = future::zip(first, state.ended.reached());
        let _ = executor.in_time(limit * 2, ended).await;
        state.group.close();
        let _ = executor.in_time(limit, state.group.drained()).await;
        let measured = state.measured.get();
        let heap = measured.map(|measured| measured.heap as f64 - heap_before as f64);
        let resumed = state.resumed.load(Relaxed);
        let stats = state.group.stats();
        StormRow {
            runtime: name,
            duplicates,
            executions: state.executions.load(Relaxed),
            resumed,
            threads_before,
            threads_waiting: measured.and_then(|measured| measured.threads),
            settle_to_last_us: (resumed > 0).then(|| state.resumed_last.load(Relaxed)),
            bytes_per_waiter: heap.map(|heap| (heap / duplicates as f64 * 10.0).round() / 10.0),
            waiting: measured.map_or(0, |measured| measured.waiting),
            policy,
            cancel,
            cancelled: state.left.count(),
            reruns: stats.reruns,
            aborted: stats.aborted,
        }
    }
}

/// Makes the executor start the threads that it starts at its first use.
async fn warm_up(executor: &Executor) {
    let ran = Arc::new(SettleCell::new());
    let task = ran.clone();
    executor.spawn(async move {
        drop(task.settle(()));
    });
    ran.wait().await;
    executor.sleep(Duration::from_millis(1)).await; // about time
}
