//! The way in: a call becomes the primary of its key, or a waiter.

use alloc::borrow::ToOwned;
use core::fmt;
use core::hash::{BuildHasher, Hash};

use equivalent::Equivalent;

use crate::error::Rejected;
use crate::flight::observe::Name;
use crate::group::Group;
use crate::group::entry::sealed::Sealed;
use crate::group::entry::{Entry, Registry};
use crate::group::primary::Primary;
use crate::group::shard::{Mode, Request, Shard};
use crate::group::waiter::Waiter;
use crate::sync::Arc;

/// The result of [`Group::begin`]: one of three cases.
#[must_use = "dropping a primary aborts its flight, dropping a waiter leaves it"]
pub enum Begin<K, T> {
    /// No flight of the key was in progress. The caller runs it now, and must end the flight.
    Primary(Primary<K, T>),
    /// Another caller runs it, or its outcome is retained. The caller gets the same outcome.
    Waiter(Waiter<K, T>),
    /// The call is rejected for this reason. It has joined nothing.
    Rejected(Rejected),
}

impl<K, T> Begin<K, T> {
    /// Reports what a call has come to. Without the features nothing is left of it.
    #[inline(always)]
    pub(super) fn report(&self, name: &Name) {
        match self {
            Begin::Primary(primary) => primary.shard().report_begun(primary.flight()),
            Begin::Waiter(waiter) if waiter.is_counted() => waiter.report_joined(),
            Begin::Waiter(_) => {}
            Begin::Rejected(why) => name.report_rejected(*why),
        }
    }
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

impl<K: Hash + Eq, T, S: BuildHasher> Group<K, T, S> {
    /// Makes the caller the primary of `key`, or a waiter if a flight of `key` is in progress or
    /// its outcome is retained. This call never blocks.
    ///
    /// Of N callers that begin one key at once, exactly one becomes the primary. A begin that finds
    /// an aborted flight starts a new one. It never joins the aborted flight.
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
    #[doc(alias = "Do")]
    pub fn begin(&self, key: K) -> Begin<K, T> {
        self.entry(key).begin()
    }

    /// Returns an [`Entry`]: the key of one call. You can add a fingerprint to it, and then make
    /// the call.
    ///
    /// ```
    /// use oneflight_core::{Begin, Fingerprint, Group, error::Rejected};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let call = |amount: u32| group.entry("token").fingerprint(Fingerprint::of(&amount));
    /// let _first = call(10).begin();
    /// assert!(matches!(call(10).begin(), Begin::Waiter(_)));
    /// assert!(matches!(call(20).begin(), Begin::Rejected(Rejected::Mismatch)));
    /// ```
    #[inline(always)]
    pub fn entry(&self, key: K) -> Entry<'_, Self> {
        Entry::owned(self, key)
    }

    /// Returns an [`Entry`] for a borrowed form of the key. The key itself is made only if the call
    /// begins a flight, or loses a race to begin it. So a duplicate makes no key.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<String, u32> = Group::new();
    /// let Begin::Primary(primary) = group.entry_ref("k").begin() else { unreachable!() };
    /// assert!(matches!(group.entry_ref("k").begin(), Begin::Waiter(_)));
    /// assert_eq!(primary.key(), "k");
    /// ```
    pub fn entry_ref<'a, Q>(&'a self, key: &'a Q) -> Entry<'a, Self, Q>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        self.entry_ref_with(key, Q::to_owned)
    }

    /// Returns an [`Entry`] like [`entry_ref`](Self::entry_ref), for a key that `ToOwned` cannot
    /// make.
    ///
    /// `key` and the key that `make` returns must be equivalent and have the same hash.
    /// [`Equivalent`] is implemented for every form that `Borrow` covers. Implement it for a form
    /// of your own.
    ///
    /// ```
    /// use oneflight_core::{Begin, Equivalent, Group};
    ///
    /// #[derive(Hash)]
    /// struct Borrowed<'a>(&'a str, u32);
    /// impl Equivalent<(String, u32)> for Borrowed<'_> {
    ///     fn equivalent(&self, key: &(String, u32)) -> bool {
    ///         self.0 == key.0 && self.1 == key.1
    ///     }
    /// }
    ///
    /// let group: Group<(String, u32), u32> = Group::new();
    /// let begun = group.entry_ref_with(&Borrowed("tenant", 7), |b| (b.0.to_owned(), b.1)).begin();
    /// assert!(matches!(begun, Begin::Primary(_)));
    /// ```
    pub fn entry_ref_with<'a, Q>(&'a self, key: &'a Q, make: fn(&'a Q) -> K) -> Entry<'a, Self, Q>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        Entry::borrowed(self, key, make)
    }
}

impl<K, T, S: BuildHasher> Sealed<K, T> for Group<K, T, S> {
    const HAS_LINE: bool = false;

    #[inline(always)]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.inner.hasher.hash_one(key)
    }

    #[inline(always)]
    fn shard(&self, hash: u64) -> &Arc<Shard<K, T>> {
        self.shard_of(hash)
    }

    fn adapt<Q>(&self, request: Request, _: &Q, _: Option<Mode>, _: bool) -> Request
    where
        Q: Equivalent<K> + ?Sized,
    {
        request
    }
}

impl<K: Hash + Eq, T, S: BuildHasher> Registry for Group<K, T, S> {
    type Key = K;
    type Value = T;
}
