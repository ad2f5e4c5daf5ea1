//! Waiting for a state, and tasks that give something back.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_lite::future::{or, pending};
use tokio::sync::oneshot;

use crate::watchdog::LIMIT;

/// Yields, to the executor and to the other threads, until `condition` holds.
#[track_caller]
pub fn until<C: FnMut() -> bool>(condition: C) -> Until<C> {
    Until {
        condition,
        caller: Location::caller(),
        since: Instant::now(),
    }
}

/// From [`until`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Until<C> {
    condition: C,
    caller: &'static Location<'static>,
    since: Instant,
}

impl<C> Unpin for Until<C> {}

impl<C: FnMut() -> bool> Future for Until<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if (self.condition)() {
            return Poll::Ready(());
        }
        // Before the watchdog, which knows only the test and not the line.
        if self.since.elapsed() > LIMIT * 9 / 10 {
            panic!("never came true: the condition at {}", self.caller);
        }
        std::thread::yield_now();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The output of a task. Dropping it lets the task run on.
#[derive(Debug)]
pub struct Task<T>(oneshot::Receiver<T>);

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|output| output.expect("the task was lost before its end"))
    }
}

/// Drops a task's future, on the task's own executor. Dropping this does nothing.
#[derive(Debug)]
pub struct Cancel(oneshot::Sender<()>);

impl Cancel {
    /// The future is dropped without being polled again.
    pub fn cancel(self) {
        self.0.send(()).ok();
    }
}

/// A future to spawn, and where its output comes.
pub(crate) fn reporting<F: Future>(future: F) -> (impl Future<Output = ()>, Task<F::Output>) {
    let (sender, receiver) = oneshot::channel();
    let task = async move {
        let output = future.await;
        sender.send(output).ok();
    };
    (task, Task(receiver))
}

/// The same, with a way to drop the future. `None` says that it was.
pub(crate) fn cancellable<F: Future>(
    future: F,
) -> (impl Future<Output = Option<F::Output>>, Cancel) {
    let (sender, receiver) = oneshot::channel();
    let cancelled = async move {
        if receiver.await.is_err() {
            pending::<()>().await;
        }
        None
    };
    // In this order: a cancelled future is not polled once more.
    let task = or(cancelled, async move { Some(future.await) });
    (task, Cancel(sender))
}
