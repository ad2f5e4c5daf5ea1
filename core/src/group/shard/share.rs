//! What a call can do with a flight of its key: whether it can share it, and how it joins it.

use crate::cell::Join;
use crate::flight::FlightRef;
use crate::flight::reentry::is_inside;
use crate::group::shard::Shard;
use crate::group::shard::extras::Note;
use crate::group::shard::request::Request;
use crate::group::shard::table::Table;
use crate::group::waiter::Waiter;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has ended without a value and is not removed yet, or it is past its window.
    Ended,
    /// It is for another payload.
    Mismatch,
    /// It can make room for a new flight, if one can begin.
    TooOld,
    Joinable,
}

impl Request {
    /// What this call can do with a flight, if the flight has its key.
    pub(super) fn state<K, T>(
        &self,
        shard: &Shard<K, T>,
        table: &Table<K, T>,
        flight: &FlightRef<K, T>,
    ) -> State {
        let note = table.note(flight.id);
        let state = flight.cell.snapshot();
        if table.is_expired(flight, self.now) || state.cause().is_some() {
            return State::Ended;
        }
        // A payload that differs is reported before anything else.
        let both = self.fingerprint.zip(note.fingerprint);
        if both.is_some_and(|(mine, its)| mine != its) {
            return State::Mismatch;
        }
        if !self.joins_only && self.is_too_old(shard, note, flight) {
            State::TooOld
        } else {
            State::Joinable
        }
    }

    /// Whether a flight is in progress for longer than the rules allow.
    pub(super) fn is_too_old<K, T>(
        &self,
        shard: &Shard<K, T>,
        note: Note,
        flight: &FlightRef<K, T>,
    ) -> bool {
        let Some(most) = shard.rules().and_then(|rules| rules.supersede_after) else {
            return false;
        };
        self.now
            .zip(note.born)
            .is_some_and(|(now, born)| now.saturating_sub(born) > most)
            && !flight.cell.snapshot().ended()
            && !is_inside(flight)
    }

    /// Whether this call has a fingerprint and the flight has none.
    pub(super) fn brings_fingerprint<K, T>(
        &self,
        table: &Table<K, T>,
        flight: &FlightRef<K, T>,
    ) -> bool {
        self.fingerprint.is_some() && table.note(flight.id).fingerprint.is_none()
    }

    /// The first fingerprint that a flight sees becomes its own.
    pub(super) fn record_fingerprint<K, T>(
        &self,
        table: &mut Table<K, T>,
        flight: &FlightRef<K, T>,
    ) {
        if self.brings_fingerprint(table, flight) {
            let note = Note {
                fingerprint: self.fingerprint,
                ..table.note(flight.id)
            };
            table.extras_mut().set_note(flight.id, note);
        }
    }
}

impl<K, T> Shard<K, T> {
    /// Counts a call as a waiter of the flight. If that has settled, the call has its outcome.
    pub(super) fn admit(
        &self,
        table: &mut Table<K, T>,
        flight: &FlightRef<K, T>,
    ) -> Result<Waiter<K, T>, Join> {
        let max_waiters = self.rules().map_or(usize::MAX, |rules| rules.max_waiters);
        match flight.cell.join(max_waiters) {
            Join::Open(waiting) => {
                table.counts.join(waiting);
                Ok(Waiter::new(flight.clone_two()))
            }
            Join::Ended(state) if state.settled() => {
                table.counts.join_settled();
                Ok(Waiter::replayed(flight.clone_two()))
            }
            refused => Err(refused),
        }
    }
}
