//! [`Smol`]: smol's global executor, as the core sees it.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use oneflight_core::rt::Runtime;

/// smol's global executor and its blocking pool.
///
/// ```
/// use oneflight_core::Group;
/// use oneflight_smol::Smol;
///
/// let group: Group<&str, u64> = Group::new();
/// let charge = group.spawn_on(&Smol, "charge:42", || async { 1999 });
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

impl Runtime for Smol {
    type Sleep = Sleep;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        smol::spawn(task).detach();
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep(smol::Timer::after(duration))
    }

    fn unblock<F: FnOnce() + Send + 'static>(&self, call: F) {
        smol::unblock(call).detach();
    }
}
