//! [`AsyncStd`]: async-std's global executor, as the core sees it.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use oneflight_core::rt::{Spawn, SpawnBlocking, Timer};

/// async-std's global executor and its blocking pool.
///
/// ```
/// use oneflight_async_std::AsyncStd;
/// use oneflight_core::Group;
///
/// let group: Group<&str, u64> = Group::new();
/// let charge = group.entry("charge:42").spawn_on(&AsyncStd, || async { 1999 });
/// assert_eq!(*async_std::task::block_on(charge).unwrap(), 1999);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

/// A pause on async-std's reactor. It is boxed, because the type of async-std's pause has no name.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Sleep(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

impl Spawn for AsyncStd {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        // Dropping the handle detaches the task.
        drop(async_std::task::spawn(task));
    }
}

impl SpawnBlocking for AsyncStd {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        drop(async_std::task::spawn_blocking(call));
    }
}

impl Timer for AsyncStd {
    type Sleep = Sleep;

    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep(Box::pin(async_std::task::sleep(duration)))
    }
}
