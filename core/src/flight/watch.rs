//! [`Watch`]: a place from which the end of a flight is watched. A waiter is a watch that is
//! counted.

use core::task::{Context, Poll};

use crate::cell::Place;
use crate::error::Error;
use crate::flight::{Flight, Settled};
use crate::sync::Arc;

pub(crate) struct Watch<K, T> {
    flight: Arc<Flight<K, T>>,
    place: Place,
}

impl<K, T> Watch<K, T> {
    pub(crate) fn new(flight: Arc<Flight<K, T>>) -> Self {
        Self {
            flight,
            place: Place::NONE,
        }
    }

    pub(crate) fn flight(&self) -> &Arc<Flight<K, T>> {
        &self.flight
    }

    pub(crate) fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        Flight::get(&self.flight)
    }

    /// Ready with the outcome, at every poll after the end; otherwise parked.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Settled<K, T>, Error>> {
        let Poll::Ready(state) = self.flight.cell.poll_end(&mut self.place, cx) else {
            return Poll::Pending;
        };
        if !self.place.is_taken() || state.is_told() {
            // No waker of this watch is left anywhere, so its drop takes no lock.
            self.place = Place::DONE;
        }
        Poll::Ready(Flight::outcome(&self.flight, state))
    }

    /// Whether it has its outcome, and its drop has nothing to do.
    pub(crate) fn is_done(&self) -> bool {
        self.place == Place::DONE
    }

    /// For one that was never polled: its drop has nothing to do any more.
    pub(crate) fn set_done(&mut self) {
        self.place = Place::DONE;
    }
}

impl<K, T> Drop for Watch<K, T> {
    #[inline]
    fn drop(&mut self) {
        self.flight.cell.vacate(&mut self.place);
    }
}
