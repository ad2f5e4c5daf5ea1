//! Room for a new flight: a place of `max_flights`, and how a flight that is too old makes room.

use crate::cell::Snapshot;
use crate::error::Cause;
use crate::flight::{FlightRef, Operation};
use crate::group::shard::Shard;
use crate::group::shard::after::{After, Superseded};
use crate::group::shard::table::Table;
use crate::sync::Arc;

/// The place that a search has for a new flight, if it has one.
pub(super) struct Room<'a, K, T> {
    shard: &'a Arc<Shard<K, T>>,
    reserved: Option<Reserved<'a, K, T>>,
}

/// A place that is counted for a flight that has not begun. Its drop gives it back.
struct Reserved<'a, K, T>(&'a Shard<K, T>);

impl<K, T> Drop for Reserved<'_, K, T> {
    fn drop(&mut self) {
        self.0.count_out();
    }
}

impl<'a, K, T> Room<'a, K, T> {
    pub(super) fn new(shard: &'a Arc<Shard<K, T>>) -> Self {
        Self {
            shard,
            reserved: None,
        }
    }

    /// Keeps a place until the search ends. Returns false if the limit does not allow it.
    pub(super) fn reserve(&mut self) -> bool {
        if self.reserved.is_none() && self.shard.count_in() {
            self.reserved = Some(Reserved(self.shard));
        }
        self.reserved.is_some()
    }

    /// Whether the limit allows a new flight at this moment.
    pub(super) fn is_there(&self) -> bool {
        self.reserved.is_some() || self.shard.has_room()
    }

    /// The new flight begins: from here on its end gives the place back. Returns false if the limit
    /// does not allow it.
    pub(super) fn fill(&mut self) -> bool {
        let filled = self.reserve();
        core::mem::forget(self.reserved.take());
        filled
    }

    /// Whether a flight that is too old can make room for a new one at this moment.
    pub(super) fn can_supersede(&self, old: &FlightRef<K, T>) -> bool {
        self.is_there() || old.is_idle()
    }

    /// Ends a flight that is too old, for one that begins in this critical section. Without a free
    /// place it ends only a flight whose operation can be dropped at once, and keeps its place.
    /// Returns false if it has not ended the flight.
    pub(super) fn supersede(
        &mut self,
        table: &mut Table<K, T>,
        old: &FlightRef<K, T>,
        after: &mut After<K, T>,
    ) -> bool {
        if self.reserve() {
            return table.supersede(self.shard, old, after);
        }
        let superseded = table.supersede_idle(self.shard, old, after);
        if superseded {
            // One more than the limit, until this search has dropped the old operation.
            self.shard.count_in_beyond();
            self.reserved = Some(Reserved(self.shard));
        }
        superseded
    }
}

impl<K, T> Table<K, T> {
    /// Ends a flight that is too old, or is replaced. Returns false if it has ended before.
    pub(super) fn supersede(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        flight: &FlightRef<K, T>,
        after: &mut After<K, T>,
    ) -> bool {
        let Some(before) = flight.cell.abort(Cause::Superseded) else {
            return false;
        };
        self.free_superseded(shard, flight, before, None, after);
        true
    }

    /// The steps after a flight was ended as superseded. `operation` is its own, if nobody had it.
    fn free_superseded(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        flight: &FlightRef<K, T>,
        before: Snapshot,
        operation: Option<Operation<T>>,
        after: &mut After<K, T>,
    ) {
        let (cause, reruns) = (Some(Cause::Superseded), flight.reruns());
        self.counts.end(cause, before.duplicates(), reruns);
        // The caller holds the flight too, so this drops nothing of the user's.
        let _removed = self.free_aborted(shard, flight, before, after);
        after.pending().superseded.push(Superseded {
            shard: shard.clone(),
            flight: flight.clone(),
            before,
            operation,
        });
    }

    /// Ends a flight that is too old, if its operation can be dropped at once. It counts until that
    /// is done. Returns false if it has not ended the flight.
    fn supersede_idle(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        flight: &FlightRef<K, T>,
        after: &mut After<K, T>,
    ) -> bool {
        let ended = flight
            .with_shared(|shared| shared.end_if_idle(|| flight.cell.abort(Cause::Superseded)));
        let Some((before, operation)) = ended.flatten() else {
            return false;
        };
        self.free_superseded(shard, flight, before, Some(operation), after);
        true
    }
}
