//! The operation that every contender runs: it waits until the harness opens the gate, then gives its value.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// One gate for the whole process: a workload settles its flights by opening it and polling their primaries, so that no
/// contender pays for a channel to its operation.
static OPEN: AtomicBool = AtomicBool::new(false);
static WAKING: AtomicBool = AtomicBool::new(false);
static PARKED: Mutex<Vec<Waker>> = Mutex::new(Vec::new());
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// Operations stay pending from here on. With `waking`, for contenders that poll an operation only when it asked for it, they
/// keep their wakers; the others do not pay for that.
#[inline(always)]
pub fn shut(waking: bool) {
    // Plain stores: this is inside some timed parts.
    OPEN.store(false, Ordering::Release);
    WAKING.store(waking, Ordering::Release);
    if waking {
        PARKED.lock().clear();
    }
}

/// Operations are ready at their next poll. Those that keep wakers wake them.
#[inline(always)]
pub fn open() {
    OPEN.store(true, Ordering::Release);
    if WAKING.load(Ordering::Relaxed) {
        wake();
    }
}

#[inline(never)]
fn wake() {
    let parked = std::mem::take(&mut *PARKED.lock());
    for waker in parked {
        waker.wake();
    }
}

/// How many operations have given their value so far, on one thread.
pub fn runs() -> usize {
    RUNS.load(Ordering::SeqCst)
}

/// An operation behind the gate.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Op<V> {
    value: Option<V>,
}

impl<V> Op<V> {
    /// That will give `value`.
    pub fn new(value: V) -> Self {
        Self { value: Some(value) }
    }
}

impl<V: Unpin> Future for Op<V> {
    type Output = V;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<V> {
        if !OPEN.load(Ordering::Acquire) {
            if WAKING.load(Ordering::Relaxed) {
                PARKED.lock().push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        // No read-modify-write, which would cost more than the rest of the operation.
        RUNS.store(RUNS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Poll::Ready(
            self.value
                .take()
                .expect("an operation is not polled after its value"),
        )
    }
}

/// There is one gate for the whole process, and tests run side by side: each that uses it holds this.
#[cfg(test)]
pub fn alone() -> parking_lot::MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}
