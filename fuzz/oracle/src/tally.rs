//! What the figures of a group or gate must be.

use oneflight_core::Stats;
use oneflight_core::error::{Cause, Rejected};

const CAUSES: [Cause; 7] = [
    Cause::Dropped,
    Cause::Panicked,
    Cause::Cancelled,
    Cause::AbortedAll,
    Cause::Superseded,
    Cause::Exhausted,
    Cause::Failed,
];

const REASONS: [Rejected; 6] = [
    Rejected::Busy,
    Rejected::Mismatch,
    Rejected::TooManyWaiters,
    Rejected::TooManyFlights,
    Rejected::Closed,
    Rejected::Reentrant,
];

/// Counted by the oracle as it goes.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) begun: u64,
    pub(crate) joined: u64,
    pub(crate) replayed: u64,
    pub(crate) settled: u64,
    pub(crate) aborted: Vec<Cause>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) waited: u64,
    pub(crate) cancelled: u64,
    pub(crate) largest: usize,
    pub(crate) reruns: u64,
    pub(crate) given_up: u64,
}

impl Tally {
    /// `strangers`: keys may share a whole hash. Such a caller may be counted in the largest flight for a moment.
    pub(crate) fn check(&self, stats: &Stats, in_flight: usize, waiting: usize, strangers: bool) {
        let expected = [
            self.begun,
            self.joined,
            self.replayed,
            self.settled,
            self.waited,
            self.cancelled,
            self.reruns,
            self.given_up,
        ];
        let real = [
            stats.begun,
            stats.joined,
            stats.replayed,
            stats.settled,
            stats.waited,
            stats.cancelled,
            stats.reruns,
            stats.given_up,
        ];
        assert_eq!(
            real, expected,
            "begun, joined, replayed, settled, waited, cancelled, reruns, given up"
        );
        assert_eq!(
            (stats.in_flight, stats.waiting),
            (in_flight, waiting),
            "in flight, waiting"
        );
        let largest = self.largest..=self.largest + usize::from(strangers);
        assert!(
            largest.contains(&stats.largest_flight),
            "{} in {largest:?}",
            stats.largest_flight
        );
        for cause in CAUSES {
            let count = self.aborted.iter().filter(|other| **other == cause).count();
            assert_eq!(stats.aborted_by(cause), count as u64, "aborted: {cause}");
        }
        assert_eq!(stats.aborted, self.aborted.len() as u64);
        for why in REASONS {
            let count = self.rejected.iter().filter(|other| **other == why).count();
            assert_eq!(stats.rejected_by(why), count as u64, "rejected: {why}");
        }
        assert_eq!(stats.rejected, self.rejected.len() as u64);
    }
}
