//! What is printed on standard output: one JSON object a line, or tables and a verdict for a person.

use std::io::{self, Write};
use std::time::Duration;

use crate::callers::{Callers, Cancel, Policy};
use crate::rows::{Outcome, ParkedRow, Row, StormRow, TraceRow};
use crate::table;

const STORM_LEGEND: &str = "  \
  threads before   of this process, told by the operating system, while the call runs and before a duplicate comes
  threads waiting  the same when all duplicates wait
  settle to last   from the end of the call until the last duplicate goes on
  bytes a waiter   of heap, for all that a waiting duplicate needs, the task of the runtime included";

const DIRECTED_LEGEND: &str = "  \
  left early       callers that left when all waited and had been counted, before the call ended; the first one too
  re-runs          calls that were made anew, because the caller of the last one had left
  aborted          flights that ended without an outcome, because nobody wanted it any more";

const TRACE_LEGEND: &str = "  \
  tokens          different tokens in the trace; one may be executed again when its last execution has ended
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
    rows: Vec<Row>,
}

impl<W: Write> Report<W> {
    pub(crate) fn new(out: W, json: bool) -> Self {
        let rows = Vec::new();
        Self { out, json, rows }
    }

    /// A program reads it at once; a person when its table is complete.
    pub(crate) fn add(&mut self, row: Row) -> io::Result<()> {
        if self.json {
            let line = serde_json::to_string(&row)?;
            writeln!(self.out, "{line}")?;
        }
        self.rows.push(row);
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
                table::count(duplicates)
            ),
        };
        self.say(&format!(
            "oneflight: {duplicates} for the blocking call that the first one made."
        ))?;
        self.say(&directed.map_or_else(String::new, |callers| direction(callers) + "\n"))
    }

    pub(crate) fn end_storms(&mut self, directed: bool) -> io::Result<()> {
        let text = table::storms(&self.storms(), directed);
        self.say(&format!("{text}\n{STORM_LEGEND}"))?;
        match directed {
            true => self.say(&format!("{DIRECTED_LEGEND}\n")),
            false => self.say(""),
        }
    }

    pub(crate) fn begin_parked(&mut self) -> io::Result<()> {
        self.say(
            "For contrast, without oneflight: each duplicate parks a thread of tokio's blocking pool until the first\n\
             one's call has ended, and that call needs a thread of the pool too. The pool is as large as the one that\n\
             tokio had above.\n",
        )
    }

    pub(crate) fn end_parked(&mut self) -> io::Result<()> {
        let text = table::parked(&self.parked());
        self.say(&format!("{text}\n"))
    }

    pub(crate) fn begin_traces(
        &mut self,
        requests: usize,
        callers: Callers,
        retain: Option<Duration>,
    ) -> io::Result<()> {
        let requests = table::count(requests);
        self.say(&format!(
            "oneflight: {requests} recorded requests replayed in real time; a request joins the execution of its token \
             that is\nrunning, if there is one."
        ))?;
        let window = retain.map_or_else(String::new, |time| {
            let time = table::count(time.as_millis() as usize);
            format!("Outcomes are retained for {time} ms. ")
        });
        self.say(&format!("{window}{}\n", direction(callers)))
    }

    pub(crate) fn end_traces(&mut self) -> io::Result<()> {
        let text = table::traces(&self.traces());
        self.say(&format!("{text}\n{TRACE_LEGEND}\n"))
    }

    /// The last line. Returns what went wrong.
    pub(crate) fn verdict(&mut self) -> io::Result<Vec<String>> {
        let failures: Vec<String> = self.rows.iter().filter_map(Row::failure).collect();
        let verdict = match failures.len() {
            0 => self.success(),
            failed => format!("failed, {failed} of {} rows", self.rows.len()),
        };
        self.say(&format!("Verdict: {verdict}."))?;
        self.out.flush()?;
        Ok(failures)
    }

    fn success(&self) -> String {
        let mut parts = Vec::new();
        let storms = self.storms();
        if let Some(storm) = storms.first() {
            let executions = match storm.executions {
                1 => "1 execution".to_string(),
                more => format!("{more} executions"),
            };
            let [resumed, all] = [storm.resumed, storm.duplicates].map(table::count);
            parts.push(format!("{executions}, {resumed} of {all} resumed"));
            if storm.cancelled > 0 {
                parts.push(left(storm.cancelled));
            }
            parts.push(
                match storms.iter().all(|row| row.threads_waiting.is_some()) {
                    true => "no thread for waiting".to_string(),
                    false => "threads can not be read here".to_string(),
                },
            );
        }
        for row in self.parked() {
            if row.outcome == Outcome::Deadlock {
                let ParkedRow {
                    pool, duplicates, ..
                } = row;
                parts.push(format!(
                    "the parked way: deadlock with {duplicates} on {pool} threads"
                ));
            }
        }
        for row in self.traces() {
            let [requests, resumed, executions] =
                [row.requests, row.resumed, row.executions].map(table::count);
            let name = row.runtime;
            parts.push(format!(
                "{name}: {resumed} of {requests} requests answered, executions: {executions}"
            ));
            if row.cancelled > 0 {
                parts.push(left(row.cancelled));
            }
        }
        parts.join("; ")
    }

    fn storms(&self) -> Vec<&StormRow> {
        let of_kind = self.rows.iter().filter_map(|row| match row {
            Row::Storm(row) => Some(row),
            _ => None,
        });
        of_kind.collect()
    }

    fn parked(&self) -> Vec<&ParkedRow> {
        let of_kind = self.rows.iter().filter_map(|row| match row {
            Row::Parked(row) => Some(row),
            _ => None,
        });
        of_kind.collect()
    }

    fn traces(&self) -> Vec<&TraceRow> {
        let of_kind = self.rows.iter().filter_map(|row| match row {
            Row::Trace(row) => Some(row),
            _ => None,
        });
        of_kind.collect()
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

fn left(callers: usize) -> String {
    match callers {
        1 => "1 caller left early".to_string(),
        _ => format!("{} callers left early", table::count(callers)),
    }
}
