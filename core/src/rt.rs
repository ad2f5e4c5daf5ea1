//! The traits that an adapter implements: [`Spawn`], [`SpawnBlocking`] and [`Timer`]. The code that
//! is generic over a runtime is [`Timeout`], and the calls of [`Entry`] that take a runtime.
//!
//! Waiting needs none of them, because a [`Waiter`](crate::Waiter) is an ordinary future. The
//! traits run an operation apart from its callers, and measure time. The adapter crates implement
//! all three. You can implement them for your own executor. If it has no timer, or no threads for
//! blocking calls, implement the others.
//!
//! # Contract
//!
//! A runtime can run or drop a task inside of the call that passes it, because no lock is held
//! across these calls. A runtime can drop a task or a call at any time instead of running it. The
//! waiters then get an error.
//!
//! A task can finish before its operation is ready: if something else ends its flight, or, for
//! `spawn_while_wanted`, if no caller is left. Then the task is woken, and drops the operation in
//! that poll. A `spawn` that joins a `work` gives the runtime a task that drives the operation of
//! the `work`.
//!
//! ```
//! use oneflight_core::{Group, rt::Spawn};
//!
//! /// A thread for each task: no executor at all.
//! struct Threads;
//!
//! impl Spawn for Threads {
//!     fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
//!         std::thread::spawn(|| futures_lite::future::block_on(task));
//!     }
//! }
//!
//! let group: Group<&str, u32> = Group::new();
//! let outcome = group.entry("k").spawn_on(&Threads, || async { 7 });
//! assert_eq!(*futures_lite::future::block_on(outcome).unwrap(), 7);
//! ```
//!
//! [`Entry`]: crate::Entry::spawn_on

use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use pin_project_lite::pin_project;

use crate::error::Error;

/// An executor. See the [module](self) for the contract.
pub trait Spawn {
    /// Runs a task to its end, also if no caller waits for it. The task never unwinds (with `std`).
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F);
}

/// A pool of threads that can be blocked. See the [module](self) for the contract.
pub trait SpawnBlocking {
    /// Runs a call that can block its thread. The call never unwinds (with `std`).
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F);
}

/// A source of pauses.
pub trait Timer {
    /// The future of [`sleep`](Self::sleep).
    type Sleep: Future<Output = ()> + Send;

    /// Returns a future that is ready after `duration`.
    fn sleep(&self, duration: Duration) -> Self::Sleep;
}

/// All three traits. The adapters of this project implement them.
pub trait Runtime: Spawn + SpawnBlocking + Timer {}

impl<R: Spawn + SpawnBlocking + Timer> Runtime for R {}

pin_project! {
    /// Waits for a call's outcome for a limited time. From an adapter's `HandleExt::wait_timeout`.
    ///
    /// It yields [`Error::TimedOut`], as the error type of the call, if the time is up first. The
    /// handle, which this only borrows, keeps its place and can wait again. The flight continues,
    /// unless this call drives it: see [`Error::TimedOut`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the handle as it was.
    ///
    /// # Panics
    ///
    /// Do not poll it again after it timed out, because the runtime's timer can panic. Poll the
    /// handle instead.
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Timeout<'a, H: ?Sized, S> {
        handle: &'a mut H,
        #[pin]
        sleep: S,
    }
}

impl<'a, H: ?Sized, S> Timeout<'a, H, S> {
    /// Makes a future that waits for `handle` until `sleep` is ready.
    pub fn new(handle: &'a mut H, sleep: S) -> Self {
        Self { handle, sleep }
    }
}

impl<O, E, H, S> Future for Timeout<'_, H, S>
where
    E: From<Error>,
    H: Future<Output = Result<O, E>> + Unpin + ?Sized,
    S: Future<Output = ()>,
{
    type Output = Result<O, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = Pin::new(&mut **this.handle).poll(cx);
        if outcome.is_ready() {
            return outcome;
        }
        this.sleep.poll(cx).map(|()| Err(Error::TimedOut.into()))
    }
}

impl<H: ?Sized, S: UnwindSafe> UnwindSafe for Timeout<'_, H, S> {}
impl<H: ?Sized, S: RefUnwindSafe> RefUnwindSafe for Timeout<'_, H, S> {}

impl<H: fmt::Debug + ?Sized, S> fmt::Debug for Timeout<'_, H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
