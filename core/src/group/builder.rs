//! [`GroupBuilder`]: a group that differs from the default.

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

use crate::clock::{self, Clock};
use crate::group::Group;
use crate::group::hasher::RandomState;
use crate::group::rules::{Classify, Keep, Retention, Rules};

/// More shards than this cost memory and bring nothing.
const MOST_SHARDS: usize = 1 << 12;

/// Makes a [`Group`] that differs from the default. From [`Group::builder`].
///
/// What is not asked for costs nothing.
///
/// ```
/// use oneflight_core::{Begin, Group};
/// use std::time::Duration;
///
/// type Charge = Result<u64, String>;
///
/// // A retry that comes up to a minute late gets the receipt. A failure is not kept.
/// let group: Group<String, Charge> = Group::builder()
///     .retain(Duration::from_secs(60))
///     .keep(|charge: &Charge| charge.is_ok())
///     .max_waiters(10_000)
///     .supersede_after(Duration::from_secs(300))
///     .build();
/// let Begin::Primary(primary) = group.begin("42".to_string()) else { unreachable!() };
/// primary.settle(Ok(1999)).unwrap();
/// let Begin::Waiter(late) = group.begin("42".to_string()) else { unreachable!() };
/// assert_eq!(*late.get().unwrap().unwrap(), Ok(1999));
/// ```
#[must_use = "call `build`"]
pub struct GroupBuilder<K, T, S = RandomState> {
    hasher: S,
    /// It makes a group of these keys, and holds none.
    keys: PhantomData<fn() -> K>,
    shards: u32,
    clock: Option<Box<dyn Clock>>,
    retain: Option<Duration>,
    classify: Option<Classify<T>>,
    capacity: usize,
    max_waiters: usize,
    max_flights: usize,
    supersede_after: Option<Duration>,
}

impl<K, T> GroupBuilder<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            keys: PhantomData,
            shards: if cfg!(feature = "std") { 64 } else { 1 },
            clock: None,
            retain: None,
            classify: None,
            capacity: 1 << 16,
            max_waiters: usize::MAX,
            max_flights: usize::MAX,
            supersede_after: None,
        }
    }
}

impl<K, T, S> GroupBuilder<K, T, S> {
    /// How many parts the registry has, each with a lock of its own: rounded up to a power of two,
    /// at least 1 and at most 4,096. The default is 64 (about 16 KiB), and 1 without `std`.
    ///
    /// Calls for different keys meet only in a shard. More shards also bound the time a single
    /// begin takes when its shard's table grows.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = (shards.clamp(1, MOST_SHARDS) as u32).next_power_of_two();
        self
    }

    /// The hasher of keys.
    pub fn hasher<H>(self, hasher: H) -> GroupBuilder<K, T, H> {
        let Self {
            shards,
            clock,
            retain,
            classify,
            capacity,
            max_waiters,
            max_flights,
            supersede_after,
            ..
        } = self;
        GroupBuilder {
            hasher,
            keys: PhantomData,
            shards,
            clock,
            retain,
            classify,
            capacity,
            max_waiters,
            max_flights,
            supersede_after,
        }
    }

    /// Where time comes from, for [`retain`](Self::retain) and
    /// [`supersede_after`](Self::supersede_after). The default is the monotonic clock of `std`;
    /// without `std`, and on `wasm32-unknown-unknown`, there is none.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// Retains settled outcomes for this long: a duplicate that comes late gets the outcome at
    /// once, instead of running the operation again. Zero retains nothing.
    ///
    /// Expiry is lazy: no timer and no thread stand behind it. What has expired is never given out;
    /// its memory is freed by later calls on the same shard, or by [`Group::forget`].
    #[doc(alias = "ttl")]
    #[doc(alias = "replay")]
    pub fn retain(mut self, time: Duration) -> Self {
        self.retain = Some(time);
        self
    }

    /// Decides for each outcome whether it is retained, and for how long. The default retains all,
    /// for the `retain` time.
    ///
    /// Without [`retain`](Self::retain) it is not asked. It answers with a `bool`, a `Duration`, an
    /// `Option<Duration>` or a [`Keep`], so that successes and failures may have windows of
    /// their own. It runs before the value is published, under no lock; a panic of it ends the
    /// flight as [`Cause::Panicked`](crate::error::Cause::Panicked) and goes on in the settle.
    pub fn keep<R: Into<Keep>>(
        mut self,
        classify: impl Fn(&T) -> R + Send + Sync + 'static,
    ) -> Self {
        self.classify = Some(Box::new(move |value| classify(value).into()));
        self
    }

    /// The most outcomes to retain. Each shard has an equal part, rounded up; when it is full, the
    /// shard's oldest goes, and what has expired before that. The default is 65,536.
    pub fn capacity(mut self, outcomes: usize) -> Self {
        self.capacity = outcomes;
        self
    }

    /// The maximum number of waiters on one flight: one more is
    /// [`Rejected::TooManyWaiters`](crate::error::Rejected::TooManyWaiters), at once.
    ///
    /// A caller of another key with the same whole hash takes a place while its key is compared:
    /// see [`Group::waiters`].
    pub fn max_waiters(mut self, waiters: usize) -> Self {
        self.max_waiters = waiters;
        self
    }

    /// The most flights in the group: one more is
    /// [`Rejected::TooManyFlights`](crate::error::Rejected::TooManyFlights), at once. A flight
    /// counts until its operation is gone, however it ended, as for
    /// [`Group::drained`]; [`Stats::ending`](crate::Stats::ending) shows those that have ended
    /// already. Retained outcomes do not count.
    ///
    /// With this limit all shards share one counter.
    pub fn max_flights(mut self, flights: usize) -> Self {
        self.max_flights = flights;
        self
    }

    /// A flight older than this gives way to the next begin of its key: its waiters get
    /// [`Cause::Superseded`](crate::error::Cause::Superseded), the caller is primary of a new
    /// flight, and the late settle of the old one gives its value back. No timer: nothing happens
    /// until that begin. Where no new flight may begin (the group is closed, or at
    /// [`max_flights`](Self::max_flights)), the caller joins the old one instead.
    ///
    /// Set it well above the slowest run of an operation. Otherwise an operation that is sound and
    /// slower than this never finishes while callers keep coming, because each of its runs is
    /// superseded. An operation that makes progress for a long time renews its age with
    /// [`Group::touch`] or [`Primary::touch`](crate::Primary::touch).
    #[doc(alias = "lease")]
    pub fn supersede_after(mut self, age: Duration) -> Self {
        self.supersede_after = Some(age);
        self
    }

    /// Makes the group.
    ///
    /// # Panics
    ///
    /// Without `std`, and on `wasm32-unknown-unknown`, if [`retain`](Self::retain) or
    /// [`supersede_after`](Self::supersede_after) is asked for and no [`clock`](Self::clock) is
    /// given.
    pub fn build(self) -> Group<K, T, S> {
        let capacity = self.capacity.div_ceil(self.shards as usize);
        let retain = self
            .retain
            .filter(|time| *time > Duration::ZERO && capacity > 0);
        let timed = retain.is_some() || self.supersede_after.is_some();
        let limited = self.max_waiters != usize::MAX || self.max_flights != usize::MAX;
        let rules = (timed || limited).then(|| {
            let clock = self.clock.or_else(clock::default);
            assert!(
                clock.is_some() || !timed,
                "a group that retains or ages needs a clock: call `clock`"
            );
            let retention = retain.map(|time| Retention {
                time,
                capacity,
                classify: self.classify,
            });
            Rules::new(
                clock,
                retention,
                self.max_waiters,
                self.supersede_after,
                self.max_flights,
            )
        });
        Group::from_parts(self.hasher, self.shards, rules)
    }
}

impl<K, T, S: UnwindSafe> UnwindSafe for GroupBuilder<K, T, S> {}
impl<K, T, S: RefUnwindSafe> RefUnwindSafe for GroupBuilder<K, T, S> {}

impl<K, T, S> fmt::Debug for GroupBuilder<K, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupBuilder")
            .field("shards", &self.shards)
            .field("retain", &self.retain)
            .field("capacity", &self.capacity)
            .field("max_waiters", &self.max_waiters)
            .field("max_flights", &self.max_flights)
            .field("supersede_after", &self.supersede_after)
            .finish_non_exhaustive()
    }
}
