//! What can be done by token, apart from beginning it: ask, renew, forget and abort.

use core::hash::{BuildHasher, Hash};

use equivalent::Equivalent;

use crate::error::Cause;
use crate::flight::Flight;
use crate::gate::Gate;
use crate::sync::Arc;

impl<K: Hash + Eq, T> Gate<K, T> {
    /// Returns the number of duplicates that wait for the token, in flight or queued.
    pub fn waiters<Q: Hash + Equivalent<K> + ?Sized>(&self, token: &Q) -> usize {
        self.lookup(token).map_or(0, |flight| flight.waiting())
    }

    /// Renews the age of the token's invocation, which
    /// [`supersede_after`](GateBuilder::supersede_after) limits. Returns true if the token is in
    /// flight or queued. A call has no age while it waits. See
    /// [`Group::touch`](crate::Group::touch).
    #[doc(alias = "heartbeat")]
    pub fn touch<Q: Hash + Equivalent<K> + ?Sized>(&self, token: &Q) -> bool {
        let now = self.only_shard().now();
        let found = self.lookup(token);
        found.is_some_and(|flight| self.only_shard().touch(&flight, now))
    }

    /// Takes the token out of the registry: the next call with it is not a duplicate. The
    /// invocation keeps the gate, or its place in the queue. Returns true if the token was in
    /// flight or queued, or its outcome retained. See [`Group::forget`](crate::Group::forget).
    pub fn forget<Q: Hash + Equivalent<K> + ?Sized>(&self, token: &Q) -> bool {
        let now = self.only_shard().now();
        let found = self.lookup(token);
        found.is_some_and(|flight| self.only_shard().forget(&flight, now))
    }

    /// Ends the token's invocation without a value, also if it waits for its turn: its callers get
    /// [`Cause::Cancelled`]. Returns true if this call ended it. If it holds the gate, the next one
    /// gets the gate when its operation is gone. See [`Group::abort`](crate::Group::abort).
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    /// # futures_lite::future::block_on(async {
    /// let gate: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let hung = gate.work(Some("a"), || std::future::pending());
    /// let next = gate.work(Some("b"), || async { 7 });
    /// assert!(gate.abort("a"));
    /// assert_eq!(*next.await.unwrap(), 7);
    /// # drop(hung);
    /// # });
    /// ```
    #[doc(alias = "cancel")]
    pub fn abort<Q: Hash + Equivalent<K> + ?Sized>(&self, token: &Q) -> bool {
        let found = self.lookup(token);
        found.is_some_and(|flight| {
            self.only_shard()
                .abort_registered(&flight, Cause::Cancelled)
        })
    }

    fn lookup<Q>(&self, token: &Q) -> Option<Arc<Flight<Option<K>, T>>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let same = |other: &Option<K>| other.as_ref().is_some_and(|other| token.equivalent(other));
        let hash = self.inner.hasher.hash_one(Some(token));
        self.only_shard().lookup(hash, same)
    }
}
