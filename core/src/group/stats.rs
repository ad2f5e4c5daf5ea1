//! Figures. Each shard counts under its lock, which is held anyway, so no word is shared by all
//! threads.

mod print;

use crate::error::{Cause, Rejected};

/// The figures of a group or a gate: what it has done, and what it holds now. Returned by
/// [`Group::stats`](crate::Group::stats).
///
/// `{}` prints each figure with its name, on several lines. Causes and reasons that never occurred
/// are left out.
///
/// The shards are read one after the other, each in one critical section. If no call runs
/// meanwhile, every figure is exact. While calls run, the figures of two shards are of two moments,
/// so a sum can miss calls that were made in between.
///
/// These equations always hold, also while calls run, because they hold in each shard:
///
/// - `begun == settled + aborted + in_flight`
/// - `joined == waited + cancelled + waiting`, with one exception. A caller can briefly join the
///   flight of another key that has the same whole hash. Until it has left, the sums can differ by
///   that caller.
/// - `aborted` is the sum of [`aborted_by`](Self::aborted_by) for all causes.
/// - `rejected` is the sum of [`rejected_by`](Self::rejected_by) for all reasons.
///
/// The figures are sums and name no key. To find the flight that is slow, use the feature
/// `tracing`: each flight has a span with its id, and with
/// [`show_keys`](crate::GroupBuilder::show_keys) its key. [`Group::keys`](crate::Group::keys)
/// returns the keys in flight.
///
/// ```
/// use oneflight_core::{Begin, Group};
///
/// let group: Group<&str, u32> = Group::new();
/// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
/// let _waiter = group.begin("k");
/// primary.settle(7).unwrap();
/// drop(group.begin("k"));
/// let stats = group.stats().to_string();
/// let first = "begun 2, settled 1, aborted 1 (dropped 1), in flight 0, ending 0, reruns 0";
/// assert_eq!(stats.lines().next(), Some(first));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Flights begun: calls that became primary.
    pub begun: u64,
    /// Calls that joined a flight as its waiter, or got a retained outcome. A call from inside of
    /// the flight's own operation is in none of these figures.
    pub joined: u64,
    /// Calls that came after their flight had settled, and got its outcome at once: it was
    /// retained, or its key was about to be freed. These calls are also among the `joined` and the
    /// `waited`. For such a call [`is_replayed`](crate::Waiter::is_replayed) returns true.
    pub replayed: u64,
    /// Flights that settled.
    pub settled: u64,
    /// Flights that ended without a value, for whatever cause.
    pub aborted: u64,
    /// Waiters that waited until their flight ended, and calls that came after it had settled.
    pub waited: u64,
    /// Waiters that were dropped before their flight ended, or that left it with
    /// [`Rejected::Reentrant`] or with the error of their own `try_work` operation. A begin whose
    /// key comparison panicked is counted, too.
    pub cancelled: u64,
    /// Flights in progress, forgotten ones included. A flight whose end is not counted yet is among
    /// them.
    pub in_flight: usize,
    /// Flights that have ended, but whose operation or [`Primary`](crate::Primary) still exists.
    /// They count for [`max_flights`](crate::GroupBuilder::max_flights), and
    /// [`drained`](crate::Group::drained) waits for them. They are among the `aborted` too.
    pub ending: usize,
    /// Duplicates that wait now. A caller of another key with the same whole hash counts while its
    /// key is compared: see [`Group::waiters`](crate::Group::waiters).
    pub waiting: usize,
    /// The maximum number of duplicates that waited on one flight at one time. A caller of another
    /// key with the same whole hash counts too, while its key is compared.
    pub largest_flight: usize,
    /// Operations of `try_work` that were run after another one of their flight had failed or was
    /// lost. Counted when their flight ends.
    pub reruns: u64,
    /// Calls that were rejected. [`Rejected::Reentrant`] is not among them, because it is the error
    /// of a wait: a call that gets it and was among the `joined` is among the `cancelled`. (The
    /// counters of the feature `metrics` do count it.)
    pub rejected: u64,
    /// Outcomes that are retained now. Those that have expired are not counted.
    pub retained: usize,
    /// Outcomes that were given up before their window was over, or not retained at all, because
    /// there was no place for more (`max_retained`, `max_retained_weight`). A later call of such a
    /// key runs its operation again. An outcome that alone is heavier than `max_retained_weight` is
    /// not counted.
    pub given_up: u64,
    aborted_by: [u64; Cause::COUNT],
    rejected_by: [u64; Rejected::COUNT],
}

impl Stats {
    /// Returns the number of flights that ended for this cause.
    ///
    /// ```
    /// use oneflight_core::error::Cause;
    /// use oneflight_core::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// drop(group.begin("k"));
    /// assert_eq!(group.stats().aborted_by(Cause::Dropped), 1);
    /// ```
    pub fn aborted_by(&self, cause: Cause) -> u64 {
        self.aborted_by[cause as usize]
    }

    /// Returns the number of calls that were rejected for this reason.
    ///
    /// ```
    /// use oneflight_core::Group;
    /// use oneflight_core::error::Rejected;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// group.close();
    /// drop(group.begin("k"));
    /// assert_eq!(group.stats().rejected_by(Rejected::Closed), 1);
    /// ```
    pub fn rejected_by(&self, why: Rejected) -> u64 {
        self.rejected_by[why as usize]
    }

    fn add(&mut self, figures: Figures) {
        let Figures {
            counts,
            in_flight,
            ending,
            waiting,
        } = figures;
        self.begun += counts.begun;
        self.joined += counts.joined;
        self.replayed += counts.replayed;
        self.settled += counts.settled;
        for (sum, part) in self.aborted_by.iter_mut().zip(counts.aborted) {
            *sum += part;
            self.aborted += part;
        }
        for (sum, part) in self.rejected_by.iter_mut().zip(counts.rejected) {
            *sum += part;
            self.rejected += part;
        }
        self.reruns += counts.reruns;
        self.given_up += counts.given_up;
        // For a moment there can be more withdrawn than waited: see `Counts::take_back`.
        let waited = counts.waited.saturating_sub(counts.withdrawn);
        self.waited += waited;
        // A waiter that leaves changes only its flight. So the flights know how many wait, and the
        // rest of those who joined and have not waited has left.
        let here = waited.saturating_add(waiting as u64);
        self.cancelled += counts.joined.saturating_sub(here);
        self.in_flight += in_flight;
        self.ending += ending;
        self.waiting += waiting;
        self.largest_flight = self.largest_flight.max(counts.largest);
    }
}

/// Adds up the figures of all shards. What is retained is counted for the whole group, elsewhere.
pub(crate) fn gather(shards: impl IntoIterator<Item = Figures>) -> Stats {
    let mut stats = Stats::default();
    for figures in shards {
        stats.add(figures);
    }
    stats
}

/// The figures of one shard at one moment.
pub(crate) struct Figures {
    pub(crate) counts: Counts,
    pub(crate) in_flight: usize,
    pub(crate) ending: usize,
    pub(crate) waiting: usize,
}

/// What one shard has counted. Plain numbers, which the shard's lock guards. In this order, what
/// every call counts comes first.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Counts {
    pub(crate) begun: u64,
    settled: u64,
    /// Duplicates that were there when their flight ended.
    waited: u64,
    pub(crate) joined: u64,
    largest: usize,
    reruns: u64,
    /// Of those who waited, the wrong joins: an end counted them, and they were taken back.
    withdrawn: u64,
    replayed: u64,
    pub(crate) given_up: u64,
    aborted: [u64; Cause::COUNT],
    rejected: [u64; Rejected::COUNT],
}

/// A join of a flight that turned out to have another key, or that could not be shared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrongJoin {
    /// It left while the flight was open.
    Left,
    /// The flight's end came first, and counts it among those who waited.
    Waited,
    /// The flight had settled before: the join was counted as a replay.
    Replayed,
}

impl WrongJoin {
    pub(crate) fn new(left: bool, replayed: bool) -> Self {
        match (left, replayed) {
            (true, _) => Self::Left,
            (false, false) => Self::Waited,
            (false, true) => Self::Replayed,
        }
    }
}

impl Counts {
    pub(crate) fn join(&mut self, waiting: usize) {
        self.joined += 1;
        self.largest = self.largest.max(waiting);
    }

    /// A duplicate joined a flight that had settled, and that is retained or was not removed yet:
    /// it has its outcome at once.
    pub(crate) fn join_settled(&mut self) {
        self.joined += 1;
        self.replayed += 1;
        self.waited += 1;
    }

    /// Takes a wrong join back. If the flight's end came first, that counts it among those who
    /// waited, now or in a moment. So it is not subtracted there, but counted beside it: no figure
    /// is ever less than none.
    pub(crate) fn take_back(&mut self, wrong: Option<WrongJoin>) {
        if let Some(wrong) = wrong {
            self.joined -= 1;
            self.replayed -= u64::from(wrong == WrongJoin::Replayed);
            self.withdrawn += u64::from(wrong != WrongJoin::Left);
        }
    }

    pub(crate) fn reject(&mut self, why: Rejected) {
        self.rejected[why as usize] += 1;
    }

    #[inline(always)]
    pub(crate) fn settled(&mut self, waiting: usize, reruns: usize) {
        self.reruns += reruns as u64;
        self.settled += 1;
        self.waited += waiting as u64;
    }

    /// Counts the end of a flight. Without a cause it was settled.
    pub(crate) fn end(&mut self, cause: Option<Cause>, waiting: usize, reruns: usize) {
        self.reruns += reruns as u64;
        match cause {
            None => self.settled += 1,
            Some(cause) => self.aborted[cause as usize] += 1,
        }
        self.waited += waiting as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_join_taken_back_before_the_end_is_counted_shows_as_none() {
        let mut counts = Counts::default();
        counts.join(1);
        counts.take_back(Some(WrongJoin::Waited));
        let mut stats = Stats::default();
        stats.add(Figures {
            counts,
            in_flight: 1,
            ending: 0,
            waiting: 1,
        });
        assert_eq!((stats.joined, stats.waited, stats.cancelled), (0, 0, 0));
        // A call is given a settled outcome meanwhile; then the end is counted.
        counts.join_settled();
        counts.end(None, 1, 0);
        let mut stats = Stats::default();
        stats.add(Figures {
            counts,
            in_flight: 0,
            ending: 0,
            waiting: 0,
        });
        assert_eq!((stats.joined, stats.waited, stats.cancelled), (1, 1, 0));
    }

    #[test]
    fn a_wrong_join_of_a_settled_flight_is_no_replay() {
        let mut counts = Counts::default();
        counts.join_settled();
        counts.take_back(Some(WrongJoin::Replayed));
        assert_eq!(
            gather([Figures {
                counts,
                in_flight: 0,
                ending: 0,
                waiting: 0,
            }]),
            Stats::default()
        );
    }
}
