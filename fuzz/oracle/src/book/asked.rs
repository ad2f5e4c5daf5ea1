//! What the checks ask of the book: it changes nothing.

use std::collections::BTreeSet;

use super::{Book, Flight, Outcome};

impl Book {
    /// The flight in progress under the key.
    pub(crate) fn in_flight(&self, key: u8) -> Option<&Flight> {
        let flight = &self.flights[self.find(key)?];
        flight.outcome.is_none().then_some(flight)
    }

    /// The value retained under the key.
    pub(crate) fn peek(&self, key: u8) -> Option<u64> {
        match self.flights[self.find(key)?].outcome {
            Some(Outcome::Settled(value)) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn open(&self) -> &BTreeSet<usize> {
        &self.open
    }

    /// How many have ended while their guard or operation is still there.
    pub(crate) fn ending(&self) -> usize {
        self.aloft.difference(&self.open).count()
    }

    /// Outcomes that are retained and given out.
    pub(crate) fn retained(&self) -> usize {
        self.retained.len()
    }

    /// Flights of which something is still there: held by a caller, by the registry, or ended and not let go.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &Flight> {
        let kept = |number: &usize| {
            self.open.contains(number)
                || self.aloft.contains(number)
                || self.retained.contains(number)
        };
        let flights = self.flights.iter().enumerate();
        flights
            .filter(move |(number, flight)| flight.handles > 0 || kept(number))
            .map(|(_, flight)| flight)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.open
            .iter()
            .map(|flight| self.flights[*flight].waiting)
            .sum()
    }
}
