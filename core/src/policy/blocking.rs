//! Threads that park until a ready-made call has its outcome.
//!
//! A thread that waits by a `work` or a `try_work` takes part and drives, as a task would. The
//! waker that it leaves behind unparks it.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::error::Error;
use crate::flight::Settled;
use crate::flight::reentry::Parking;
use crate::policy::spawned::Caller;
use crate::policy::{Spawned, TryWork, Work};
use crate::sync::{Event, park};

/// What the waker of a parked thread notifies.
struct Unpark {
    event: Event,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.event.notify(usize::MAX);
    }
}

/// Polls on this thread until the future is ready, and parks in between. Returns `None` if
/// `deadline` comes first.
fn drive<F: Future + ?Sized>(
    mut future: Pin<&mut F>,
    deadline: Option<Instant>,
) -> Option<F::Output> {
    let unpark = Arc::new(Unpark {
        event: Event::new(),
    });
    let waker = Waker::from(unpark.clone());
    let mut cx = Context::from_waker(&waker);
    let _parking = Parking::new(&waker);
    loop {
        // It listens before the poll, so it gets every wake that comes after the poll has begun.
        let listener = unpark.event.listen();
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut cx) {
            return Some(outcome);
        }
        if !park(listener, deadline) {
            return None;
        }
    }
}

impl<K, T> Work<K, T>
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    /// Waits by parking the calling thread. The thread drives the operation if it has to.
    ///
    /// # Errors
    ///
    /// Returns the errors of the future, and
    /// [`Rejected::Reentrant`](crate::error::Rejected::Reentrant) if this thread is inside of the
    /// flight's operation.
    ///
    /// # Panics
    ///
    /// If the operation panics while this thread drives it, the panic propagates.
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked until the flight ends. Do not call it on a thread that an executor or
    /// the operation needs: `await` there.
    ///
    /// ```
    /// use oneflight_core::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// assert_eq!(*group.work("k", || async { 7 }).wait_blocking().unwrap(), 7);
    /// ```
    pub fn wait_blocking(mut self) -> Result<Settled<K, T>, Error> {
        self.role.leave_if_parked_inside();
        drive(Pin::new(&mut self), None)
            .unwrap_or_else(|| unreachable!("without a deadline it waits for the outcome"))
    }

    /// Waits by parking the calling thread, at most until `deadline`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TimedOut`] if the deadline comes first. The caller stays a participant that
    /// can wait again. The flight continues, unless this caller drives it. Otherwise it returns the
    /// errors of the future.
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked as by [`wait_blocking`](Self::wait_blocking), at most until the
    /// deadline. A driver that timed out and is kept without being polled delays the others: see
    /// [`Group::work`](crate::Group::work).
    ///
    /// ```
    /// use oneflight_core::{Error, Group};
    /// use std::time::Instant;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let mut call = group.work("k", std::future::pending);
    /// assert_eq!(call.wait_deadline(Instant::now()).unwrap_err(), Error::TimedOut);
    /// ```
    pub fn wait_deadline(&mut self, deadline: Instant) -> Result<Settled<K, T>, Error> {
        self.role.leave_if_parked_inside();
        drive(Pin::new(self), Some(deadline)).unwrap_or(Err(Error::TimedOut))
    }
}

impl<K, T, M, F, E> TryWork<K, T, M, F>
where
    M: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
    E: From<Error>,
{
    /// Waits by parking the calling thread. The thread runs its own operation if it has to.
    ///
    /// # Errors
    ///
    /// Returns the errors of the future, and
    /// [`Rejected::Reentrant`](crate::error::Rejected::Reentrant) if this thread is inside of the
    /// flight's operation.
    ///
    /// # Panics
    ///
    /// If this caller's operation panics, the panic propagates. It also panics if the future was
    /// ready before.
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked until the flight ends. Do not call it on a thread that an executor or
    /// the operation needs: `await` there.
    ///
    /// ```
    /// use oneflight_core::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let call = group.try_work("k", || async { std::io::Result::Ok(7) });
    /// assert_eq!(*call.wait_blocking().unwrap(), 7);
    /// ```
    pub fn wait_blocking(mut self) -> Result<Settled<K, T>, E> {
        self.role.leave_if_parked_inside();
        drive(pin!(self), None)
            .unwrap_or_else(|| unreachable!("without a deadline it waits for the outcome"))
    }
}

impl<K, T> Spawned<K, T> {
    /// Waits by parking the calling thread.
    ///
    /// # Errors
    ///
    /// Returns the errors of the future, and
    /// [`Rejected::Reentrant`](crate::error::Rejected::Reentrant) if this thread is inside of the
    /// flight's operation.
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked until the flight ends. Do not call it on a thread that the runtime of
    /// the operation needs: `await` there.
    pub fn wait_blocking(self) -> Result<Settled<K, T>, Error> {
        match self.caller {
            Caller::Owner(mut owner) => owner.wait(|watch| watch.block(None)),
            Caller::Waiter(waiter) => waiter.wait_blocking(),
            Caller::Rejected(why) => Err(Error::Rejected(why)),
        }
    }

    /// Waits by parking the calling thread, at most until `deadline`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TimedOut`] if the deadline comes first. The flight continues, and the call
    /// can wait again. Otherwise it returns the errors of the future.
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked as by [`wait_blocking`](Self::wait_blocking), at most until the
    /// deadline.
    pub fn wait_deadline(&mut self, deadline: Instant) -> Result<Settled<K, T>, Error> {
        match &mut self.caller {
            Caller::Owner(owner) => owner.wait(|watch| watch.block(Some(deadline))),
            Caller::Waiter(waiter) => waiter.wait_deadline(deadline),
            Caller::Rejected(why) => Err(Error::Rejected(*why)),
        }
    }
}
