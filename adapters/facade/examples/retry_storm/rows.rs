//! What was measured, as `--json` prints it, and whether it is what was promised.

use serde::Serialize;

use crate::callers::{Cancel, Policy};
use crate::executor::Name;

/// A line of `--json`. The order of the fields is the order of the keys.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Row {
    Storm(StormRow),
    Parked(ParkedRow),
    Trace(TraceRow),
}

/// `None` is "could not be read here", never zero.
#[derive(Debug, Serialize)]
pub(crate) struct StormRow {
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

#[derive(Debug, Serialize)]
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

#[derive(Debug, Serialize)]
pub(crate) struct TraceRow {
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

impl Row {
    /// What is wrong with it, in a sentence, if anything is.
    pub(crate) fn failure(&self) -> Option<String> {
        match self {
            Self::Storm(row) => row.failure().map(|why| format!("{}: {why}", row.runtime)),
            Self::Parked(row) => row.failure(),
            Self::Trace(row) => row.failure().map(|why| format!("{}: {why}", row.runtime)),
        }
    }
}

impl StormRow {
    fn failure(&self) -> Option<String> {
        let Self {
            duplicates,
            executions,
            resumed,
            waiting,
            cancelled,
            reruns,
            aborted,
            ..
        } = *self;
        if waiting != duplicates {
            return Some(format!(
                "{waiting} of {duplicates} duplicates waited when time was up"
            ));
        }
        let leaving = self.cancel.of(duplicates + 1);
        if cancelled != leaving {
            return Some(format!("{cancelled} callers left, not {leaving}"));
        }
        let first_left = usize::from(self.cancel.leaves(0));
        let staying = duplicates + first_left - leaving;
        let runs_again = self.policy == Policy::Rerun && first_left == 1 && staying > 0;
        if reruns != u64::from(runs_again) {
            return Some(format!("{reruns} re-runs"));
        }
        if executions as u64 != 1 + reruns {
            let wanted = match runs_again {
                true => "twice",
                false => "once",
            };
            return Some(format!("the call ran {executions} times, not {wanted}"));
        }
        if resumed != staying {
            return Some(format!("{resumed} of {staying} duplicates resumed"));
        }
        let abandoned = leaving > duplicates && self.policy != Policy::Detach;
        if aborted != u64::from(abandoned) {
            return Some(format!("{aborted} flights were aborted"));
        }
        match (self.threads_before, self.threads_waiting) {
            (Some(before), Some(waiting)) if waiting > before => {
                let more = waiting - before;
                Some(format!("waiting took {more} more threads"))
            }
            _ => None,
        }
    }
}

impl ParkedRow {
    fn failure(&self) -> Option<String> {
        let Self {
            pool,
            duplicates,
            parked,
            ..
        } = self;
        if parked != duplicates {
            return Some(format!(
                "{parked} of {duplicates} threads were parked when time was up"
            ));
        }
        let expected = if duplicates < pool {
            Outcome::Ok
        } else {
            Outcome::Deadlock
        };
        (self.outcome != expected).then(|| {
            format!(
                "{duplicates} parked duplicates on a pool of {pool} ended in {:?}, not {expected:?}",
                self.outcome
            )
        })
    }
}

impl TraceRow {
    fn failure(&self) -> Option<String> {
        let Self {
            requests,
            executions,
            joined,
            aborted,
            resumed,
            cancelled,
            reruns,
            retained,
            settled,
            ..
        } = *self;
        if resumed + cancelled != requests {
            let stayed = requests - cancelled;
            return Some(format!("{resumed} of {stayed} requests got an outcome"));
        }
        if cancelled > 0 && self.cancel == Cancel(0) {
            return Some(format!("{cancelled} callers left"));
        }
        if aborted != 0 && (cancelled == 0 || self.policy == Policy::Detach) {
            return Some(format!("{aborted} flights were aborted"));
        }
        if reruns != 0 && self.policy != Policy::Rerun {
            return Some(format!("{reruns} re-runs"));
        }
        let flights = settled + aborted;
        if executions as u64 != flights + reruns {
            return Some(format!(
                "{executions} executions in {flights} flights with {reruns} re-runs"
            ));
        }
        (flights + joined + retained != requests as u64).then(|| {
            format!(
                "{executions} executions, {reruns} of them re-runs, {joined} joined and {retained} retained do not \
                 make {requests} requests"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storm() -> StormRow {
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

    fn parked(duplicates: usize, outcome: Outcome) -> Row {
        Row::Parked(ParkedRow {
            pool: 6,
            duplicates,
            outcome,
            parked: duplicates,
        })
    }

    fn trace() -> TraceRow {
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

    fn json(row: &Row) -> String {
        serde_json::to_string(row).expect("rows have string keys")
    }

    #[test]
    fn a_storm_row_begins_with_the_published_keys_in_order() {
        assert_eq!(
            json(&Row::Storm(storm())),
            r#"{"kind":"storm","runtime":"tokio-current","duplicates":3,"executions":1,"resumed":3,"threads_before":4,"threads_waiting":4,"settle_to_last_us":12,"bytes_per_waiter":300.5,"waiting":3,"policy":"detach","cancel":0,"cancelled":0,"reruns":0,"aborted":0}"#
        );
    }

    #[test]
    fn a_parked_row_begins_with_the_published_keys_in_order() {
        assert_eq!(
            json(&parked(6, Outcome::Deadlock)),
            r#"{"kind":"parked","pool":6,"duplicates":6,"outcome":"deadlock","parked":6}"#
        );
        assert!(json(&parked(5, Outcome::Ok)).contains(r#""outcome":"ok""#));
    }

    #[test]
    fn a_trace_row_begins_with_the_published_keys_in_order() {
        let json = json(&Row::Trace(trace()));
        let published = r#"{"kind":"trace","runtime":"async-std","requests":5,"tokens":1,"executions":2,"joined":3,"aborted":0,"largest_flight":3,"threads_peak":null,"#;
        assert!(json.starts_with(published), "{json}");
        let newest = r#""policy":"continue","cancel":0,"retain_ms":null,"cancelled":0,"reruns":0,"retained":0,"settled":2}"#;
        assert!(json.ends_with(newest), "{json}");
    }

    #[test]
    fn threads_that_can_not_be_read_are_null_and_never_zero() {
        let row = Row::Storm(StormRow {
            threads_waiting: None,
            ..storm()
        });
        assert!(json(&row).contains(r#""threads_waiting":null"#));
        assert_eq!(row.failure(), None);
    }

    #[test]
    fn each_broken_promise_of_a_storm_is_named() {
        assert_eq!(Row::Storm(storm()).failure(), None);
        let twice = StormRow {
            executions: 2,
            ..storm()
        };
        let lost = StormRow {
            resumed: 2,
            ..storm()
        };
        let early = StormRow {
            waiting: 1,
            ..storm()
        };
        let threads = StormRow {
            threads_waiting: Some(7),
            ..storm()
        };
        for (row, why) in [
            (twice, "tokio-current: the call ran 2 times, not once"),
            (lost, "tokio-current: 2 of 3 duplicates resumed"),
            (
                early,
                "tokio-current: 1 of 3 duplicates waited when time was up",
            ),
            (threads, "tokio-current: waiting took 3 more threads"),
        ] {
            assert_eq!(Row::Storm(row).failure().as_deref(), Some(why));
        }
    }

    #[test]
    fn what_a_storm_promises_depends_on_what_its_callers_do() {
        // Of four callers, the first one and one more leave.
        let half = Cancel(40);
        assert_eq!(half.of(4), 2);
        let told = |policy, cancel, executions, resumed, cancelled, reruns, aborted| {
            let row = StormRow {
                policy,
                cancel,
                executions,
                resumed,
                cancelled,
                reruns,
                aborted,
                ..storm()
            };
            Row::Storm(row).failure()
        };
        use Policy::{Continue, Detach, Rerun};
        assert_eq!(told(Continue, half, 1, 2, 2, 0, 0), None);
        assert_eq!(told(Detach, half, 1, 2, 2, 0, 0), None);
        assert_eq!(told(Rerun, half, 2, 2, 2, 1, 0), None);
        let all = Cancel(100);
        assert_eq!(told(Continue, all, 1, 0, 4, 0, 1), None);
        assert_eq!(told(Rerun, all, 1, 0, 4, 0, 1), None);
        assert_eq!(told(Detach, all, 1, 0, 4, 0, 0), None);

        for (broken, why) in [
            (told(Continue, half, 2, 2, 2, 0, 0), "2 times, not once"),
            (told(Continue, half, 1, 1, 2, 0, 0), "1 of 2 duplicates"),
            (told(Continue, half, 1, 2, 1, 0, 0), "1 callers left, not 2"),
            (told(Continue, half, 1, 2, 2, 0, 1), "1 flights"),
            (told(Rerun, half, 1, 2, 2, 0, 0), "0 re-runs"),
            (told(Rerun, half, 3, 2, 2, 1, 0), "3 times, not twice"),
            (told(Detach, all, 1, 0, 4, 0, 1), "1 flights were aborted"),
        ] {
            let broken = broken.unwrap_or_default();
            assert!(broken.contains(why), "{broken:?}, not {why}");
        }
    }

    #[test]
    fn the_parked_way_must_work_below_the_pool_and_wedge_at_it() {
        assert_eq!(parked(5, Outcome::Ok).failure(), None);
        assert_eq!(parked(6, Outcome::Deadlock).failure(), None);
        assert!(parked(5, Outcome::Deadlock).failure().is_some());
        assert!(parked(6, Outcome::Ok).failure().is_some());
    }

    #[test]
    fn each_broken_promise_of_a_replay_is_named() {
        assert_eq!(Row::Trace(trace()).failure(), None);
        let lost = TraceRow {
            resumed: 4,
            ..trace()
        };
        let aborted = TraceRow {
            aborted: 1,
            ..trace()
        };
        let left = TraceRow {
            cancelled: 1,
            resumed: 4,
            ..trace()
        };
        let again = TraceRow {
            executions: 3,
            reruns: 1,
            ..trace()
        };
        let twice = TraceRow {
            executions: 3,
            ..trace()
        };
        let unequal = TraceRow {
            retained: 1,
            ..trace()
        };
        for (row, why) in [
            (lost, "4 of 5 requests got an outcome"),
            (aborted, "1 flights were aborted"),
            (left, "1 callers left"),
            (again, "1 re-runs"),
            (twice, "3 executions in 2 flights with 0 re-runs"),
            (unequal, "3 joined and 1 retained do not make 5 requests"),
        ] {
            let failure = Row::Trace(row).failure().unwrap_or_default();
            assert!(failure.contains(why), "{failure}");
        }
    }

    #[test]
    fn a_replay_may_end_flights_that_nobody_wants_but_none_that_is_detached() {
        let row = |policy, executions, aborted, reruns| {
            let row = TraceRow {
                policy,
                cancel: Cancel(50),
                cancelled: 2,
                resumed: 3,
                executions,
                aborted,
                reruns,
                settled: 2 - aborted,
                ..trace()
            };
            Row::Trace(row).failure()
        };
        assert_eq!(row(Policy::Continue, 2, 1, 0), None);
        assert_eq!(row(Policy::Rerun, 5, 1, 3), None);
        assert_eq!(row(Policy::Detach, 2, 0, 0), None);
        assert!(row(Policy::Detach, 2, 1, 0).is_some());
    }
}
