//! The calls that need tokio: [`EntryExt`] and [`GroupExt`] run operations, [`HandleExt`] waits for
//! a limited time.

use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use oneflight_core::gate::Gate;
use oneflight_core::handle::Spawned;
use oneflight_core::rt::{Timeout, Timer};
use oneflight_core::{Entry, Equivalent, Error, Group, Registry};

use crate::Tokio;

/// Runs operations as tasks of tokio. They run to their end without their callers (`spawn`), or
/// stop with the last caller (`spawn_while_wanted`).
///
/// It is implemented for [`Group`] and [`Gate`]. Its calls are short forms of [`EntryExt`]'s calls
/// on `entry(key)`. The tasks run on the tokio runtime of the calling thread. To use another
/// runtime, call [`Entry::spawn_on`] with a [`Tokio`] of its handle.
///
/// ```
/// use oneflight_tokio::GroupExt;
/// use oneflight_core::{Group, SettleCell};
///
/// tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
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
    /// Runs the operation as a task, or waits for the one that runs. See [`Entry::spawn_on`].
    ///
    /// # Panics
    ///
    /// Panics if the thread is not inside a tokio runtime, like `tokio::spawn`. In that case no
    /// flight was begun.
    fn spawn<M, F>(&self, key: K, make: M) -> Spawned<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static;

    /// Runs the call on the blocking pool, or waits for the one that runs. See
    /// [`Entry::spawn_blocking_on`].
    ///
    /// # Panics
    ///
    /// Panics if the thread is not inside a tokio runtime, like `tokio::spawn`. In that case no
    /// flight was begun.
    fn spawn_blocking<F>(&self, key: K, call: F) -> Spawned<K, T>
    where
        F: FnOnce() -> T + Send + 'static;

    /// Runs the operation as a task for as long as a caller wants it, or waits for the one that
    /// runs. See [`Entry::spawn_while_wanted_on`].
    ///
    /// # Panics
    ///
    /// Panics if the thread is not inside a tokio runtime, like `tokio::spawn`. In that case no
    /// flight was begun.
    #[must_use = "when the last caller is dropped, so is the operation"]
    fn spawn_while_wanted<M, F>(&self, key: K, make: M) -> Spawned<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static;
}

impl<K, T, S> GroupExt<K, T> for Group<K, T, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    S: BuildHasher,
{
    #[track_caller]
    fn spawn<M, F>(&self, key: K, make: M) -> Spawned<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.entry(key).spawn(make)
    }

    #[track_caller]
    fn spawn_blocking<F>(&self, key: K, call: F) -> Spawned<K, T>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.entry(key).spawn_blocking(call)
    }

    fn spawn_while_wanted<M, F>(&self, key: K, make: M) -> Spawned<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.entry(key).spawn_while_wanted(make)
    }
}

impl<K, T> GroupExt<Option<K>, T> for Gate<K, T>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    #[track_caller]
    fn spawn<M, F>(&self, key: Option<K>, make: M) -> Spawned<Option<K>, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.entry(key).spawn(make)
    }

    #[track_caller]
    fn spawn_blocking<F>(&self, key: Option<K>, call: F) -> Spawned<Option<K>, T>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.entry(key).spawn_blocking(call)
    }

    fn spawn_while_wanted<M, F>(&self, key: Option<K>, make: M) -> Spawned<Option<K>, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.entry(key).spawn_while_wanted(make)
    }
}

/// Runs operations as tasks of tokio, for a call with more than a key: a borrowed key, a
/// fingerprint.
///
/// ```
/// use oneflight_tokio::EntryExt;
/// use oneflight_core::error::Rejected;
/// use oneflight_core::{Error, Fingerprint, Group, SettleCell};
///
/// tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
///     let group: Group<String, u64> = Group::new();
///     let entry = |body: &[u8]| group.entry_ref("42").fingerprint(Fingerprint::of_bytes(body));
///     static BANK: SettleCell<u64> = SettleCell::new();
///     let charge = entry(b"amount=1999").spawn(|| async { *BANK.wait().await });
///     let other = entry(b"amount=2000").spawn(|| async { unreachable!("never made") });
///     assert_eq!(other.await.unwrap_err(), Error::Rejected(Rejected::Mismatch));
///     BANK.settle(1999).unwrap();
///     assert_eq!(*charge.await.unwrap(), 1999);
/// });
/// ```
pub trait EntryExt<K, T>: Sized {
    /// Runs the operation as a task, or waits for the one that runs. See [`Entry::spawn_on`].
    ///
    /// # Panics
    ///
    /// Panics if the thread is not inside a tokio runtime, like `tokio::spawn`. In that case no
    /// flight was begun.
    fn spawn<M, F>(self, make: M) -> Spawned<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static;

    /// Runs the call on the blocking pool, or waits for the one that runs. See
    /// [`Entry::spawn_blocking_on`].
    ///
    /// # Panics
    ///
    /// Panics if the thread is not inside a tokio runtime, like `tokio::spawn`. In that case no
    /// flight was begun.
    fn spawn_blocking<F>(self, call: F) -> Spawned<K, T>
    where
        F: FnOnce() -> T + Send + 'static;

    /// Runs the operation as a task for as long as a caller wants it, or waits for the one that
    /// runs. See [`Entry::spawn_while_wanted_on`].
    ///
    /// # Panics
    ///
    /// Panics if the thread is not inside a tokio runtime, like `tokio::spawn`. In that case no
    /// flight was begun.
    #[must_use = "when the last caller is dropped, so is the operation"]
    fn spawn_while_wanted<M, F>(self, make: M) -> Spawned<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static;
}

impl<K, T, G, Q> EntryExt<K, T> for Entry<'_, G, Q>
where
    G: Registry<Key = K, Value = T>,
    Q: Hash + Equivalent<K> + ?Sized,
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    #[track_caller]
    fn spawn<M, F>(self, make: M) -> Spawned<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.spawn_on(&Tokio::current(), make)
    }

    #[track_caller]
    fn spawn_blocking<F>(self, call: F) -> Spawned<K, T>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        self.spawn_blocking_on(&Tokio::current(), call)
    }

    fn spawn_while_wanted<M, F>(self, make: M) -> Spawned<K, T>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.spawn_while_wanted_on(&Tokio::current(), make)
    }
}

/// Waits for a limited time, on tokio's clock.
///
/// It is implemented for every future that a call returns, if the future is `Unpin` or pinned.
///
/// ```
/// use oneflight_tokio::HandleExt;
/// use oneflight_core::{Begin, Error, Group};
/// use std::time::Duration;
///
/// tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
///     let group: Group<&str, u64> = Group::new();
///     let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
///     let Begin::Waiter(mut waiter) = group.begin("k") else { unreachable!() };
///     let early = waiter.wait_timeout(Duration::from_millis(1)).await;
///     assert_eq!(early.unwrap_err(), Error::TimedOut);
///     // That left the flight as it was, and the waiter can wait again.
///     primary.settle(7).unwrap();
///     assert_eq!(*waiter.wait_timeout(Duration::from_secs(1)).await.unwrap(), 7);
/// });
/// ```
#[doc(alias = "timeout")]
pub trait HandleExt: Future {
    /// Waits for the outcome, for at most `duration`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TimedOut`] if the time is up first. The handle keeps its place and can wait
    /// again. The flight continues, unless this call drives it (a `work`, a `try_work` or a `run`):
    /// then drop the handle if you do not wait again. All other errors are the handle's own.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the handle as it was.
    ///
    /// # Panics
    ///
    /// Panics if the thread is not inside a tokio runtime, or if the runtime has no timer, like
    /// `tokio::time::sleep`.
    fn wait_timeout(&mut self, duration: Duration) -> Timeout<'_, Self, <Tokio as Timer>::Sleep>;
}

impl<O, E: From<Error>, H> HandleExt for H
where
    H: Future<Output = Result<O, E>> + Unpin + ?Sized,
{
    #[track_caller]
    fn wait_timeout(&mut self, duration: Duration) -> Timeout<'_, Self, <Tokio as Timer>::Sleep> {
        Timeout::new(self, Tokio::current().sleep(duration))
    }
}
