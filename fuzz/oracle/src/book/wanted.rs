//! Flights that were given to a runtime, and those that end when nobody wants them.

use oneflight_core::error::Cause;

use super::{Book, Outcome};

impl Book {
    /// A new flight is a task of a runtime.
    pub(crate) fn spawned(&mut self, flight: usize, while_wanted: bool) {
        let flight = &mut self.flights[flight];
        flight.unbegun = true;
        flight.wanted = while_wanted;
        flight.owned = while_wanted;
    }

    /// The task has called what is its caller's.
    pub(crate) fn begins(&mut self, flight: usize) {
        self.flights[flight].unbegun = false;
    }

    /// A `spawn` has joined it.
    pub(crate) fn keep(&mut self, flight: usize) {
        self.flights[flight].wanted = false;
    }

    /// The call that began it leaves.
    pub(crate) fn disown(&mut self, flight: usize) {
        self.flights[flight].owned = false;
        self.end_if_unwanted(flight);
    }

    /// Its task is still there.
    pub(super) fn end_if_unwanted(&mut self, number: usize) {
        let flight = &self.flights[number];
        let open = flight.outcome.is_none();
        if open && flight.wanted && !flight.owned && flight.waiting == 0 {
            self.end(number, Outcome::Aborted(Cause::Dropped));
        }
    }
}
