//! What the example `retry_storm` has around its use of oneflight.
//!
//! The example passes two functions to [`main`], one for each of its jobs. Each of them makes a
//! `Group` and passes it back with a closure that begins a request. Everything else is here:
//!
//! | file | what it holds |
//! |---|---|
//! | `args`, `trace` | what comes in, checked before anything runs |
//! | `callers` | what callers do: their policy, and which of them leave early |
//! | `executor` | the executors to run on |
//! | `storm` | the storm: one blocking call, its duplicates waiting as tasks |
//! | `parked` | the contrast: duplicates that hold threads, until the pool has none left |
//! | `replay` | a recorded trace in real time |
//! | `os`, `tally` | figures of the process; a count that can be waited for |
//! | `rows`, `promises` | what was measured, and whether it is what was promised |
//! | `report`, `table` | what goes out |

#![forbid(unsafe_code)]

mod args;
mod callers;
mod executor;
mod os;
mod parked;
mod promises;
mod replay;
mod report;
mod rows;
mod storm;
mod table;
mod tally;
mod trace;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use args::Args;
use executor::Name;
use report::Report;
use rows::Row;
use trace::Trace;

pub use callers::Policy;
pub use executor::Executor;
pub use replay::{Replay, Request};
pub use rows::{StormRow, TraceRow};
pub use storm::{Charge, Receipt, Storm};

/// Why it stopped before the end.
enum Stop {
    /// Nobody takes the output.
    Output(io::Error),
    /// The operating system gives no runtime.
    Runtime(io::Error),
}

impl From<io::Error> for Stop {
    fn from(why: io::Error) -> Self {
        Self::Output(why)
    }
}

/// The program: does what the command line asks for, and prints what was measured.
pub fn main(
    storm: impl AsyncFn(Storm) -> StormRow,
    replay: impl AsyncFn(Replay) -> TraceRow,
) -> ExitCode {
    let args = Args::parse();
    let trace = match args.trace.as_deref().map(Trace::read).transpose() {
        Ok(trace) => trace,
        Err(why) => {
            complain(&why);
            return ExitCode::from(2);
        }
    };
    let mut report = Report::new(io::stdout().lock(), args.json);
    let result = match trace {
        Some(trace) => replay_trace(&args, &Arc::new(trace), replay, &mut report),
        None => storm_and_contrast(&args, storm, &mut report),
    };
    match result.and_then(|()| Ok(report.verdict()?)) {
        Ok(failures) if failures.is_empty() => return ExitCode::SUCCESS,
        Ok(failures) => failures.iter().for_each(|why| complain(why)),
        // The reader has seen enough and closed the pipe.
        Err(Stop::Output(why)) if why.kind() == ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Err(Stop::Output(why)) => complain(&format!("can not write to standard output: {why}")),
        Err(Stop::Runtime(why)) => complain(&format!("can not start a runtime: {why}")),
    }
    ExitCode::FAILURE
}

/// A line on standard error. If that is gone too, the exit status is all there is.
fn complain(why: &str) {
    drop(writeln!(io::stderr(), "error: {why}"));
}

fn storm_and_contrast(
    args: &Args,
    storm: impl AsyncFn(Storm) -> StormRow,
    report: &mut Report<impl Write>,
) -> Result<(), Stop> {
    let duplicates = args.duplicates as usize;
    let callers = args.callers();
    report.begin_storms(duplicates, args.directed().then_some(callers))?;
    let storms = on_each(args, report, |name, executor| {
        storm(Storm {
            name,
            executor,
            duplicates,
            callers,
        })
    })?;
    report.end_storms(&storms, args.directed())?;

    report.begin_parked()?;
    let pool = os::pool_size();
    let mut contrast = Vec::new();
    for duplicates in [pool - 1, pool] {
        let row = parked::run(pool, duplicates).map_err(Stop::Runtime)?;
        report.add(&row)?;
        contrast.push(row);
    }
    Ok(report.end_parked(&contrast)?)
}

fn replay_trace(
    args: &Args,
    trace: &Arc<Trace>,
    replay: impl AsyncFn(Replay) -> TraceRow,
    report: &mut Report<impl Write>,
) -> Result<(), Stop> {
    let (callers, retain) = (args.callers(), args.retain());
    report.begin_traces(trace.requests.len(), callers, retain)?;
    let replays = on_each(args, report, |name, executor| {
        replay(Replay {
            name,
            executor,
            trace: trace.clone(),
            callers,
            retain,
        })
    })?;
    Ok(report.end_traces(&replays)?)
}

/// Runs the job on each executor that the arguments name.
fn on_each<R: Row, F: Future<Output = R>>(
    args: &Args,
    report: &mut Report<impl Write>,
    job: impl Fn(Name, Executor) -> F,
) -> Result<Vec<R>, Stop> {
    let mut rows = Vec::new();
    for name in args.runtimes() {
        let row = executor::run(name, |executor| job(name, executor)).map_err(Stop::Runtime)?;
        report.add(&row)?;
        rows.push(row);
    }
    Ok(rows)
}
