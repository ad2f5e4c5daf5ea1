//! [`Group`]: the registry, key to flight.
//!
//! Sharded by hash, so that calls for different keys seldom meet. All the rules of concurrency are the shard's; this
//! file hashes, picks the shard and says what each call promises.

mod builder;
pub(crate) mod shard;

use alloc::boxed::Box;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};

pub use builder::Builder;

use crate::error::Rejected;
use crate::hash::RandomState;
use crate::primary::Primary;
use crate::stats::Stats;
use crate::sync::Arc;
use crate::waiter::Waiter;
use shard::Shard;

/// What [`Group::begin`] came to: exactly three paths.
#[derive(Debug)]
#[must_use = "dropping a primary aborts its flight, dropping a waiter leaves it"]
pub enum Begin<K, T> {
    /// Nobody runs this key: the caller does, and owes an outcome.
    Primary(Primary<K, T>),
    /// Somebody runs it: the caller waits for the same outcome.
    Waiter(Waiter<K, T>),
    /// Turned away at once, with the reason. Nothing is held.
    Rejected(Rejected),
}

/// The registry: one flight for each key.
///
/// The first caller of a key becomes its [`Primary`] and executes; whoever comes while that runs becomes a [`Waiter`]
/// and gets the same outcome. When the flight has ended the key is free, and the next call begins a new one: this is
/// no cache.
///
/// A group is a handle; cloning it gives another one to the same registry. Flights in progress outlive the last
/// handle: they finish and settle.
///
/// # Choosing a call
///
/// | you have | use | if the caller that runs it goes away |
/// |---|---|---|
/// | an `async` operation that any caller may carry on | [`work`](Self::work) | another caller goes on with the same operation |
/// | an operation that must run to its end | an adapter's `spawn` | it runs on, on the runtime |
/// | your own control flow, a `!Send` operation, a blocking call | [`begin`](Self::begin) | waiters get [`Aborted`](crate::Aborted) |
///
/// # Keys from strangers
///
/// The default hasher is fast and seeded at random for each group, which stops accidents and simple attacks, but it
/// does not claim to resist one who measures. Where an attacker chooses the keys, give the group SipHash:
/// `Group::with_hasher(std::hash::RandomState::new())`. Many keys that share a whole hash stay correct, and get slow.
///
/// # Deadlocks
///
/// No call here blocks, waits, or runs anything of yours under a lock: not the key's `Hash`, `Eq`, `Clone` or `Drop`,
/// not a waker. All may call back into the group. An operation that waits for its own key waits for itself.
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
    /// A power of two of them.
    shards: Box<[Arc<Shard<K, T>>]>,
}

impl<K, T> Group<K, T> {
    /// An empty group with the default hasher, seeded at random.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// For a group that differs from the default.
    pub fn builder() -> Builder<RandomState> {
        Builder::new()
    }
}

impl<K, T, S> Group<K, T, S> {
    /// An empty group with your hasher: SipHash (`std::hash::RandomState`) where keys come from strangers.
    ///
    /// ```
    /// use oneflight_core::Group;
    /// use std::hash::RandomState;
    ///
    /// let group: Group<String, u32, RandomState> = Group::with_hasher(RandomState::new());
    /// assert!(group.is_empty());
    /// ```
    pub fn with_hasher(hasher: S) -> Self {
        Builder::new().hasher(hasher).build()
    }

    fn from_parts(hasher: S, shards: usize) -> Self {
        let shards = (0..shards)
            .map(|index| Arc::new(Shard::new(index, shards)))
            .collect();
        Self {
            inner: Arc::new(Inner { hasher, shards }),
        }
    }

    /// Keys in flight. Forgotten flights are not counted.
    pub fn len(&self) -> usize {
        self.inner.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Whether no key is in flight.
    pub fn is_empty(&self) -> bool {
        self.inner.shards.iter().all(|shard| shard.len() == 0)
    }

    /// What the group has done and holds. Looks at every flight in progress, one shard at a time: for a metrics page,
    /// not for each request.
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
        let mut stats = Stats::default();
        for shard in &self.inner.shards {
            let (tally, in_flight, waiting) = shard.tally();
            stats.add(&tally, in_flight, waiting);
        }
        stats
    }

    #[inline(always)]
    fn shard(&self, hash: u64) -> &Arc<Shard<K, T>> {
        // Spread, so that a poor hasher does not put everything into one shard; and from the middle, since the table
        // inside uses the low bits and the highest.
        let spread = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        &self.inner.shards[spread as usize & (self.inner.shards.len() - 1)]
    }
}

impl<K: Hash + Eq, T, S: BuildHasher> Group<K, T, S> {
    /// Becomes the primary of `key`, or a waiter of the one there is. Never waits.
    ///
    /// Of N callers that begin one key at once, exactly one becomes the primary. A flight that has ended without a
    /// value never takes a waiter: whoever finds one begins the next.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// # futures_lite::future::block_on(async {
    /// let group: Group<String, Result<u32, String>> = Group::new();
    /// let outcome = match group.begin("invoice-7".to_string()) {
    ///     Begin::Primary(primary) => primary.run(async { Ok(42) }).await.unwrap(),
    ///     Begin::Waiter(waiter) => waiter.await.unwrap(),
    ///     Begin::Rejected(why) => panic!("{why}"),
    /// };
    /// assert_eq!(*outcome, Ok(42));
    /// # });
    /// ```
    #[doc(alias = "join")]
    #[doc(alias = "Do")]
    #[inline]
    pub fn begin(&self, key: K) -> Begin<K, T> {
        let hash = self.inner.hasher.hash_one(&key);
        let (begin, key) = Shard::begin(self.shard(hash), hash, key, |_| true, || None);
        drop(key);
        begin
    }

    /// As [`begin`](Self::begin), from a borrowed key that is cloned only when the caller becomes the primary.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<String, u32> = Group::new();
    /// let Begin::Primary(primary) = group.begin_ref("k") else { unreachable!() };
    /// assert!(matches!(group.begin_ref("k"), Begin::Waiter(_)));
    /// assert_eq!(primary.key(), "k");
    /// ```
    pub fn begin_ref<Q>(&self, key: &Q) -> Begin<K, T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + alloc::borrow::ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.inner.hasher.hash_one(key);
        let shard = self.shard(hash);
        match shard.join(hash, |candidate| candidate.borrow() == key) {
            Some(begin) => begin,
            None => {
                let (begin, key) = Shard::begin(shard, hash, key.to_owned(), |_| true, || None);
                drop(key);
                begin
            }
        }
    }

    /// Takes the key out of the registry: the next call begins a new flight. The old one goes on for those already in
    /// it, and its late settle never touches the new one. True if the key was in flight.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let Begin::Primary(old) = group.begin("k") else { unreachable!() };
    /// assert!(group.forget("k"));
    /// let Begin::Primary(new) = group.begin("k") else { unreachable!() };
    /// old.settle(1).unwrap();
    /// assert!(group.contains("k"));
    /// new.settle(2).unwrap();
    /// ```
    pub fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.inner.hasher.hash_one(key);
        let shard = self.shard(hash);
        match shard.find(hash, |candidate| candidate.borrow() == key) {
            Some(flight) => !flight.cell.snapshot().ended() && shard.detach(&flight),
            None => false,
        }
    }

    /// Whether the key is in flight.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.inner.hasher.hash_one(key);
        let found = self
            .shard(hash)
            .find(hash, |candidate| candidate.borrow() == key);
        found.is_some_and(|flight| !flight.cell.snapshot().ended())
    }

    /// How many duplicates wait for the key now: joined, polled or not, and neither dropped nor resolved.
    pub fn waiters<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.inner.hasher.hash_one(key);
        let found = self
            .shard(hash)
            .find(hash, |candidate| candidate.borrow() == key);
        found.map_or(0, |flight| flight.waiting())
    }

    /// The key's shard, for the ready-made calls.
    pub(crate) fn locate(&self, key: &K) -> (u64, &Arc<Shard<K, T>>) {
        let hash = self.inner.hasher.hash_one(key);
        (hash, self.shard(hash))
    }
}

impl<K, T, S> Clone for Group<K, T, S> {
    /// Another handle to the same registry.
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
