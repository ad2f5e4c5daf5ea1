//! Who was polled, who was woken, whose waker is still kept.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use pin_project_lite::pin_project;

/// A waker that counts its wakes and the clones of it that are still alive.
#[derive(Debug)]
pub struct CountingWaker {
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl CountingWaker {
    /// Not woken yet, and not kept by anybody.
    pub fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        Self { bell, waker }
    }

    /// To poll with.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// How often it was woken.
    pub fn wakes(&self) -> usize {
        self.bell.0.load(Ordering::SeqCst)
    }

    /// How many clones were made and not dropped.
    pub fn kept(&self) -> usize {
        Arc::strong_count(&self.bell) - 2
    }
}

impl Default for CountingWaker {
    fn default() -> Self {
        Self::new()
    }
}

/// What happened to a [`Counted`] future.
#[derive(Debug, Default)]
pub struct Counts {
    polls: AtomicUsize,
    wakes: AtomicUsize,
}

impl Counts {
    /// How many polls of it have returned.
    pub fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }

    /// How often the wakers it was polled with were woken.
    pub fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}

pin_project! {
    /// Counts the polls and the wakes of a future on whatever executor runs it.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Counted<F> {
        #[pin]
        future: F,
        counts: Arc<Counts>,
        // The waker of the last poll, and the one that counts for it: the same one as long as the executor's is.
        wakers: Option<(Waker, Waker)>,
    }
}

impl<F> Counted<F> {
    /// The future, and its counts.
    pub fn new(future: F) -> (Self, Arc<Counts>) {
        let counts = Arc::new(Counts::default());
        let counted = Self {
            future,
            counts: counts.clone(),
            wakers: None,
        };
        (counted, counts)
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let counting = match this.wakers {
            Some((last, counting)) if last.will_wake(cx.waker()) => counting,
            wakers => {
                let relay = Arc::new(Relay {
                    counts: this.counts.clone(),
                    to: cx.waker().clone(),
                });
                &mut wakers.insert((cx.waker().clone(), Waker::from(relay))).1
            }
        };
        let poll = this.future.poll(&mut Context::from_waker(counting));
        // Afterwards: who sees the count knows that the future has parked, or has its outcome.
        this.counts.polls.fetch_add(1, Ordering::SeqCst);
        poll
    }
}

struct Relay {
    counts: Arc<Counts>,
    to: Waker,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.counts.wakes.fetch_add(1, Ordering::SeqCst);
        self.to.wake_by_ref();
    }
}
