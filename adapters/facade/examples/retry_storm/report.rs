//! What is printed on standard output: one JSON object a line, or tables and a verdict for a person.

use std::io::{self, Write};

use crate::rows::{Outcome, ParkedRow, Row, StormRow, TraceRow};
use crate::table;

const STORM_LEGEND: &str = "  \
  threads before   of this process, told by the operating system, while the call runs and before a duplicate comes
  threads waiting  the same when all duplicates wait
  settle to last   from the end of the call until the last duplicate goes on
  bytes a waiter   of heap, for all that a waiting duplicate needs, the task of the runtime included";

const TRACE_LEGEND: &str = "  \
  tokens          different tokens in the trace; one may be executed again when its last execution has ended
  joined          requests that came while their token was executed, and waited for the outcome
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

    pub(crate) fn begin_storms(&mut self, duplicates: usize) -> io::Result<()> {
        let duplicates = match duplicates {
            1 => "1 duplicate of one request waits, as a task,".to_string(),
            _ => format!(
                "{} duplicates of one request wait, as tasks,",
                table::count(duplicates)
            ),
        };
        self.say(&format!(
            "oneflight: {duplicates} for the blocking call that the first one made.\n"
        ))
    }

    pub(crate) fn end_storms(&mut self) -> io::Result<()> {
        let text = table::storms(&self.storms());
        self.say(&format!("{text}\n{STORM_LEGEND}\n"))
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

    pub(crate) fn begin_traces(&mut self, requests: usize) -> io::Result<()> {
        let requests = table::count(requests);
        self.say(&format!(
            "oneflight: {requests} recorded requests replayed in real time; a request joins the execution of its token \
             that is\nrunning, if there is one.\n"
        ))
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
            let all = table::count(storm.duplicates);
            parts.push(format!("1 execution, {all} of {all} resumed"));
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
            let [requests, executions] = [row.requests, row.executions].map(table::count);
            let name = row.runtime;
            parts.push(format!(
                "{name}: {requests} of {requests} requests answered, executions: {executions}"
            ));
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
