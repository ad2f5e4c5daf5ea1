//! The calls that need async-std: [`GroupExt`] for groups, [`WaiterExt`] for waiters.

use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use oneflight_core::rt::{Runtime, Timeout};
use oneflight_core::{Detached, Fingerprinted, Group, Waiter};

use crate::AsyncStd;

/// Policy *Detach* on async-std: the operation belongs to the runtime and outlives every caller.
///
/// ```
/// use oneflight_async_std::GroupExt;
/// use oneflight_core::{Group, SettleCell};
///
/// async_std::task::block_on(async {
///     let group: Group<&str, u64> = Group::new();
///     static BANK: SettleCell<u64> = SettleCell::new();
///     let charge = group.spawn("charge:42", || async { *BANK.wait().await });
///     // While that runs:
///     let retry = group.spawn("charge:42", || async { unreachable!("never made") });
///     BANK.settle(1999).unwrap();
///     assert_eq!((*charge.await.unwrap(), *retry.await.unwrap()), (1999, 1999));
///
///     // A blocking call, on the runtime's own blocking pool. Its duplicates never enter the pool.
///     let read = || std::fs::read("Cargo.toml").unwrap().len() as u64;
///     let file = group.spawn_blocking("file", read);
///     assert!(*file.await.unwrap() > 0);
/// });
/// ```
pub trait GroupExt<K, T> {
    /// Runs the operation as a task, or waits for the one that runs. See [`Group::spawn_on`].
    fn spawn<M, F>(&self, key: K, make: M) -> Detached<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static;

    /// Runs the call on the blocking pool, or waits for the one that runs. See
    /// [`Group::spawn_blocking_on`].
    fn spawn_blocking<F>(&self, key: K, call: F) -> Detached<K, T>
    where
        F: FnOnce() -> T + Send + 'static;
}

impl<K, T, S> GroupExt<K, T> for Group<K, T, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    S: BuildHasher,
{
    fn spawn<M, F>(&self, key: K, make: M) -> Detached<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.spawn_on(&AsyncStd, key, make)
    }

    fn spawn_blocking<F>(&self, key: K, call: F) -> Detached<K, T>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.spawn_blocking_on(&AsyncStd, key, call)
    }
}

/// The same, for a payload with a [`Fingerprint`](oneflight_core::Fingerprint).
impl<K, T, S> GroupExt<K, T> for Fingerprinted<'_, Group<K, T, S>>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    S: BuildHasher,
{
    fn spawn<M, F>(&self, key: K, make: M) -> Detached<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.spawn_on(&AsyncStd, key, make)
    }

    fn spawn_blocking<F>(&self, key: K, call: F) -> Detached<K, T>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.spawn_blocking_on(&AsyncStd, key, call)
    }
}

/// Waiting for a while, on async-std's clock.
///
/// ```
/// use oneflight_async_std::WaiterExt;
/// use oneflight_core::{Begin, Group, WaitError};
/// use std::time::Duration;
///
/// async_std::task::block_on(async {
///     let group: Group<&str, u64> = Group::new();
///     let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
///     let Begin::Waiter(mut waiter) = group.begin("k") else { unreachable!() };
///     let early = waiter.timeout(Duration::from_millis(1)).await;
///     assert_eq!(early.unwrap_err(), WaitError::TimedOut);
///     // Giving up touched nobody, and the waiter may wait again.
///     primary.settle(7).unwrap();
///     assert_eq!(*waiter.timeout(Duration::from_secs(1)).await.unwrap(), 7);
/// });
/// ```
pub trait WaiterExt<K, T> {
    /// Waits for the outcome, for `duration` at the most.
    ///
    /// # Errors
    ///
    /// [`WaitError::TimedOut`](oneflight_core::WaitError::TimedOut) when the time is up first: the
    /// flight goes on and the waiter keeps its place.
    /// [`WaitError::Aborted`](oneflight_core::WaitError::Aborted) when the flight ends
    /// without a value.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the waiter as it was.
    fn timeout(&mut self, duration: Duration) -> Timeout<'_, K, T, <AsyncStd as Runtime>::Sleep>;
}

impl<K, T> WaiterExt<K, T> for Waiter<K, T> {
    fn timeout(&mut self, duration: Duration) -> Timeout<'_, K, T, <AsyncStd as Runtime>::Sleep> {
        let sleep = AsyncStd.sleep(duration);
        Timeout::new(self, sleep)
    }
}
