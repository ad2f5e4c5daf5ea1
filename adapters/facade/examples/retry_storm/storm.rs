//! The storm: one slow, blocking call, and thousands of duplicates of it while it runs.
//!
//! Every request runs the same code, [`request`]: the first becomes the primary and gets a thread of the runtime's
//! blocking pool, the others wait as tasks. The primary's call ends when all of them are seen to wait. So the storm is
//! measured at its height, however slow the machine is.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_lite::future;
use oneflight::rt::Runtime;
use oneflight::{Detached, Group, SettleCell};

use crate::executor::{Executor, Name};
use crate::os;
use crate::rows::StormRow;
use crate::tally::Tally;

const TOKEN: &str = "charge:42";

/// What the primary saw while all duplicates waited. It is the outcome of the flight, so every duplicate gets it.
struct Receipt {
    waiting: usize,
    threads: Option<usize>,
    heap: usize,
    settled_at: Instant,
}

type Charge = Detached<&'static str, Receipt>;

struct Storm {
    group: Group<&'static str, Receipt>,
    limit: Duration,
    duplicates: usize,
    /// How often the call ran.
    executions: AtomicUsize,
    /// The call runs, and holds its thread.
    running: SettleCell<()>,
    /// Duplicates that have been polled and found that they have to wait.
    parked: Tally,
    /// Duplicates that got the receipt.
    resumed: AtomicUsize,
    /// Duplicates that ended, with the receipt or without.
    ended: AtomicUsize,
    /// From the settle to the last duplicate. `None` if that one got no receipt.
    all_ended: SettleCell<Option<Duration>>,
}

impl Storm {
    fn new(duplicates: usize, limit: Duration) -> Self {
        Self {
            group: Group::new(),
            limit,
            duplicates,
            executions: AtomicUsize::new(0),
            running: SettleCell::new(),
            parked: Tally::new(duplicates),
            resumed: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            all_ended: SettleCell::new(),
        }
    }

    /// The blocking call that only one request may make.
    fn charge(&self) -> Receipt {
        self.executions.fetch_add(1, Relaxed);
        // Refused if the call runs twice, which the executions tell.
        drop(self.running.settle(()));
        self.parked.wait(self.limit);
        Receipt {
            waiting: self.group.waiters(TOKEN),
            heap: os::live_heap(),
            threads: os::threads(),
            settled_at: Instant::now(),
        }
    }

    /// Waits for the receipt, and counts what becomes of it.
    async fn duplicate(&self, mut charge: Charge) {
        let mut first_poll = true;
        let outcome = poll_fn(|cx| {
            let poll = Pin::new(&mut charge).poll(cx);
            if std::mem::take(&mut first_poll) && poll.is_pending() {
                self.parked.add();
            }
            poll
        })
        .await;
        let took = outcome.ok().map(|receipt| receipt.settled_at.elapsed());
        self.resumed.fetch_add(usize::from(took.is_some()), Relaxed);
        if self.ended.fetch_add(1, Relaxed) + 1 == self.duplicates {
            drop(self.all_ended.settle(took));
        }
    }
}

/// A request for the one charge. Who is first runs the call; a duplicate's call is dropped, never made.
fn request<E: Executor>(storm: &Arc<Storm>) -> Charge {
    let call = {
        let storm = storm.clone();
        move || storm.charge()
    };
    E::spawn_blocking(&storm.group, TOKEN, call)
}

/// Runs the storm on `executor`.
pub(crate) fn run<E: Executor>(name: Name, executor: &E, duplicates: usize) -> StormRow {
    let limit = Duration::from_secs(30) + Duration::from_micros(50) * (duplicates as u32);
    executor.block_on(measure(name, executor, duplicates, limit))
}

async fn measure<E: Executor>(
    name: Name,
    executor: &E,
    duplicates: usize,
    limit: Duration,
) -> StormRow {
    let runtime = executor.runtime();
    warm_up(&runtime).await;

    let storm = Arc::new(Storm::new(duplicates, limit));
    let first = request::<E>(&storm);
    let _ = in_time(&runtime, limit, storm.running.wait()).await;
    let threads_before = os::threads();
    let heap_before = os::live_heap();
    for _ in 0..duplicates {
        let storm = storm.clone();
        runtime.spawn(async move {
            let charge = request::<E>(&storm);
            storm.duplicate(charge).await;
        });
    }

    let took = in_time(&runtime, limit * 2, storm.all_ended.wait()).await;
    let receipt = first.await.ok();
    let heap = receipt
        .as_ref()
        .map(|receipt| receipt.heap as f64 - heap_before as f64);
    StormRow {
        runtime: name,
        duplicates,
        executions: storm.executions.load(Relaxed),
        resumed: storm.resumed.load(Relaxed),
        threads_before,
        threads_waiting: receipt.as_ref().and_then(|receipt| receipt.threads),
        settle_to_last_us: took.copied().flatten().map(|took| took.as_micros() as u64),
        bytes_per_waiter: heap.map(|heap| (heap / duplicates as f64 * 10.0).round() / 10.0),
        waiting: receipt.map_or(0, |receipt| receipt.waiting),
    }
}

/// What `wanted` comes to, if it does so within `limit`: a fault shall be told, not waited for.
async fn in_time<R: Runtime, F: Future>(
    runtime: &R,
    limit: Duration,
    wanted: F,
) -> Option<F::Output> {
    let time_is_up = async {
        runtime.sleep(limit).await;
        None
    };
    future::or(async { Some(wanted.await) }, time_is_up).await
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
