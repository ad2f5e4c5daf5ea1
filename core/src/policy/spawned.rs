//! [`Spawned`]: a caller that waits for an operation which runs apart from it. [`AbortHandle`]:
//! ends that operation on purpose.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::error::{Cause, Error, Rejected};
use crate::flight::{FlightId, FlightRef, Seat, Settled, Watch};
use crate::group::shard::{Shard, Ticket};
use crate::group::{Begin, Primary, Waiter};
use crate::sync::Arc;

/// A caller of `spawn`, `spawn_blocking` or `spawn_while_wanted`: waits for the outcome of an
/// operation that runs apart from it.
///
/// It is a future that yields `Result<Settled, Error>`. Polling it again after it was ready returns
/// the same outcome.
///
/// # Cancel safety
///
/// Dropping it only stops waiting, and the operation continues. There is one exception: when the
/// last caller that wants the operation of a `spawn_while_wanted` is dropped, the flight ends as
/// [`Cause::Dropped`] in that drop. Then the task drops the operation.
///
/// # Examples
///
/// The adapters' `GroupExt` makes these calls shorter. See [`rt`](crate::rt) for an executor of
/// your own.
///
/// ```
/// # use oneflight_core::{Group, rt::Spawn};
/// # struct Threads;
/// # impl Spawn for Threads {
/// #     fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
/// #         std::thread::spawn(|| futures_lite::future::block_on(task));
/// #     }
/// # }
/// let group: Group<&str, u32> = Group::new();
/// let first = group.entry("k").spawn_on(&Threads, || async { 7 });
/// assert!(first.is_primary());
/// assert_eq!(*futures_lite::future::block_on(first).unwrap(), 7);
/// ```
pub struct Spawned<K, T> {
    pub(super) caller: Caller<K, T>,
}

pub(super) enum Caller<K, T> {
    Owner(Owner<K, T>),
    Waiter(Waiter<K, T>),
    Rejected(Rejected),
}

/// The call that started the operation. It waits as the others do, but is not counted as a
/// duplicate. If the flight has to be wanted, it is one of those who want it.
pub(super) struct Owner<K, T> {
    watch: Watch<K, T>,
    shard: Arc<Shard<K, T>>,
}

impl<K, T> Owner<K, T> {
    /// Waits by `wait`. If it would wait for itself it waits no more, and wants nothing.
    pub(super) fn wait<R>(&mut self, wait: impl FnOnce(&mut Watch<K, T>) -> R) -> R {
        let waited = wait(&mut self.watch);
        if self.watch.has_left() {
            self.watch.disown();
        }
        waited
    }
}

impl<K, T> Drop for Owner<K, T> {
    fn drop(&mut self) {
        self.watch.disown();
    }
}

impl<K, T> Spawned<K, T> {
    /// Is a waiter, or starts the operation by `launch`, which gets the ticket of a call that waits
    /// for its turn at a gate. `owner` is the seat that was made with the flight, if one was.
    pub(super) fn start(
        (begin, ticket): (Begin<K, T>, Option<Ticket>),
        owner: Option<Seat<K, T>>,
        launch: impl FnOnce(Primary<K, T>, Option<Ticket>),
    ) -> Self {
        let mut launch = Some(launch);
        let caller = match begin {
            Begin::Primary(primary) => {
                // Before the launch: the runtime can run or drop the task inline.
                let watch = match owner {
                    Some(seat) => {
                        debug_assert!(seat.flight().ptr_eq(primary.flight()), "another flight's");
                        Watch::owner(seat)
                    }
                    None => primary.watch(),
                };
                let shard = primary.shard().clone();
                let owner = Owner { watch, shard };
                if let Some(launch) = launch.take() {
                    launch(primary, ticket);
                }
                Caller::Owner(owner)
            }
            Begin::Waiter(waiter) => Caller::Waiter(waiter),
            Begin::Rejected(why) => Caller::Rejected(why),
        };
        let spawned = Self { caller };
        // While `spawned` is a guard: the drop of what a duplicate did not need is the user's.
        drop(launch);
        spawned
    }
}

impl<K, T> Spawned<K, T>
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Returns a handle that aborts the operation, or `None` if this call did not start it.
    ///
    /// ```
    /// # use oneflight_core::{Group, Error, error::Cause, rt::Spawn};
    /// # struct Threads;
    /// # impl Spawn for Threads {
    /// #     fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
    /// #         std::thread::spawn(|| futures_lite::future::block_on(task));
    /// #     }
    /// # }
    /// let group: Group<&str, u32> = Group::new();
    /// let outcome = group.entry("k").spawn_on(&Threads, || std::future::pending());
    /// outcome.abort_handle().unwrap().abort();
    /// match futures_lite::future::block_on(outcome) {
    ///     Err(Error::Aborted(aborted)) => assert_eq!(aborted.cause(), Cause::Cancelled),
    ///     _ => unreachable!(),
    /// }
    /// ```
    pub fn abort_handle(&self) -> Option<AbortHandle> {
        match &self.caller {
            Caller::Owner(owner) => Some(AbortHandle::new(&owner.shard, owner.watch.flight())),
            Caller::Waiter(_) | Caller::Rejected(_) => None,
        }
    }
}

impl<K, T> Spawned<K, T> {
    /// Returns true if this call started the operation.
    pub fn is_primary(&self) -> bool {
        matches!(self.caller, Caller::Owner(..))
    }

    /// Returns true if the flight had settled before this call came.
    pub fn is_replayed(&self) -> bool {
        matches!(&self.caller, Caller::Waiter(waiter) if waiter.is_replayed())
    }

    /// Returns the identity of the flight, or `None` if the call was rejected.
    pub fn id(&self) -> Option<FlightId> {
        match &self.caller {
            Caller::Owner(owner) => Some(owner.watch.flight().id),
            Caller::Waiter(waiter) => Some(waiter.id()),
            Caller::Rejected(_) => None,
        }
    }

    /// Returns the outcome, if the flight has ended or the call was rejected. It does not poll.
    pub fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        match &self.caller {
            Caller::Owner(owner) => owner.watch.get(),
            Caller::Waiter(waiter) => waiter.get(),
            Caller::Rejected(why) => Some(Err(Error::Rejected(*why))),
        }
    }
}

impl<K, T> Future for Spawned<K, T> {
    type Output = Result<Settled<K, T>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.caller {
            Caller::Owner(owner) => owner.wait(|watch| watch.poll(cx)),
            Caller::Waiter(waiter) => Pin::new(waiter).poll(cx),
            Caller::Rejected(why) => Poll::Ready(Err(Error::Rejected(*why))),
        }
    }
}

impl<K, T> UnwindSafe for Spawned<K, T> {}
impl<K, T> RefUnwindSafe for Spawned<K, T> {}

impl<K, T> fmt::Debug for Spawned<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawned")
            .field("id", &self.id())
            .field("primary", &self.is_primary())
            .finish_non_exhaustive()
    }
}

/// Aborts a spawned operation on purpose. Returned by
/// [`Spawned::abort_handle`](crate::handle::Spawned::abort_handle).
///
/// Dropping it does not abort the operation. Keeping it does not keep the operation of a
/// `spawn_while_wanted` running. It holds neither the key nor the value of the flight, because it
/// finds the flight by its id.
#[derive(Clone)]
pub struct AbortHandle {
    /// No pointer to an unsized `Arc` is relied on, so what is erased is in a box.
    shard: Arc<Box<dyn AbortById>>,
    hash: u64,
    id: FlightId,
}

/// A shard, whatever its keys and values are.
trait AbortById: Send + Sync {
    fn abort(&self, hash: u64, id: FlightId) -> bool;
}

impl<K: Send + Sync, T: Send + Sync> AbortById for Arc<Shard<K, T>> {
    fn abort(&self, hash: u64, id: FlightId) -> bool {
        self.find(hash, id)
            .is_some_and(|flight| Shard::abort(self, &flight, Cause::Cancelled))
    }
}

impl AbortHandle {
    pub(super) fn new<K, T>(shard: &Arc<Shard<K, T>>, flight: &FlightRef<K, T>) -> Self
    where
        K: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        Self {
            shard: Arc::new(Box::new(shard.clone())),
            hash: flight.hash,
            id: flight.id,
        }
    }

    /// Ends the flight if it is still in progress, also one that was forgotten. Its waiters get
    /// [`Cause::Cancelled`] at once, and its task is woken to drop the operation. A blocking call
    /// that runs can't be stopped, and its value is dropped. A task or a blocking call that has not
    /// begun never begins. Returns true if this call ended the flight.
    pub fn abort(&self) -> bool {
        self.shard.abort(self.hash, self.id)
    }
}

impl UnwindSafe for AbortHandle {}
impl RefUnwindSafe for AbortHandle {}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
