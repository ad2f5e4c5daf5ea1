//! The registry, key to flight, as its users meet it.
//!
//! | file | its job |
//! |---|---|
//! | `mod` | [`Group`]: the handle |
//! | `keys` | what can be asked, renewed, forgotten and aborted by key |
//! | `entry`, `begin` | one call: by key or borrowed key, with or without a fingerprint |
//! | `primary`, `waiter` | the two roles |
//! | `run` | executes for a primary |
//! | `blocking` | threads that wait |
//! | `stop` | close, abort everything, wait until it is drained |
//! | `builder`, `rules`, `hasher` | what a group is set to |
//! | `places` | which outcomes the group retains, in the order in which they expire |
//! | `stats` | figures; `stats/print`: how they are shown |
//! | `shard/` | one lock, and all that stands under it |
//!
//! A group is sharded by hash, so that calls for different keys seldom meet. What happens when
//! calls do meet is decided in `shard/`.

mod begin;
#[cfg(all(feature = "std", not(target_family = "wasm")))]
mod blocking;
mod builder;
pub(crate) mod entry;
mod hasher;
mod keys;
mod places;
mod primary;
pub(crate) mod rules;
mod run;
pub(crate) mod shard;
mod stats;
pub(crate) mod stop;
mod waiter;

use alloc::boxed::Box;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

pub use begin::Begin;
pub use builder::GroupBuilder;
pub use entry::{Entry, Registry};
pub use hasher::RandomState;
pub use primary::Primary;
pub use run::Run;
pub use shard::Mode;
pub use stats::Stats;
pub use stop::Drained;
pub use waiter::Waiter;

use crate::flight::observe::{self, Label};
use crate::sync::Arc;
use hasher::shard_index;
use places::Places;
use rules::Rules;
use shard::{Drain, Shard, random_id};
use stats::gather;

/// The registry: one flight for each key.
///
/// The first caller of a key becomes its [`Primary`] and executes. A caller that comes while the
/// first one runs becomes a [`Waiter`] and gets the same outcome. When the flight has ended, the
/// key is free, and the next call begins a new flight. (In a group that retains outcomes, it gets
/// the old outcome for a limited time, see [`GroupBuilder::retain_for`].)
///
/// A group is a handle. A clone is another handle to the same registry. Flights in progress outlive
/// the last handle: they finish and settle. Retained outcomes are dropped with the last handle.
///
/// # Choosing a call
///
/// | call | the operation runs | if the caller goes away |
/// |---|---|---|
/// | [`spawn`] | as a task of a runtime | it runs to its end |
/// | [`spawn_while_wanted`] | as a task of a runtime | it stops when no caller is left |
/// | [`work`] | in the callers, one at a time | another caller continues it |
/// | [`try_work`] | in the caller whose turn it is | the next caller runs its own |
/// | [`begin`] | in your own control flow | waiters get [`Aborted`] |
/// | `work_blocking` | on the caller's thread | it can only panic: waiters get [`Aborted`] |
///
/// The adapters provide the calls that need a runtime as methods of a group. They also provide
/// `spawn_blocking`, for a blocking call.
///
/// What each call needs, besides a key that is `Hash + Eq`:
///
/// | call | of the operation | of the key and the value |
/// |---|---|---|
/// | `work` and the calls that spawn | `Send + 'static` | `Send + Sync + 'static` |
/// | `try_work`, `begin`, `work_blocking` | nothing: it can borrow and be `!Send` | nothing |
///
/// A group, a guard and a waiter are `Send` if the key and the value are `Send + Sync`.
///
/// [`spawn`]: Entry::spawn_on
/// [`spawn_while_wanted`]: Entry::spawn_while_wanted_on
/// [`work`]: Self::work
/// [`try_work`]: Self::try_work
/// [`begin`]: Self::begin
/// [`Aborted`]: crate::error::Aborted
///
/// # When calls meet
///
/// The call that begins a flight decides how it runs. A call that joins shares the outcome. This
/// table shows what a call that has joined gets, if the caller that began the flight is dropped. (A
/// caller of `work_blocking` can't be, but it can panic.) If a caller that has joined is dropped,
/// the others do not notice.
///
/// | begun by | the same call | `spawn` | another call |
/// |---|---|---|---|
/// | `spawn`, `spawn_blocking` | the outcome | the outcome | the outcome |
/// | `spawn_while_wanted` | the outcome | the outcome | the outcome |
/// | `work` | continues it | its task continues it | the outcome if another is left |
/// | `try_work` | runs its own | the outcome if another is left | the outcome if another is left |
/// | `begin`, `run` | `Dropped` | `Dropped` | `Dropped` |
/// | `work_blocking` | `Panicked` | `Panicked` | `Panicked` |
///
/// "Another" is another caller of `work` or `try_work` that can go on with it (for `work` also the
/// task of a `spawn`). If there is none, the call gets `Dropped`.
///
/// If the operation panics, or a panic drops the guard of a `begin`, the calls that have joined get
/// `Panicked`. There is one exception: with `try_work` a panic counts as a drop, so the next caller
/// runs its own. The others get `Panicked` only if no caller of `try_work` is left.
///
/// If all callers leave:
///
/// | begun by | the operation |
/// |---|---|
/// | `spawn`, `spawn_blocking` | runs to its end |
/// | `spawn_while_wanted`, `work` | is dropped, unless a `spawn` joined |
/// | `try_work`, `begin`, `run` | is dropped |
///
/// The first `spawn` that joins a `work` gives its runtime a task that drives like a caller of
/// `work`. So the operation then runs to its end, and every waiter gets the outcome.
///
/// # Untrusted keys
///
/// The default hasher is fast, and seeded at random for each group. It does not resist an attacker
/// who measures response times. If an attacker can choose the keys, give the group SipHash:
/// `Group::with_hasher(std::hash::RandomState::new())`. Calls for keys that share a whole hash stay
/// correct and get slow.
///
/// # Deadlocks
///
/// No call here runs your code under a lock: not the key's `Hash`, `Eq`, `Clone` or `Drop`, not a
/// waker. All of these can call the group. An operation that waits for its own key waits for
/// itself, see [`Rejected::Reentrant`](crate::error::Rejected::Reentrant).
///
/// # Examples
///
/// ```
/// use oneflight_core::{Begin, Group};
///
/// let group: Group<&str, u32> = Group::new();
/// let Begin::Primary(first) = group.begin("k") else { unreachable!() };
/// let Begin::Waiter(second) = group.begin("k") else { unreachable!() };
/// assert_eq!(group.waiters("k"), 1);
/// first.settle(7).unwrap();
/// assert_eq!(*second.get().unwrap().unwrap(), 7);
/// assert!(group.is_empty());
/// ```
#[doc(alias = "singleflight")]
#[doc(alias = "coalesce")]
#[doc(alias = "dedup")]
pub struct Group<K, T, S = RandomState> {
    inner: Arc<Inner<K, T, S>>,
}

struct Inner<K, T, S> {
    hasher: S,
    /// Their number is a power of two.
    shards: Box<[Arc<Shard<K, T>>]>,
    drain: Arc<Drain>,
}

impl<K, T, S> Drop for Inner<K, T, S> {
    fn drop(&mut self) {
        close_places(&self.shards);
    }
}

impl<K, T> Group<K, T> {
    /// Makes an empty group with the default hasher, seeded at random.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, for a group that differs from the default.
    pub fn builder() -> GroupBuilder<K, T> {
        GroupBuilder::new()
    }
}

impl<K, T, S> Group<K, T, S> {
    /// Makes an empty group with your hasher. If keys come from untrusted clients, use SipHash
    /// (`std::hash::RandomState`).
    ///
    /// ```
    /// use oneflight_core::Group;
    /// use std::hash::RandomState;
    ///
    /// let group: Group<String, u32, RandomState> = Group::with_hasher(RandomState::new());
    /// assert!(group.is_empty());
    /// ```
    pub fn with_hasher(hasher: S) -> Self {
        GroupBuilder::<K, T>::new().hasher(hasher).build()
    }

    fn from_parts(hasher: S, shards: u32, rules: Option<Rules<T>>, label: &Label<K>) -> Self {
        Self {
            inner: Arc::new(Inner {
                hasher,
                shards: make_shards(shards, rules, label, |shard| shard),
                drain: Arc::new(Drain::new(shards as usize)),
            }),
        }
    }

    /// Returns the number of keys in flight. Forgotten flights and retained outcomes are not
    /// counted.
    pub fn len(&self) -> usize {
        self.inner.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Returns true if no key is in flight.
    pub fn is_empty(&self) -> bool {
        self.inner.shards.iter().all(|shard| shard.len() == 0)
    }

    /// Returns the figures of the group. This call drops expired outcomes first. Then it reads
    /// every flight in progress, one shard at a time. Call it for a metrics page and not for each
    /// request.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let begun = group.begin("k");
    /// assert_eq!((group.stats().begun, group.stats().in_flight), (1, 1));
    /// drop(begun);
    /// assert_eq!((group.stats().aborted, group.stats().in_flight), (1, 0));
    /// ```
    pub fn stats(&self) -> Stats {
        read_stats(&self.inner.shards)
    }

    /// Drops the retained outcomes whose window is over, and returns how many it dropped.
    ///
    /// Expired outcomes are never returned, and later settles whose own outcome is retained drop
    /// them, two each. Call this to free their memory in a group that is seldom used.
    /// [`stats`](Self::stats) does the same.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// use std::time::Duration;
    ///
    /// let group: Group<&str, u32> = Group::builder().retain_for(Duration::from_nanos(1)).build();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// primary.settle(7).unwrap();
    /// # std::thread::sleep(Duration::from_millis(1));
    /// assert_eq!(group.purge_expired(), 1);
    /// ```
    #[doc(alias = "sweep")]
    pub fn purge_expired(&self) -> usize {
        purge_expired(&self.inner.shards)
    }

    /// Drops all retained outcomes, and returns how many it dropped. Flights in progress are not
    /// changed, and are retained when they settle.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// use std::time::Duration;
    ///
    /// let group: Group<&str, u32> = Group::builder().retain_for(Duration::from_secs(60)).build();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// primary.settle(7).unwrap();
    /// assert_eq!(group.clear_retained(), 1);
    /// assert!(group.peek("k").is_none());
    /// ```
    #[doc(alias = "clear")]
    #[doc(alias = "invalidate_all")]
    pub fn clear_retained(&self) -> usize {
        self.places().map_or(0, Places::clear)
    }

    fn places(&self) -> Option<&Places<K, T>> {
        self.inner.shards[0].places()
    }

    /// The time, if the rules depend on it.
    fn now(&self) -> Option<Duration> {
        self.inner.shards[0].now()
    }

    fn shard_of(&self, hash: u64) -> &Arc<Shard<K, T>> {
        let shards = &self.inner.shards;
        &shards[shard_index(hash, shards.len())]
    }
}

/// Makes the shards of one registry: their ids, their rules, their label and what they retain are
/// shared. `add` adds to each.
pub(crate) fn make_shards<K, T>(
    count: u32,
    rules: Option<Rules<T>>,
    label: &Label<K>,
    add: impl Fn(Shard<K, T>) -> Shard<K, T>,
) -> Box<[Arc<Shard<K, T>>]> {
    observe::describe();
    let rules = rules.map(Arc::new);
    let retention = rules.as_ref().and_then(|rules| rules.retention.as_ref());
    let places = retention.map(|retention| Arc::new(Places::new(retention)));
    let first_id = random_id();
    let shards: Box<[_]> = (0..count)
        .map(|index| {
            let shard = Shard::new(first_id + u64::from(index), count, rules.clone());
            let shard = shard.with_places(places.clone());
            Arc::new(add(shard.with_label(label.clone())))
        })
        .collect();
    if let Some(places) = places {
        places.open(shards.to_vec());
    }
    shards
}

/// The last handle of a registry is dropped. Primaries keep their shards, but no call can reach
/// what those retain any more.
pub(crate) fn close_places<K, T>(shards: &[Arc<Shard<K, T>>]) {
    if let Some(places) = shards[0].places() {
        places.close();
    }
}

fn purge_expired<K, T>(shards: &[Arc<Shard<K, T>>]) -> usize {
    // The clock is the user's: it is not read where nothing is retained.
    let places = shards[0].places();
    let purge = |places: &Places<K, T>| Some(places.purge(shards[0].now()?));
    places.and_then(purge).unwrap_or(0)
}

/// Reads the figures of a registry. Drops what has expired first.
pub(crate) fn read_stats<K, T>(shards: &[Arc<Shard<K, T>>]) -> Stats {
    purge_expired(shards);
    let mut stats = gather(shards.iter().map(|shard| shard.figures()));
    stats.retained = shards[0].places().map_or(0, Places::len);
    stats
}

impl<K, T, S> Clone for Group<K, T, S> {
    /// Returns another handle to the same registry.
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<K, T, S: Default> Default for Group<K, T, S> {
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K, T, S> UnwindSafe for Group<K, T, S> {}
impl<K, T, S> RefUnwindSafe for Group<K, T, S> {}

impl<K, T, S> fmt::Debug for Group<K, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
