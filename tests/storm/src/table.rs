//! The rows, as tables for a person.

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;

use crate::rows::{Outcome, ParkedRow, StormRow, TraceRow};

/// `directed`: the callers were told what to do, so what came of that is shown too.
pub(crate) fn storms(rows: &[StormRow], directed: bool) -> String {
    let mut headings = vec![
        "runtime",
        "duplicates",
        "executions",
        "resumed",
        "threads\nbefore",
        "threads\nwaiting",
        "settle to\nlast, µs",
        "bytes a\nwaiter",
    ];
    if directed {
        headings.extend(["left\nearly", "re-runs", "aborted"]);
    }
    let mut table = table(&headings);
    for row in rows {
        let mut cells = vec![
            row.runtime.to_string(),
            count(row.duplicates),
            count(row.executions),
            count(row.resumed),
            readable(row.threads_before),
            readable(row.threads_waiting),
            row.settle_to_last_us
                .map_or(none(), |us| count(us as usize)),
            rounded(row.bytes_per_waiter),
        ];
        if directed {
            cells.extend([
                count(row.cancelled),
                count(row.reruns as usize),
                count(row.aborted as usize),
            ]);
        }
        table.add_row(cells);
    }
    aligned(table)
}

pub(crate) fn parked(rows: &[ParkedRow]) -> String {
    let mut table = table(&[
        "pool, threads",
        "duplicates",
        "threads they hold",
        "outcome",
    ]);
    for row in rows {
        let outcome = match row.outcome {
            Outcome::Ok => "ok",
            Outcome::Deadlock => "deadlock",
        };
        table.add_row([
            count(row.pool),
            count(row.duplicates),
            count(row.parked),
            outcome.to_string(),
        ]);
    }
    aligned(table)
}

pub(crate) fn traces(rows: &[TraceRow]) -> String {
    let mut table = table(&[
        "runtime",
        "requests",
        "tokens",
        "executions",
        "joined",
        "retained",
        "re-runs",
        "aborted",
        "left\nearly",
        "largest\nflight",
        "threads,\npeak",
        "duplicates waited,\nms, median / p99 / max",
    ]);
    for row in rows {
        let waited = [row.waited_median_ms, row.waited_p99_ms, row.waited_max_ms];
        let waited = match waited {
            [None, ..] => "no duplicates".to_string(),
            waited => waited.map(rounded).join(" / "),
        };
        table.add_row([
            row.runtime.to_string(),
            count(row.requests),
            count(row.tokens),
            count(row.executions),
            count(row.joined as usize),
            count(row.retained as usize),
            count(row.reruns as usize),
            count(row.aborted as usize),
            count(row.cancelled),
            count(row.largest_flight),
            readable(row.threads_peak),
            waited,
        ]);
    }
    aligned(table)
}

fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(headings);
    table
}

/// Numbers stand right, below each other.
fn aligned(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

pub(crate) fn count(value: usize) -> String {
    HumanCount(value as u64).to_string()
}

fn readable(value: Option<usize>) -> String {
    value.map_or_else(|| "can not be read here".to_string(), count)
}

fn rounded(value: Option<f64>) -> String {
    value.map_or(none(), |value| format!("{value:.0}"))
}

fn none() -> String {
    "none".to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::samples::{storm, trace};

    #[test]
    fn threads_that_can_not_be_read_are_said_to_be_so() {
        let row = StormRow {
            duplicates: 10_000,
            threads_before: None,
            threads_waiting: None,
            settle_to_last_us: Some(1500),
            ..storm()
        };
        let table = storms(&[row], false);
        assert_eq!(table.matches("can not be read here").count(), 2, "{table}");
        assert!(table.contains("10,000"), "{table}");
        assert!(table.contains("1,500"), "{table}");
    }

    #[test]
    fn what_callers_were_told_to_do_is_shown_only_then() {
        let row = StormRow {
            cancelled: 301,
            ..storm()
        };
        let rows = [row];
        let plain = storms(&rows, false);
        assert!(!plain.contains("re-runs"), "{plain}");
        let directed = storms(&rows, true);
        for part in ["early", "re-runs", "aborted", "301"] {
            assert!(directed.contains(part), "{directed}");
        }
    }

    #[test]
    fn a_replay_without_duplicates_says_so() {
        let row = TraceRow {
            waited_median_ms: None,
            ..trace()
        };
        let table = traces(&[row]);
        assert!(table.contains("no duplicates"), "{table}");
    }
}
