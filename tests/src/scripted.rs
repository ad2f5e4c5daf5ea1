//! An operation that does what the case tells it: for `work`, where it matters who polls and when.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// An operation, and what it is told through.
pub fn scripted() -> (Remote, Scripted) {
    let shared = Arc::new(Shared::default());
    let operation = Scripted {
        shared: shared.clone(),
        steps: 0,
    };
    (Remote(shared), operation)
}

#[derive(Debug, Default)]
struct Shared {
    polls: AtomicUsize,
    busy: AtomicBool,
    finished: AtomicBool,
    panics: AtomicBool,
    dropped: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Shared {
    fn swap_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        mem::replace(&mut self.waker.lock().expect("never poisoned"), waker)
    }
}

/// Pending until it is told otherwise; its output is the number of its polls, counted in itself: an operation that was
/// made anew would have another one.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Scripted {
    shared: Arc<Shared>,
    steps: usize,
}

impl Future for Scripted {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        self.steps += 1;
        let shared = &self.shared;
        assert!(
            !shared.busy.swap(true, Ordering::SeqCst),
            "polled by two at once"
        );
        drop(shared.swap_waker(Some(cx.waker().clone())));
        let finished = shared.finished.load(Ordering::SeqCst);
        let panics = shared.panics.load(Ordering::SeqCst);
        shared.busy.store(false, Ordering::SeqCst);
        // Last: what it is told by one who has seen the count concerns its next poll.
        shared.polls.fetch_add(1, Ordering::SeqCst);
        if panics {
            crate::quiet_panic();
        }
        if finished {
            Poll::Ready(self.steps)
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.dropped.store(true, Ordering::SeqCst);
    }
}

/// Tells the operation what to do.
#[derive(Clone, Debug)]
pub struct Remote(Arc<Shared>);

impl Remote {
    /// How often it was polled.
    pub fn polls(&self) -> usize {
        self.0.polls.load(Ordering::SeqCst)
    }

    /// Whether it is gone, finished or not.
    pub fn dropped(&self) -> bool {
        self.0.dropped.load(Ordering::SeqCst)
    }

    /// The waker of its last poll, if it was not taken since.
    pub fn take_waker(&self) -> Option<Waker> {
        self.0.swap_waker(None)
    }

    /// Makes progress: wakes with the waker of its last poll. It stays pending.
    #[track_caller]
    pub fn wake(&self) {
        let waker = self.0.swap_waker(None);
        waker.expect("polled since its last wake").wake();
    }

    /// Lets it be ready at its next poll, and asks for that poll.
    pub fn finish(&self) {
        self.0.finished.store(true, Ordering::SeqCst);
        if let Some(waker) = self.0.swap_waker(None) {
            waker.wake();
        }
    }

    /// Lets it panic at its next poll, and asks for that poll.
    pub fn panic(&self) {
        self.0.panics.store(true, Ordering::SeqCst);
        if let Some(waker) = self.0.swap_waker(None) {
            waker.wake();
        }
    }
}
