//! Stopping a group: [`Group::close`], [`Group::abort_all`], [`Group::drained`].

use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::cell::Place;
use crate::error::Cause;
use crate::group::Group;
use crate::group::shard::{Drain, Shard};
use crate::sync::Arc;
use crate::unwind::for_each;

impl<K, T, S> Group<K, T, S> {
    /// Stops new flights: after this call, a key that is not in flight is rejected as
    /// [`Rejected::Closed`](crate::error::Rejected::Closed). Duplicates of a flight still join, and
    /// a retained outcome is still returned. It can be called from any thread and more than once,
    /// and can't be undone.
    ///
    /// ```
    /// use oneflight_core::error::Rejected;
    /// use oneflight_core::{Begin, Group};
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
        close(&self.inner.shards, &self.inner.drain);
    }

    /// Ends all flights, also those that were forgotten. Their waiters get [`Cause::AbortedAll`],
    /// and their drivers are woken. A primary that settles after this call gets its value back in
    /// the error. To prevent new flights too, call [`close`](Self::close) first.
    ///
    /// This call drops the operation of a `work`. If a caller is polling it right now, that caller
    /// drops it when the poll returns. An operation of [`Primary::run`](crate::Primary::run), of
    /// `spawn` or of [`try_work`](Self::try_work) is dropped when its future or task is polled
    /// next. A blocking call that runs is not stopped, and its value is dropped. Such a flight
    /// counts as [`ending`](crate::Stats::ending) until its operation is gone. A task or a blocking
    /// call that has not begun never begins.
    ///
    /// ```
    /// use oneflight_core::error::Cause;
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// group.abort_all();
    /// assert!(group.is_empty());
    /// let late = primary.settle(7).unwrap_err();
    /// assert_eq!((late.aborted.cause(), late.value), (Cause::AbortedAll, 7));
    /// ```
    pub fn abort_all(&self) {
        abort_all(&self.inner.shards);
    }

    /// Returns a future that is ready when the group is closed and none of its operations is left.
    /// Forgotten flights count.
    ///
    /// A flight counts until its operation is gone, also if the flight has ended before. An `async`
    /// operation counts from its making until it is ready or dropped, a blocking call until it has
    /// returned or unwound, and a [`Primary`](crate::Primary) until it settles or is dropped.
    ///
    /// # Deadlocks
    ///
    /// It waits forever if [`close`](Self::close) is never called.
    ///
    /// This future waits for a caller that has an operation and neither polls nor drops it.
    /// [`abort_all`](Self::abort_all) ends the flights, but it can't drop these:
    ///
    /// - a [`Primary`](crate::Primary) that is held;
    /// - a [`Run`](crate::handle::Run) or a [`TryWork`](crate::handle::TryWork) that is kept,
    ///   unfinished and not polled;
    /// - a task that its runtime neither polls nor drops;
    /// - a blocking call that does not return.
    ///
    /// An operation that awaits this future waits for itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub fn drained(&self) -> Drained {
        Drained::new(self.inner.drain.clone())
    }
}

/// No new flight of the registry begins after this.
pub(crate) fn close<K, T>(shards: &[Arc<Shard<K, T>>], drain: &Arc<Drain>) {
    for shard in shards {
        shard.close(drain);
    }
}

/// Ends every flight of the registry.
pub(crate) fn abort_all<K, T>(shards: &[Arc<Shard<K, T>>]) {
    let all: Vec<_> = shards
        .iter()
        .flat_map(|shard| {
            let flights = shard.flights().into_iter();
            flights.map(move |flight| (shard, flight))
        })
        .collect();
    for_each(all.into_iter(), |(shard, flight)| {
        shard.abort(&flight, Cause::AbortedAll);
    });
}

/// Resolves when a closed group has no operation left. Returned by
/// [`Group::drained`](crate::Group::drained).
///
/// # Cancel safety
///
/// Dropping it loses nothing; call [`Group::drained`](crate::Group::drained) again.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Drained {
    drain: Arc<Drain>,
    place: Place,
}

impl Drained {
    pub(crate) fn new(drain: Arc<Drain>) -> Self {
        Self {
            drain,
            place: Place::NONE,
        }
    }
}

impl Future for Drained {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.drain.cell.poll_end(&mut this.place, cx).map(|_| ())
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        self.drain.cell.vacate(&mut self.place);
    }
}

impl UnwindSafe for Drained {}
impl RefUnwindSafe for Drained {}

impl fmt::Debug for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained")
            .field("drained", &self.drain.cell.get().is_some())
            .finish_non_exhaustive()
    }
}
