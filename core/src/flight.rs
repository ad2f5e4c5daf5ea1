//! A flight: one execution in progress for a key.
//!
//! It is a cell with a key and an identity. Everyone who takes part holds an `Arc` of it: the
//! primary, each waiter, each `Settled`, and, until it ends, the registry.
//!
//! # Invariants
//! 1. A flight ends once. Whoever ends it (the read-modify-write of the cell's word says who) and
//!    nobody else takes it out of the registry and tells its waiters, in this order: **outcome
//!    published, key freed, wakes fired**. So a woken waiter that begins the same key again starts
//!    a new flight.
//! 2. It is taken out by identity, never by equality of keys: a later flight of the same key stays
//!    where it is.
//! 3. The key lives once, here; the registry's entry is a hash and a pointer.

use core::fmt;
use core::num::NonZeroU64;

use crate::baton::Baton;
use crate::cell::SettleCell;
use crate::error::{Aborted, Cause, SettleError};
use crate::group::shard::Shard;
use crate::group::table::Ending;
use crate::observe::Observed;
use crate::settled::Settled;
use crate::state::Snapshot;
use crate::sync::{Arc, Wakeable};

/// The identity of a flight. Never repeats in a group, and rises for each key.
///
/// Use it to tag an effect, so that the effect itself can tell two flights of one key apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(NonZeroU64);

impl FlightId {
    /// `count` is the shard's own count of flights, this one included; `shard` of `shards` makes it
    /// the group's.
    pub(crate) fn new(count: u64, shard: u32, shards: u32) -> Self {
        Self(NonZeroU64::MIN.saturating_add((count - 1) * u64::from(shards) + u64::from(shard)))
    }

    /// As a number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for FlightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlightId({})", self.0)
    }
}

impl fmt::Display for FlightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(crate) struct Flight<K, T> {
    pub(crate) cell: SettleCell<T>,
    pub(crate) key: K,
    pub(crate) hash: u64,
    pub(crate) id: FlightId,
    /// Who drives, where that can change hands: only `work` flights have one.
    pub(crate) baton: Option<Arc<Wakeable<Baton<T>>>>,
    pub(crate) observed: Observed,
}

impl<K, T> Flight<K, T> {
    /// Settles it, if it has not ended: publishes, frees the key, wakes everyone.
    #[inline(always)]
    pub(crate) fn settle(
        this: &Arc<Self>,
        shard: &Shard<K, T>,
        value: T,
    ) -> Result<(), SettleError<T>> {
        if shard.rules().is_some() {
            return Self::settle_ruled(this, shard, value);
        }
        match this.cell.record(value) {
            Ok(before) => {
                if shard.retire_settled(this, before) {
                    let _told = this.observed.ending(Ending::Settled(None));
                    this.tell(before);
                } else {
                    Self::conclude(this, shard, before, Ending::Settled(None));
                }
                Ok(())
            }
            Err(value) => Err(Self::late(this, value)),
        }
    }

    #[cold]
    #[inline(never)]
    fn settle_ruled(this: &Arc<Self>, shard: &Shard<K, T>, value: T) -> Result<(), SettleError<T>> {
        if this.cell.snapshot().ended() {
            return Err(Self::late(this, value));
        }
        // Whether it is retained is for the user to say: a panic of that ends the flight.
        let guard = AbortOnUnwind::new(this, shard);
        let window = shard.rules().and_then(|rules| rules.window(&value));
        guard.defuse();
        let before = this
            .cell
            .record(value)
            .map_err(|value| Self::late(this, value))?;
        Self::conclude(this, shard, before, Ending::Settled(window));
        Ok(())
    }

    #[cold]
    fn late(this: &Arc<Self>, value: T) -> SettleError<T> {
        SettleError::new(value, this.cell.snapshot().cause())
    }

    /// Ends it without a value: publishes, frees the key, wakes everyone. False if it had ended
    /// before.
    pub(crate) fn abort(this: &Arc<Self>, shard: &Shard<K, T>, cause: Cause) -> bool {
        let Some(before) = this.cell.abort(cause) else {
            return false;
        };
        Self::conclude(this, shard, before, Ending::Aborted(cause));
        true
    }

    /// What follows when it has ended: frees the key, fires the wakers, and does what else its end
    /// brings, even if one of the wakers panics.
    #[inline(never)]
    fn conclude(this: &Arc<Self>, shard: &Shard<K, T>, before: Snapshot, ending: Ending) {
        let _later = shard.retire(this, before, ending);
        let _told = this.observed.ending(ending);
        this.tell(before);
    }

    /// Fires the wakers: participants, then plain waiters. After that none is left behind, and whoever leaves need not look.
    #[inline(always)]
    pub(crate) fn tell(&self, before: Snapshot) {
        match &self.baton {
            None => self.cell.tell(before),
            Some(baton) => self.tell_participants(before, baton),
        }
    }

    #[inline(never)]
    fn tell_participants(&self, before: Snapshot, baton: &Baton<T>) {
        struct Tell<'a, T>(&'a SettleCell<T>, Snapshot);
        impl<T> Drop for Tell<'_, T> {
            fn drop(&mut self) {
                self.0.tell(self.1);
                if !self.1.has_waiters() {
                    self.0.drained();
                }
            }
        }
        // Its drop is the user's.
        let _dropped_last = baton.end();
        let _even_if_a_wake_panics = Tell(&self.cell, before);
        baton.tell();
    }

    /// The outcome, given the word of an ended flight.
    #[inline]
    pub(crate) fn outcome(this: &Arc<Self>, word: Snapshot) -> Result<Settled<K, T>, Aborted> {
        match word.cause() {
            None => Ok(Settled::new(this.clone())),
            Some(cause) => Err(Aborted::new(cause)),
        }
    }

    /// The outcome, if it has ended.
    #[inline]
    pub(crate) fn get(this: &Arc<Self>) -> Option<Result<Settled<K, T>, Aborted>> {
        let word = this.cell.snapshot();
        word.ended().then(|| Self::outcome(this, word))
    }

    /// How often its operation was run again.
    #[inline(always)]
    pub(crate) fn reruns(&self) -> usize {
        self.baton.as_ref().map_or(0, |baton| baton.reruns())
    }

    /// Duplicates that wait now.
    pub(crate) fn waiting(&self) -> usize {
        let word = self.cell.snapshot();
        if word.ended() { 0 } else { word.waiting() }
    }
}

/// Ends the flight as panicked when the scope it stands in is left by unwinding. Works without
/// `std` too: nobody has to ask whether the thread unwinds.
pub(crate) struct AbortOnUnwind<'a, K, T> {
    flight: &'a Arc<Flight<K, T>>,
    shard: &'a Shard<K, T>,
}

impl<'a, K, T> AbortOnUnwind<'a, K, T> {
    pub(crate) fn new(flight: &'a Arc<Flight<K, T>>, shard: &'a Shard<K, T>) -> Self {
        Self { flight, shard }
    }

    /// The scope was left in the ordinary way.
    pub(crate) fn defuse(self) {
        core::mem::forget(self);
    }
}

impl<K, T> Drop for AbortOnUnwind<'_, K, T> {
    fn drop(&mut self) {
        if !Flight::abort(self.flight, self.shard, Cause::Panicked) {
            self.shard.let_go(self.flight);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ids_of_two_shards_never_meet() {
        let id = |count, shard| FlightId::new(count, shard, 4).get();
        assert_eq!([id(1, 0), id(1, 3), id(2, 0), id(2, 1)], [1, 4, 5, 6]);
    }
}
