//! [`Watch`]: a place from which the end of a flight is watched. A waiter is a watch that is counted.

use core::task::{Context, Poll};

use crate::error::Aborted;
use crate::flight::Flight;
use crate::settled::Settled;
use crate::slab::Seat;
use crate::sync::Arc;

pub(crate) struct Watch<K, T> {
    flight: Arc<Flight<K, T>>,
    seat: Seat,
}

impl<K, T> Watch<K, T> {
    #[inline]
    pub(crate) fn new(flight: Arc<Flight<K, T>>) -> Self {
        Self {
            flight,
            seat: Seat::NONE,
        }
    }

    #[inline]
    pub(crate) fn flight(&self) -> &Arc<Flight<K, T>> {
        &self.flight
    }

    pub(crate) fn get(&self) -> Option<Result<Settled<K, T>, Aborted>> {
        Flight::get(&self.flight)
    }

    /// Ready with the outcome, at every poll after the end; otherwise parked.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Settled<K, T>, Aborted>> {
        let Poll::Ready(word) = self.flight.cell.poll_end(&mut self.seat, cx) else {
            return Poll::Pending;
        };
        if !self.seat.taken() || word.is_drained() {
            // No waker of this one is left anywhere, so its drop owes nothing and takes no lock.
            self.seat = Seat::DONE;
        }
        Poll::Ready(Flight::outcome(&self.flight, word))
    }

    /// It has its outcome and owes nothing.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.seat == Seat::DONE
    }

    /// For one that was never polled: it owes nothing any more.
    pub(crate) fn settle_accounts(&mut self) {
        self.seat = Seat::DONE;
    }
}

impl<K, T> Drop for Watch<K, T> {
    #[inline]
    fn drop(&mut self) {
        self.flight.cell.unseat(&mut self.seat);
    }
}
