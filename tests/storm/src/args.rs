//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::callers::{Callers, Cancel, Policy};
use crate::executor::Name;
use crate::trace::MAX_MS;

const EXAMPLES: &str = "\
Examples:
  retry_storm                                  the storm on every runtime, as a table
  retry_storm --duplicates 1000000             a larger one
  retry_storm --runtime smol --json            one runtime, for a program to read
  retry_storm --policy rerun --cancel 20       callers leave; another one makes the call anew
  retry_storm --trace trace.jsonl              a recorded trace, on tokio
  retry_storm --trace trace.jsonl --retain 500 and late duplicates get the outcome at once
  zcat trace.gz | retry_storm --trace - --runtime all

  With cargo, from the root of the workspace:
  cargo run --release --example retry_storm -- --runtime smol --json

A trace has one request on each line:
  {\"at_ms\":12,\"token\":\"charge:42\",\"work_ms\":250}
  at_ms    when the request comes, in milliseconds from the start
  token    requests with the same token are duplicates of each other
  work_ms  how long the work takes if this request is the one that runs it
  Times are whole numbers up to 86400000 (a day). Lines may be in any order; blank ones
  are skipped. The whole trace is checked before anything runs.

Exit status:
  0  everything ran, and as promised: one execution (and one more for each re-run), an
     outcome for every caller that stayed, no thread for waiting
  1  a run failed, or did not show what was promised; standard error says what
  2  a bad option, or a trace that can not be read; nothing was run";

/// The first line is the short help.
const ABOUT: &str = "\
Thousands of retries of one request while the first still runs: one execution, and \
nobody holds a thread.

Without --trace: on each runtime, one request makes a slow blocking call, and its
duplicates wait for it. When all of them wait, the threads of the process are counted
and the call ends. For contrast, the same is then done on tokio in the way that parks a
thread of the pool for each duplicate: once with as many duplicates as the pool still
serves, and once with one more.

With --trace: recorded requests are replayed in real time.";

/// The first line is the short help.
const POLICY: &str = "\
What becomes of the operation when its caller leaves \
[default: detach; with --trace: continue]

In a storm, the operation awaits a call on the runtime's blocking pool, or is that \
call (detach). With --trace, it sleeps for as long as the work took.";

#[derive(Debug, Parser)]
#[command(
    name = "retry_storm",
    version,
    about = ABOUT.lines().next(),
    long_about = ABOUT,
    verbatim_doc_comment,
    after_long_help = EXAMPLES
)]
pub(crate) struct Args {
    /// How many duplicates wait for the one that runs, from 1 to 10000000
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=10_000_000),
        conflicts_with = "trace"
    )]
    pub(crate) duplicates: u32,

    /// The runtime to run on [default: all; with --trace: tokio]
    #[arg(long, value_name = "RUNTIME")]
    pub(crate) runtime: Option<Choice>,

    /// Replay the requests of this file (JSON lines; - for standard input) in real time
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    #[arg(long, value_name = "POLICY", help = POLICY.lines().next(), long_help = POLICY)]
    policy: Option<Policy>,

    /// So many callers in a hundred leave early, from 0 to 100 [default: 0]
    ///
    /// Always the same ones, the very first caller among them. In a storm they leave when
    /// all duplicates wait and have been counted, before the call ends. With --trace they
    /// leave when half of their own work_ms has passed without an outcome.
    #[arg(
        long,
        value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(0..=100)
    )]
    cancel: Option<u8>,

    /// Keep outcomes for so many milliseconds: late duplicates get them at once
    ///
    /// Only with --trace: a storm has no late duplicates. From 1 to 86400000.
    #[arg(
        long,
        value_name = "MS",
        value_parser = clap::value_parser!(u32).range(1..=MAX_MS as i64),
        requires = "trace"
    )]
    retain: Option<u32>,

    /// Print one JSON object a line instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// tokio, with a worker thread for each core
    Tokio,
    /// tokio, all tasks on one thread
    TokioCurrent,
    /// smol's global executor
    Smol,
    /// async-std's global executor (async-std is discontinued upstream)
    AsyncStd,
    /// each of them in turn
    All,
}

impl Args {
    /// What the callers do.
    pub(crate) fn callers(&self) -> Callers {
        let default = match self.trace {
            Some(_) => Policy::Continue,
            None => Policy::Detach,
        };
        Callers {
            policy: self.policy.unwrap_or(default),
            cancel: Cancel(self.cancel.unwrap_or(0)),
        }
    }

    /// Whether the callers were told what to do.
    pub(crate) fn directed(&self) -> bool {
        self.policy.is_some() || self.cancel.is_some()
    }

    /// The replay window.
    pub(crate) fn retain(&self) -> Option<Duration> {
        self.retain.map(|ms| Duration::from_millis(ms.into()))
    }

    /// The runtimes to run on.
    pub(crate) fn runtimes(&self) -> Vec<Name> {
        let default = match self.trace {
            Some(_) => Choice::Tokio,
            None => Choice::All,
        };
        match self.runtime.unwrap_or(default) {
            Choice::Tokio => vec![Name::Tokio],
            Choice::TokioCurrent => vec![Name::TokioCurrent],
            Choice::Smol => vec![Name::Smol],
            Choice::AsyncStd => vec![Name::AsyncStd],
            Choice::All => vec![Name::Tokio, Name::TokioCurrent, Name::Smol, Name::AsyncStd],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn no_argument_is_ten_thousand_on_every_runtime() {
        let args = parse("retry_storm").unwrap();
        assert_eq!(args.duplicates, 10_000);
        assert_eq!(args.runtimes().len(), 4);
        assert!(!args.json);
        assert!(!args.directed());
        assert_eq!(args.callers().policy, Policy::Detach);
        assert_eq!((args.callers().cancel, args.retain()), (Cancel(0), None));
    }

    #[test]
    fn callers_continue_in_a_trace_and_do_what_they_are_told() {
        let args = parse("retry_storm --trace -").unwrap();
        assert_eq!(args.callers().policy, Policy::Continue);
        for (policy, name) in [
            (Policy::Continue, "continue"),
            (Policy::Rerun, "rerun"),
            (Policy::Detach, "detach"),
        ] {
            for line in ["retry_storm", "retry_storm --trace -"] {
                let args = parse(&format!("{line} --policy {name} --cancel 100")).unwrap();
                assert_eq!(args.callers().policy, policy, "{line}");
                assert_eq!(args.callers().cancel, Cancel(100), "{line}");
                assert!(args.directed());
            }
        }
        let args = parse("retry_storm --trace - --retain 86400000 --cancel 0").unwrap();
        assert_eq!(args.retain(), Some(Duration::from_millis(MAX_MS)));
    }

    #[test]
    fn a_trace_runs_on_tokio_unless_told_otherwise() {
        let args = parse("retry_storm --trace -").unwrap();
        assert_eq!(args.runtimes(), [Name::Tokio]);
        let args = parse("retry_storm --trace - --runtime async-std").unwrap();
        assert_eq!(args.runtimes(), [Name::AsyncStd]);
    }
}
