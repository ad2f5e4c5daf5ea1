//! Threads that wait for a flight by parking.

use std::time::Instant;

use crate::error::Error;
use crate::flight::Settled;
use crate::group::waiter::Waiter;

impl<K, T> Waiter<K, T> {
    /// Waits by parking the calling thread.
    ///
    /// Threads and tasks can wait on the same flight.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Aborted`] if the flight ends without a value, and [`Error::Rejected`] with
    /// [`Rejected::Reentrant`](crate::error::Rejected::Reentrant) if this thread is inside of the
    /// flight's operation.
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked until the flight ends. Do not call it on a thread that an executor or
    /// the primary needs. There, `await` the waiter.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// let Begin::Waiter(waiter) = group.begin("k") else { unreachable!() };
    /// let thread = std::thread::spawn(move || primary.settle(7).is_ok());
    /// assert_eq!(*waiter.wait_blocking().unwrap(), 7);
    /// assert!(thread.join().unwrap());
    /// ```
    pub fn wait_blocking(mut self) -> Result<Settled<K, T>, Error> {
        self.watch().block(None)
    }

    /// Waits by parking the calling thread, at most until `deadline`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TimedOut`] if the deadline comes first. The flight continues, and the
    /// waiter keeps its place and can wait again. Otherwise it returns the errors of
    /// [`wait_blocking`](Self::wait_blocking).
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked as by [`wait_blocking`](Self::wait_blocking), at most until the
    /// deadline. In a task, use `wait_timeout` of an adapter's `HandleExt`.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group, Error};
    /// use std::time::Instant;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// let Begin::Waiter(mut waiter) = group.begin("k") else { unreachable!() };
    /// assert_eq!(waiter.wait_deadline(Instant::now()).unwrap_err(), Error::TimedOut);
    /// primary.settle(7).unwrap();
    /// assert_eq!(*waiter.wait_deadline(Instant::now()).unwrap(), 7);
    /// ```
    pub fn wait_deadline(&mut self, deadline: Instant) -> Result<Settled<K, T>, Error> {
        self.watch().block(Some(deadline))
    }
}
