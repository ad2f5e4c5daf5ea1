//! [`Wait`]: the future of a [`SettleCell`].

use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::cell::SettleCell;
use crate::slab::Seat;

/// Waits for a [`SettleCell`] to be settled. From [`SettleCell::wait`].
///
/// Not polled again until the value is there. Polling it after that is ready again.
///
/// # Cancel safety
///
/// Dropping it, at any point, loses nothing: its waker is taken back, and nobody else notices.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Wait<'a, T> {
    cell: &'a SettleCell<T>,
    seat: Seat,
}

impl<'a, T> Wait<'a, T> {
    pub(crate) fn new(cell: &'a SettleCell<T>) -> Self {
        Self {
            cell,
            seat: Seat::NONE,
        }
    }
}

impl<'a, T> Future for Wait<'a, T> {
    type Output = &'a T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'a T> {
        let this = &mut *self;
        match this.cell.poll_end(&mut this.seat, cx) {
            Poll::Ready(_) => match this.cell.get() {
                Some(value) => Poll::Ready(value),
                None => unreachable!("a cell on its own ends only by a settle"),
            },
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        self.cell.unseat(&mut self.seat);
    }
}

impl<T> UnwindSafe for Wait<'_, T> {}
impl<T> RefUnwindSafe for Wait<'_, T> {}

impl<T> fmt::Debug for Wait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("parked", &self.seat.taken())
            .finish_non_exhaustive()
    }
}
