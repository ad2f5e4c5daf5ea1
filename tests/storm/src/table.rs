//! The rows, as tables for a person.

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;

use crate::rows::{Outcome, ParkedRow, StormRow, TraceRow};

/// A heading, and what stands below it for a row.
type Column<R> = (&'static str, fn(&R) -> String);

const STORMS: [Column<StormRow>; 11] = [
    ("runtime", |row| row.runtime.to_string()),
    ("duplicates", |row| count(row.duplicates)),
    ("executions", |row| count(row.executions)),
    ("resumed", |row| count(row.resumed)),
    ("threads\nbefore", |row| readable(row.threads_before)),
    ("threads\nwaiting", |row| readable(row.threads_waiting)),
    ("settle to\nlast, µs", |row| {
        or_none(row.settle_to_last_us.map(|us| count(us as usize)))
    }),
    ("bytes a\nwaiter", |row| rounded(row.bytes_per_waiter)),
    ("left\nearly", |row| count(row.cancelled)),
    ("re-runs", |row| count(row.reruns as usize)),
    ("aborted", |row| count(row.aborted as usize)),
];

/// Those of [`STORMS`] that do not tell what came of leaving.
const UNDIRECTED: usize = 8;

const PARKED: [Column<ParkedRow>; 4] = [
    ("pool, threads", |row| count(row.pool)),
    ("duplicates", |row| count(row.duplicates)),
    ("threads they hold", |row| count(row.parked)),
    ("outcome", |row| match row.outcome {
        Outcome::Ok => "ok".to_string(),
        Outcome::Deadlock => "deadlock".to_string(),
    }),
];

const TRACES: [Column<TraceRow>; 12] = [
    ("runtime", |row| row.runtime.to_string()),
    ("requests", |row| count(row.requests)),
    ("tokens", |row| count(row.tokens)),
    ("executions", |row| count(row.executions)),
    ("joined", |row| count(row.joined as usize)),
    ("retained", |row| count(row.retained as usize)),
    ("re-runs", |row| count(row.reruns as usize)),
    ("aborted", |row| count(row.aborted as usize)),
    ("left\nearly", |row| count(row.cancelled)),
    ("largest\nflight", |row| count(row.largest_flight)),
    ("threads,\npeak", |row| readable(row.threads_peak)),
    ("duplicates waited,\nms, median / p99 / max", |row| {
        match [row.waited_median_ms, row.waited_p99_ms, row.waited_max_ms] {
            [None, ..] => "no duplicates".to_string(),
            waited => waited.map(rounded).join(" / "),
        }
    }),
];

/// `directed`: the callers were told what to do, so what came of that is shown too.
pub(crate) fn storms(rows: &[StormRow], directed: bool) -> String {
    let columns = if directed { STORMS.len() } else { UNDIRECTED };
    table(&STORMS[..columns], rows)
}

pub(crate) fn parked(rows: &[ParkedRow]) -> String {
    table(&PARKED, rows)
}

pub(crate) fn traces(rows: &[TraceRow]) -> String {
    table(&TRACES, rows)
}

fn table<R>(columns: &[Column<R>], rows: &[R]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(columns.iter().map(|(_, cell)| cell(row)));
    }
    // Numbers stand right, below each other.
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
    or_none(value.map(|value| format!("{value:.0}")))
}

fn or_none(value: Option<String>) -> String {
    value.unwrap_or_else(|| "none".to_string())
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
