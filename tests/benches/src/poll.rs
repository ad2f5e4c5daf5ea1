//! Polling by hand, where an executor would only be in the way.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// The outcome of a future that never has to wait.
#[inline(always)]
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it had to wait"),
    }
}

/// The outcome of a future that seldom has to wait, for another thread or for a lock.
#[inline(always)]
pub fn ready_or_later<F: Future>(future: F, cx: &mut Context<'_>) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(cx) {
        Poll::Ready(output) => output,
        Poll::Pending => futures_lite::future::block_on(future),
    }
}

/// Polls what must be pending.
#[inline(always)]
pub fn park<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) {
    assert!(future.poll(cx).is_pending(), "it did not wait");
}

/// Polls what must be ready.
#[inline(always)]
pub fn finish<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> F::Output {
    match future.poll(cx) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it was not resumed"),
    }
}

/// A waker that costs what every executor's costs, a reference count up and down, and does nothing.
pub fn counted() -> Waker {
    Waker::from(Arc::new(Quiet))
}

struct Quiet;

impl Wake for Quiet {
    fn wake(self: Arc<Self>) {}
    fn wake_by_ref(self: &Arc<Self>) {}
}

/// Counts how often it was woken.
#[derive(Debug, Default)]
pub struct Bell(AtomicUsize);

impl Bell {
    /// How often.
    pub fn rings(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
