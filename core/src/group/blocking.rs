//! Threads that wait for a flight by parking.

use std::time::Instant;

use crate::error::Error;
use crate::flight::Settled;
use crate::group::waiter::Waiter;

impl<K, T> Waiter<K, T> {
    /// Waits by parking the calling thread.
    ///
    /// Threads and tasks may wait on the same flight.
    ///
    /// # Errors
    ///
    /// [`Error::Aborted`] when the flight ends without a value.
    ///
    /// # Deadlocks
    ///
    /// The thread is gone until the flight ends. On a thread that an executor or the primary needs,
    /// this is the mistake this crate exists to avoid: `await` the waiter there.
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

    /// Waits by parking the calling thread, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when the time is up: the flight goes on, the waiter keeps its place
    /// and may wait again, in any way. [`Error::Aborted`] when the flight ends without a
    /// value.
    ///
    /// # Deadlocks
    ///
    /// As [`wait_blocking`](Self::wait_blocking), until the deadline. In a task, use the adapter's
    /// `timeout`.
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
