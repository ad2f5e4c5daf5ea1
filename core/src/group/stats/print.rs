//! [`Stats`], printed by name.

use core::fmt;

use crate::error::{Cause, Rejected};
use crate::group::stats::Stats;

/// How many there are of each kind, by name. Kinds of which there are none are left out.
struct Kinds<'a, N>(&'a [N], &'a [u64]);

impl<N: Copy> Kinds<'_, N> {
    fn some(&self) -> impl Iterator<Item = (N, u64)> {
        let all = self.0.iter().copied().zip(self.1.iter().copied());
        all.filter(|(_, count)| *count > 0)
    }

    /// In brackets, if there is any.
    fn list(&self, f: &mut fmt::Formatter<'_>, label: fn(N) -> &'static str) -> fmt::Result {
        let mut before = " (";
        for (kind, count) in self.some() {
            write!(f, "{before}{} {count}", label(kind))?;
            before = ", ";
        }
        f.write_str(if before == ", " { ")" } else { "" })
    }
}

impl<N: Copy + fmt::Debug> fmt::Debug for Kinds<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.some()).finish()
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that no figure is missed.
        let Self {
            begun,
            joined,
            replayed,
            settled,
            aborted,
            waited,
            cancelled,
            in_flight,
            ending,
            waiting,
            largest_flight,
            reruns,
            rejected,
            retained,
            given_up,
            aborted_by,
            rejected_by,
        } = self;
        f.debug_struct("Stats")
            .field("begun", begun)
            .field("settled", settled)
            .field("aborted", aborted)
            .field("aborted_by", &Kinds(&Cause::ALL, aborted_by))
            .field("in_flight", in_flight)
            .field("ending", ending)
            .field("reruns", reruns)
            .field("joined", joined)
            .field("replayed", replayed)
            .field("waited", waited)
            .field("cancelled", cancelled)
            .field("waiting", waiting)
            .field("largest_flight", largest_flight)
            .field("rejected", rejected)
            .field("rejected_by", &Kinds(&Rejected::ALL, rejected_by))
            .field("retained", retained)
            .field("given_up", given_up)
            .finish()
    }
}

/// Four lines: flights, calls that joined, calls that were rejected, outcomes.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begun, settled, aborted) = (self.begun, self.settled, self.aborted);
        write!(f, "begun {begun}, settled {settled}, aborted {aborted}")?;
        Kinds(&Cause::ALL, &self.aborted_by).list(f, Cause::label)?;
        let (in_flight, ending, reruns) = (self.in_flight, self.ending, self.reruns);
        writeln!(
            f,
            ", in flight {in_flight}, ending {ending}, reruns {reruns}"
        )?;
        let (joined, replayed, waited) = (self.joined, self.replayed, self.waited);
        write!(f, "joined {joined}, replayed {replayed}, waited {waited}")?;
        let (cancelled, waiting, largest) = (self.cancelled, self.waiting, self.largest_flight);
        writeln!(
            f,
            ", cancelled {cancelled}, waiting {waiting}, largest flight {largest}"
        )?;
        write!(f, "rejected {}", self.rejected)?;
        Kinds(&Rejected::ALL, &self.rejected_by).list(f, Rejected::label)?;
        write!(
            f,
            "\nretained {}, given up {}",
            self.retained, self.given_up
        )
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::group::stats::{Counts, Figures};

    #[test]
    fn figures_are_printed_by_name_and_kinds_of_which_there_are_none_are_left_out() {
        let mut counts = Counts::default();
        for cause in [Cause::AbortedAll, Cause::Dropped, Cause::AbortedAll] {
            counts.end(Some(cause), 0, 1);
        }
        counts.reject(Rejected::Mismatch);
        counts.join_settled();
        let mut stats = Stats::default();
        assert!(stats.to_string().contains("\nrejected 0\n"));
        stats.add(Figures {
            counts,
            in_flight: 0,
            ending: 2,
            waiting: 0,
        });
        let lines = "begun 0, settled 0, aborted 3 (dropped 1, aborted_all 2), \
             in flight 0, ending 2, reruns 3\n\
             joined 1, replayed 1, waited 1, cancelled 0, waiting 0, largest flight 0\n\
             rejected 1 (mismatch 1)\n\
             retained 0, given up 0";
        assert_eq!(stats.to_string(), lines);
        let debug = alloc::format!("{stats:?}");
        for part in [
            "aborted_by: {Dropped: 1, AbortedAll: 2}",
            "rejected_by: {Mismatch: 1}",
        ] {
            assert!(debug.contains(part), "{debug}");
        }
    }
}
