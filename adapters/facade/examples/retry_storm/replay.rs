//! Replays a trace in real time: each request starts when it started then, on the executor that was chosen.

use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use oneflight::rt::Runtime;
use oneflight::{Group, SettleCell};

use crate::callers::{BUDGET, Callers, Policy};
use crate::executor::{Executor, Name, in_time};
use crate::os;
use crate::rows::TraceRow;
use crate::trace::{MAX_MS, Request, Trace};

/// How often threads are counted and the progress bar moves.
const TICK: Duration = Duration::from_millis(20);

/// How much longer than the trace a replay may take.
const GRACE: Duration = Duration::from_secs(30);

/// What is replayed, and how.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) trace: Arc<Trace>,
    pub(crate) callers: Callers,
    /// The replay window.
    pub(crate) retain: Option<Duration>,
}

struct Replay<R> {
    runtime: R,
    group: Group<Arc<str>, ()>,
    plan: Plan,
    executions: AtomicUsize,
    resumed: AtomicUsize,
    retained: AtomicU64,
    cancelled: AtomicUsize,
    ended: AtomicUsize,
    all_ended: SettleCell<()>,
    /// In microseconds.
    duplicates_waited: Mutex<Histogram<u64>>,
}

impl<R: Runtime<Sleep: 'static> + Send + Sync + 'static> Replay<R> {
    fn new(runtime: R, plan: Plan) -> Self {
        let histogram = Histogram::new_with_max(2 * MAX_MS * 1000, 3);
        let histogram = histogram.expect("a range and a precision that histograms have");
        Self {
            runtime,
            group: Group::builder()
                .retain(plan.retain.unwrap_or_default())
                .build(),
            plan,
            executions: AtomicUsize::new(0),
            resumed: AtomicUsize::new(0),
            retained: AtomicU64::new(0),
            cancelled: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            all_ended: SettleCell::new(),
            duplicates_waited: Mutex::new(histogram),
        }
    }

    /// What a server does with a request: run the work for its token, or wait for the one that runs.
    async fn serve(self: Arc<Self>, index: usize) {
        let came = Instant::now();
        let Request { token, work, .. } = self.plan.trace.requests[index].clone();
        let Callers { policy, cancel } = self.plan.callers;
        let patience = cancel.leaves(index).then(|| work / 2);
        let mut executes = false;
        let (at_once, answered) = match policy {
            Policy::Continue => {
                let call = self.group.work(token, || {
                    executes = true;
                    self.execute(work)
                });
                (call.get().is_some(), self.attend(call, patience).await)
            }
            Policy::Rerun => {
                let call = self.group.work_rerun(token, BUDGET, || {
                    executes = true;
                    self.execute(work)
                });
                (call.get().is_some(), self.attend(call, patience).await)
            }
            Policy::Detach => {
                let server = self.clone();
                let make = move || server.execute(work);
                let call = self.group.spawn_on(&self.runtime, token, make);
                executes = call.is_primary();
                (call.get().is_some(), self.attend(call, patience).await)
            }
        };
        // Without a window there is a moment too in which a settled flight may still be joined.
        let retained = at_once && !executes && self.plan.retain.is_some();
        self.retained.fetch_add(u64::from(retained), Relaxed);
        if answered && !executes && !retained {
            let waited = came.elapsed().as_micros() as u64;
            let histogram = &self.duplicates_waited;
            let mut histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
            histogram.saturating_record(waited);
        }
        if self.ended.fetch_add(1, Relaxed) + 1 == self.plan.trace.requests.len() {
            drop(self.all_ended.settle(()));
        }
    }

    fn execute(&self, work: Duration) -> R::Sleep {
        self.executions.fetch_add(1, Relaxed);
        self.runtime.sleep(work)
    }

    /// Waits for an outcome, or until the caller's patience is at its end. True if it got one.
    async fn attend<T, E, F>(&self, call: F, patience: Option<Duration>) -> bool
    where
        F: Future<Output = Result<T, E>>,
    {
        let answer = match patience {
            Some(patience) => in_time(&self.runtime, patience, call).await,
            None => Some(call.await),
        };
        match &answer {
            Some(Ok(_)) => self.resumed.fetch_add(1, Relaxed),
            Some(Err(_)) => 0,
            None => self.cancelled.fetch_add(1, Relaxed),
        };
        matches!(answer, Some(Ok(_)))
    }
}

/// Replays the plan on `executor`.
pub(crate) fn run<E: Executor>(name: Name, executor: &E, plan: &Plan) -> TraceRow {
    let replay = Arc::new(Replay::new(executor.runtime(), plan.clone()));
    let trace = &plan.trace;
    // An operation that is run anew begins half an operation after the last request at the latest.
    let limit = trace.length() + trace.longest() / 2 + GRACE;
    let began = Instant::now();
    let bar = progress_bar(name, trace);
    let threads_peak = executor.block_on(async {
        let runtime = &replay.runtime;
        runtime.spawn(send_requests(replay.clone(), began));
        let threads_peak = observe(&replay, began + limit, &bar).await;
        // Operations that nobody waits for any more run on, if they are the runtime's.
        replay.group.close();
        let left = limit.saturating_sub(began.elapsed());
        let _ = in_time(runtime, left, replay.group.drained()).await;
        threads_peak
    });
    bar.finish_and_clear();
    row(name, &replay, began.elapsed(), threads_peak)
}

/// The clients: starts a task for each request, when its time has come.
async fn send_requests<R>(replay: Arc<Replay<R>>, began: Instant)
where
    R: Runtime<Sleep: 'static> + Send + Sync + 'static,
{
    for (index, request) in replay.plan.trace.requests.iter().enumerate() {
        let early = request.at.saturating_sub(began.elapsed());
        if !early.is_zero() {
            replay.runtime.sleep(early).await;
        }
        replay.runtime.spawn(replay.clone().serve(index));
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

fn row<R>(name: Name, replay: &Replay<R>, took: Duration, threads_peak: Option<usize>) -> TraceRow {
    let stats = replay.group.stats();
    let Plan {
        trace,
        callers,
        retain,
    } = &replay.plan;
    let retained = replay.retained.load(Relaxed);
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
        // To the group, a late duplicate joins a flight that has ended.
        joined: stats.joined - retained,
        aborted: stats.aborted,
        largest_flight: stats.largest_flight,
        threads_peak,
        resumed: replay.resumed.load(Relaxed),
        elapsed_ms: took.as_millis() as u64,
        waited_median_ms: quantile(0.5),
        waited_p99_ms: quantile(0.99),
        waited_max_ms: quantile(1.0),
        policy: callers.policy,
        cancel: callers.cancel,
        retain_ms: retain.map(|time| time.as_millis() as u64),
        cancelled: replay.cancelled.load(Relaxed),
        reruns: stats.reruns,
        retained,
        settled: stats.settled,
    }
}
