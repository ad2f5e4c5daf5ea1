//! What an adapter supplies: the [`Runtime`] trait. What is generic over a runtime is written once:
//! [`Timeout`] here, and the operations that outlive their callers in `policy/spawn`.

use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use pin_project_lite::pin_project;

use crate::error::{Aborted, WaitError};
use crate::flight::Settled;
use crate::group::Waiter;

/// An executor, as far as this crate needs one.
///
/// Waiting needs none: a [`Waiter`] is an ordinary future. A runtime is needed to run an operation
/// apart from its callers ([`Group::spawn_on`](crate::Group::spawn_on)) and to measure time. The
/// adapter crates implement it; so may you, for your own executor.
///
/// # Contract
///
/// Each method may run, or drop, what it is given at once and inline: nothing is locked across it.
/// Dropping what it was given, at any time, is how a runtime says that it will not run it; waiters
/// are told then.
///
/// ```
/// use core::{future::Future, pin::Pin, time::Duration};
/// use oneflight_core::{Group, rt::Runtime};
///
/// /// A thread for each task: no executor at all.
/// struct Threads;
///
/// impl Runtime for Threads {
///     type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;
///
///     fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
///         std::thread::spawn(|| futures_lite::future::block_on(task));
///     }
///
///     fn sleep(&self, duration: Duration) -> Self::Sleep {
///         Box::pin(async move { std::thread::sleep(duration) })
///     }
///
///     fn unblock<F: FnOnce() + Send + 'static>(&self, call: F) {
///         std::thread::spawn(call);
///     }
/// }
///
/// let group: Group<&str, u32> = Group::new();
/// let outcome = group.spawn_on(&Threads, "k", || async { 7 });
/// assert_eq!(*futures_lite::future::block_on(outcome).unwrap(), 7);
/// ```
pub trait Runtime {
    /// The future of [`sleep`](Self::sleep).
    type Sleep: Future<Output = ()> + Send;

    /// Runs a task to its end, whoever waits for it. The task never unwinds (with `std`).
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F);

    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> Self::Sleep;

    /// Runs a call that may block its thread, where this runtime keeps threads for that. The call
    /// never unwinds (with `std`).
    fn unblock<F: FnOnce() + Send + 'static>(&self, call: F);
}

pin_project! {
    /// Waits for a flight, for a while. From an adapter's `WaiterExt::timeout`.
    ///
    /// Ready with [`WaitError::TimedOut`] when the time is up first. The flight goes on, and the
    /// waiter, which this only borrows, keeps its place.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the waiter as it was.
    ///
    /// # Panics
    ///
    /// Polling it again after it timed out polls the runtime's timer again, and may panic as that
    /// does. Poll the waiter.
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Timeout<'a, K, T, S> {
        waiter: &'a mut Waiter<K, T>,
        #[pin]
        sleep: S,
    }
}

impl<'a, K, T, S> Timeout<'a, K, T, S> {
    /// Waits for `waiter` until `sleep` is ready.
    pub fn new(waiter: &'a mut Waiter<K, T>, sleep: S) -> Self {
        Self { waiter, sleep }
    }
}

impl<K, T, S: Future<Output = ()>> Future for Timeout<'_, K, T, S> {
    type Output = Result<Settled<K, T>, WaitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome: Poll<Result<_, Aborted>> = Pin::new(&mut **this.waiter).poll(cx);
        if let Poll::Ready(outcome) = outcome {
            return Poll::Ready(outcome.map_err(WaitError::Aborted));
        }
        this.sleep.poll(cx).map(|()| Err(WaitError::TimedOut))
    }
}

impl<K, T, S: UnwindSafe> UnwindSafe for Timeout<'_, K, T, S> {}
impl<K, T, S: RefUnwindSafe> RefUnwindSafe for Timeout<'_, K, T, S> {}

impl<K, T, S> fmt::Debug for Timeout<'_, K, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("waiter", &self.waiter)
            .finish_non_exhaustive()
    }
}
