//! What the rows promise, and what is wrong with one that does not keep it.

use crate::callers::{Cancel, Policy};
use crate::rows::{Outcome, ParkedRow, Row, StormRow, TraceRow};

/// Returns the message from the function unless the condition holds.
macro_rules! promise {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Some(format!($($why)*));
        }
    };
}

impl Row for StormRow {
    fn failure(&self) -> Option<String> {
        let Self {
            runtime,
            duplicates,
            executions,
            resumed,
            waiting,
            policy,
            cancel,
            cancelled,
            reruns,
            aborted,
            ..
        } = *self;
        promise!(
            waiting == duplicates,
            "{runtime}: {waiting} of {duplicates} duplicates waited when time was up"
        );
        let leaving = cancel.of(duplicates + 1);
        promise!(
            cancelled == leaving,
            "{runtime}: {cancelled} callers left, not {leaving}"
        );
        let first_left = cancel.leaves(0);
        let staying = duplicates + usize::from(first_left) - leaving;
        let runs_again = policy == Policy::Rerun && first_left && staying > 0;
        promise!(
            reruns == u64::from(runs_again),
            "{runtime}: {reruns} re-runs"
        );
        let wanted = if runs_again { "twice" } else { "once" };
        promise!(
            executions as u64 == 1 + reruns,
            "{runtime}: the call ran {executions} times, not {wanted}"
        );
        promise!(
            resumed == staying,
            "{runtime}: {resumed} of {staying} duplicates resumed"
        );
        let abandoned = leaving > duplicates && policy != Policy::Detach;
        promise!(
            aborted == u64::from(abandoned),
            "{runtime}: {aborted} flights were aborted"
        );
        if let (Some(before), Some(waiting)) = (self.threads_before, self.threads_waiting) {
            let more = waiting.saturating_sub(before);
            promise!(more == 0, "{runtime}: waiting took {more} more threads");
        }
        None
    }
}

impl Row for ParkedRow {
    fn failure(&self) -> Option<String> {
        let Self {
            pool,
            duplicates,
            outcome,
            parked,
        } = *self;
        promise!(
            parked == duplicates,
            "{parked} of {duplicates} threads were parked when time was up"
        );
        let expected = if duplicates < pool {
            Outcome::Ok
        } else {
            Outcome::Deadlock
        };
        promise!(
            outcome == expected,
            "{duplicates} parked duplicates on a pool of {pool} ended in {outcome:?}, \
             not {expected:?}"
        );
        None
    }
}

impl Row for TraceRow {
    fn failure(&self) -> Option<String> {
        let Self {
            runtime,
            requests,
            executions,
            joined,
            aborted,
            resumed,
            policy,
            cancel,
            cancelled,
            reruns,
            retained,
            settled,
            ..
        } = *self;
        let stayed = requests - cancelled;
        promise!(
            resumed == stayed,
            "{runtime}: {resumed} of {stayed} requests got an outcome"
        );
        promise!(
            cancelled == 0 || cancel != Cancel(0),
            "{runtime}: {cancelled} callers left"
        );
        promise!(
            aborted == 0 || (cancelled > 0 && policy != Policy::Detach),
            "{runtime}: {aborted} flights were aborted"
        );
        promise!(
            reruns == 0 || policy == Policy::Rerun,
            "{runtime}: {reruns} re-runs"
        );
        let flights = settled + aborted;
        promise!(
            executions as u64 == flights + reruns,
            "{runtime}: {executions} executions in {flights} flights with {reruns} re-runs"
        );
        promise!(
            flights + joined + retained == requests as u64,
            "{runtime}: {executions} executions, {reruns} of them re-runs, {joined} joined and \
             {retained} retained do not make {requests} requests"
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::samples::{parked, storm, trace};

    #[test]
    fn each_broken_promise_of_a_storm_is_named() {
        let failure = |change: fn(&mut StormRow)| {
            let mut row = storm();
            change(&mut row);
            row.failure()
        };
        assert_eq!(failure(|_| {}), None);
        // Threads that can not be read break no promise.
        assert_eq!(failure(|row| row.threads_waiting = None), None);
        for (broken, why) in [
            (
                failure(|row| row.executions = 2),
                "the call ran 2 times, not once",
            ),
            (failure(|row| row.resumed = 2), "2 of 3 duplicates resumed"),
            (
                failure(|row| row.waiting = 1),
                "1 of 3 duplicates waited when time was up",
            ),
            (
                failure(|row| row.threads_waiting = Some(7)),
                "waiting took 3 more threads",
            ),
        ] {
            assert_eq!(broken, Some(format!("tokio-current: {why}")));
        }
    }

    #[test]
    fn what_a_storm_promises_depends_on_what_its_callers_do() {
        // Of four callers, the first one and one more leave.
        let half = Cancel(20);
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
            row.failure()
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
    fn the_parked_way_works_until_the_duplicates_fill_the_pool() {
        assert_eq!(parked(5, Outcome::Ok).failure(), None);
        assert_eq!(parked(6, Outcome::Deadlock).failure(), None);
        assert!(parked(5, Outcome::Deadlock).failure().is_some());
        assert!(parked(6, Outcome::Ok).failure().is_some());
    }

    #[test]
    fn each_broken_promise_of_a_replay_is_named() {
        let failure = |change: fn(&mut TraceRow)| {
            let mut row = trace();
            change(&mut row);
            row.failure()
        };
        assert_eq!(failure(|_| {}), None);
        for (broken, why) in [
            (
                failure(|row| row.resumed = 4),
                "4 of 5 requests got an outcome",
            ),
            (failure(|row| row.aborted = 1), "1 flights were aborted"),
            (
                failure(|row| (row.cancelled, row.resumed) = (1, 4)),
                "1 callers left",
            ),
            (
                failure(|row| (row.executions, row.reruns) = (3, 1)),
                "1 re-runs",
            ),
            (
                failure(|row| row.executions = 3),
                "3 executions in 2 flights with 0 re-runs",
            ),
            (
                failure(|row| row.retained = 1),
                "2 executions, 0 of them re-runs, 3 joined and 1 retained do not make 5 requests",
            ),
        ] {
            assert_eq!(broken, Some(format!("async-std: {why}")));
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
            row.failure()
        };
        assert_eq!(row(Policy::Continue, 2, 1, 0), None);
        assert_eq!(row(Policy::Rerun, 5, 1, 3), None);
        assert_eq!(row(Policy::Detach, 2, 0, 0), None);
        assert!(row(Policy::Detach, 2, 1, 0).is_some());
    }
}
