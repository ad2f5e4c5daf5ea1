//! What a shard holds only if something asks for it: notes on flights, retained outcomes, a gate's
//! line, and the end of the group. Behind one pointer, so that a shard that needs none of it pays
//! one comparison.
//!
//! All of it is guarded by the shard's lock. What is to be dropped or told afterwards is gathered
//! in an [`After`], whose drop runs when the lock has been released.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashTable;

use crate::cell::SettleCell;
use crate::drain::Drain;
use crate::error::Cause;
use crate::fingerprint::Fingerprint;
use crate::flight::{Flight, FlightId};
use crate::group::table::Ending;
use crate::retain::Retained;
use crate::state::Snapshot;
use crate::sync::{Arc, discard, for_each};

pub(crate) struct Extras<K, T> {
    notes: HashTable<(FlightId, Note)>,
    pub(crate) retained: Retained,
    pub(crate) line: Option<Line<K, T>>,
    /// Set by `close`; taken when this shard has no flight left.
    pub(crate) drain: Option<Arc<Drain>>,
    pub(crate) closed: bool,
    /// No handle on the group is left: nothing is retained any more.
    pub(crate) orphaned: bool,
}

/// What is known of a flight beyond what it holds itself.
#[derive(Clone, Copy, Default)]
pub(crate) struct Note {
    pub(crate) fingerprint: Option<Fingerprint>,
    /// When it began, where flights have a greatest age.
    pub(crate) born: Option<Duration>,
    /// When it goes, if it is retained.
    pub(crate) deadline: Option<Duration>,
}

/// Who holds a gate, and who waits for it, in the order they came.
pub(crate) struct Line<K, T> {
    pub(crate) holder: Option<Arc<Flight<K, T>>>,
    pub(crate) queue: BTreeMap<FlightId, Queued<K, T>>,
}

type Queued<K, T> = (Arc<Flight<K, T>>, Arc<Ticket>);

/// Settled when it is its owner's turn.
pub(crate) type Ticket = SettleCell<()>;

impl<K, T> Default for Extras<K, T> {
    fn default() -> Self {
        Self {
            notes: HashTable::new(),
            retained: Retained::default(),
            line: None,
            drain: None,
            closed: false,
            orphaned: false,
        }
    }
}

impl<K, T> Extras<K, T> {
    pub(crate) fn note(&self, id: FlightId) -> Note {
        self.notes
            .find(by_id(id), |(other, _)| *other == id)
            .map_or(Note::default(), |(_, note)| *note)
    }

    pub(crate) fn set_note(&mut self, id: FlightId, note: Note) {
        match self.notes.find_mut(by_id(id), |(other, _)| *other == id) {
            Some((_, old)) => *old = note,
            None => {
                self.notes
                    .insert_unique(by_id(id), (id, note), |(id, _)| by_id(*id));
            }
        }
    }

    pub(crate) fn drop_note(&mut self, id: FlightId) {
        if let Ok(entry) = self.notes.find_entry(by_id(id), |(other, _)| *other == id) {
            entry.remove();
        }
    }
}

impl<K, T> Line<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            holder: None,
            queue: BTreeMap::new(),
        }
    }

    /// Held, or promised to somebody who waits.
    pub(crate) fn is_busy(&self) -> bool {
        !self.queue.is_empty()
            || self
                .holder
                .as_ref()
                .is_some_and(|flight| !flight.cell.snapshot().ended())
    }

    /// The flight has ended: it holds the gate no longer, nor waits for it. Returns whose turn it
    /// is.
    pub(crate) fn leave(&mut self, flight: &Arc<Flight<K, T>>) -> Option<Arc<Ticket>> {
        self.queue.remove(&flight.id);
        if self
            .holder
            .as_ref()
            .is_some_and(|holder| Arc::ptr_eq(holder, flight))
        {
            self.holder = None;
        }
        if self
            .holder
            .as_ref()
            .is_some_and(|holder| !holder.cell.snapshot().ended())
        {
            return None;
        }
        let (_, (flight, ticket)) = self.queue.pop_first()?;
        self.holder = Some(flight);
        Some(ticket)
    }
}

/// What remains to be done when the shard's lock has been released. Its drop does it, also on the
/// way out of a panic.
#[must_use = "dropped after the lock is released, it tells and drops what it holds"]
pub(crate) struct After<K, T> {
    /// Flights that are not registered any more; the last handle may be among them.
    pub(crate) gone: Vec<Arc<Flight<K, T>>>,
    /// A flight that was ended under the lock; its waiters are to be told.
    pub(crate) superseded: Option<(Arc<Flight<K, T>>, Snapshot)>,
    pub(crate) turn: Option<Arc<Ticket>>,
    pub(crate) drained: Option<Arc<Drain>>,
}

/// Nothing, most of the time.
pub(crate) type Later<K, T> = Option<Box<After<K, T>>>;

impl<K, T> After<K, T> {
    pub(crate) fn of(later: &mut Later<K, T>) -> &mut Self {
        later.get_or_insert_with(Box::default)
    }
}

impl<K, T> Default for After<K, T> {
    fn default() -> Self {
        Self {
            gone: Vec::new(),
            superseded: None,
            turn: None,
            drained: None,
        }
    }
}

impl<K, T> Drop for After<K, T> {
    fn drop(&mut self) {
        /// Each of these may run the user's wakers or drops, and none may keep the next from being
        /// done.
        struct Then<F: FnMut()>(F);
        impl<F: FnMut()> Drop for Then<F> {
            fn drop(&mut self) {
                (self.0)();
            }
        }
        let gone = core::mem::take(&mut self.gone);
        let drained = self.drained.take();
        let turn = self.turn.take();
        let superseded = self.superseded.take();
        let mut gone = gone.into_iter();
        let _last = Then(|| for_each(gone.by_ref(), discard));
        let _third = Then(|| drained.iter().for_each(|drain| drain.arrive()));
        let _second = Then(|| turn.iter().for_each(|ticket| drop(ticket.settle(()))));
        let _first = Then(|| {
            superseded.iter().for_each(|(flight, before)| {
                let _told = flight.observed.ending(Ending::Aborted(Cause::Superseded));
                flight.tell(*before);
            })
        });
    }
}

/// Spreads consecutive ids.
pub(crate) fn by_id(id: FlightId) -> u64 {
    id.get().wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
