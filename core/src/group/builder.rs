//! [`GroupBuilder`]: a group that differs from the default.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

use crate::clock::Clock;
use crate::flight::observe::Label;
use crate::group::Group;
use crate::group::hasher::RandomState;
use crate::group::rules::Options;

/// More shards than this cost memory and bring nothing.
const MOST_SHARDS: usize = 1 << 12;

/// Makes a [`Group`] that differs from the default. Returned by [`Group::builder`].
///
/// Options that you do not set have no cost.
///
/// ```
/// use oneflight_core::{Begin, Group};
/// use std::time::Duration;
///
/// type Charge = Result<u64, String>;
///
/// // A retry that comes up to a minute late gets the receipt. A failure is not retained.
/// let group: Group<String, Charge> = Group::builder()
///     .retain_ok_for(Duration::from_secs(60))
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
    shards: u32,
    options: Options<T>,
    label: Label<K>,
}

impl<K, T> GroupBuilder<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: if cfg!(feature = "std") { 64 } else { 1 },
            options: Options::default(),
            label: Label::default(),
        }
    }
}

impl<K, T, S> GroupBuilder<K, T, S> {
    /// Sets how many parts the registry has, each with a lock of its own: rounded up to a power of
    /// two, at least 1 and at most 4,096. The default is 64 (about 21 KiB), and 1 without `std`.
    ///
    /// Calls for different keys meet only in a shard. More shards also bound the time a single
    /// begin takes when its shard's table grows.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = (shards.clamp(1, MOST_SHARDS) as u32).next_power_of_two();
        self
    }

    /// Sets the hasher of the keys. See [`Group`](crate::Group#untrusted-keys).
    pub fn hasher<H>(self, hasher: H) -> GroupBuilder<K, T, H> {
        GroupBuilder {
            hasher,
            shards: self.shards,
            options: self.options,
            label: self.label,
        }
    }

    /// Sets the name of the group for `tracing` and `metrics`. Each span, event and metric has it
    /// as its field or label `group`. A group without a name has no such label.
    ///
    /// The field is called `group`, for a [gate](crate::gate::Gate) too. It is not called `name`,
    /// because a span has a name of its own, and a log written as JSON would confuse the two.
    ///
    /// This call makes the labels once, so counting a call allocates nothing. If two groups have
    /// the same name, their metrics are added up. Names must come from a small set, because a
    /// metrics store keeps a series for each name. Without these features the name has no effect.
    ///
    /// ```
    /// use oneflight_core::Group;
    ///
    /// let charges: Group<String, u64> = Group::builder().name("charges").build();
    /// let tenant = 7;
    /// let reads: Group<u64, String> = Group::builder().name(format!("reads of {tenant}")).build();
    /// # drop((charges, reads));
    /// ```
    #[doc(alias = "label")]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.label.set_name(name.into());
        self
    }

    /// Shows the key of each flight, as its `Debug` writes it, in the field `key` of the flight's
    /// span. Without this call no key is shown anywhere, since a key can be a secret: a session, an
    /// account.
    ///
    /// The `Debug` runs when a subscriber of `tracing` reads the field, in the call that begins the
    /// flight and under no lock. Metrics never have the key. Without the feature `tracing` this
    /// call has no effect.
    ///
    /// # Panics
    ///
    /// If the key's `Debug` panics, the flight ends, and the panic propagates from the call that
    /// began it. A panic of the subscriber does the same.
    pub fn show_keys(mut self) -> Self
    where
        K: fmt::Debug,
    {
        self.label.show_keys();
        self
    }

    /// Sets the clock of the group. Retention and [`supersede_after`](Self::supersede_after) use
    /// it. The default is the monotonic clock of `std` (see [`Clock`] for what it does while the
    /// machine sleeps). Without `std`, and on `wasm32-unknown-unknown`, there is no default.
    ///
    /// ```
    /// use oneflight_core::clock::Clock;
    /// use oneflight_core::{Begin, Group};
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    ///
    /// /// A clock for tests.
    /// #[derive(Default)]
    /// struct Manual(Mutex<Duration>);
    ///
    /// impl Clock for Manual {
    ///     fn now(&self) -> Duration {
    ///         *self.0.lock().unwrap()
    ///     }
    /// }
    ///
    /// let (clock, minute) = (Arc::new(Manual::default()), Duration::from_secs(60));
    /// let group: Group<&str, u32> =
    ///     Group::builder().clock(clock.clone()).retain_for(minute).build();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// primary.settle(7).unwrap();
    /// assert!(group.peek("k").is_some());
    /// *clock.0.lock().unwrap() += minute;
    /// assert!(group.peek("k").is_none());
    /// ```
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.options.clock = Some(Box::new(clock));
        self
    }

    /// Retains every settled outcome for this long. A late duplicate gets the outcome at once, and
    /// the operation does not run again. With a time of zero nothing is retained.
    ///
    /// If you call more than one of this method, [`retain_ok_for`](Self::retain_ok_for) and
    /// [`retain_by`](Self::retain_by), the last call wins. At most
    /// [`max_retained`](Self::max_retained) outcomes are retained. The default is 65,536.
    ///
    /// An expired outcome is never returned. No timer or thread frees its memory. These calls free
    /// it: a later settle whose own outcome is retained (two outcomes each), a begin of the same
    /// key, [`Group::purge_expired`] and [`Group::stats`].
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// use std::time::Duration;
    ///
    /// let group: Group<&str, u32> = Group::builder().retain_for(Duration::from_secs(60)).build();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// primary.settle(7).unwrap();
    /// let Begin::Waiter(late) = group.begin("k") else { unreachable!() };
    /// assert_eq!(*late.get().unwrap().unwrap(), 7);
    /// ```
    #[doc(alias = "ttl")]
    #[doc(alias = "replay")]
    #[doc(alias = "retain")]
    pub fn retain_for(mut self, time: Duration) -> Self {
        self.options.retain_for(time);
        self
    }

    /// Retains each outcome for the time that `how_long` returns. If that is `None` or zero, the
    /// outcome is not retained, and the key is free when the flight settles.
    ///
    /// If you call more than one of this method, [`retain_for`](Self::retain_for) and
    /// [`retain_ok_for`](Self::retain_ok_for), the last call wins. `how_long` runs before the value
    /// is published, under no lock. If it panics, the flight ends with
    /// [`Cause::Panicked`](crate::error::Cause::Panicked), and the panic propagates out of the
    /// settle.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// use std::time::Duration;
    ///
    /// struct Token {
    ///     lifetime: Duration,
    /// }
    ///
    /// let group: Group<&str, Token> =
    ///     Group::builder().retain_by(|token: &Token| Some(token.lifetime)).build();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// primary.settle(Token { lifetime: Duration::from_secs(300) }).ok();
    /// assert!(matches!(group.begin("k"), Begin::Waiter(_)));
    /// ```
    pub fn retain_by(
        mut self,
        how_long: impl Fn(&T) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.options.retain = Some(Box::new(how_long));
        self
    }

    /// Sets the maximum number of outcomes that the group retains, for any number of shards. The
    /// default is 65,536. With zero nothing is retained.
    ///
    /// If there is no place for a new outcome, those that have expired are given up first, then the
    /// one that would expire next. A new outcome is given up only if every place belongs to an
    /// outcome that is being settled by another thread at that moment.
    ///
    /// A call for a key whose outcome was given up runs the operation a second time within the
    /// window. Where that matters, as it does for payments, choose a number well above what settles
    /// in one window, and watch [`Stats::given_up`](crate::Stats::given_up).
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// use std::time::Duration;
    ///
    /// let minute = Duration::from_secs(60);
    /// let group: Group<&str, u32> =
    ///     Group::builder().retain_for(minute).max_retained(1).build();
    /// for key in ["a", "b"] {
    ///     let Begin::Primary(primary) = group.begin(key) else { unreachable!() };
    ///     primary.settle(7).unwrap();
    /// }
    /// assert!(group.peek("a").is_none() && group.peek("b").is_some());
    /// assert_eq!(group.stats().given_up, 1);
    /// ```
    #[doc(alias = "capacity")]
    #[doc(alias = "max_capacity")]
    pub fn max_retained(mut self, outcomes: usize) -> Self {
        self.options.max_retained = outcomes;
        self
    }

    /// Sets the maximum total weight of the retained outcomes, in any unit, for example bytes.
    /// `weigh` returns the weight of one outcome. [`max_retained`](Self::max_retained) still limits
    /// their number.
    ///
    /// An outcome that alone is heavier than `weight` is not retained, and
    /// [`Stats::given_up`](crate::Stats::given_up) does not count it. For a lighter one the group
    /// gives up as many outcomes as necessary, in the order that `max_retained` describes.
    ///
    /// `weigh` is called once for each outcome that is to be retained, before the value is
    /// published, under no lock. If it panics, the flight ends with
    /// [`Cause::Panicked`](crate::error::Cause::Panicked), and the panic propagates out of the
    /// settle.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// use std::time::Duration;
    ///
    /// let group: Group<&str, Vec<u8>> = Group::builder()
    ///     .retain_for(Duration::from_secs(60))
    ///     .max_retained_weight(1 << 20, Vec::len)
    ///     .build();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// primary.settle(vec![0; 2 << 20]).unwrap();
    /// assert!(group.peek("k").is_none());
    /// ```
    #[doc(alias = "weigher")]
    pub fn max_retained_weight(
        mut self,
        weight: usize,
        weigh: impl Fn(&T) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.options.max_retained_weight = Some((weight, Box::new(weigh)));
        self
    }

    /// Sets the maximum number of waiters on one flight. A call beyond it is rejected at once as
    /// [`Rejected::TooManyWaiters`](crate::error::Rejected::TooManyWaiters).
    ///
    /// A caller of another key with the same whole hash takes a place while its key is compared:
    /// see [`Group::waiters`].
    ///
    /// ```
    /// use oneflight_core::error::Rejected;
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::builder().max_waiters(1).build();
    /// let _flight = (group.begin("k"), group.begin("k"));
    /// assert!(matches!(group.begin("k"), Begin::Rejected(Rejected::TooManyWaiters)));
    /// ```
    pub fn max_waiters(mut self, waiters: usize) -> Self {
        self.options.max_waiters = waiters;
        self
    }

    /// Sets the maximum number of flights in the group. A call beyond it is rejected at once as
    /// [`Rejected::TooManyFlights`](crate::error::Rejected::TooManyFlights).
    ///
    /// A flight counts until its operation is gone, however it ended, as for [`Group::drained`].
    /// [`Stats::ending`](crate::Stats::ending) shows the flights that have ended already. Retained
    /// outcomes do not count. At the limit a begin can supersede a `work`, and a `try_work` that no
    /// caller runs (see [`supersede_after`](Self::supersede_after)). Then the old flight is one
    /// more than the limit until that begin has dropped its operation.
    ///
    /// With this limit all shards share one counter.
    ///
    /// ```
    /// use oneflight_core::error::Rejected;
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::builder().max_flights(1).build();
    /// let _flight = group.begin("a");
    /// assert!(matches!(group.begin("a"), Begin::Waiter(_)));
    /// assert!(matches!(group.begin("b"), Begin::Rejected(Rejected::TooManyFlights)));
    /// ```
    pub fn max_flights(mut self, flights: usize) -> Self {
        self.options.max_flights = flights;
        self
    }

    /// Sets how many operations of one flight of [`try_work`](Group::try_work) can run after the
    /// first one. Without this setting there is no bound.
    ///
    /// If all of them fail or are lost too, the flight ends, and the callers that are left get
    /// [`Cause::Exhausted`](crate::error::Cause::Exhausted). A caller whose operation failed still
    /// gets its own error. With zero, no caller runs a second operation.
    ///
    /// Set it where an operation can take long to fail: N callers that fail one after the other
    /// keep the last one waiting N times as long.
    ///
    /// ```
    /// use oneflight_core::error::{Aborted, Cause};
    /// use oneflight_core::{Error, Group};
    /// # futures_lite::future::block_on(async {
    /// let group: Group<&str, u32> = Group::builder().max_reruns(0).build();
    /// let failure = Error::TimedOut;
    /// let first = group.try_work("k", || async { Err(failure) });
    /// let second = group.try_work("k", || async { Ok::<_, Error>(7) });
    /// assert_eq!(first.await.unwrap_err(), failure);
    /// let exhausted = Aborted::new(Cause::Exhausted);
    /// assert_eq!(second.await.unwrap_err(), Error::Aborted(exhausted));
    /// # });
    /// ```
    pub fn max_reruns(mut self, runs: usize) -> Self {
        self.options.max_reruns = runs;
        self
    }

    /// Sets the age from which a flight is too old. The next begin of its key supersedes it: the
    /// waiters of the old flight get [`Cause::Superseded`](crate::error::Cause::Superseded), and
    /// the caller is primary of a new flight. If the old primary settles later, it gets its value
    /// back in the error. There is no timer: nothing happens until that begin. Without this setting
    /// no flight is too old.
    ///
    /// The old operation is not always stopped at once. That begin drops the operation of a `work`,
    /// unless a caller polls it right now. An operation of `run`, `spawn` or `try_work` is
    /// dropped when its future or task is polled next. A guard and a blocking call continue. So two
    /// operations of one key can run at the same time. An effect that must not happen twice has to
    /// be idempotent, or check the [`FlightId`](crate::FlightId).
    ///
    /// An old flight ends only for a call that begins. Where no new flight can begin, the call
    /// joins the old one instead. This is the case in a closed group, at
    /// [`max_flights`](Self::max_flights), and for a call from inside of the old flight's
    /// operation. At `max_flights` there is one exception: if the operation can be dropped at once,
    /// the flight is superseded, because its successor then takes its place. This is the case for a
    /// `work` whose operation no caller polls at this moment, and for a `try_work` that no caller
    /// runs. If a guard, a `run` or a `spawn` never finishes, callers join the old flight until
    /// there is room.
    ///
    /// Set it well above the slowest run of an operation. Otherwise a healthy operation that takes
    /// longer never finishes while callers keep coming, because each of its runs is superseded. An
    /// operation that makes progress for a long time renews its age with [`Group::touch`] or
    /// [`Primary::touch`](crate::Primary::touch).
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// use std::time::Duration;
    ///
    /// let group: Group<&str, u32> = Group::builder().supersede_after(Duration::ZERO).build();
    /// let Begin::Primary(old) = group.begin("k") else { unreachable!() };
    /// # std::thread::sleep(Duration::from_millis(1));
    /// let Begin::Primary(new) = group.begin("k") else { unreachable!() };
    /// assert_eq!(old.settle(1).unwrap_err().value, 1);
    /// assert_eq!(*new.settle(2).unwrap(), 2);
    /// ```
    #[doc(alias = "lease")]
    pub fn supersede_after(mut self, age: Duration) -> Self {
        self.options.supersede_after = Some(age);
        self
    }

    /// Makes the group.
    ///
    /// # Panics
    ///
    /// Without `std`, and on `wasm32-unknown-unknown`, if outcomes are to be retained or
    /// [`supersede_after`](Self::supersede_after) is set and no [`clock`](Self::clock) is given.
    #[track_caller]
    pub fn build(self) -> Group<K, T, S> {
        let rules = self.options.into_rules();
        Group::from_parts(self.hasher, self.shards, rules, &self.label)
    }
}

impl<K, V, E, S> GroupBuilder<K, Result<V, E>, S> {
    /// Retains successes for this long. A failure is not retained: the next call runs the operation
    /// again. Otherwise it works like [`retain_for`](Self::retain_for). The last of these calls
    /// wins. A group for [`try_work`](Group::try_work) needs `retain_for`: the error of an
    /// operation is no outcome there, so its values are no `Result`.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// use std::time::Duration;
    ///
    /// let minute = Duration::from_secs(60);
    /// let group: Group<&str, Result<u32, String>> =
    ///     Group::builder().retain_ok_for(minute).build();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// primary.settle(Err("declined".to_string())).unwrap();
    /// assert!(group.peek("k").is_none());
    /// ```
    pub fn retain_ok_for(mut self, time: Duration) -> Self {
        self.options.retain_ok_for(time);
        self
    }
}

impl<K, T, S: UnwindSafe> UnwindSafe for GroupBuilder<K, T, S> {}
impl<K, T, S: RefUnwindSafe> RefUnwindSafe for GroupBuilder<K, T, S> {}

impl<K, T, S> fmt::Debug for GroupBuilder<K, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupBuilder")
            .field("shards", &self.shards)
            .field("retains", &self.options.retain.is_some())
            .field("max_retained", &self.options.max_retained)
            .field("max_waiters", &self.options.max_waiters)
            .field("max_flights", &self.options.max_flights)
            .field("max_reruns", &self.options.max_reruns)
            .field("supersede_after", &self.options.supersede_after)
            .finish_non_exhaustive()
    }
}
