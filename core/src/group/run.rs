//! [`Run`]: executes for a primary.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::mem;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::error::{Cause, Error};
use crate::flight::reentry::Entered;
use crate::flight::{FlightRef, Settled, loss};
use crate::group::primary::Primary;
use crate::unwind::{Fragile, FragilePin, OnDrop};

pin_project! {
    /// Runs an operation and settles its flight. Returned by [`Primary::run`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the operation and then ends the flight as [`Cause::Dropped`].
    ///
    /// # Deadlocks
    ///
    /// If it is kept, unfinished and not polled, [`Group::drained`](crate::Group::drained) waits
    /// for it.
    ///
    /// # Panics
    ///
    /// Polling it again after it was ready panics, as it does for an `async` block.
    #[must_use = "futures do nothing unless polled or awaited; dropping this one aborts the flight"]
    pub struct Run<K, T, F> {
        // None when it is ready, or when its operation has panicked. While it is pending, it is
        // parked at its flight, whose end can come from outside.
        primary: Option<Primary<K, T>>,
        // After a panic of the operation a later poll gets the outcome from it.
        lost: Option<FlightRef<K, T>>,
        #[pin]
        operation: Option<F>,
    }

    impl<K, T, F> PinnedDrop for Run<K, T, F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let operation = FragilePin(this.operation);
            if let Some(mut primary) = this.primary.take() {
                // It is not woken by its own end. Its waker's drop is the user's, and comes last.
                let _waker = Fragile(primary.unpark());
                primary.lose(loss(), operation);
            }
        }
    }
}

impl<K, T, F> Run<K, T, F> {
    #[inline]
    pub(crate) fn new(primary: Primary<K, T>, operation: F) -> Self {
        Self {
            primary: Some(primary),
            lost: None,
            operation: Some(operation),
        }
    }
}

impl<K, T, F: Future<Output = T>> Future for Run<K, T, F> {
    type Output = Result<Settled<K, T>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(primary) = this.primary.as_mut() else {
            // Its operation has panicked in an earlier poll, or it was ready.
            return match this.lost.take().and_then(|flight| flight.get()) {
                Some(Err(error)) => Poll::Ready(Err(error)),
                _ => panic!("`Run` polled after it was ready"),
            };
        };
        let mut value = None;
        // Its drop is the user's, and comes last: the outcome must not be lost by its panic.
        let mut waker = Fragile(None);
        if !primary.flight().cell.snapshot().ended() {
            waker.0 = primary.unpark();
            let polling = Polling {
                primary: this.primary,
                lost: this.lost,
                operation: this.operation.as_mut(),
            };
            match (polling.poll(cx), this.primary.as_mut()) {
                (Poll::Pending, Some(primary)) => {
                    if park(primary, &mut waker, cx.waker()) {
                        return Poll::Pending;
                    }
                }
                (Poll::Ready(ready), _) => value = Some(ready),
                (Poll::Pending, None) => {}
            }
        }
        let Some(primary) = this.primary.take() else {
            unreachable!("looked at above")
        };
        let outcome = match value {
            // Not by way of a local: it would be written in two halves and moved as one.
            Some(value) if waker.0.is_none() => {
                return Poll::Ready(primary.settle(value).map_err(Error::from));
            }
            Some(value) => primary.settle(value).map_err(Error::from),
            None => {
                // It was ended from outside.
                let aborted = primary.flight().aborted();
                primary.lose(loss(), FragilePin(this.operation));
                Err(Error::Aborted(aborted))
            }
        };
        // Not at the end of the block: if it panicked there, the outcome would be leaked.
        drop(waker);
        Poll::Ready(outcome)
    }
}

/// Parks it, unless the flight has ended. In `parked` is the waker that it was parked with before,
/// and afterwards a waker that is of no use any more.
fn park<K, T>(
    primary: &mut Primary<K, T>,
    parked: &mut Fragile<Box<Waker>>,
    waker: &Waker,
) -> bool {
    let same = parked.0.take_if(|parked| parked.will_wake(waker));
    let own = same.unwrap_or_else(|| {
        // If the clone panics, the end still wakes the task that it was polled by before.
        let stay = OnDrop(|| {
            park_with(primary, parked.0.take());
        });
        let own = Box::new(waker.clone());
        mem::forget(stay);
        own
    });
    park_with(primary, Some(own))
}

/// Returns false if the flight has ended.
fn park_with<K, T>(primary: &mut Primary<K, T>, waker: Option<Box<Waker>>) -> bool {
    let refused = waker.and_then(|waker| primary.park(waker).err());
    Fragile(refused).0.is_none()
}

/// One poll of the operation. If it is left by unwinding, the operation is lost.
struct Polling<'a, K, T, F> {
    primary: &'a mut Option<Primary<K, T>>,
    lost: &'a mut Option<FlightRef<K, T>>,
    operation: Pin<&'a mut Option<F>>,
}

impl<K, T, F: Future<Output = T>> Polling<'_, K, T, F> {
    fn poll(mut self, cx: &mut Context<'_>) -> Poll<T> {
        let operation = self.operation.as_mut().as_pin_mut();
        let (Some(primary), Some(operation)) = (self.primary.as_ref(), operation) else {
            unreachable!("it has a primary until its operation is ready or lost")
        };
        let entered = Entered::new(primary.flight(), Some([cx.waker(); 2]));
        let poll = operation.poll(cx);
        // Not at the end of a block: if a subscriber panicked there, the value would be leaked.
        drop(entered);
        mem::forget(self);
        poll
    }
}

impl<K, T, F> Drop for Polling<'_, K, T, F> {
    fn drop(&mut self) {
        if let Some(primary) = self.primary.take() {
            *self.lost = Some(primary.flight().clone());
            primary.lose(Cause::Panicked, FragilePin(self.operation.as_mut()));
        }
    }
}

impl<K, T, F: UnwindSafe> UnwindSafe for Run<K, T, F> {}
impl<K, T, F: RefUnwindSafe> RefUnwindSafe for Run<K, T, F> {}

impl<K, T, F> fmt::Debug for Run<K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("primary", &self.primary)
            .finish_non_exhaustive()
    }
}
