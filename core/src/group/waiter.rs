//! [`Waiter`]: a duplicate, waiting for the primary's outcome.

use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::error::Error;
use crate::flight::{FlightId, FlightRef, Settled, Two, Watch};

/// A duplicate: it waits for the outcome of a flight that another caller drives.
///
/// It is a future that yields `Result<Settled, Error>`. It holds no thread while it waits, is woken
/// once, and resolves even if no other waiter is polled. Polling it again after that returns the
/// same outcome.
///
/// It counts as a waiter from the call that joined the flight, even before it is polled. There is
/// one exception, with `std` only: a waiter that was begun from inside of its own flight's
/// operation counts in no limit and in no figure.
///
/// # Errors
///
/// It yields [`Error::Aborted`] if the flight ends without a value, and [`Error::Rejected`] with
/// [`Rejected::Reentrant`](crate::error::Rejected::Reentrant) if it would wait for itself.
///
/// # Cancel safety
///
/// It can be dropped at any point. That takes the same time for any number of waiters and does not
/// affect the others. The primary continues. To stop waiting and to continue later without losing
/// the place, await `&mut waiter`.
///
/// # Deadlocks
///
/// An operation that waits for its own key waits for itself. Where that is certain, the wait fails
/// with [`Rejected::Reentrant`](crate::error::Rejected::Reentrant).
///
/// # Examples
///
/// ```
/// use oneflight_core::{Begin, Group};
/// # futures_lite::future::block_on(async {
/// let group: Group<&str, u32> = Group::new();
/// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
/// let Begin::Waiter(waiter) = group.begin("k") else { unreachable!() };
/// assert!(waiter.get().is_none());
/// primary.settle(7).unwrap();
/// assert_eq!(*waiter.await.unwrap(), 7);
/// # });
/// ```
#[doc(alias = "follower")]
#[must_use = "it has joined the flight; dropping it leaves and affects no other caller"]
pub struct Waiter<K, T> {
    watch: Watch<K, T>,
}

impl<K, T> Waiter<K, T> {
    /// For a flight that has counted it.
    #[inline]
    pub(crate) fn new(handles: Two<K, T>) -> Self {
        Self {
            watch: Watch::counted(handles),
        }
    }

    /// For a call from inside of the flight, which has not counted it.
    pub(crate) fn uncounted(handles: Two<K, T>) -> Self {
        Self {
            watch: Watch::uncounted(handles),
        }
    }

    /// For a call that came after the flight had settled.
    pub(crate) fn replayed(handles: Two<K, T>) -> Self {
        Self {
            watch: Watch::replayed(handles),
        }
    }

    pub(crate) fn is_counted(&self) -> bool {
        self.watch.is_counted()
    }

    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub(crate) fn watch(&mut self) -> &mut Watch<K, T> {
        &mut self.watch
    }

    /// Returns the outcome, if the flight has ended. It does not poll.
    pub fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        self.watch.get()
    }

    /// Returns the key of the flight.
    pub fn key(&self) -> &K {
        &self.flight().key
    }

    /// Returns true if the flight had settled before this call came. The outcome is then a replay:
    /// it was retained, or it had just been recorded.
    pub fn is_replayed(&self) -> bool {
        self.watch.is_replayed()
    }

    /// Returns the identity of the flight.
    pub fn id(&self) -> FlightId {
        self.flight().id
    }

    pub(crate) fn flight(&self) -> &FlightRef<K, T> {
        self.watch.flight()
    }

    #[inline(always)]
    pub(crate) fn report_joined(&self) {
        let flight = self.flight();
        flight.observed.report_joined(flight.id, self.is_replayed());
    }

    /// Gives up the guard: from here on the caller has to take back its count.
    pub(crate) fn disarm(mut self) {
        self.watch.uncount();
    }

    /// Takes back its count, as if it had never joined. Returns false if the flight's end has
    /// counted it already. If everybody else who wanted the flight has left meanwhile, it is the
    /// last one, and ends the flight as they would have.
    pub(crate) fn withdraw(mut self) -> bool {
        self.watch.leave()
    }
}

impl<K, T> Future for Waiter<K, T> {
    type Output = Result<Settled<K, T>, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.watch.poll(cx)
    }
}

impl<K, T> UnwindSafe for Waiter<K, T> {}
impl<K, T> RefUnwindSafe for Waiter<K, T> {}

impl<K, T> fmt::Debug for Waiter<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("id", &self.id())
            .field("ended", &self.flight().cell.snapshot().ended())
            .finish_non_exhaustive()
    }
}
