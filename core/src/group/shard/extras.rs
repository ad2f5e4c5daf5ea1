//! What a shard has only if something uses it: notes on flights, retained outcomes, a gate's line,
//! and what is known of the end of the group. It is behind one pointer, so that a shard without it
//! pays one comparison. Once a shard has extras it keeps them, and its calls take the long way. The
//! shard's lock guards it.

use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashTable;

use crate::cell::SettleCell;
use crate::fingerprint::Fingerprint;
use crate::flight::FlightId;
use crate::group::hasher::spread;
use crate::group::shard::Shard;
use crate::group::shard::after::After;
use crate::group::shard::line::Line;
use crate::group::shard::retained::Retained;
use crate::group::shard::table::{Table, shrink};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};

pub(super) struct Extras<K, T> {
    notes: HashTable<(FlightId, Note)>,
    pub(super) retained: Retained<K, T>,
    /// Flights whose settles have a place for them, and that were given up before they were
    /// retained: while those settles are under way, few and seldom.
    pub(super) given_up: Vec<FlightId>,
    pub(super) line: Option<Line<K, T>>,
    /// Set by `close`; taken when this shard has no flight left.
    pub(super) drain: Option<Arc<Drain>>,
    pub(super) closed: bool,
}

/// What is known of a flight beyond what it holds itself.
#[derive(Clone, Copy, Default)]
pub(super) struct Note {
    pub(super) fingerprint: Option<Fingerprint>,
    /// When the flight began, if there is a maximum age.
    pub(super) born: Option<Duration>,
}

/// Settled when every shard of a group is closed and has no flight left. That happens once, since a
/// closed shard begins no flight.
pub(crate) struct Drain {
    pub(crate) cell: SettleCell<()>,
    /// How many shards are not closed or not empty yet.
    shards: AtomicUsize,
}

impl<K, T> Default for Extras<K, T> {
    fn default() -> Self {
        Self {
            notes: HashTable::new(),
            retained: Retained::default(),
            given_up: Vec::new(),
            line: None,
            drain: None,
            closed: false,
        }
    }
}

impl<K, T> Extras<K, T> {
    pub(super) fn note(&self, id: FlightId) -> Note {
        self.notes
            .find(id_hash(id), |(other, _)| *other == id)
            .map_or(Note::default(), |(_, note)| *note)
    }

    pub(super) fn set_note(&mut self, id: FlightId, note: Note) {
        match self.notes.find_mut(id_hash(id), |(other, _)| *other == id) {
            Some((_, old)) => *old = note,
            None => {
                self.notes
                    .insert_unique(id_hash(id), (id, note), |(id, _)| id_hash(*id));
            }
        }
    }

    /// The age of a flight that has one starts again. The clock is read before the lock is taken,
    /// so a later time can be known already.
    pub(super) fn renew(&mut self, id: FlightId, now: Duration) {
        let note = self.notes.find_mut(id_hash(id), |(other, _)| *other == id);
        if let Some((_, note)) = note {
            note.born = note.born.map(|born| born.max(now));
        }
    }

    pub(super) fn shrink(&mut self) {
        shrink(&mut self.notes, |(id, _)| id_hash(*id));
        self.retained.shrink();
    }

    pub(super) fn drop_note(&mut self, id: FlightId) {
        if let Ok(entry) = self
            .notes
            .find_entry(id_hash(id), |(other, _)| *other == id)
        {
            entry.remove();
        }
    }
}

impl<K, T> Shard<K, T> {
    /// No new flight begins after this. Duplicates still join.
    pub(crate) fn close(&self, drain: &Arc<Drain>) {
        let mut after = After::default();
        self.table.with(|table| {
            let extras = table.extras_mut();
            if !extras.closed {
                extras.closed = true;
                extras.drain = Some(drain.clone());
                table.drain_if_idle(&mut after);
            }
        });
    }
}

impl<K, T> Table<K, T> {
    /// If it is closed and nothing but retained flights is left, that is said after this.
    pub(super) fn drain_if_idle(&mut self, after: &mut After<K, T>) {
        if self.extras.is_some() && self.is_idle() {
            if let Some(drain) = self.extras_mut().drain.take() {
                after.pending().drain = Some(drain);
            }
        }
    }
}

impl Drain {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            cell: SettleCell::new(),
            shards: AtomicUsize::new(shards),
        }
    }

    /// A shard is closed and empty. Called once for each shard, under no lock.
    pub(super) fn arrive(&self) {
        if self.shards.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.cell.settle(());
        }
    }
}

/// The hash of an id.
pub(super) fn id_hash(id: FlightId) -> u64 {
    spread(id.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_never_renewed_backwards() {
        let mut extras = Extras::<u8, u8>::default();
        let id = FlightId::new(0, 1, 1);
        let at = |seconds| Some(Duration::from_secs(seconds));
        let note = Note {
            born: at(1),
            ..Note::default()
        };
        extras.set_note(id, note);
        for (now, born) in [(3, 3), (2, 3), (4, 4)] {
            extras.renew(id, Duration::from_secs(now));
            assert_eq!(extras.note(id).born, at(born));
        }
    }
}
