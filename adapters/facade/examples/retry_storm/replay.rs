//! Replays a trace in real time: each request starts when it started then, on the executor that was chosen.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use oneflight::rt::Runtime;
use oneflight::{Group, SettleCell};

use crate::executor::{Executor, Name};
use crate::os;
use crate::rows::TraceRow;
use crate::trace::{MAX_MS, Request, Trace};

/// How often threads are counted and the progress bar moves.
const TICK: Duration = Duration::from_millis(20);

/// How much longer than the trace a replay may take.
const GRACE: Duration = Duration::from_secs(30);

struct Replay<R> {
    runtime: R,
    group: Group<Arc<str>, ()>,
    requests: usize,
    executions: AtomicUsize,
    resumed: AtomicUsize,
    ended: AtomicUsize,
    all_ended: SettleCell<()>,
    /// In microseconds.
    duplicates_waited: Mutex<Histogram<u64>>,
}

impl<R: Runtime<Sleep: 'static>> Replay<R> {
    /// What a server does with a request: run the work for its token, or wait for the one that runs.
    async fn serve(&self, request: Request) {
        let came = Instant::now();
        let mut is_primary = false;
        let work = self.group.work(request.token, || {
            is_primary = true;
            self.executions.fetch_add(1, Relaxed);
            self.runtime.sleep(request.work)
        });
        let outcome = work.await;
        if outcome.is_ok() {
            self.resumed.fetch_add(1, Relaxed);
        }
        if !is_primary {
            let waited = came.elapsed().as_micros() as u64;
            let histogram = &self.duplicates_waited;
            let mut histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
            histogram.saturating_record(waited);
        }
        if self.ended.fetch_add(1, Relaxed) + 1 == self.requests {
            drop(self.all_ended.settle(()));
        }
    }
}

/// Replays `trace` on `executor`.
pub(crate) fn run<E: Executor>(name: Name, executor: &E, trace: &Arc<Trace>) -> TraceRow {
    let histogram = Histogram::new_with_max(2 * MAX_MS * 1000, 3);
    let histogram = histogram.expect("a range and a precision that histograms have");
    let replay = Arc::new(Replay {
        runtime: executor.runtime(),
        group: Group::new(),
        requests: trace.requests.len(),
        executions: AtomicUsize::new(0),
        resumed: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        all_ended: SettleCell::new(),
        duplicates_waited: Mutex::new(histogram),
    });
    let began = Instant::now();
    let bar = progress_bar(name, trace);
    let threads_peak = executor.block_on(async {
        replay
            .runtime
            .spawn(send_requests(replay.clone(), trace.clone(), began));
        observe(&replay, began + trace.length() + GRACE, &bar).await
    });
    bar.finish_and_clear();
    row(name, &replay, trace, began.elapsed(), threads_peak)
}

/// The clients: starts a task for each request, when its time has come.
async fn send_requests<R>(replay: Arc<Replay<R>>, trace: Arc<Trace>, began: Instant)
where
    R: Runtime<Sleep: 'static> + Send + Sync + 'static,
{
    for request in &trace.requests {
        let early = request.at.saturating_sub(began.elapsed());
        if !early.is_zero() {
            replay.runtime.sleep(early).await;
        }
        let server = replay.clone();
        let request = request.clone();
        replay
            .runtime
            .spawn(async move { server.serve(request).await });
    }
}

/// Watches until every request has ended or time is up. Returns the most threads seen.
async fn observe<R>(replay: &Replay<R>, deadline: Instant, bar: &ProgressBar) -> Option<usize>
where
    R: Runtime,
{
    let mut peak = None;
    loop {
        // `None`, where threads can not be read, is less than any count.
        peak = peak.max(os::threads());
        bar.set_position(replay.ended.load(Relaxed) as u64);
        if replay.all_ended.get().is_some() || Instant::now() > deadline {
            return peak;
        }
        replay.runtime.sleep(TICK).await;
    }
}

/// Hidden by itself where standard error is not a terminal.
fn progress_bar(name: Name, trace: &Trace) -> ProgressBar {
    let bar = ProgressBar::new(trace.requests.len() as u64);
    let style = "{prefix:13} {wide_bar} {human_pos} of {human_len} requests, {elapsed}";
    let style = ProgressStyle::with_template(style).expect("the template is well formed");
    bar.set_style(style);
    bar.set_prefix(name.to_string());
    bar
}

fn row<R>(
    name: Name,
    replay: &Replay<R>,
    trace: &Trace,
    took: Duration,
    threads_peak: Option<usize>,
) -> TraceRow {
    let stats = replay.group.stats();
    let histogram = &replay.duplicates_waited;
    let waited = histogram.lock().unwrap_or_else(PoisonError::into_inner);
    let quantile = |quantile| {
        let micros = (!waited.is_empty()).then(|| waited.value_at_quantile(quantile))?;
        Some(micros as f64 / 1000.0)
    };
    TraceRow {
        runtime: name,
        requests: trace.requests.len(),
        tokens: trace.tokens,
        executions: replay.executions.load(Relaxed),
        joined: stats.joined,
        aborted: stats.aborted,
        largest_flight: stats.largest_flight,
        threads_peak,
        resumed: replay.resumed.load(Relaxed),
        elapsed_ms: took.as_millis() as u64,
        waited_median_ms: quantile(0.5),
        waited_p99_ms: quantile(0.99),
        waited_max_ms: quantile(1.0),
    }
}
