//! Replays a trace in real time: each request starts when it started then, on the executor that was
//! chosen.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_lite::future;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use oneflight::rt::{Spawn, Timer};
use oneflight::{Error, Group, Settled};
use parking_lot::Mutex;

use crate::callers::{Callers, Policy};
use crate::executor::{Executor, Name};
use crate::os;
use crate::rows::TraceRow;
use crate::tally::Tally;
use crate::trace::{MAX_MS, Trace};

/// How often threads are counted and the progress bar moves.
const TICK: Duration = Duration::from_millis(20);

/// How much longer than the trace a replay may take.
const GRACE: Duration = Duration::from_secs(30);

type Key = Arc<str>;
type Outcome = Result<Settled<Key, ()>, Error>;

/// A replay that has not begun.
#[derive(Debug)]
pub struct Replay {
    pub(crate) name: Name,
    pub(crate) executor: Executor,
    pub(crate) trace: Arc<Trace>,
    pub(crate) callers: Callers,
    /// The replay window.
    pub(crate) retain: Option<Duration>,
}

/// A request of the trace, when its time has come.
#[derive(Debug)]
pub struct Request {
    state: Arc<State>,
    index: usize,
    executes: Arc<AtomicBool>,
}

impl Request {
    /// Requests with the same token are duplicates of each other.
    pub fn token(&self) -> Arc<str> {
        self.state.replay.trace.requests[self.index].token.clone()
    }

    /// Begins the work of this request, which is the one that runs it.
    pub fn execute(self) -> <Executor as Timer>::Sleep {
        let Replay {
            trace, executor, ..
        } = &self.state.replay;
        self.executes.store(true, Relaxed);
        self.state.executions.fetch_add(1, Relaxed);
        executor.sleep(trace.requests[self.index].work) // about time
    }
}

#[derive(Debug)]
struct State {
    group: Group<Key, ()>,
    replay: Replay,
    executions: AtomicUsize,
    resumed: AtomicUsize,
    retained: AtomicU64,
    cancelled: AtomicUsize,
    ended: Tally,
    /// In microseconds.
    duplicates_waited: Mutex<Histogram<u64>>,
}

impl State {
    /// What a server does with a request: run the work for its token, or wait for the one that
    /// runs.
    async fn serve<B, F>(self: Arc<Self>, index: usize, begin: B)
    where
        B: Fn(&Group<Key, ()>, &Executor, Request) -> F,
        F: Future<Output = Outcome>,
    {
        let came = Instant::now();
        let Replay {
            executor,
            trace,
            callers,
            retain,
            ..
        } = &self.replay;
        let executes = Arc::new(AtomicBool::new(false));
        let request = Request {
            state: self.clone(),
            index,
            executes: executes.clone(),
        };
        let mut call = pin!(begin(&self.group, executor, request));
        let at_once = future::poll_once(call.as_mut()).await;
        let executes = || executes.load(Relaxed);
        // Without a window there is a moment too in which a settled flight may still be joined.
        let retained = at_once.is_some() && retain.is_some() && !executes();
        let answer = match at_once {
            None if callers.cancel.leaves(index) => {
                // This caller leaves when half of its own work would be done.
                executor.in_time(trace.requests[index].work / 2, call).await
            }
            None => Some(call.await),
            answer => answer,
        };
        match answer {
            Some(Ok(_)) => {
                self.resumed.fetch_add(1, Relaxed);
                if retained {
                    self.retained.fetch_add(1, Relaxed);
                } else if !executes() {
                    let waited = came.elapsed().as_micros() as u64;
                    self.duplicates_waited.lock().saturating_record(waited);
                }
            }
            Some(Err(_)) => {}
            None => drop(self.cancelled.fetch_add(1, Relaxed)),
        }
        self.ended.add();
    }

    /// Watches until every request has ended or time is up. Returns the most threads seen.
    async fn observe(&self, deadline: Instant, bar: &ProgressBar) -> Option<usize> {
        let mut peak = None;
        loop {
            // `None`, where threads can not be read, is less than any count.
            peak = peak.max(os::threads());
            let ended = self.ended.count();
            bar.set_position(ended as u64);
            if ended == self.replay.trace.requests.len() || Instant::now() > deadline {
                return peak;
            }
            self.replay.executor.sleep(TICK).await; // about time
        }
    }

    fn row(&self, took: Duration, threads_peak: Option<usize>) -> TraceRow {
        let stats = self.group.stats();
        let Replay {
            name,
            trace,
            callers,
            retain,
            ..
        } = &self.replay;
        let retained = self.retained.load(Relaxed);
        let waited = self.duplicates_waited.lock();
        let quantile = |quantile| {
            let micros = (!waited.is_empty()).then(|| waited.value_at_quantile(quantile))?;
            Some(micros as f64 / 1000.0)
        };
        TraceRow {
            runtime: *name,
            requests: trace.requests.len(),
            tokens: trace.tokens,
            executions: self.executions.load(Relaxed),
            // To the group, a late duplicate joins a flight that has ended.
            joined: stats.joined - retained,
            aborted: stats.aborted,
            largest_flight: stats.largest_flight,
            threads_peak,
            resumed: self.resumed.load(Relaxed),
            elapsed_ms: took.as_millis() as u64,
            waited_median_ms: quantile(0.5),
            waited_p99_ms: quantile(0.99),
            waited_max_ms: quantile(1.0),
            policy: callers.policy,
            cancel: callers.cancel,
            retain_ms: retain.map(|time| time.as_millis() as u64),
            cancelled: self.cancelled.load(Relaxed),
            reruns: stats.reruns,
            retained,
            settled: stats.settled,
        }
    }
}

impl Replay {
    /// What becomes of the work when its caller leaves.
    pub fn policy(&self) -> Policy {
        self.callers.policy
    }

    /// How long an outcome is kept for late duplicates: not at all, if this is zero.
    pub fn retain(&self) -> Duration {
        self.retain.unwrap_or_default()
    }

    /// Runs the replay. Calls `begin` once for each request.
    pub async fn run<B, F>(self, group: Group<Key, ()>, begin: B) -> TraceRow
    where
        B: Fn(&Group<Key, ()>, &Executor, Request) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let trace = self.trace.clone();
        let executor = self.executor.clone();
        let histogram = Histogram::new_with_max(2 * MAX_MS * 1000, 3);
        let histogram = histogram.expect("a range and a precision that histograms have");
        let bar = progress_bar(self.name, &trace);
        let state = Arc::new(State {
            group,
            replay: self,
            executions: AtomicUsize::new(0),
            resumed: AtomicUsize::new(0),
            retained: AtomicU64::new(0),
            cancelled: AtomicUsize::new(0),
            ended: Tally::new(trace.requests.len()),
            duplicates_waited: Mutex::new(histogram),
        });
        // An operation that is run anew begins half an operation after the last request at the
        // latest.
        let limit = trace.length() + trace.longest() / 2 + GRACE;
        let began = Instant::now();
        executor.spawn(send_requests(state.clone(), began, begin));
        let threads_peak = state.observe(began + limit, &bar).await;
        // Operations that nobody waits for any more run on, if they are the runtime's.
        state.group.close();
        let left = limit.saturating_sub(began.elapsed());
        let _ = executor.in_time(left, state.group.drained()).await;
        bar.finish_and_clear();
        state.row(began.elapsed(), threads_peak)
    }
}

/// The clients: starts a task for each request, when its time has come.
async fn send_requests<B, F>(state: Arc<State>, began: Instant, begin: B)
where
    B: Fn(&Group<Key, ()>, &Executor, Request) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let Replay {
        trace, executor, ..
    } = &state.replay;
    for (index, request) in trace.requests.iter().enumerate() {
        let early = request.at.saturating_sub(began.elapsed());
        if !early.is_zero() {
            executor.sleep(early).await; // about time
        }
        executor.spawn(state.clone().serve(index, begin));
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
