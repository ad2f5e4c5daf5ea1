//! [`Entry`]: the key of one call, and what belongs to that call alone.
//!
//! Every call that takes a key is a method of [`Entry`], written once for all registries. What they
//! differ in is [`sealed::Sealed`]: where a key is looked for, and with what.

use core::fmt;
use core::hash::Hash;

use equivalent::Equivalent;

use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::group::begin::Begin;
use crate::group::shard::{
    BorrowedKey, Call, Later, Mode, OwnedKey, Plain, Request, Shard, SoughtKey, Ticket,
};
use crate::group::waiter::Waiter;
use crate::sync::Arc;

/// The type that an [`Entry`] belongs to: a [`Group`](crate::Group) or a
/// [`Gate`](crate::gate::Gate).
///
/// Use it to write one function for both. It is sealed.
pub trait Registry: sealed::Sealed<Self::Key, Self::Value> {
    /// The key of its flights.
    type Key: Hash + Eq;
    /// The value that they settle with.
    type Value;
}

pub(crate) mod sealed {
    use core::hash::Hash;

    use equivalent::Equivalent;

    use crate::group::shard::{Mode, Request, Shard};
    use crate::sync::Arc;

    /// What a call needs of a registry. Hashes the key, which runs the user's code.
    pub trait Sealed<K, T> {
        fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64;

        fn shard(&self, hash: u64) -> &Arc<Shard<K, T>>;

        /// Adds to a request what depends on the registry and on the key. At a gate that is held,
        /// also on the call's own mode, and on whether the call can wait for its turn.
        fn adapt<Q>(&self, request: Request, key: &Q, mode: Option<Mode>, waits: bool) -> Request
        where
            Q: Equivalent<K> + ?Sized;

        /// Whether a call can wait for a turn. Without a line, a call without a fingerprint can
        /// take the short way, if the shard has no rules.
        const HAS_LINE: bool;
    }
}

/// The key of one call, with its fingerprint and, at a gate, its mode.
///
/// Returned by [`Group::entry`](crate::Group::entry),
/// [`Group::entry_ref`](crate::Group::entry_ref),
/// [`Group::entry_ref_with`](crate::Group::entry_ref_with) and
/// [`Gate::entry`](crate::gate::Gate::entry). It holds no lock and takes no place. Nothing happens
/// until you make one of its calls.
///
/// ```
/// use oneflight_core::{Begin, Fingerprint, Group};
///
/// let group: Group<String, u32> = Group::new();
/// let payload = Fingerprint::of_bytes(b"amount=10");
/// let begun = group.entry_ref("token").fingerprint(payload).begin();
/// assert!(matches!(begun, Begin::Primary(_)));
/// ```
#[must_use = "an entry does nothing by itself: call `begin`, `work` or `spawn`"]
pub struct Entry<'a, G: Registry, Q: ?Sized = <G as Registry>::Key> {
    of: &'a G,
    key: EntryKey<'a, G::Key, Q>,
    fingerprint: Option<Fingerprint>,
    /// Of a gate's entry only.
    mode: Option<Mode>,
}

/// The key as it is, or a borrowed form and how the key is made from it.
enum EntryKey<'a, K, Q: ?Sized> {
    Owned(K),
    Borrowed(&'a Q, fn(&'a Q) -> K),
}

/// What a call has joined, if there was a flight.
type Joined<G> = Option<Waiter<<G as Registry>::Key, <G as Registry>::Value>>;

impl<'a, G: Registry, Q: ?Sized> Entry<'a, G, Q> {
    pub(crate) fn owned(of: &'a G, key: G::Key) -> Self {
        Self {
            of,
            key: EntryKey::Owned(key),
            fingerprint: None,
            mode: None,
        }
    }

    pub(crate) fn borrowed(of: &'a G, key: &'a Q, make: fn(&'a Q) -> G::Key) -> Self {
        Self {
            of,
            key: EntryKey::Borrowed(key, make),
            fingerprint: None,
            mode: None,
        }
    }

    /// Adds the fingerprint of the payload. A call of the same key with another payload is rejected
    /// as [`Rejected::Mismatch`](crate::error::Rejected::Mismatch).
    ///
    /// A call **without** a fingerprint is not checked: it joins whatever flight its key has. So
    /// give a fingerprint to every call of a key, for example to every charge. See [`Fingerprint`].
    ///
    /// If you call this twice, the last fingerprint counts.
    ///
    /// ```
    /// use oneflight_core::error::Rejected;
    /// use oneflight_core::{Begin, Fingerprint, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let charge = |cents: u32| group.entry("token").fingerprint(Fingerprint::of(&cents)).begin();
    /// let first = charge(1999);
    /// assert!(matches!(charge(1999), Begin::Waiter(_)));
    /// assert!(matches!(charge(2000), Begin::Rejected(Rejected::Mismatch)));
    /// assert!(matches!(group.begin("token"), Begin::Waiter(_))); // Not checked.
    /// # drop(first);
    /// ```
    pub fn fingerprint(mut self, payload: Fingerprint) -> Self {
        self.fingerprint = Some(payload);
        self
    }
}

impl<'a, G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Entry<'a, G, Q> {
    /// Makes the caller the primary of the key, or a waiter if a flight of the key is in progress.
    /// This call never blocks.
    ///
    /// See [`Group::begin`](crate::Group::begin). At a gate, a call that finds another token in
    /// flight is rejected as [`Rejected::Busy`](crate::error::Rejected::Busy), except with
    /// [`Mode::Open`]: see [`Gate::begin`](crate::gate::Gate::begin).
    #[inline(always)]
    pub fn begin(self) -> Begin<G::Key, G::Value> {
        // As `begin_with`: written out, it takes fewer instructions.
        match self.key {
            EntryKey::Owned(key) => {
                let (of, fingerprint, mode) = (self.of, self.fingerprint, self.mode);
                let hash = of.hash(&key);
                let shard = of.shard(hash);
                if !G::HAS_LINE && fingerprint.is_none() && shard.rules().is_none() {
                    return Shard::begin(shard, hash, key, &mut Plain);
                }
                let sought: Sought<'_, G, Q> = Sought {
                    of,
                    shard,
                    hash,
                    key: EntryKey::Owned(key),
                    fingerprint,
                    mode,
                };
                sought.begin(&mut Plain, false)
            }
            EntryKey::Borrowed(..) => self.begin_with(&mut Plain, false),
        }
    }

    /// Joins the flight of the key as a waiter, and never becomes primary. Returns `None` if the
    /// key is neither in flight nor retained.
    ///
    /// See [`Group::join`](crate::Group::join). No key is made. At a gate, a queued token is in
    /// flight too, and a call without a token is never joined.
    ///
    /// # Errors
    ///
    /// Returns [`Rejected::Mismatch`](crate::error::Rejected::Mismatch) if this call and the flight
    /// have different fingerprints, and else what [`Group::join`](crate::Group::join) returns.
    ///
    /// ```
    /// use oneflight_core::error::Rejected;
    /// use oneflight_core::{Begin, Error, Fingerprint, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let call = |payload: &[u8]| group.entry("k").fingerprint(Fingerprint::of_bytes(payload));
    /// let Begin::Primary(primary) = call(b"amount=10").begin() else { unreachable!() };
    /// assert!(call(b"amount=10").join().unwrap().is_some());
    /// let error = call(b"amount=20").join().unwrap_err();
    /// assert_eq!(error, Error::Rejected(Rejected::Mismatch));
    /// # drop(primary);
    /// ```
    pub fn join(self) -> Result<Joined<G>, Error> {
        match self.key {
            EntryKey::Owned(key) => {
                let joined = join(self.of, &key, self.fingerprint, self.mode);
                // Its drop is the user's. A waiter is a guard by now.
                drop(key);
                joined
            }
            EntryKey::Borrowed(key, _) => join(self.of, key, self.fingerprint, self.mode),
        }
    }

    /// As [`begin`](Self::begin), for a kind of call that can wait for its turn or can't.
    #[inline(always)]
    pub(crate) fn begin_with(
        self,
        call: &mut impl Call<G::Key, G::Value>,
        waits: bool,
    ) -> Begin<G::Key, G::Value> {
        self.locate(
            call,
            |shard, hash, key, call| Shard::begin(shard, hash, key, call),
            |sought, call| sought.begin(call, waits),
        )
    }

    /// Finds the shard of the key. A call in which nothing has a say takes the short way there, and
    /// every other call the long way.
    #[inline(always)]
    pub(crate) fn locate<C, R>(
        self,
        call: C,
        short: impl FnOnce(&'a Arc<Shard<G::Key, G::Value>>, u64, G::Key, C) -> R,
        long: impl FnOnce(Sought<'a, G, Q>, C) -> R,
    ) -> R {
        let Self {
            of,
            key,
            fingerprint,
            mode,
        } = self;
        let hash = match &key {
            EntryKey::Owned(key) => of.hash(key),
            EntryKey::Borrowed(from, _) => of.hash(*from),
        };
        let shard = of.shard(hash);
        match key {
            EntryKey::Owned(key)
                if !G::HAS_LINE && fingerprint.is_none() && shard.rules().is_none() =>
            {
                short(shard, hash, key, call)
            }
            key => {
                let sought = Sought {
                    of,
                    shard,
                    hash,
                    key,
                    fingerprint,
                    mode,
                };
                long(sought, call)
            }
        }
    }

    /// As [`begin`](Self::begin), for a kind of call that waits for its turn at a gate that is
    /// held, with the ticket for that. None of its caller's code has run: that begins later, if the
    /// flight has not ended.
    pub(crate) fn begin_in_turn(
        self,
        call: &mut impl Call<G::Key, G::Value>,
    ) -> (Begin<G::Key, G::Value>, Option<Ticket>) {
        match self.begin_with(call, true) {
            Begin::Primary(primary) if G::HAS_LINE => {
                let ticket = primary.shard().ticket(primary.flight());
                (Begin::Primary(primary), ticket)
            }
            begin => (begin, None),
        }
    }

    /// The same, for a call that waits on a thread. Where no thread can wait, it never waits.
    #[inline]
    pub(crate) fn begin_on_thread(self) -> (Begin<G::Key, G::Value>, Option<Ticket>) {
        #[cfg(all(feature = "std", not(target_family = "wasm")))]
        return self.begin_in_turn(&mut Later);
        #[cfg(not(all(feature = "std", not(target_family = "wasm"))))]
        return (self.begin_with(&mut Later, false), None);
    }

    pub(crate) fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }
}

/// A call that takes the long way.
pub(crate) struct Sought<'a, G: Registry, Q: ?Sized> {
    of: &'a G,
    shard: &'a Arc<Shard<G::Key, G::Value>>,
    hash: u64,
    key: EntryKey<'a, G::Key, Q>,
    fingerprint: Option<Fingerprint>,
    mode: Option<Mode>,
}

impl<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Sought<'_, G, Q> {
    #[inline(never)]
    pub(crate) fn begin(
        self,
        call: &mut impl Call<G::Key, G::Value>,
        waits: bool,
    ) -> Begin<G::Key, G::Value> {
        let request = Request::new(self.shard, self.hash, self.fingerprint);
        match self.key {
            EntryKey::Owned(key) => {
                let request = self.of.adapt(request, &key, self.mode, waits);
                Shard::search(self.shard, &request, OwnedKey(Some(key)), call)
            }
            EntryKey::Borrowed(key, make) => {
                let request = self.of.adapt(request, key, self.mode, waits);
                Shard::search(self.shard, &request, BorrowedKey::new(key, make), call)
            }
        }
    }
}

/// Joins the flight of a key, which is only compared.
pub(super) fn join<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized>(
    of: &G,
    key: &Q,
    fingerprint: Option<Fingerprint>,
    mode: Option<Mode>,
) -> Result<Joined<G>, Error> {
    let hash = of.hash(key);
    let shard = of.shard(hash);
    let request = of.adapt(Request::new(shard, hash, fingerprint), key, mode, false);
    Ok(Shard::join_only(shard, request, SoughtKey(key))?)
}

impl<G: Registry, Q: ?Sized> fmt::Debug for Entry<'_, G, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}
