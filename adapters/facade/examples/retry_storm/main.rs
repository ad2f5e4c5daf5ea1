//! Thousands of retries of one request, on four executors, and the way that parks threads for contrast.
//!
//! ```text
//! cargo run --release --example retry_storm
//! cargo run --release --example retry_storm -- --help
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `storm` | the storm: one blocking call, its duplicates waiting as tasks |
//! | `parked` | the contrast: duplicates that hold threads, until the pool is wedged |
//! | `replay` | a recorded trace in real time |
//! | `executor` | the executors, each with its adapter |
//! | `callers` | what callers do: their policy, and who leaves early |
//! | `trace`, `args` | what comes in, checked before anything runs |
//! | `rows`, `table`, `report` | what goes out |
//! | `promises` | whether a row is what was promised |
//! | `os`, `tally` | what the system tells; a count that a thread can wait for |

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
use executor::{Name, OnAsyncStd, OnSmol, OnTokio};
use replay::Plan;
use report::Report;
use rows::Row;
use trace::Trace;

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

fn main() -> ExitCode {
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
        Some(trace) => replay_trace(&args, &Arc::new(trace), &mut report),
        None => storm_and_contrast(&args, &mut report),
    };
    match result {
        Ok(failures) if failures.is_empty() => ExitCode::SUCCESS,
        Ok(failures) => {
            failures.iter().for_each(|why| complain(why));
            ExitCode::FAILURE
        }
        // Whoever read it has seen enough.
        Err(Stop::Output(why)) if why.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Stop::Output(why)) => {
            complain(&format!("can not write to standard output: {why}"));
            ExitCode::FAILURE
        }
        Err(Stop::Runtime(why)) => {
            complain(&format!("can not start a runtime: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// A line on standard error. If that is gone too, the exit status is all there is.
fn complain(why: &str) {
    drop(writeln!(io::stderr(), "error: {why}"));
}

fn storm_and_contrast(args: &Args, report: &mut Report<impl Write>) -> Result<Vec<String>, Stop> {
    let duplicates = args.duplicates as usize;
    let callers = args.callers();
    report.begin_storms(duplicates, args.directed().then_some(callers))?;
    for name in args.runtimes() {
        let row = match name {
            Name::Tokio => storm::run(name, &multi_thread()?, duplicates, callers),
            Name::TokioCurrent => storm::run(name, &current_thread()?, duplicates, callers),
            Name::Smol => storm::run(name, &OnSmol, duplicates, callers),
            Name::AsyncStd => storm::run(name, &OnAsyncStd, duplicates, callers),
        };
        report.add(Row::Storm(row))?;
    }
    report.end_storms(args.directed())?;

    report.begin_parked()?;
    let pool = os::pool_size();
    for duplicates in [pool - 1, pool] {
        let row = parked::run(pool, duplicates).map_err(Stop::Runtime)?;
        report.add(Row::Parked(row))?;
    }
    report.end_parked()?;
    Ok(report.verdict()?)
}

fn replay_trace(
    args: &Args,
    trace: &Arc<Trace>,
    report: &mut Report<impl Write>,
) -> Result<Vec<String>, Stop> {
    let plan = Plan {
        trace: trace.clone(),
        callers: args.callers(),
        retain: args.retain(),
    };
    report.begin_traces(trace.requests.len(), plan.callers, plan.retain)?;
    for name in args.runtimes() {
        let row = match name {
            Name::Tokio => replay::run(name, &multi_thread()?, &plan),
            Name::TokioCurrent => replay::run(name, &current_thread()?, &plan),
            Name::Smol => replay::run(name, &OnSmol, &plan),
            Name::AsyncStd => replay::run(name, &OnAsyncStd, &plan),
        };
        report.add(Row::Trace(row))?;
    }
    report.end_traces()?;
    Ok(report.verdict()?)
}

fn multi_thread() -> Result<OnTokio, Stop> {
    OnTokio::multi_thread().map_err(Stop::Runtime)
}

fn current_thread() -> Result<OnTokio, Stop> {
    OnTokio::current_thread().map_err(Stop::Runtime)
}
