//! [`Smol`]: smol's global executor, as the core sees it.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use oneflight_core::rt::{Spawn, SpawnBlocking, Timer};

/// smol's global executor and its blocking pool.
///
/// ```
/// use oneflight_core::Group;
/// use oneflight_smol::Smol;
///
/// let group: Group<&str, u64> = Group::new();
/// let charge = group.entry("charge:42").spawn_on(&Smol, || async { 1999 });
/// assert_eq!(*smol::block_on(charge).unwrap(), 1999);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

/// A pause on smol's reactor.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Sleep(smol::Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_when| ())
    }
}

impl Spawn for Smol {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        smol::spawn(task).detach();
    }
}

impl SpawnBlocking for Smol {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        smol::unblock(call).detach();
    }
}

impl Timer for Smol {
    type Sleep = Sleep;

    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep(smol::Timer::after(duration))
    }
}
