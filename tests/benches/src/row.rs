//! The rows that are written, one JSON object a line.

use serde::{Deserialize, Serialize};

/// One contender in one workload. What does not apply is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// As in `workloads::ALL`.
    pub workload: String,
    /// The variant within the workload: closure or guard, type of the key, executor, order, percentile.
    pub key: String,
    /// Waiters, keys, threads or bytes, as the workload counts.
    pub n: u64,
    /// `oneflight` (the guard), `work`, or who else.
    pub contender: String,
    /// Nanoseconds an operation, median of the rounds. In `hold` and `tail` an operation is a whole settle.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ns: Option<f64>,
    /// Nanoseconds an operation, best round.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min_ns: Option<f64>,
    /// Half of the rounds lie in a range of this part of the median.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spread: Option<f64>,
    /// Allocations an operation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allocs: Option<f64>,
    /// Bytes of heap an operation.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<f64>,
    /// Polls a waiter; in `threads` the runs of the operation a call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub polls: Option<f64>,
    /// `ns` over that of the best peer as shipped, in the same run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ratio_best_peer: Option<f64>,
    /// `ns` over that of the workload's limit in the same run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ratio_limit: Option<f64>,
}
