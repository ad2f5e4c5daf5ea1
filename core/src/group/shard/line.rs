//! A gate's line: which flight holds the gate, and which ones wait for it. It is all that a
//! [`Gate`](crate::gate::Gate) needs from a shard.
//!
//! Taking the gate, or a place in the line, is part of registering the token: one critical section.
//!
//! # Invariants
//! 1. The holder is the flight that was let in last, until it is over: a flight that was ended from
//!    outside holds the gate as long as its operation or guard is here (`end`).
//! 2. The queue is in the order of flight ids, which is the order of arrival.

use alloc::collections::BTreeMap;
use core::task::{Context, Poll};

use crate::cell::{Place, SettleCell};
use crate::flight::{Flight, FlightId};
use crate::group::shard::table::Table;
use crate::group::shard::{Shard, random_id};
use crate::sync::Arc;

pub(super) struct Line<K, T> {
    holder: Option<Arc<Flight<K, T>>>,
    queue: BTreeMap<FlightId, (Arc<Flight<K, T>>, Signal)>,
}

/// Settled when it is the turn of a queued flight.
pub(super) type Signal = Arc<SettleCell<()>>;

/// What a queued caller holds: it waits here for its turn.
pub(crate) struct Ticket {
    signal: Signal,
    place: Place,
}

impl Ticket {
    pub(crate) fn new() -> Self {
        Self {
            signal: Arc::new(SettleCell::new()),
            place: Place::NONE,
        }
    }

    pub(super) fn signal(&self) -> Signal {
        self.signal.clone()
    }

    /// Whether the turn has come.
    pub(crate) fn is_called(&self) -> bool {
        self.signal.get().is_some()
    }

    /// Ready when the turn has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.signal.poll_end(&mut self.place, cx).map(|_| ())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.signal.vacate(&mut self.place);
    }
}

impl<K, T> Line<K, T> {
    /// Whether the gate is held, or promised to a flight that waits.
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.is_empty() || self.holder.is_some()
    }

    fn holds(&self, flight: &Arc<Flight<K, T>>) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| Arc::ptr_eq(holder, flight))
    }

    /// A new flight takes the gate, or a place in the queue if the gate is busy and its caller
    /// waits for a turn.
    pub(super) fn enter(&mut self, flight: &Arc<Flight<K, T>>, signal: Option<&Signal>) {
        match signal {
            Some(signal) if self.is_busy() => {
                let queued = (flight.clone(), signal.clone());
                self.queue.insert(flight.id, queued);
            }
            _ => self.holder = Some(flight.clone()),
        }
    }

    /// The flight is over: it neither holds the gate nor waits for it any more. Lets the next
    /// flight in, if the gate is free, and returns its signal.
    pub(super) fn release(&mut self, flight: &Arc<Flight<K, T>>) -> Option<Signal> {
        self.queue.remove(&flight.id);
        if self.holds(flight) {
            self.holder = None;
        }
        if self.holder.is_some() {
            return None;
        }
        let (_, (flight, signal)) = self.queue.pop_first()?;
        self.holder = Some(flight);
        Some(signal)
    }
}

impl<K, T> Table<K, T> {
    pub(super) fn line(&self) -> Option<&Line<K, T>> {
        self.extras.as_ref()?.line.as_ref()
    }

    pub(super) fn line_mut(&mut self) -> Option<&mut Line<K, T>> {
        self.extras.as_mut()?.line.as_mut()
    }
}

impl<K, T> Shard<K, T> {
    /// The only shard of a gate.
    pub(crate) fn with_line() -> Self {
        let shard = Self::new(random_id(), 1, None);
        shard.table.with(|table| {
            table.extras_mut().line = Some(Line {
                holder: None,
                queue: BTreeMap::new(),
            });
        });
        shard
    }

    /// How many callers wait for their turn.
    pub(crate) fn queued(&self) -> usize {
        self.table
            .with(|table| table.line().map_or(0, |line| line.queue.len()))
    }

    /// Whether the gate is held, or promised to a flight that waits.
    pub(crate) fn is_busy(&self) -> bool {
        self.table
            .with(|table| table.line().is_some_and(Line::is_busy))
    }

    /// Whether this flight holds the gate.
    pub(crate) fn holds(&self, flight: &Arc<Flight<K, T>>) -> bool {
        self.table
            .with(|table| table.line().is_some_and(|line| line.holds(flight)))
    }
}
