//! The calls of a [`Gate`]: the short forms of its entry's, what can be done by token, and how it
//! is stopped.

use core::future::Future;
use core::hash::{BuildHasher, Hash};

use equivalent::Equivalent;

use crate::error::{Cause, Error};
use crate::flight::FlightRef;
#[cfg(all(feature = "std", not(target_family = "wasm")))]
use crate::flight::Settled;
use crate::gate::{Gate, Turn};
use crate::group::stop::{abort_all, close};
use crate::group::{Begin, Drained, Entry};
use crate::policy::{TryWork, Work};

impl<K: Hash + Eq, T> Gate<K, T> {
    /// Returns an [`Entry`]: the token of one call. You can add a fingerprint and a mode to it, and
    /// then make the call.
    pub fn entry(&self, token: Option<K>) -> Entry<'_, Self> {
        Entry::owned(self, token)
    }

    /// Takes the gate, or joins the invocation with this token. This call never blocks.
    ///
    /// If another token holds the gate, the call is rejected as
    /// [`Rejected::Busy`](crate::error::Rejected::Busy), in every mode except
    /// [`Mode::Open`](crate::gate::Mode::Open). This call ends no invocation, except one that is
    /// older than [`supersede_after`](crate::gate::GateBuilder::supersede_after).
    ///
    /// ```
    /// use oneflight_core::Begin;
    /// use oneflight_core::error::Rejected;
    /// use oneflight_core::gate::{Gate, Mode};
    ///
    /// let gate: Gate<&str, u32> = Gate::new(Mode::Exclusive);
    /// let Begin::Primary(holder) = gate.begin(Some("a")) else { unreachable!() };
    /// assert!(matches!(gate.begin(Some("a")), Begin::Waiter(_)));
    /// assert!(matches!(gate.begin(Some("b")), Begin::Rejected(Rejected::Busy)));
    /// holder.settle(7).unwrap();
    /// assert!(matches!(gate.begin(Some("b")), Begin::Primary(_)));
    /// ```
    pub fn begin(&self, token: Option<K>) -> Begin<Option<K>, T> {
        self.entry(token).begin()
    }

    /// Takes the gate, or joins the invocation with this token. The call waits for its turn if its
    /// mode is [`Mode::Queue`](crate::gate::Mode::Queue) or
    /// [`Mode::Replace`](crate::gate::Mode::Replace).
    ///
    /// The call takes a place in the queue and claims the token with it, so duplicates of a token
    /// that is queued wait for the same claim. With
    /// [`Mode::Exclusive`](crate::gate::Mode::Exclusive) and
    /// [`Mode::Open`](crate::gate::Mode::Open) this is [`begin`](Self::begin).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place. Duplicates of its token get [`Cause::Dropped`], and
    /// no other caller is affected.
    ///
    /// ```
    /// use oneflight_core::Begin;
    /// use oneflight_core::gate::{Gate, Mode};
    /// # futures_lite::future::block_on(async {
    /// let gate: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let first = gate.begin(Some("a"));
    /// let turn = gate.turn(Some("b"));
    /// assert_eq!(gate.queued(), 1);
    /// drop(first);
    /// let Begin::Primary(second) = turn.await else { unreachable!() };
    /// assert_eq!(*second.settle(7).unwrap(), 7);
    /// # });
    /// ```
    pub fn turn(&self, token: Option<K>) -> Turn<K, T> {
        self.entry(token).turn()
    }

    /// Runs the operation when its turn comes, or becomes a participant of the invocation with this
    /// token. See [`Group::work`](crate::Group::work), and [`Gate`] for what happens at a gate that
    /// is held.
    ///
    /// The operation is made in this call, and polled for the first time when its turn has come.
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    /// # futures_lite::future::block_on(async {
    /// let device: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let first = device.work(Some("a"), || async { 1 });
    /// let second = device.work(Some("b"), || async { 2 });
    /// let (first, second) = futures_lite::future::zip(first, second).await;
    /// assert_eq!((*first.unwrap(), *second.unwrap()), (1, 2));
    /// # });
    /// ```
    pub fn work<M, F>(&self, token: Option<K>, make: M) -> Work<Option<K>, T>
    where
        M: FnOnce() -> F,
        F: Future<Output = T> + Send + 'static,
        K: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.entry(token).work(make)
    }

    /// Runs the operation when its turn comes, or waits for the invocation with this token. If that
    /// one fails or is lost, this caller can run its own. See
    /// [`Group::try_work`](crate::Group::try_work), and [`Gate`] for what happens at a gate that is
    /// held.
    ///
    /// The participants of one token have one place in the queue. They keep the gate while one runs
    /// after the other.
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    /// use std::io;
    /// # futures_lite::future::block_on(async {
    /// let device: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let read = || device.try_work(Some("read"), || async { io::Result::Ok(7) });
    /// let fails = device.try_work(Some("read"), || async { Err(io::Error::other("no answer")) });
    /// let (fails, read) = futures_lite::future::zip(fails, read()).await;
    /// assert_eq!((fails.unwrap_err().to_string(), *read.unwrap()), ("no answer".to_string(), 7));
    /// # });
    /// ```
    pub fn try_work<M, F, E>(&self, token: Option<K>, make: M) -> TryWork<Option<K>, T, M, F>
    where
        M: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        self.entry(token).try_work(make)
    }

    /// Runs the call on this thread when its turn comes, or waits until the invocation with this
    /// token has ended. The thread is parked while it waits. See
    /// [`Group::work_blocking`](crate::Group::work_blocking).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Group::work_blocking`](crate::Group::work_blocking), and
    /// [`Rejected::Busy`](crate::error::Rejected::Busy). If something else ends the call while it
    /// waits, it gets that error, and does not run.
    ///
    /// # Panics
    ///
    /// Panics when [`Group::work_blocking`](crate::Group::work_blocking) does.
    ///
    /// # Deadlocks
    ///
    /// This call has the deadlocks of [`Group::work_blocking`](crate::Group::work_blocking) and
    /// those of [`Gate`]. Do not call it on a thread that the holder of the gate needs.
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    ///
    /// let device: Gate<u32, u32> = Gate::new(Mode::Queue);
    /// std::thread::scope(|scope| {
    ///     for token in 0..4 {
    ///         let device = &device;
    ///         scope.spawn(move || {
    ///             let used = device.work_blocking(Some(token), || 10 * token);
    ///             assert_eq!(*used.unwrap(), 10 * token);
    ///         });
    ///     }
    /// });
    /// ```
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub fn work_blocking<F>(
        &self,
        token: Option<K>,
        call: F,
    ) -> Result<Settled<Option<K>, T>, Error>
    where
        F: FnOnce() -> T,
    {
        self.entry(token).work_blocking(call)
    }

    /// Returns the number of duplicates that wait for the token, in flight or queued.
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    ///
    /// let gate: Gate<&str, u32> = Gate::new(Mode::Exclusive);
    /// let _holder = gate.begin(Some("a"));
    /// let _duplicate = gate.begin(Some("a"));
    /// assert_eq!(gate.waiters("a"), 1);
    /// ```
    pub fn waiters<Q: Hash + Equivalent<K> + ?Sized>(&self, token: &Q) -> usize {
        self.lookup(token).map_or(0, |flight| flight.waiting())
    }

    /// Renews the age of the token's invocation, which
    /// [`supersede_after`](crate::gate::GateBuilder::supersede_after) limits. Returns true if the
    /// token is in flight or queued. A call has no age while it waits. See
    /// [`Group::touch`](crate::Group::touch).
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    ///
    /// let gate: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// assert!(!gate.touch("a"));
    /// let _holder = gate.begin(Some("a"));
    /// assert!(gate.touch("a"));
    /// ```
    #[doc(alias = "heartbeat")]
    pub fn touch<Q: Hash + Equivalent<K> + ?Sized>(&self, token: &Q) -> bool {
        let now = self.only_shard().now();
        let found = self.lookup(token);
        found.is_some_and(|flight| self.only_shard().touch(&flight, now))
    }

    /// Removes the token from the registry, so the next call with it is not a duplicate. The
    /// invocation keeps the gate, or its place in the queue. Returns true if the token was in
    /// flight or queued, or its outcome retained. See [`Group::forget`](crate::Group::forget).
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    ///
    /// let gate: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let _holder = gate.begin(Some("a"));
    /// assert!(gate.forget("a"));
    /// let next = gate.turn(Some("a")); // No duplicate: it waits for a turn of its own.
    /// assert!(next.is_queued());
    /// ```
    pub fn forget<Q: Hash + Equivalent<K> + ?Sized>(&self, token: &Q) -> bool {
        let now = self.only_shard().now();
        let found = self.lookup(token);
        found.is_some_and(|flight| self.only_shard().forget(&flight, now))
    }

    /// Ends the token's invocation without a value, also if it waits for its turn: its callers get
    /// [`Cause::Cancelled`]. Returns true if this call ended it. If the invocation holds the gate,
    /// the next one gets the gate when the operation of the old one is gone. See
    /// [`Group::abort`](crate::Group::abort).
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

    fn lookup<Q>(&self, token: &Q) -> Option<FlightRef<Option<K>, T>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let same = |other: &Option<K>| other.as_ref().is_some_and(|other| token.equivalent(other));
        let hash = self.inner.hasher.hash_one(Some(token));
        self.only_shard().lookup(hash, same)
    }
}

impl<K, T> Gate<K, T> {
    /// Stops new invocations: after this call, a token that is neither in flight nor queued is
    /// rejected as [`Rejected::Closed`](crate::error::Rejected::Closed). Queued calls have already
    /// begun a flight, so they get their turns. To end them too, call
    /// [`abort_all`](Self::abort_all) next. Otherwise as [`Group::close`](crate::Group::close).
    ///
    /// ```
    /// use oneflight_core::error::Rejected;
    /// use oneflight_core::gate::{Gate, Mode};
    /// use oneflight_core::Begin;
    /// # futures_lite::future::block_on(async {
    /// let gate: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let running = gate.begin(Some("a"));
    /// let queued = gate.work(Some("b"), || async { 7 });
    /// gate.close();
    /// assert!(matches!(gate.begin(Some("c")), Begin::Rejected(Rejected::Closed)));
    /// drop(running);
    /// assert_eq!(*queued.await.unwrap(), 7);
    /// gate.drained().await;
    /// # });
    /// ```
    #[doc(alias = "shutdown")]
    pub fn close(&self) {
        close(&self.inner.shards, &self.inner.drain);
    }

    /// Ends all invocations, also those that wait for their turn and those that were forgotten.
    /// They and their duplicates get [`Cause::AbortedAll`]. No queued call gets its turn.
    /// [`Group::abort_all`](crate::Group::abort_all) describes what happens to the operations. The
    /// gate is busy until the operation of its holder is gone.
    ///
    /// ```
    /// use oneflight_core::error::{Aborted, Cause};
    /// use oneflight_core::gate::{Gate, Mode};
    /// use oneflight_core::Begin;
    /// # futures_lite::future::block_on(async {
    /// let gate: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let holder = gate.begin(Some("a"));
    /// let queued = gate.turn(Some("b"));
    /// gate.abort_all();
    /// let Begin::Waiter(ended) = queued.await else { unreachable!() };
    /// let never = Aborted::never_begun(Cause::AbortedAll);
    /// assert_eq!(ended.get(), Some(Err(never.into())));
    /// assert!(gate.is_busy());
    /// drop(holder);
    /// assert!(!gate.is_busy());
    /// # });
    /// ```
    pub fn abort_all(&self) {
        abort_all(&self.inner.shards);
    }

    /// Returns a future that is ready when the gate is closed, no call waits for its turn, and no
    /// operation is left. See [`Group::drained`](crate::Group::drained), also for its deadlocks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn drained(&self) -> Drained {
        Drained::new(self.inner.drain.clone())
    }
}
