//! What is printed on standard output: one JSON object a line, or tables and a verdict for a
//! person.

use std::io::{self, Write};
use std::time::Duration;

use crate::callers::{Callers, Cancel, Policy};
use crate::rows::{Outcome, ParkedRow, Row, StormRow, TraceRow};
use crate::table::{self, count};

const STORM_LEGEND: &str = "  \
  threads before   of this process, told by the operating system, while the call runs and before a \
                   duplicate comes
  threads waiting  the same when all duplicates wait
  settle to last   from the end of the call until the last duplicate goes on
  bytes a waiter   of heap, for all that a waiting duplicate needs, the task of the \
                   runtime included";

const DIRECTED_LEGEND: &str = "  \
  left early       callers that left when all waited and had been counted, before the call \
                   ended; the first one too
  re-runs          calls that were made anew, because the caller of the last one had left
  aborted          flights that ended without an outcome, because nobody wanted it any more";

const TRACE_LEGEND: &str = "  \
  tokens          different tokens in the trace; one may be executed again when its last \
                  execution has ended
  joined          requests that came while their token was executed, and waited for the outcome
  retained        requests that came within the replay window of an outcome, and got it at once
  re-runs         executions that were made anew, because the caller of the last one had left
  aborted         executions that ended without an outcome, because nobody wanted it any more
  left early      callers that left when half of their own work_ms had passed without an outcome
  largest flight  the most duplicates that waited for one execution at one time
  threads, peak   of this process, told by the operating system every 20 ms";

pub(crate) struct Report<W> {
    out: W,
    json: bool,
    rows: usize,
    /// What went wrong, in a sentence for each row that did.
    failures: Vec<String>,
    /// What the verdict says if nothing went wrong.
    verdict: Vec<String>,
}

impl<W: Write> Report<W> {
    pub(crate) fn new(out: W, json: bool) -> Self {
        Self {
            out,
            json,
            rows: 0,
            failures: Vec::new(),
            verdict: Vec::new(),
        }
    }

    /// Counts a row. Prints it at once for a program; a person gets it in a complete table.
    pub(crate) fn add(&mut self, row: &impl Row) -> io::Result<()> {
        self.rows += 1;
        self.failures.extend(row.failure());
        if self.json {
            let line = serde_json::to_string(row)?;
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    /// For a person only.
    fn say(&mut self, text: &str) -> io::Result<()> {
        if !self.json {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    pub(crate) fn begin_storms(
        &mut self,
        duplicates: usize,
        directed: Option<Callers>,
    ) -> io::Result<()> {
        let duplicates = match duplicates {
            1 => "1 duplicate of one request waits, as a task,".to_string(),
            _ => format!(
                "{} duplicates of one request wait, as tasks,",
                count(duplicates)
            ),
        };
        self.say(&format!(
            "oneflight: {duplicates} for the blocking call that the first one made."
        ))?;
        self.say(&directed.map_or_else(String::new, |callers| direction(callers) + "\n"))
    }

    pub(crate) fn end_storms(&mut self, rows: &[StormRow], directed: bool) -> io::Result<()> {
        if let Some(row) = rows.first() {
            let executions = match row.executions {
                1 => "1 execution".to_string(),
                more => format!("{more} executions"),
            };
            let [resumed, all] = [row.resumed, row.duplicates].map(count);
            let part = format!("{executions}, {resumed} of {all} resumed");
            self.verdict.push(part);
            self.verdict.extend(left(row.cancelled));
        }
        let readable = rows.iter().all(|row| row.threads_waiting.is_some());
        self.verdict.push(match readable {
            true => "no thread for waiting".to_string(),
            false => "threads can not be read here".to_string(),
        });
        let text = table::storms(rows, directed);
        self.say(&format!("{text}\n{STORM_LEGEND}"))?;
        match directed {
            true => self.say(&format!("{DIRECTED_LEGEND}\n")),
            false => self.say(""),
        }
    }

    pub(crate) fn begin_parked(&mut self) -> io::Result<()> {
        self.say(
            "For contrast, without oneflight: each duplicate parks a thread of tokio's blocking \
             pool until the first\none's call has ended, and that call needs a thread of the pool too. \
             The pool is as large as the one that\ntokio had above.\n",
        )
    }

    pub(crate) fn end_parked(&mut self, rows: &[ParkedRow]) -> io::Result<()> {
        for row in rows.iter().filter(|row| row.outcome == Outcome::Deadlock) {
            let (pool, duplicates) = (row.pool, row.duplicates);
            self.verdict.push(format!(
                "the parked way: deadlock with {duplicates} on {pool} threads"
            ));
        }
        let text = table::parked(rows);
        self.say(&format!("{text}\n"))
    }

    pub(crate) fn begin_traces(
        &mut self,
        requests: usize,
        callers: Callers,
        retain: Option<Duration>,
    ) -> io::Result<()> {
        let requests = count(requests);
        self.say(&format!(
            "oneflight: {requests} recorded requests replayed in real time; a request joins the \
             execution of its token that is\nrunning, if there is one."
        ))?;
        let window = retain.map_or_else(String::new, |time| {
            let time = count(time.as_millis() as usize);
            format!("Outcomes are retained for {time} ms. ")
        });
        self.say(&format!("{window}{}\n", direction(callers)))
    }

    pub(crate) fn end_traces(&mut self, rows: &[TraceRow]) -> io::Result<()> {
        for row in rows {
            let name = row.runtime;
            let [requests, resumed, executions] =
                [row.requests, row.resumed, row.executions].map(count);
            self.verdict.push(format!(
                "{name}: {resumed} of {requests} requests answered, executions: {executions}"
            ));
            self.verdict.extend(left(row.cancelled));
        }
        let text = table::traces(rows);
        self.say(&format!("{text}\n{TRACE_LEGEND}\n"))
    }

    /// The last line. Returns what went wrong.
    pub(crate) fn verdict(mut self) -> io::Result<Vec<String>> {
        let verdict = match self.failures.len() {
            0 => self.verdict.join("; "),
            failed => format!("failed, {failed} of {} rows", self.rows),
        };
        self.say(&format!("Verdict: {verdict}."))?;
        self.out.flush()?;
        Ok(self.failures)
    }
}

/// What the callers do, for a person.
fn direction(Callers { policy, cancel }: Callers) -> String {
    let fate = match policy {
        Policy::Continue => "another one goes on with the same operation",
        Policy::Rerun => "another one runs its own anew",
        Policy::Detach => "the operation runs on",
    };
    let Cancel(percent) = cancel;
    format!("Policy {policy}: if the caller leaves, {fate}. Of 100 callers {percent} leave early.")
}

/// `None` if nobody left.
fn left(callers: usize) -> Option<String> {
    match callers {
        0 => None,
        1 => Some("1 caller left early".to_string()),
        _ => Some(format!("{} callers left early", count(callers))),
    }
}
