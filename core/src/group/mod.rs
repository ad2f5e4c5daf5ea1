//! [`Group`]: the registry, key to flight.
//!
//! Sharded by hash, so that calls for different keys seldom meet. All the rules of concurrency are
//! the shard's; this file hashes, picks the shard and says what each call promises.

mod builder;
pub(crate) mod extras;
pub(crate) mod search;
pub(crate) mod shard;
pub(crate) mod table;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};

pub use builder::Builder;

use crate::baton::Baton;
use crate::drain::{Drain, Drained};
use crate::error::{Cause, Rejected};
use crate::fingerprint::{Fingerprint, Fingerprinted};
use crate::flight::Flight;
use crate::hash::RandomState;
use crate::primary::Primary;
use crate::rules::Rules;
use crate::settled::Settled;
use crate::stats::{Stats, gather};
use crate::sync::{Arc, Wakeable, for_each};
use crate::waiter::Waiter;
use search::Search;
use shard::{Begun, Request, Shard};

/// What [`Group::begin`] came to: exactly three paths.
#[must_use = "dropping a primary aborts its flight, dropping a waiter leaves it"]
pub enum Begin<K, T> {
    /// Nobody runs this key: the caller does, and owes an outcome.
    Primary(Primary<K, T>),
    /// Somebody runs it: the caller waits for the same outcome.
    Waiter(Waiter<K, T>),
    /// Turned away at once, with the reason. Nothing is held.
    Rejected(Rejected),
}

impl<K, T> fmt::Debug for Begin<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Begin::Primary(primary) => f.debug_tuple("Primary").field(primary).finish(),
            Begin::Waiter(waiter) => f.debug_tuple("Waiter").field(waiter).finish(),
            Begin::Rejected(why) => f.debug_tuple("Rejected").field(why).finish(),
        }
    }
}

/// The registry: one flight for each key.
///
/// The first caller of a key becomes its [`Primary`] and executes; whoever comes while that runs
/// becomes a [`Waiter`] and gets the same outcome. When the flight has ended the key is free, and
/// the next call begins a new one: this is no cache.
///
/// A group is a handle; cloning it gives another one to the same registry. Flights in progress
/// outlive the last handle: they finish and settle.
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
/// The default hasher is fast and seeded at random for each group, which stops accidents and simple
/// attacks, but it does not claim to resist one who measures. Where an attacker chooses the keys,
/// give the group SipHash: `Group::with_hasher(std::hash::RandomState::new())`. Many keys that
/// share a whole hash stay correct, and get slow.
///
/// # Deadlocks
///
/// No call here blocks, waits, or runs anything of yours under a lock: not the key's `Hash`, `Eq`,
/// `Clone` or `Drop`, not a waker. All may call back into the group. An operation that waits for
/// its own key waits for itself.
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
    drain: Arc<Drain>,
}

impl<K, T, S> Drop for Inner<K, T, S> {
    fn drop(&mut self) {
        // Primaries keep their shards; nobody can ask for what those retain any more.
        if self.shards[0].rules().is_some() {
            for_each(self.shards.iter(), |shard| shard.orphan());
        }
    }
}

type Found<K, T> = Option<Arc<Flight<K, T>>>;

impl<K, T> Group<K, T> {
    /// An empty group with the default hasher, seeded at random.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// For a group that differs from the default.
    pub fn builder() -> Builder<K, T> {
        Builder::new()
    }
}

impl<K, T, S> Group<K, T, S> {
    /// An empty group with your hasher: SipHash (`std::hash::RandomState`) where keys come from
    /// strangers.
    ///
    /// ```
    /// use oneflight_core::Group;
    /// use std::hash::RandomState;
    ///
    /// let group: Group<String, u32, RandomState> = Group::with_hasher(RandomState::new());
    /// assert!(group.is_empty());
    /// ```
    pub fn with_hasher(hasher: S) -> Self {
        Builder::<K, T>::new().hasher(hasher).build()
    }

    fn from_parts(hasher: S, shards: u32, rules: Option<Rules<T>>) -> Self {
        let rules = rules.map(Arc::new);
        let drain = Arc::new(Drain::new(shards as usize));
        let shards = (0..shards)
            .map(|index| Arc::new(Shard::new(index, shards, rules.clone())))
            .collect();
        Self {
            inner: Arc::new(Inner {
                hasher,
                shards,
                drain,
            }),
        }
    }

    /// Keys in flight. Forgotten flights and retained outcomes are not counted.
    pub fn len(&self) -> usize {
        self.inner.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Whether no key is in flight.
    pub fn is_empty(&self) -> bool {
        self.inner.shards.iter().all(|shard| shard.len() == 0)
    }

    /// What the group has done and holds. Looks at every flight in progress, one shard at a time:
    /// for a metrics page, not for each request.
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
        gather(self.inner.shards.iter().map(|shard| &**shard))
    }

    /// Begins nothing more: a key that is not in flight is [`Rejected::Closed`]. Duplicates of a
    /// flight still join, and retained outcomes are still given out. From any thread, any
    /// number of times; there is no way back.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group, Rejected};
    /// # futures_lite::future::block_on(async {
    /// let group: Group<&str, u32> = Group::new();
    /// let Begin::Primary(primary) = group.begin("running") else { unreachable!() };
    /// group.close();
    /// assert!(matches!(group.begin("new"), Begin::Rejected(Rejected::Closed)));
    /// assert!(matches!(group.begin("running"), Begin::Waiter(_)));
    /// let drained = group.drained();
    /// primary.settle(7).unwrap();
    /// drained.await;
    /// # });
    /// ```
    #[doc(alias = "shutdown")]
    pub fn close(&self) {
        for shard in &self.inner.shards {
            shard.close(&self.inner.drain);
        }
    }

    /// Ends every flight there is, forgotten ones too: their waiters get [`Cause::Closed`], their
    /// drivers are woken, and the value of a primary that settles later comes back to it. To
    /// begin nothing new either, [`close`](Self::close) first.
    ///
    /// The operation of a `work` is dropped here, or by its poller when that poll returns; one that
    /// a caller runs itself ([`Primary::run`], `spawn`, [`work_rerun`](Self::work_rerun)) is
    /// dropped when that caller is polled next.
    ///
    /// ```
    /// use oneflight_core::{Begin, Cause, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// group.abort_all();
    /// assert!(group.is_empty());
    /// let late = primary.settle(7).unwrap_err();
    /// assert_eq!((late.cause(), late.into_value()), (Some(Cause::Closed), 7));
    /// ```
    pub fn abort_all(&self) {
        let shards = self.inner.shards.iter();
        let all: Vec<_> = shards
            .flat_map(|shard| {
                shard
                    .flights()
                    .into_iter()
                    .map(move |flight| (shard, flight))
            })
            .collect();
        for_each(all.into_iter(), |(shard, flight)| {
            Flight::abort(&flight, shard, Cause::Closed);
        });
    }

    /// Resolves when the group is closed and no flight is left. Forgotten flights count, and
    /// superseded ones until their primaries are done.
    ///
    /// # Deadlocks
    ///
    /// It waits for ever if nobody calls [`close`](Self::close). A primary that is held and never
    /// settled keeps it waiting: [`abort_all`](Self::abort_all) ends what is left, all but a
    /// superseded flight, which has ended already and whose primary must go.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn drained(&self) -> Drained {
        Drained::new(self.inner.drain.clone())
    }

    /// The same calls, for a payload with this fingerprint: a call of the same key with another
    /// payload is [`Rejected::Mismatch`]. See [`Fingerprint`].
    pub fn fingerprinted(&self, fingerprint: Fingerprint) -> Fingerprinted<'_, Self> {
        Fingerprinted {
            of: self,
            fingerprint,
        }
    }

    #[inline(always)]
    fn shard(&self, hash: u64) -> &Arc<Shard<K, T>> {
        // Spread, so that a poor hasher does not put everything into one shard; and from the
        // middle, since the table inside uses the low bits and the highest.
        let spread = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        &self.inner.shards[spread as usize & (self.inner.shards.len() - 1)]
    }
}

impl<K: Hash + Eq, T, S: BuildHasher> Group<K, T, S> {
    /// Becomes the primary of `key`, or a waiter of the one there is. Never waits.
    ///
    /// Of N callers that begin one key at once, exactly one becomes the primary. A flight that has
    /// ended without a value never takes a waiter: whoever finds one begins the next.
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
        let shard = self.shard(hash);
        if shard.rules().is_none() {
            return Shard::begin(shard, hash, key);
        }
        let ((begin, key), _) = self.begin_with(key, None, |_, _| true, || None);
        drop(key);
        begin
    }

    /// As [`begin`](Self::begin), from a borrowed key that is cloned only when the caller becomes
    /// the primary.
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
        self.begin_ref_with(key, None)
    }

    /// Takes the key out of the registry: the next call begins a new flight. The old one goes on
    /// for those already in it, and its late settle never touches the new one. True if the key
    /// was in flight, or its outcome retained.
    ///
    /// A flight that is forgotten is not retained when it settles; a retained outcome is freed now.
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
        let now = self.now();
        let (shard, found) = self.lookup(key);
        found.is_some_and(|flight| {
            let word = flight.cell.snapshot();
            let was_there = word.cause().is_none() && !shard.is_expired(&flight, now);
            shard.detach(&flight) && was_there
        })
    }

    /// Whether the key is in flight.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lookup(key)
            .1
            .is_some_and(|flight| !flight.cell.snapshot().ended())
    }

    /// The retained outcome of the key, if there is one. Counts nothing and joins nothing.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::builder().retain(std::time::Duration::from_secs(60)).build();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// assert!(group.peek("k").is_none());
    /// primary.settle(7).unwrap();
    /// assert_eq!(*group.peek("k").unwrap(), 7);
    /// ```
    pub fn peek<Q>(&self, key: &Q) -> Option<Settled<K, T>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.now();
        let (shard, found) = self.lookup(key);
        let flight = found.filter(|flight| flight.cell.snapshot().settled())?;
        (!shard.is_expired(&flight, now)).then(|| Settled::new(flight))
    }

    /// How many duplicates wait for the key now: joined, polled or not, and neither dropped nor
    /// resolved.
    pub fn waiters<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lookup(key).1.map_or(0, |flight| flight.waiting())
    }

    /// The time, if the rules depend on it.
    fn now(&self) -> Option<core::time::Duration> {
        self.inner.shards[0].now()
    }

    fn lookup<Q>(&self, key: &Q) -> (&Arc<Shard<K, T>>, Found<K, T>)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.inner.hasher.hash_one(key);
        let shard = self.shard(hash);
        (
            shard,
            shard.lookup(hash, |candidate| candidate.borrow() == key),
        )
    }

    /// A begin that asks for more than its key. Also returns a duplicate's key, which the caller
    /// drops once what it got is in a guard's hands, and the key's shard.
    pub(crate) fn begin_with(
        &self,
        key: K,
        fingerprint: Option<Fingerprint>,
        admit: impl Fn(&Arc<Shard<K, T>>, &Arc<Flight<K, T>>) -> bool,
        baton: impl FnOnce() -> Option<Arc<Wakeable<Baton<T>>>>,
    ) -> (Begun<K, T>, &Arc<Shard<K, T>>) {
        let hash = self.inner.hasher.hash_one(&key);
        let shard = self.shard(hash);
        let request = Request {
            hash,
            fingerprint,
            now: shard.now(),
            ..Request::default()
        };
        (
            Shard::search(shard, &request, Search::new(hash), key, admit, baton),
            shard,
        )
    }

    pub(crate) fn begin_ref_with<Q>(&self, key: &Q, fingerprint: Option<Fingerprint>) -> Begin<K, T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + alloc::borrow::ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.inner.hasher.hash_one(key);
        let shard = self.shard(hash);
        let request = Request {
            hash,
            fingerprint,
            now: shard.now(),
            ..Request::default()
        };
        if let Some(begin) = shard.join(&request, |candidate| candidate.borrow() == key) {
            return begin;
        }
        let key = key.to_owned();
        if fingerprint.is_none() && shard.rules().is_none() {
            return Shard::begin(shard, hash, key);
        }
        let (begin, key) = Shard::search(
            shard,
            &request,
            Search::new(hash),
            key,
            |_, _| true,
            || None,
        );
        drop(key);
        begin
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
