//! [`Detached`]: an operation that outlives every caller. Policy *Detach*, on any [`Runtime`].

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::{Cause, Rejected, WorkError};
use crate::fingerprint::Fingerprinted;
use crate::flight::{FlightId, Settled, Watch, loss};
use crate::group::begin::Entry;
use crate::group::shard::Shard;
use crate::group::{Begin, Group, Primary, Run, Waiter};
use crate::rt::Runtime;
use crate::sync::Arc;
use crate::unwind::{Fragile, isolate};

impl<K, T, S> Group<K, T, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Runs the operation for `key` as a task of `runtime`, or waits for the one that runs.
    ///
    /// The operation belongs to the runtime and not to any caller: it runs to its end and settles,
    /// also when every caller has left. Callers that come before that share it. The adapters
    /// bring this as `GroupExt::spawn`.
    ///
    /// # Errors
    ///
    /// [`WorkError::Aborted`] when the flight ends without a value: the operation panicked, or the
    /// runtime dropped the task. [`WorkError::Rejected`] when the call was rejected, at the
    /// first poll.
    ///
    /// # Panics
    ///
    /// Not by the operation, when built with `std`: its panic, also while it is made, ends in the
    /// task, and everyone who waits gets [`Cause::Panicked`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    pub fn spawn_on<R, M, F>(&self, runtime: &R, key: K, make: M) -> Detached<K, T>
    where
        R: Runtime,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.entry(key).spawn_on(runtime, make)
    }

    /// Runs a blocking call for `key` where `runtime` keeps threads for that, or waits for the one
    /// that runs.
    ///
    /// One thread of that pool for each flight, however many wait: no waiter ever enters the pool.
    /// Otherwise as [`spawn_on`](Self::spawn_on). The adapters bring this as
    /// `GroupExt::spawn_blocking`.
    ///
    /// # Deadlocks
    ///
    /// A call that blocks on its own key waits for itself. Calls that block on each other's keys
    /// need a thread each, as they would without this crate.
    pub fn spawn_blocking_on<R, F>(&self, runtime: &R, key: K, call: F) -> Detached<K, T>
    where
        R: Runtime,
        F: FnOnce() -> T + Send + 'static,
    {
        self.entry(key).spawn_blocking_on(runtime, call)
    }
}

impl<K, T, S> Fingerprinted<'_, Group<K, T, S>>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    S: BuildHasher,
{
    /// [`Group::spawn_on`].
    pub fn spawn_on<R, M, F>(self, runtime: &R, key: K, make: M) -> Detached<K, T>
    where
        R: Runtime,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.entry(key).spawn_on(runtime, make)
    }

    /// [`Group::spawn_blocking_on`].
    pub fn spawn_blocking_on<R, F>(self, runtime: &R, key: K, call: F) -> Detached<K, T>
    where
        R: Runtime,
        F: FnOnce() -> T + Send + 'static,
    {
        self.entry(key).spawn_blocking_on(runtime, call)
    }
}

impl<K, T, S> Entry<'_, Group<K, T, S>, K>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    S: BuildHasher,
{
    fn spawn_on<R, M, F>(self, runtime: &R, make: M) -> Detached<K, T>
    where
        R: Runtime,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.start(|primary| {
            runtime.spawn(Task {
                start: Some(Unbegun::new(primary, make)),
                run: None,
            });
        })
    }

    fn spawn_blocking_on<R, F>(self, runtime: &R, call: F) -> Detached<K, T>
    where
        R: Runtime,
        F: FnOnce() -> T + Send + 'static,
    {
        self.start(|primary| {
            let unbegun = Unbegun::new(primary, call);
            runtime.unblock(move || {
                isolate(|| {
                    if let Some((primary, call)) = unbegun.begin() {
                        let value = primary.guarded(call);
                        drop(primary.settle(value));
                    }
                });
            });
        })
    }

    /// Becomes a waiter, or starts the operation by `launch`.
    fn start(self, launch: impl FnOnce(Primary<K, T>)) -> Detached<K, T> {
        let mut launch = Some(launch);
        let caller = match self.begin() {
            Begin::Primary(primary) => {
                // Before the launch: the runtime can run or drop the task inline.
                let (watch, shard) = (primary.watch(), primary.shard().clone());
                if let Some(launch) = launch.take() {
                    launch(primary);
                }
                Caller::Owner(watch, shard)
            }
            Begin::Waiter(waiter) => Caller::Waiter(waiter),
            Begin::Rejected(why) => Caller::Rejected(why),
        };
        let detached = Detached { caller };
        // While `detached` is a guard: the drop of what a duplicate did not need is the user's.
        drop(launch);
        detached
    }
}

/// What was given to a runtime and has not begun: a call, or what makes an operation. It begins once
/// or, if its flight ends before that, never.
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
/// A future of `Result<Settled, WorkError>`. Polled again after it was ready, it is ready again.
///
/// # Cancel safety
///
/// Dropping it only stops waiting: the operation runs on.
///
/// # Examples
///
/// See the adapters' `GroupExt`, and [`rt::Runtime`](Runtime) for an executor of your own.
#[must_use = "dropping it only stops waiting; the operation runs on"]
pub struct Detached<K, T> {
    caller: Caller<K, T>,
}

enum Caller<K, T> {
    /// It started the operation. It waits as the others do, but is not counted as a duplicate.
    Owner(Watch<K, T>, Arc<Shard<K, T>>),
    Waiter(Waiter<K, T>),
    Rejected(Rejected),
}

impl<K, T> Detached<K, T>
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// A handle that aborts the operation; `None` if this call did not start it.
    ///
    /// ```
    /// # use core::{future::Future, pin::Pin, time::Duration};
    /// # use oneflight_core::{Cause, Group, WorkError, rt::Runtime};
    /// # struct Threads;
    /// # impl Runtime for Threads {
    /// #     type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;
    /// #     fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
    /// #         std::thread::spawn(|| futures_lite::future::block_on(task));
    /// #     }
    /// #     fn sleep(&self, _: Duration) -> Self::Sleep { unreachable!() }
    /// #     fn unblock<F: FnOnce() + Send + 'static>(&self, _: F) { unreachable!() }
    /// # }
    /// let group: Group<&str, u32> = Group::new();
    /// let outcome = group.spawn_on(&Threads, "k", || std::future::pending());
    /// outcome.abort_handle().unwrap().abort();
    /// match futures_lite::future::block_on(outcome) {
    ///     Err(WorkError::Aborted(aborted)) => assert_eq!(aborted.cause(), Cause::Cancelled),
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

impl<K, T> Detached<K, T> {
    /// Whether this call started the operation.
    pub fn is_primary(&self) -> bool {
        matches!(self.caller, Caller::Owner(..))
    }

    /// The identity of the flight; `None` if the call was rejected.
    pub fn id(&self) -> Option<FlightId> {
        match &self.caller {
            Caller::Owner(watch, _) => Some(watch.flight().id),
            Caller::Waiter(waiter) => Some(waiter.id()),
            Caller::Rejected(_) => None,
        }
    }

    /// The outcome, if the flight has ended (or the call was rejected), without polling.
    pub fn get(&self) -> Option<Result<Settled<K, T>, WorkError>> {
        let outcome = match &self.caller {
            Caller::Owner(watch, _) => watch.get(),
            Caller::Waiter(waiter) => waiter.get(),
            Caller::Rejected(why) => return Some(Err(WorkError::Rejected(*why))),
        };
        outcome.map(|outcome| outcome.map_err(WorkError::Aborted))
    }
}

/// Aborts a detached operation on purpose. From [`Detached::abort_handle`].
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
    /// Ends the flight, if it has not ended: everyone who waits gets [`Cause::Cancelled`] at
    /// once, and the task is woken to drop the operation. A blocking call cannot be stopped; its
    /// value is dropped. True if this ended it.
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

impl<K, T> Future for Detached<K, T> {
    type Output = Result<Settled<K, T>, WorkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.caller {
            Caller::Owner(watch, _) => watch.poll(cx).map_err(WorkError::Aborted),
            Caller::Waiter(waiter) => Pin::new(waiter).poll(cx).map_err(WorkError::Aborted),
            Caller::Rejected(why) => Poll::Ready(Err(WorkError::Rejected(*why))),
        }
    }
}

impl<K, T> UnwindSafe for Detached<K, T> {}
impl<K, T> RefUnwindSafe for Detached<K, T> {}

impl<K, T> fmt::Debug for Detached<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detached")
            .field("id", &self.id())
            .field("primary", &self.is_primary())
            .finish_non_exhaustive()
    }
}
