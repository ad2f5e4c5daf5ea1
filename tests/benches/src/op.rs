//! The operations that every contender runs: they wait until the harness opens the gate, and then give their value. The waker
//! that an operation is polled with is cloned unless it would wake the one that is held already, and opening the gate wakes it:
//! both are the operation's own cost, and in the time of every contender.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use futures::task::AtomicWaker;

thread_local! {
    static OPEN: Cell<bool> = const { Cell::new(false) };
    static HELD: Cell<Option<Waker>> = const { Cell::new(None) };
    static RUNS: Cell<usize> = const { Cell::new(0) };
}

/// Operations stay pending from here on.
#[inline(always)]
pub fn shut() {
    OPEN.set(false);
    drop(HELD.take());
}

/// Operations are ready at their next poll, and the last one that was pending is woken.
#[inline(always)]
pub fn open() {
    OPEN.set(true);
    if let Some(waker) = HELD.take() {
        waker.wake();
    }
}

/// How many operations have given their value so far, on this thread.
pub fn runs() -> usize {
    RUNS.get()
}

/// An operation behind the gate of this thread. For one flight at a time, or for contenders that need no wake.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Op<V>(Option<V>);

impl<V> Op<V> {
    /// One that will give `value`.
    pub fn new(value: V) -> Self {
        Self(Some(value))
    }

    /// The operation of a duplicate, which nobody polls.
    pub fn never() -> Self {
        Self(None)
    }
}

impl<V: Unpin> Future for Op<V> {
    type Output = V;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<V> {
        if !OPEN.get() {
            let held = HELD.take();
            let held = held.filter(|held| held.will_wake(cx.waker()));
            HELD.set(Some(held.unwrap_or_else(|| cx.waker().clone())));
            return Poll::Pending;
        }
        RUNS.set(RUNS.get() + 1);
        Poll::Ready(self.0.take().expect("polled once after the gate is open"))
    }
}

static OPEN_FOR_ALL: AtomicBool = AtomicBool::new(false);
static HELD_FOR_ALL: AtomicWaker = AtomicWaker::new();

/// The same gate for operations that executors move between threads; one flight at a time.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct TaskOp<V>(Option<V>);

impl<V> TaskOp<V> {
    /// One that will give `value`. It stays pending from here on.
    pub fn shut(value: V) -> Self {
        drop(HELD_FOR_ALL.take());
        OPEN_FOR_ALL.store(false, Ordering::SeqCst);
        Self(Some(value))
    }
}

/// It is ready at its next poll, and woken.
pub fn open_for_all() {
    OPEN_FOR_ALL.store(true, Ordering::SeqCst);
    HELD_FOR_ALL.wake();
}

impl<V: Unpin> Future for TaskOp<V> {
    type Output = V;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<V> {
        HELD_FOR_ALL.register(cx.waker());
        if !OPEN_FOR_ALL.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Poll::Ready(self.0.take().expect("polled once after the gate is open"))
    }
}

/// Threads share a gate and counts, and tests run side by side: each that uses them holds this.
#[cfg(test)]
pub fn alone() -> parking_lot::MutexGuard<'static, ()> {
    static ALONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    ALONE.lock()
}
