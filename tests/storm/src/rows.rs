//! What was measured: each row is a line of `--json`. The order of the fields is the order of the
//! keys.

use serde::Serialize;

use crate::callers::{Cancel, Policy};
use crate::executor::Name;

/// What was measured in one run.
pub(crate) trait Row: Serialize {
    /// What is wrong with it, in a sentence, if anything is.
    fn failure(&self) -> Option<String>;
}

/// A storm on one executor. `None` is "could not be read here", never zero.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename = "storm")]
pub struct StormRow {
    pub(crate) runtime: Name,
    pub(crate) duplicates: usize,
    pub(crate) executions: usize,
    pub(crate) resumed: usize,
    pub(crate) threads_before: Option<usize>,
    pub(crate) threads_waiting: Option<usize>,
    pub(crate) settle_to_last_us: Option<u64>,
    pub(crate) bytes_per_waiter: Option<f64>,
    /// Duplicates that waited when `threads_waiting` was read.
    pub(crate) waiting: usize,
    pub(crate) policy: Policy,
    pub(crate) cancel: Cancel,
    /// Callers that left early, the first one included.
    pub(crate) cancelled: usize,
    pub(crate) reruns: u64,
    /// Flights that ended without an outcome.
    pub(crate) aborted: u64,
}

/// The contrast, with one number of duplicates.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename = "parked")]
pub(crate) struct ParkedRow {
    pub(crate) pool: usize,
    pub(crate) duplicates: usize,
    pub(crate) outcome: Outcome,
    /// Duplicates that held a thread when the primary asked for one.
    pub(crate) parked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Ok,
    Deadlock,
}

/// A replay on one executor.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename = "trace")]
pub struct TraceRow {
    pub(crate) runtime: Name,
    pub(crate) requests: usize,
    pub(crate) tokens: usize,
    pub(crate) executions: usize,
    /// Requests that waited for the execution of another one.
    pub(crate) joined: u64,
    /// Flights that ended without an outcome: everyone had left.
    pub(crate) aborted: u64,
    pub(crate) largest_flight: usize,
    pub(crate) threads_peak: Option<usize>,
    /// Requests that got an outcome.
    pub(crate) resumed: usize,
    pub(crate) elapsed_ms: u64,
    /// How long duplicates waited. `None` if there was none.
    pub(crate) waited_median_ms: Option<f64>,
    pub(crate) waited_p99_ms: Option<f64>,
    pub(crate) waited_max_ms: Option<f64>,
    pub(crate) policy: Policy,
    pub(crate) cancel: Cancel,
    /// The replay window. `None` if there was none.
    pub(crate) retain_ms: Option<u64>,
    /// Requests whose caller left before an outcome came.
    pub(crate) cancelled: usize,
    pub(crate) reruns: u64,
    /// Requests that got a retained outcome, at once.
    pub(crate) retained: u64,
    /// Flights that ended with an outcome.
    pub(crate) settled: u64,
}

/// Rows that keep every promise.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    pub(crate) fn storm() -> StormRow {
        StormRow {
            runtime: Name::TokioCurrent,
            duplicates: 3,
            executions: 1,
            resumed: 3,
            threads_before: Some(4),
            threads_waiting: Some(4),
            settle_to_last_us: Some(12),
            bytes_per_waiter: Some(300.5),
            waiting: 3,
            policy: Policy::Detach,
            cancel: Cancel(0),
            cancelled: 0,
            reruns: 0,
            aborted: 0,
        }
    }

    pub(crate) fn parked(duplicates: usize, outcome: Outcome) -> ParkedRow {
        ParkedRow {
            pool: 6,
            duplicates,
            outcome,
            parked: duplicates,
        }
    }

    pub(crate) fn trace() -> TraceRow {
        TraceRow {
            runtime: Name::AsyncStd,
            requests: 5,
            tokens: 1,
            executions: 2,
            joined: 3,
            aborted: 0,
            largest_flight: 3,
            threads_peak: None,
            resumed: 5,
            elapsed_ms: 9,
            waited_median_ms: Some(1.5),
            waited_p99_ms: None,
            waited_max_ms: None,
            policy: Policy::Continue,
            cancel: Cancel(0),
            retain_ms: None,
            cancelled: 0,
            reruns: 0,
            retained: 0,
            settled: 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{parked, storm, trace};
    use super::*;

    fn json(row: &impl Serialize) -> String {
        serde_json::to_string(row).expect("rows have string keys")
    }

    #[test]
    fn a_storm_row_has_the_published_keys_in_order() {
        assert_eq!(
            json(&storm()),
            concat!(
                r#"{"kind":"storm","runtime":"tokio-current","duplicates":3,"executions":1,"#,
                r#""resumed":3,"threads_before":4,"threads_waiting":4,"settle_to_last_us":12,"#,
                r#""bytes_per_waiter":300.5,"waiting":3,"policy":"detach","cancel":0,"#,
                r#""cancelled":0,"reruns":0,"aborted":0}"#
            )
        );
    }

    #[test]
    fn a_parked_row_has_the_published_keys_in_order() {
        assert_eq!(
            json(&parked(6, Outcome::Deadlock)),
            r#"{"kind":"parked","pool":6,"duplicates":6,"outcome":"deadlock","parked":6}"#
        );
        assert!(json(&parked(5, Outcome::Ok)).contains(r#""outcome":"ok""#));
    }

    #[test]
    fn a_trace_row_has_the_published_keys_in_order() {
        assert_eq!(
            json(&trace()),
            concat!(
                r#"{"kind":"trace","runtime":"async-std","requests":5,"tokens":1,"executions":2,"#,
                r#""joined":3,"aborted":0,"largest_flight":3,"threads_peak":null,"resumed":5,"#,
                r#""elapsed_ms":9,"waited_median_ms":1.5,"waited_p99_ms":null,"#,
                r#""waited_max_ms":null,"policy":"continue","cancel":0,"retain_ms":null,"#,
                r#""cancelled":0,"reruns":0,"retained":0,"settled":2}"#
            )
        );
    }

    #[test]
    fn threads_that_can_not_be_read_are_null_and_never_zero() {
        let row = StormRow {
            threads_waiting: None,
            ..storm()
        };
        assert!(json(&row).contains(r#""threads_waiting":null"#));
    }
}
