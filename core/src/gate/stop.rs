//! Stopping a gate: [`Gate::close`], [`Gate::abort_all`], [`Gate::drained`].

#[cfg(doc)]
use crate::error::{Cause, Rejected};
use crate::gate::Gate;
use crate::group::Drained;
use crate::group::stop::{abort_all, close};

impl<K, T> Gate<K, T> {
    /// After this call no new invocation begins: a token that is neither in flight nor queued is
    /// rejected as [`Rejected::Closed`]. Calls that are queued have begun a flight: they get their
    /// turns. To end them too, call [`abort_all`](Self::abort_all) next. Otherwise as
    /// [`Group::close`](crate::Group::close).
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
    /// They and their duplicates get [`Cause::AbortedAll`]. No queued call gets its turn by this.
    /// For what becomes of the operations see [`Group::abort_all`](crate::Group::abort_all). The
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
