//! What can be done by key, apart from beginning it: ask, renew, forget and abort.
//!
//! A call finds flights under the lock of their shard, runs the user's code (`Hash`, `Eq`, `Clone`,
//! a closure) under none, and then acts by identity: on the flights that it has found, if they have
//! their keys still, and never on a later flight of the same key.

use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash};
use core::mem;

use equivalent::Equivalent;

use crate::cell::Snapshot;
use crate::error::{Cause, Error};
use crate::flight::{FlightId, FlightRef, Settled};
use crate::group::Group;
use crate::group::entry::join;
use crate::group::shard::Shard;
use crate::group::waiter::Waiter;
use crate::sync::Arc;
use crate::unwind::{Fragile, for_each};

type Found<K, T> = Option<FlightRef<K, T>>;

impl<K: Hash + Eq, T, S: BuildHasher> Group<K, T, S> {
    /// Joins the flight of the key as a waiter, and never becomes primary. Returns `None` if the
    /// key is neither in flight nor retained.
    ///
    /// Use it where the caller can wait for an outcome but can't make one. A retained outcome is
    /// joined as it is by [`begin`](Self::begin): the waiter is ready. A flight that is older than
    /// [`supersede_after`] is joined too, because this call begins no flight that could replace it.
    /// It also joins after [`close`](Self::close). The payload is not compared. To compare it, use
    /// [`Entry::join`](crate::Entry::join) with a fingerprint.
    ///
    /// [`supersede_after`]: crate::GroupBuilder::supersede_after
    ///
    /// # Errors
    ///
    /// Returns [`Rejected::TooManyWaiters`](crate::error::Rejected::TooManyWaiters) if the flight
    /// has reached [`max_waiters`](crate::GroupBuilder::max_waiters).
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// assert!(group.join("k").unwrap().is_none());
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// let waiter = group.join("k").unwrap().unwrap();
    /// primary.settle(7).unwrap();
    /// assert_eq!(*waiter.get().unwrap().unwrap(), 7);
    /// ```
    pub fn join<Q>(&self, key: &Q) -> Result<Option<Waiter<K, T>>, Error>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        join(self, key, None, None)
    }

    /// Returns the retained outcome of the key, if there is one. This call joins no flight and
    /// changes no count.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let minute = std::time::Duration::from_secs(60);
    /// let group: Group<&str, u32> = Group::builder().retain_for(minute).build();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// assert!(group.peek("k").is_none());
    /// primary.settle(7).unwrap();
    /// assert_eq!(*group.peek("k").unwrap(), 7);
    /// ```
    pub fn peek<Q>(&self, key: &Q) -> Option<Settled<K, T>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let now = self.now();
        let (shard, found) = self.lookup(key);
        let flight = found.filter(|flight| shard.is_retained(flight, now))?;
        Some(Settled::new(flight))
    }

    /// Returns true if the key is in flight. A retained outcome is not in flight.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.lookup(key)
            .1
            .is_some_and(|flight| is_open(flight.cell.snapshot()))
    }

    /// Returns the number of duplicates that have joined and are neither dropped nor resolved. It
    /// also counts waiters that were never polled.
    ///
    /// A caller joins the flight that has its key's hash before the keys are compared, so that no
    /// limit is exceeded. If another key has the same whole 64-bit hash, its caller counts here
    /// during that comparison. With a random seed, that happens only if an attacker searches for
    /// such keys.
    pub fn waiters<Q>(&self, key: &Q) -> usize
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.lookup(key).1.map_or(0, |flight| flight.waiting())
    }

    /// Renews the age of the key's flight: the age that [`supersede_after`] limits starts again
    /// from now. Returns true if the key is in flight.
    ///
    /// It is a heartbeat for an operation that takes long and makes progress. It can be called from
    /// anywhere, also from inside the operation. In a group without `supersede_after` it changes
    /// nothing. Retained outcomes keep their deadlines.
    ///
    /// [`supersede_after`]: crate::GroupBuilder::supersede_after
    ///
    /// ```
    /// use oneflight_core::Group;
    /// use std::time::Duration;
    /// # futures_lite::future::block_on(async {
    /// let age = Duration::from_secs(60);
    /// let group: Group<&str, usize> = Group::builder().supersede_after(age).build();
    /// let inside = group.clone();
    /// let copied = group.work("copy", || async move {
    ///     for _chunk in 0..1_000 {
    ///         // Each chunk takes seconds, and the whole longer than the age.
    ///         assert!(inside.touch("copy"));
    ///     }
    ///     1_000
    /// });
    /// assert_eq!(*copied.await.unwrap(), 1_000);
    /// assert!(!group.touch("copy"));
    /// # });
    /// ```
    #[doc(alias = "heartbeat")]
    pub fn touch<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let now = self.now();
        let (shard, found) = self.lookup(key);
        found.is_some_and(|flight| shard.touch(&flight, now))
    }

    /// Removes the key from the registry, so the next call begins a new flight. The old flight
    /// continues for the callers that have joined it. When it settles, the new flight is not
    /// affected. Returns true if the key was in flight, or its outcome retained.
    ///
    /// A flight that is forgotten is not retained when it settles. An outcome that is already
    /// retained is dropped by this call.
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
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let now = self.now();
        let (shard, found) = self.lookup(key);
        found.is_some_and(|flight| shard.forget(&flight, now))
    }

    /// Removes the key from the registry like [`forget`](Self::forget), but only if it belongs to
    /// this flight. A newer flight keeps the key. Returns true if this flight was in progress or
    /// retained, and had the key.
    ///
    /// Use it if the reason to forget is an outcome that the caller has seen, for example a token
    /// that was refused. If many callers have seen it, the first of them forgets it. The later
    /// calls do not take the key from the flight that has begun since.
    ///
    /// An id of another key's flight, or of another group, has no effect. (Without `std`, and in
    /// rare cases with it, two groups use the same ids: pass an id to the group that gave it.)
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let minute = std::time::Duration::from_secs(60);
    /// let tokens: Group<&str, u32> = Group::builder().retain_for(minute).build();
    /// let Begin::Primary(primary) = tokens.begin("user") else { unreachable!() };
    /// let refused = primary.settle(7).unwrap().flight_id();
    /// assert!(tokens.forget_flight("user", refused));
    /// let Begin::Primary(newer) = tokens.begin("user") else { unreachable!() };
    /// assert!(!tokens.forget_flight("user", refused));
    /// assert!(tokens.contains("user"));
    /// # drop(newer);
    /// ```
    pub fn forget_flight<Q>(&self, key: &Q, id: FlightId) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let now = self.now();
        let (shard, hash) = self.place_of(key);
        let found = shard.registered_by_id(hash, id);
        found.is_some_and(|flight| key.equivalent(&flight.key) && shard.forget(&flight, now))
    }

    /// Ends the key's flight without a value: its waiters get [`Cause::Cancelled`]. Returns true if
    /// this call ended it.
    ///
    /// The key is free before the waiters are woken. This call drops the operation of a `work`. Any
    /// other operation is dropped when its caller or task is polled next. A blocking call that runs
    /// is not stopped. See [`abort_all`](Self::abort_all). A primary that settles later gets its
    /// value back in the error. A flight that was forgotten, and a retained outcome, are not
    /// changed.
    ///
    /// ```
    /// use oneflight_core::error::{Aborted, Cause};
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// let Begin::Waiter(waiter) = group.begin("k") else { unreachable!() };
    /// assert!(group.abort("k"));
    /// assert_eq!(waiter.get(), Some(Err(Aborted::new(Cause::Cancelled).into())));
    /// assert!(primary.settle(7).is_err());
    /// ```
    #[doc(alias = "cancel")]
    pub fn abort<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let (shard, found) = self.lookup(key);
        found.is_some_and(|flight| shard.abort_registered(&flight, Cause::Cancelled))
    }

    fn place_of<Q: Hash + ?Sized>(&self, key: &Q) -> (&Arc<Shard<K, T>>, u64) {
        let hash = self.inner.hasher.hash_one(key);
        (self.shard_of(hash), hash)
    }

    fn lookup<Q>(&self, key: &Q) -> (&Arc<Shard<K, T>>, Found<K, T>)
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let (shard, hash) = self.place_of(key);
        let found = shard.lookup(hash, |candidate| key.equivalent(candidate));
        (shard, found)
    }
}

impl<K, T, S> Group<K, T, S> {
    /// Returns the keys in flight, in no particular order. Like [`len`](Self::len), this does not
    /// include the keys of forgotten flights and of retained outcomes.
    ///
    /// The shards are read one after the other, and the keys are cloned under no lock. So the
    /// flight of a returned key might have ended meanwhile.
    ///
    /// ```
    /// use oneflight_core::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let _flights = ["a", "b"].map(|key| group.begin(key));
    /// let mut keys = group.keys();
    /// keys.sort();
    /// assert_eq!(keys, ["a", "b"]);
    /// ```
    pub fn keys(&self) -> Vec<K>
    where
        K: Clone,
    {
        let mut keys = Fragile(Some(Vec::new()));
        let clone = |key: &K| {
            keys.0.get_or_insert_default().push(key.clone());
            false
        };
        self.visit(
            |shard| shard.registered(is_open, false),
            clone,
            |_, _| false,
        );
        keys.0.take().unwrap_or_default()
    }

    /// Forgets every key, in flight or retained, for which the closure returns true. Returns the
    /// number of these keys. See [`forget`](Self::forget).
    ///
    /// The closure is called under no lock, once for each key, and can call back into the group.
    /// Keys that come while this call runs are not forgotten.
    ///
    /// # Panics
    ///
    /// If the closure panics, it is not called again. The keys that it has picked before stay
    /// forgotten, and the panic propagates to the caller.
    ///
    /// ```
    /// use oneflight_core::Group;
    ///
    /// let group: Group<(u32, &str), u32> = Group::new();
    /// let _flights = [(1, "a"), (1, "b"), (2, "a")].map(|key| group.begin(key));
    /// assert_eq!(group.forget_if(|(tenant, _)| *tenant == 1), 2);
    /// assert_eq!(group.keys(), [(2, "a")]);
    /// ```
    pub fn forget_if(&self, which: impl FnMut(&K) -> bool) -> usize {
        let now = self.now();
        let not_aborted = |state: Snapshot| state.cause().is_none();
        self.visit(
            |shard| shard.registered(not_aborted, true),
            which,
            |shard, flight| shard.forget(flight, now),
        )
    }

    /// Aborts the flight of every key for which the closure returns true. Returns the number of
    /// flights that it ended. See [`abort`](Self::abort).
    ///
    /// The closure is called under no lock, once for each key, and can call back into the group.
    /// Flights that begin while this call runs are not ended, and neither are forgotten ones.
    ///
    /// # Panics
    ///
    /// If the closure panics, it is not called again. The flights of the keys that it has picked
    /// before have ended, and the panic propagates to the caller. If a waker panics, all flights
    /// are ended first.
    ///
    /// ```
    /// use oneflight_core::Group;
    ///
    /// let group: Group<(u32, &str), u32> = Group::new();
    /// let _flights = [(1, "a"), (1, "b"), (2, "a")].map(|key| group.begin(key));
    /// assert_eq!(group.abort_if(|(tenant, _)| *tenant == 1), 2);
    /// assert_eq!(group.keys(), [(2, "a")]);
    /// ```
    pub fn abort_if(&self, which: impl FnMut(&K) -> bool) -> usize {
        self.visit(
            |shard| shard.registered(is_open, false),
            which,
            |shard, flight| shard.abort_registered(flight, Cause::Cancelled),
        )
    }

    /// Does `act` for each key that `which` picks, `of` the flights of each shard. Returns how
    /// often `act` did something.
    fn visit(
        &self,
        of: impl Fn(&Shard<K, T>) -> Vec<FlightRef<K, T>>,
        mut which: impl FnMut(&K) -> bool,
        act: impl Fn(&Shard<K, T>, &FlightRef<K, T>) -> bool,
    ) -> usize {
        // All of them at first: what is woken for one of them can begin others.
        let shards = self.inner.shards.iter();
        let all: Vec<_> = shards
            .flat_map(|shard| {
                let flights = of(shard).into_iter();
                flights.map(move |flight| (shard, flight))
            })
            .collect();
        let (mut asks, mut acted) = (true, 0);
        for_each(all.into_iter(), |(shard, flight)| {
            // This can be the last handle, and then its drop is the user's, as the closure is.
            let held = Fragile(Some(flight));
            // Not set again if the closure panics.
            if let (Some(flight), true) = (&held.0, mem::take(&mut asks)) {
                let picked = which(&flight.key);
                asks = true;
                acted += usize::from(picked && act(shard, flight));
            }
        });
        acted
    }
}

fn is_open(state: Snapshot) -> bool {
    !state.ended()
}
