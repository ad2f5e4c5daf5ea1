//! `work_blocking`: a call on the thread of the caller that begins its flight. Every other caller
//! parks its own thread.

use core::hash::{BuildHasher, Hash};

use equivalent::Equivalent;

use crate::error::Error;
use crate::flight::Settled;
use crate::group::{Begin, Entry, Group, Registry};

impl<K: Hash + Eq, T, S: BuildHasher> Group<K, T, S> {
    /// Runs the call for `key` on this thread, or parks this thread until the flight that is in
    /// progress has ended.
    ///
    /// Only the first caller's `call` is run. A duplicate drops its own call and waits for the
    /// outcome, also if another kind of call began the flight. The call does not have to be `Send`,
    /// and can borrow.
    ///
    /// Use it in programs of threads. In a task, use [`work`](Self::work) or an adapter's
    /// `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// - [`Error::Rejected`] if the call was rejected. A duplicate on a thread that is inside of
    ///   the flight (a pool that runs other jobs while a job waits, such as rayon, can put it
    ///   there) gets [`Rejected::Reentrant`](crate::error::Rejected::Reentrant), because it would
    ///   wait for itself.
    /// - [`Error::Aborted`] if the flight ended without a value. If something else ends the flight
    ///   while the call runs, the call runs to its end, and its value is dropped.
    ///
    /// # Panics
    ///
    /// If the call panics, the values that it holds are dropped first. Then its waiters get
    /// [`Cause::Panicked`](crate::error::Cause::Panicked), and the panic propagates to its caller.
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked until the flight ends. Two calls that wait for each other's keys
    /// deadlock, like two threads that take two locks in opposite order. A call that never returns
    /// keeps its key and its place in [`max_flights`](crate::GroupBuilder::max_flights), and
    /// [`drained`](Self::drained) waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use oneflight_core::Group;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let config = "7".to_string();
    /// std::thread::scope(|scope| {
    ///     for _ in 0..4 {
    ///         let read = || group.work_blocking("config", || config.parse().unwrap());
    ///         scope.spawn(move || assert_eq!(*read().unwrap(), 7));
    ///     }
    /// });
    /// ```
    #[doc(alias = "Do")]
    pub fn work_blocking<F>(&self, key: K, call: F) -> Result<Settled<K, T>, Error>
    where
        F: FnOnce() -> T,
    {
        self.entry(key).work_blocking(call)
    }
}

impl<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Entry<'_, G, Q> {
    /// Runs the call for the key on this thread, or parks this thread until the flight that is in
    /// progress has ended. See [`Group::work_blocking`](crate::Group::work_blocking).
    pub fn work_blocking<F>(self, call: F) -> Result<Settled<G::Key, G::Value>, Error>
    where
        F: FnOnce() -> G::Value,
    {
        let begin = match self.begin_on_thread() {
            (Begin::Primary(primary), ticket) => {
                if let Some(ticket) = ticket {
                    ticket.wait_blocking();
                }
                primary.take_turn()
            }
            (begin, _) => begin,
        };
        match begin {
            Begin::Primary(primary) => {
                let value = primary.guarded(call);
                Ok(primary.settle(value)?)
            }
            Begin::Waiter(waiter) => {
                // It is not needed, and can hold what others wait for.
                drop(call);
                waiter.wait_blocking()
            }
            Begin::Rejected(why) => Err(Error::Rejected(why)),
        }
    }
}
