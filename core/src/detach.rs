//! [`Detached`]: an operation that outlives every caller. Policy *Detach*, on any [`Runtime`].

use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::{Rejected, WorkError};
use crate::flight::FlightId;
use crate::group::{Begin, Group};
use crate::primary::Primary;
use crate::rt::Runtime;
use crate::settled::Settled;
use crate::sync::isolate;
use crate::waiter::Waiter;
use crate::watch::Watch;

impl<K, T, S> Group<K, T, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Runs the operation for `key` as a task of `runtime`, or waits for the one that runs.
    ///
    /// The operation belongs to the runtime and not to any caller: it runs to its end and settles, also when every
    /// caller has left. Callers that come before that share it. The adapters bring this as `GroupExt::spawn`.
    ///
    /// # Errors
    ///
    /// [`WorkError::Aborted`] when the flight ends without a value: the operation panicked, or the runtime dropped
    /// the task. [`WorkError::Rejected`] when the call was turned away, at the first poll.
    ///
    /// # Panics
    ///
    /// Not by the operation, when built with `std`: its panic, also while it is made, ends in the task, and everyone
    /// who waits gets [`Cause::Panicked`](crate::Cause::Panicked).
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
        self.detach(key, |primary| {
            let task = async move {
                let operation = primary.guarded(make);
                drop(primary.run(operation).await);
            };
            runtime.spawn(Contained { task });
        })
    }

    /// Runs a blocking call for `key` where `runtime` keeps threads for that, or waits for the one that runs.
    ///
    /// One thread of that pool for each flight, however many wait: no waiter ever enters the pool. Otherwise as
    /// [`spawn_on`](Self::spawn_on). The adapters bring this as `GroupExt::spawn_blocking`.
    ///
    /// # Deadlocks
    ///
    /// A call that blocks on its own key waits for itself. Calls that block on each other's keys need a thread each,
    /// as they would without this crate.
    pub fn spawn_blocking_on<R, F>(&self, runtime: &R, key: K, call: F) -> Detached<K, T>
    where
        R: Runtime,
        F: FnOnce() -> T + Send + 'static,
    {
        self.detach(key, |primary| {
            runtime.unblock(move || {
                isolate(|| {
                    let value = primary.guarded(call);
                    drop(primary.settle(value));
                });
            });
        })
    }

    fn detach(&self, key: K, launch: impl FnOnce(Primary<K, T>)) -> Detached<K, T> {
        let role = match self.begin(key) {
            Begin::Primary(primary) => {
                // Before the launch: the runtime may run or drop the task inline.
                let watch = primary.watch();
                launch(primary);
                Role::Owner(watch)
            }
            Begin::Waiter(waiter) => Role::Waiter(waiter),
            Begin::Rejected(why) => Role::Rejected(why),
        };
        Detached { role }
    }
}

pin_project! {
    /// A task whose panic ends in it. The flight was told on the way out.
    struct Contained<F> {
        #[pin]
        task: F,
    }
}

impl<F: Future<Output = ()>> Future for Contained<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = self.project().task;
        isolate(|| task.poll(cx)).unwrap_or(Poll::Ready(()))
    }
}

/// A caller of `spawn` or `spawn_blocking`: waits for the outcome of an operation that runs apart from it.
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
    role: Role<K, T>,
}

enum Role<K, T> {
    /// The caller that started it: waits as the others do, but is no duplicate and is not counted.
    Owner(Watch<K, T>),
    Waiter(Waiter<K, T>),
    Rejected(Rejected),
}

impl<K, T> Detached<K, T> {
    /// Whether this call started the operation.
    pub fn is_primary(&self) -> bool {
        matches!(self.role, Role::Owner(_))
    }

    /// The identity of the flight; `None` if the call was turned away.
    pub fn id(&self) -> Option<FlightId> {
        match &self.role {
            Role::Owner(watch) => Some(watch.flight().id),
            Role::Waiter(waiter) => Some(waiter.id()),
            Role::Rejected(_) => None,
        }
    }

    /// The outcome, if the flight has ended (or the call was turned away), without polling.
    pub fn get(&self) -> Option<Result<Settled<K, T>, WorkError>> {
        let outcome = match &self.role {
            Role::Owner(watch) => watch.get(),
            Role::Waiter(waiter) => waiter.get(),
            Role::Rejected(why) => return Some(Err(WorkError::Rejected(*why))),
        };
        outcome.map(|outcome| outcome.map_err(WorkError::Aborted))
    }
}

impl<K, T> Future for Detached<K, T> {
    type Output = Result<Settled<K, T>, WorkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.role {
            Role::Owner(watch) => watch.poll(cx).map_err(WorkError::Aborted),
            Role::Waiter(waiter) => Pin::new(waiter).poll(cx).map_err(WorkError::Aborted),
            Role::Rejected(why) => Poll::Ready(Err(WorkError::Rejected(*why))),
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
