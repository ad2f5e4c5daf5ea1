//! [`Spawned`]: an operation that outlives every caller. Policy *Detach*, on any runtime.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::hash::Hash;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use equivalent::Equivalent;
use pin_project_lite::pin_project;

use crate::error::{Cause, Error, Rejected};
use crate::flight::{FlightId, Settled, Watch, loss};
use crate::group::shard::{Shard, Ticket};
use crate::group::{Begin, Entry, Primary, Registry, Run, Waiter};
use crate::policy::in_turn::{Begun, InTurn, wait_for_turn};
use crate::rt::{Spawn, SpawnBlocking};
use crate::sync::Arc;
use crate::unwind::{Fragile, isolate};

impl<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Entry<'_, G, Q> {
    /// Runs the operation for the key as a task of `runtime`, or waits for the one that runs.
    ///
    /// The operation belongs to the runtime and not to any caller. It runs to its end and settles,
    /// also if every caller has left. Callers that come before that share it. The adapters provide
    /// this call as `GroupExt::spawn` and `EntryExt::spawn`.
    ///
    /// # Errors
    ///
    /// The future yields [`Error::Aborted`] if the flight ends without a value: the operation
    /// panicked, or the runtime dropped the task. If the call was rejected, the first poll yields
    /// [`Error::Rejected`].
    ///
    /// # Panics
    ///
    /// With `std`, a panic of the operation, or of the closure that makes it, does not reach the
    /// caller: everyone who waits gets [`Cause::Panicked`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    ///
    /// If the runtime drops the task, the operation is dropped first, then the key is free, and
    /// then the waiters get [`Cause::Dropped`], also if that drop panics. If the flight is ended
    /// from outside, the waiters are woken at once, and the task drops the operation when it is
    /// polled next. A task that has not begun by then never begins, and
    /// [`has_begun`](crate::error::Aborted::has_begun) of that error is false.
    pub fn spawn_on<R, M, F>(self, runtime: &R, make: M) -> Spawned<G::Key, G::Value>
    where
        R: Spawn,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = G::Value> + Send + 'static,
        G::Key: Send + Sync + 'static,
        G::Value: Send + Sync + 'static,
    {
        self.start(Self::begin_in_turn, |primary, ticket| {
            let task = Task {
                start: Some(Unbegun::new(primary, make)),
                run: None,
            };
            match ticket {
                None => runtime.spawn(task),
                Some(ticket) => runtime.spawn(InTurn::new(ticket, task)),
            }
        })
    }

    /// Runs a blocking call for the key where `runtime` keeps threads for that, or waits for the
    /// one that runs.
    ///
    /// Each flight takes one thread of that pool for any number of callers, because no waiter
    /// enters the pool. Otherwise as [`spawn_on`](Self::spawn_on). The adapters provide this call
    /// as `GroupExt::spawn_blocking` and `EntryExt::spawn_blocking`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting. If the flight is ended from outside, a call that has
    /// not begun never begins. A call that runs can't be stopped. Its value is dropped, and
    /// [`Group::drained`](crate::Group::drained) waits until it has returned.
    ///
    /// # Deadlocks
    ///
    /// A call that blocks on its own key waits for itself. A `wait_blocking` there fails with
    /// [`Rejected::Reentrant`], but a `block_on` is not detected. Calls that block on each other's
    /// keys need a thread each, as they would without this crate.
    pub fn spawn_blocking_on<R, F>(self, runtime: &R, call: F) -> Spawned<G::Key, G::Value>
    where
        R: SpawnBlocking,
        F: FnOnce() -> G::Value + Send + 'static,
        G::Key: Send + Sync + 'static,
        G::Value: Send + Sync + 'static,
    {
        self.start(Self::begin_on_thread, |primary, ticket| {
            let unbegun = Unbegun::new(primary, call);
            runtime.spawn_blocking(move || {
                isolate(|| {
                    wait_for_turn(ticket);
                    if let Some((primary, call)) = unbegun.begin() {
                        let value = primary.guarded(call);
                        drop(primary.settle(value));
                    }
                });
            });
        })
    }

    /// Becomes a waiter, or starts the operation by `launch`. `begin` also gives what a call has
    /// that waits for its turn.
    #[inline]
    fn start(
        self,
        begin: impl FnOnce(Self) -> Begun<G>,
        launch: impl FnOnce(Primary<G::Key, G::Value>, Option<Ticket>),
    ) -> Spawned<G::Key, G::Value> {
        let mut launch = Some(launch);
        let caller = match begin(self) {
            (Begin::Primary(primary), ticket) => {
                // Before the launch: the runtime can run or drop the task inline.
                let (watch, shard) = (primary.watch(), primary.shard().clone());
                if let Some(launch) = launch.take() {
                    launch(primary, ticket);
                }
                Caller::Owner(watch, shard)
            }
            (Begin::Waiter(waiter), _) => Caller::Waiter(waiter),
            (Begin::Rejected(why), _) => Caller::Rejected(why),
        };
        let spawned = Spawned { caller };
        // While `spawned` is a guard: the drop of what a duplicate did not need is the user's.
        drop(launch);
        spawned
    }
}

/// What was given to a runtime and has not begun: a call, or what makes an operation. It begins
/// once or, if its flight ends before that, never.
///
/// The begin and the end are read-modify-writes of one atomic word, the flight's state. So what the
/// callers were told has never begun does not begin later.
struct Unbegun<K, T, M>(Option<(Primary<K, T>, Fragile<M>)>);

impl<K, T, M> Unbegun<K, T, M> {
    fn new(primary: Primary<K, T>, make: M) -> Self {
        primary.flight().cell.set_unbegun();
        Self(Some((primary, Fragile(Some(make)))))
    }

    /// Returns `None` if the flight has ended.
    fn begin(mut self) -> Option<(Primary<K, T>, M)> {
        if !self.0.as_ref()?.0.flight().cell.begin() {
            return None;
        }
        let (primary, mut make) = self.0.take()?;
        Some((primary, make.0.take()?))
    }
}

impl<K, T, M> Drop for Unbegun<K, T, M> {
    fn drop(&mut self) {
        if let Some((primary, make)) = self.0.take() {
            primary.lose(loss(), make);
        }
    }
}

pin_project! {
    /// The operation as a task. Making, polling and dropping it are isolated one by one, so that
    /// each panic of it ends here, and two of them never meet.
    struct Task<K, T, M, F> {
        start: Option<Unbegun<K, T, M>>,
        #[pin]
        run: Option<Run<K, T, F>>,
    }
}

impl<K, T, M: FnOnce() -> F, F: Future<Output = T>> Future for Task<K, T, M, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if let Some(unbegun) = this.start.take() {
            let run = isolate(|| {
                let (primary, make) = unbegun.begin()?;
                let operation = primary.guarded(make);
                Some(primary.run(operation))
            });
            let Some(run) = run.flatten() else {
                return Poll::Ready(());
            };
            this.run.set(Some(run));
        }
        let Some(run) = this.run.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        if let Some(Poll::Pending) = isolate(|| run.poll(cx).map(drop)) {
            return Poll::Pending;
        }
        isolate(|| this.run.set(None));
        Poll::Ready(())
    }
}

/// A caller of `spawn` or `spawn_blocking`: waits for the outcome of an operation that runs apart
/// from it.
///
/// It is a future that yields `Result<Settled, Error>`. Polling it again after it was ready returns
/// the same outcome.
///
/// # Cancel safety
///
/// Dropping it only stops waiting. The operation continues.
///
/// # Examples
///
/// See the adapters' `GroupExt`, and [`rt`](crate::rt) for an executor of your own.
pub struct Spawned<K, T> {
    pub(super) caller: Caller<K, T>,
}

pub(super) enum Caller<K, T> {
    /// It started the operation. It waits as the others do, but is not counted as a duplicate.
    Owner(Watch<K, T>, Arc<Shard<K, T>>),
    Waiter(Waiter<K, T>),
    Rejected(Rejected),
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
            Caller::Owner(watch, shard) => Some(AbortHandle {
                shard: Arc::new(Box::new(shard.clone())),
                hash: watch.flight().hash,
                id: watch.flight().id,
            }),
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
            Caller::Owner(watch, _) => Some(watch.flight().id),
            Caller::Waiter(waiter) => Some(waiter.id()),
            Caller::Rejected(_) => None,
        }
    }

    /// Returns the outcome, if the flight has ended or the call was rejected. It does not poll.
    pub fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        match &self.caller {
            Caller::Owner(watch, _) => watch.get(),
            Caller::Waiter(waiter) => waiter.get(),
            Caller::Rejected(why) => Some(Err(Error::Rejected(*why))),
        }
    }
}

/// Aborts a spawned operation on purpose. From [`Spawned::abort_handle`].
///
/// Dropping it aborts nothing. A handle that is kept holds neither the key nor the value of the
/// flight: it finds the flight by its id.
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

impl<K, T> Future for Spawned<K, T> {
    type Output = Result<Settled<K, T>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.caller {
            Caller::Owner(watch, _) => watch.poll(cx),
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
