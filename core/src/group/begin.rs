//! The way in: a call becomes the primary of its key, or a waiter.

use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};

use crate::error::Rejected;
use crate::fingerprint::{Fingerprint, Fingerprinted};
use crate::group::Group;
use crate::group::primary::Primary;
use crate::group::shard::{BorrowedKey, Call, OwnedKey, Plain, Request, Shard};
use crate::group::waiter::Waiter;
use crate::sync::Arc;

/// What [`Group::begin`] came to: exactly three paths.
#[must_use = "dropping a primary aborts its flight, dropping a waiter leaves it"]
pub enum Begin<K, T> {
    /// Nobody runs this key: the caller does, and owes an outcome.
    Primary(Primary<K, T>),
    /// Somebody runs it: the caller waits for the same outcome.
    Waiter(Waiter<K, T>),
    /// Rejected at once, with the reason. Nothing is held.
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

/// One call: what it is made on, its key, and what belongs to this call alone. Every call that
/// takes a key is written once, on this type.
pub(crate) struct Entry<'a, G, Q> {
    pub(crate) of: &'a G,
    pub(crate) key: Q,
    pub(crate) fingerprint: Option<Fingerprint>,
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
    pub fn begin(&self, key: K) -> Begin<K, T> {
        self.entry(key).begin()
    }

    /// As [`begin`](Self::begin), from a borrowed key that is cloned only when a new flight can
    /// begin.
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
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.entry(key).begin_ref()
    }
}

impl<K, T, S> Group<K, T, S> {
    pub(crate) fn entry<Q>(&self, key: Q) -> Entry<'_, Self, Q> {
        Entry {
            of: self,
            key,
            fingerprint: None,
        }
    }

    /// The same calls, for a payload with this fingerprint: a call of the same key with another
    /// payload is [`Rejected::Mismatch`]. See [`Fingerprint`].
    pub fn fingerprinted(&self, fingerprint: Fingerprint) -> Fingerprinted<'_, Self> {
        Fingerprinted {
            of: self,
            fingerprint,
        }
    }
}

impl<K: Hash + Eq, T, S: BuildHasher> Fingerprinted<'_, Group<K, T, S>> {
    /// [`Group::begin`].
    pub fn begin(self, key: K) -> Begin<K, T> {
        self.entry(key).begin()
    }

    /// [`Group::begin_ref`].
    pub fn begin_ref<Q>(self, key: &Q) -> Begin<K, T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.entry(key).begin_ref()
    }
}

impl<'a, G> Fingerprinted<'a, G> {
    pub(crate) fn entry<Q>(self, key: Q) -> Entry<'a, G, Q> {
        Entry {
            of: self.of,
            key,
            fingerprint: Some(self.fingerprint),
        }
    }
}

impl<K: Hash + Eq, T, S: BuildHasher> Entry<'_, Group<K, T, S>, K> {
    #[inline(always)]
    pub(crate) fn begin(self) -> Begin<K, T> {
        let hash = self.of.inner.hasher.hash_one(&self.key);
        let shard = self.of.shard_of(hash);
        if self.fingerprint.is_none() && shard.rules().is_none() {
            return Shard::begin(shard, hash, self.key);
        }
        begin_by_search(shard, hash, self.fingerprint, self.key, &mut Plain)
    }

    /// As [`begin`](Self::begin), for a kind of call that adds to the search.
    pub(crate) fn begin_as(self, call: &mut impl Call<K, T>) -> Begin<K, T> {
        let hash = self.of.inner.hasher.hash_one(&self.key);
        let shard = self.of.shard_of(hash);
        begin_by_search(shard, hash, self.fingerprint, self.key, call)
    }
}

#[inline(never)]
fn begin_by_search<K: Eq, T>(
    shard: &Arc<Shard<K, T>>,
    hash: u64,
    fingerprint: Option<Fingerprint>,
    key: K,
    call: &mut impl Call<K, T>,
) -> Begin<K, T> {
    let request = Request::new(shard, hash, fingerprint);
    Shard::search(shard, &request, OwnedKey(Some(key)), call)
}

impl<K, T, S, Q> Entry<'_, Group<K, T, S>, &Q>
where
    K: Eq + Borrow<Q>,
    S: BuildHasher,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    fn begin_ref(self) -> Begin<K, T> {
        let hash = self.of.inner.hasher.hash_one(self.key);
        let shard = self.of.shard_of(hash);
        let request = Request::new(shard, hash, self.fingerprint);
        Shard::search(shard, &request, BorrowedKey::new(self.key), &mut Plain)
    }
}
