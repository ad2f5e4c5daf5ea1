//! The storm: one slow, blocking call, and thousands of duplicates of it while it runs.
//!
//! Every request runs the same code: the first becomes the primary and gets a thread of the runtime's blocking pool, the
//! others wait as tasks. When all of them are seen to wait, that height of the storm is measured; then those leave who
//! are to leave early, and when they are gone the call ends. So nothing depends on how slow the machine is.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::future;
use oneflight::rt::Runtime;
use oneflight::{Group, SettleCell, Settled, WorkError};

use crate::callers::{BUDGET, Callers, Policy};
use crate::executor::{Executor, Name, in_time};
use crate::os;
use crate::rows::StormRow;
use crate::tally::Tally;

const TOKEN: &str = "charge:42";

/// What the call returns: when it did. It is the outcome of the flight, so every duplicate gets it.
#[derive(Clone, Copy)]
struct Receipt {
    settled_at: Instant,
}

type Outcome = Result<Settled<&'static str, Receipt>, WorkError>;

/// What the primary's call saw while all duplicates waited.
struct Height {
    waiting: usize,
    threads: Option<usize>,
    heap: usize,
}

struct Storm {
    group: Group<&'static str, Receipt>,
    limit: Duration,
    duplicates: usize,
    callers: Callers,
    /// How often the call ran.
    executions: AtomicUsize,
    /// The call runs, and holds its thread.
    running: SettleCell<()>,
    /// Duplicates that have been polled and found that they have to wait.
    parked: Tally,
    height: SettleCell<Height>,
    /// Callers that have left early, the first one included.
    left: Tally,
    /// Duplicates that got the receipt.
    resumed: AtomicUsize,
    /// From the settle to the last of them, in microseconds.
    resumed_last: AtomicU64,
    /// Duplicates that ended, with the receipt or without, or left.
    ended: AtomicUsize,
    all_ended: SettleCell<()>,
}

impl Storm {
    fn new(duplicates: usize, limit: Duration, callers: Callers) -> Self {
        Self {
            group: Group::new(),
            limit,
            duplicates,
            callers,
            executions: AtomicUsize::new(0),
            running: SettleCell::new(),
            parked: Tally::new(duplicates),
            height: SettleCell::new(),
            left: Tally::new(callers.cancel.of(duplicates + 1)),
            resumed: AtomicUsize::new(0),
            resumed_last: AtomicU64::new(0),
            ended: AtomicUsize::new(0),
            all_ended: SettleCell::new(),
        }
    }

    /// The blocking call that only one request may make, and again only if that one is lost.
    fn charge(&self) -> Receipt {
        self.executions.fetch_add(1, Relaxed);
        // Refused, as the height below, if the call runs again, which the executions tell.
        drop(self.running.settle(()));
        self.parked.wait(self.limit);
        drop(self.height.settle(Height {
            waiting: self.group.waiters(TOKEN),
            heap: os::live_heap(),
            threads: os::threads(),
        }));
        self.left.wait(self.limit);
        Receipt {
            settled_at: Instant::now(),
        }
    }

    /// A duplicate that stays: waits for the receipt, and counts what becomes of it.
    async fn stay<F: Future<Output = Outcome>>(&self, mut charge: Pin<&mut F>) {
        let mut seen = false;
        let outcome = poll_fn(|cx| self.poll(&mut seen, charge.as_mut(), cx)).await;
        if let Ok(receipt) = outcome {
            let took = receipt.settled_at.elapsed().as_micros() as u64;
            self.resumed.fetch_add(1, Relaxed);
            self.resumed_last.fetch_max(took, Relaxed);
        }
        self.end();
    }

    /// A duplicate that leaves.
    async fn leave<F: Future<Output = Outcome>>(&self, charge: F) {
        let waits = async {
            let (mut seen, mut charge) = (false, pin!(charge));
            drop(poll_fn(|cx| self.poll(&mut seen, charge.as_mut(), cx)).await);
        };
        self.until_height(waits).await;
        self.end();
    }

    /// Waits as the others do, until all are seen to. Then drops what it waited for.
    async fn until_height(&self, waits: impl Future<Output = ()>) {
        let leaves = async {
            self.height.wait().await;
            true
        };
        let stays = async {
            waits.await;
            false
        };
        // The first one is polled first: who is to leave never takes over an operation.
        if future::or(leaves, stays).await {
            self.left.add();
        }
    }

    /// Polls a duplicate's charge, and counts it when it is first seen to wait.
    fn poll<F>(&self, seen: &mut bool, charge: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Outcome>
    where
        F: Future<Output = Outcome>,
    {
        let poll = charge.poll(cx);
        if !std::mem::replace(seen, true) && poll.is_pending() {
            self.parked.add();
        }
        poll
    }

    fn end(&self) {
        if self.ended.fetch_add(1, Relaxed) + 1 == self.duplicates {
            drop(self.all_ended.settle(()));
        }
    }
}

/// Makes the call on the runtime's blocking pool and waits for it: the operation that belongs to its callers.
async fn on_pool<R: Runtime>(storm: Arc<Storm>, runtime: R) -> Receipt {
    let made = Arc::new(SettleCell::new());
    let call = {
        let made = made.clone();
        move || drop(made.settle(storm.charge()))
    };
    runtime.unblock(call);
    *made.wait().await
}

/// Runs the storm on `executor`.
pub(crate) fn run<E: Executor>(
    name: Name,
    executor: &E,
    duplicates: usize,
    callers: Callers,
) -> StormRow {
    let limit = Duration::from_secs(30) + Duration::from_micros(50) * (duplicates as u32);
    let storm = Arc::new(Storm::new(duplicates, limit, callers));
    let runtime = executor.runtime();
    let pool = executor.runtime();
    // A request for the one charge. Who is first runs the call; a duplicate's is dropped, never made.
    match callers.policy {
        Policy::Detach => executor.block_on(measure(name, runtime, storm, |storm| {
            let call = {
                let storm = storm.clone();
                move || storm.charge()
            };
            E::spawn_blocking(&storm.group, TOKEN, call)
        })),
        Policy::Continue => executor.block_on(measure(name, runtime, storm, move |storm| {
            let make = || on_pool(storm.clone(), pool.clone());
            storm.group.work(TOKEN, make)
        })),
        Policy::Rerun => executor.block_on(measure(name, runtime, storm, move |storm| {
            let (storm, pool) = (storm.clone(), pool.clone());
            let group = storm.group.clone();
            group.work_rerun(TOKEN, BUDGET, move || on_pool(storm, pool))
        })),
    }
}

async fn measure<R, B, F>(name: Name, runtime: R, storm: Arc<Storm>, begin: B) -> StormRow
where
    R: Runtime,
    B: Fn(&Arc<Storm>) -> F + Clone + Send + 'static,
    F: Future<Output = Outcome> + Send,
{
    let (duplicates, cancel, limit) = (storm.duplicates, storm.callers.cancel, storm.limit);
    warm_up(&runtime).await;

    let mut first = Box::pin(begin(&storm));
    let begun = future::or(storm.running.wait(), async {
        drop(first.as_mut().await);
        std::future::pending().await
    });
    // Kept to the end: what a timer has allocated is freed later, elsewhere, and would spoil what is measured below.
    let mut time_is_up = pin!(runtime.sleep(limit));
    let gives_up = async {
        time_is_up.as_mut().await;
        &()
    };
    future::or(begun, gives_up).await;
    let threads_before = os::threads();
    let heap_before = os::live_heap();
    for index in 1..=duplicates {
        let (storm, begin) = (storm.clone(), begin.clone());
        // Apart, so that who stays needs no room for what leaving takes.
        if cancel.leaves(index) {
            runtime.spawn(async move { storm.leave(begin(&storm)).await });
        } else {
            runtime.spawn(async move { storm.stay(pin!(begin(&storm))).await });
        }
    }

    let first = async {
        let waits = async { drop(first.await) };
        match cancel.leaves(0) {
            true => storm.until_height(waits).await,
            false => waits.await,
        }
    };
    let ended = future::zip(first, storm.all_ended.wait());
    let _ = in_time(&runtime, limit * 2, ended).await;
    storm.group.close();
    let _ = in_time(&runtime, limit, storm.group.drained()).await;
    let height = storm.height.get();
    let heap = height.map(|height| height.heap as f64 - heap_before as f64);
    let resumed = storm.resumed.load(Relaxed);
    let stats = storm.group.stats();
    StormRow {
        runtime: name,
        duplicates,
        executions: storm.executions.load(Relaxed),
        resumed,
        threads_before,
        threads_waiting: height.and_then(|height| height.threads),
        settle_to_last_us: (resumed > 0).then(|| storm.resumed_last.load(Relaxed)),
        bytes_per_waiter: heap.map(|heap| (heap / duplicates as f64 * 10.0).round() / 10.0),
        waiting: height.map_or(0, |height| height.waiting),
        policy: storm.callers.policy,
        cancel,
        cancelled: storm.left.wait(Duration::ZERO),
        reruns: stats.reruns,
        aborted: stats.aborted,
    }
}

/// Makes the runtime start the threads that it starts at its first use.
async fn warm_up<R: Runtime>(runtime: &R) {
    let ran = Arc::new(SettleCell::new());
    let task = ran.clone();
    runtime.spawn(async move {
        drop(task.settle(()));
    });
    ran.wait().await;
    runtime.sleep(Duration::from_millis(1)).await;
}
