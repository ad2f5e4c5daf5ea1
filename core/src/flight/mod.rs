//! One execution in progress for a key: a cell with a key and an identity.
//!
//! Everybody who takes part holds a [`FlightRef`], each `Settled` too, and the registry until it
//! removes the flight. How a flight ends is the registry's part: `group/shard/end`.
//!
//! # Invariants
//! 1. A flight ends once. The read-modify-write of its cell's state decides which call ends it.
//! 2. The key is stored once, here. The registry's entry is a hash and a pointer.
//!
//! | file | its job |
//! |---|---|
//! | `settled`, `watch` | the handle on an outcome; a place from which the end is watched |
//! | `wanted` | a flight that ends when nobody wants it any more |
//! | `operation` | who drives the operation of a `work` or `try_work` |
//! | `memory/` | the one allocation of a flight and its operation; with `unsafe` |
//! | `reentry` | which flights this thread is inside of |
//! | `observe/` | what is reported to `tracing` and `metrics`, under which name |

use alloc::boxed::Box;
use core::fmt;
use core::num::NonZeroU64;

#[allow(
    unsafe_code,
    reason = "with the cell, the one place that argues for it"
)]
mod memory;
pub(crate) mod observe;
pub(crate) mod operation;
pub(crate) mod reentry;
mod settled;
mod wanted;
mod watch;

pub use settled::{Settled, Success};

pub(crate) use memory::{
    Driver, FlightRef, Fresh, Operation, OwnWaker, Pair, Polled, Records, Seat, Settler, Shared,
    Two, fits,
};
pub(crate) use wanted::{EndUnwanted, Wanted};
pub(crate) use watch::Watch;

use crate::cell::{RawCell, Snapshot};
use crate::error::{Aborted, Cause, Error};
use crate::sync::panicking;
use crate::unwind::OnDrop;
use observe::Observed;
use operation::{Found, Policy};

/// The identity of a flight. It never repeats in a group, and increases for each key.
///
/// Use it to tell two flights of one key apart, in a log or beside an effect. With `std` each group
/// starts at a random number below 2^52, so ids of two groups, or of a process before and after a
/// restart, are very unlikely to be the same: with a million flights in each of two groups, about
/// one in two thousand million. The first 2^52 ids are below 2^53, so a JSON number can hold them.
/// Without `std` ids start at 1. To make an effect idempotent, use the client's own token, because
/// that also survives a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(NonZeroU64);

impl FlightId {
    /// The id of a shard's flight: `count` is how many flights the shard has begun, this one
    /// included; `first` is the shard's first id, and `step` is from one of its ids to the next.
    pub(crate) fn new(first: u64, count: u64, step: u32) -> Self {
        Self(NonZeroU64::MIN.saturating_add(first + (count - 1) * u64::from(step)))
    }

    /// Returns the id as a number.
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
    pub(crate) cell: FlightCell<T>,
    pub(crate) key: K,
    pub(crate) hash: u64,
    pub(crate) id: FlightId,
    pub(crate) observed: Observed,
}

/// The outcome, and what hangs on it: the waiting room, and what is [`Attached`]. In a group that
/// retains, both are gone once all have been told.
pub(crate) type FlightCell<T> = RawCell<T, Box<Attached<T>>>;

/// What some flights have beside their outcome.
pub(crate) enum Attached<T> {
    /// Who drives a flight of `work` or `try_work`, in a group that retains. In any other group it
    /// is behind the flight: see `memory`.
    Shared(Shared<T>),
    /// How the last who leaves finds the registry: of `spawn_while_wanted`.
    Wanted(Wanted),
}

impl<T> Attached<T> {
    fn shared(&self) -> Option<&Shared<T>> {
        match self {
            Attached::Shared(shared) => Some(shared),
            Attached::Wanted(_) => None,
        }
    }

    fn end(&self) -> Option<Found<T>> {
        match self {
            Attached::Shared(shared) => Some(shared.end()),
            Attached::Wanted(wanted) => {
                // The ender has a handle on the registry too: nothing of the user's is dropped.
                drop(wanted.take());
                None
            }
        }
    }
}

impl<K, T> FlightRef<K, T> {
    /// Wakes everybody: participants if some are `parked`, then plain waiters. Afterwards no waker
    /// is left in the flight, so a waiter that leaves need not look for its own. `before` is the
    /// state that the end returned.
    #[inline(always)]
    pub(crate) fn tell(&self, before: Snapshot, parked: bool) {
        if parked {
            self.tell_participants(before);
        } else if before.has_more_to_do() {
            self.tell_those_who_wait(before);
        }
    }

    #[inline(never)]
    fn tell_participants(&self, before: Snapshot) {
        // Also if a participant's waker panics.
        let _then = OnDrop(|| self.cell.tell_last(before));
        self.with_shared(Shared::tell);
    }

    /// Calls `f` with who drives the flight, unless participants do not drive it, or it has ended
    /// and has shed that.
    #[inline(always)]
    pub(crate) fn with_shared<R>(&self, f: impl FnOnce(&Shared<T>) -> R) -> Option<R> {
        match self.behind() {
            Some(shared) => Some(f(&shared)),
            None => self
                .cell
                .with_attached(|attached| attached.shared().map(f))?,
        }
    }

    /// As [`with_shared`](Self::with_shared), for a participant that parks there: it is announced
    /// before, so that the ender comes and tells it. Not if the flight has ended. `state` is any
    /// that the cell has had.
    #[inline(always)]
    pub(crate) fn with_shared_to_park<R>(
        &self,
        state: Snapshot,
        f: impl FnOnce(&Shared<T>) -> R,
    ) -> Option<R> {
        if !self.cell.announce(state) {
            return None;
        }
        self.with_shared(f)
    }

    /// Whether it has nothing but its outcome and its waiting room.
    #[inline(always)]
    pub(crate) fn is_plain(&self, state: Snapshot) -> bool {
        !state.is_driven() && !self.cell.has_attached()
    }

    /// For the ender, which comes once and before anybody is told: nobody polls the flight's shared
    /// operation any more, and the flight does not lead to its registry any more. Returns what is
    /// found there.
    #[inline(always)]
    pub(crate) fn end_attached(&self) -> Found<T> {
        if let Some(shared) = self.behind() {
            return shared.end();
        }
        let found = self.cell.with_attached(|it| it.end()).flatten();
        found.unwrap_or(Found::nothing())
    }

    /// As [`end_attached`](Self::end_attached), for the driver that settles a flight.
    #[inline(always)]
    pub(crate) fn settle_attached(&self, before: Snapshot) -> Found<T> {
        if before.is_driven() && !before.has_registered() {
            // Its driver has the operation. Nobody has parked, or will: and so nobody has run
            // another one.
            return Found::nothing();
        }
        self.end_attached()
    }

    /// Lets its operation count a participant of this policy. Returns false if the flight has
    /// ended, or is about to because the last participant has left. Returns `None` if participants
    /// of this policy do not drive it, or if it has ended and has shed its operation.
    #[inline(always)]
    pub(crate) fn join_operation(&self, policy: Policy) -> Option<bool> {
        let state = self.cell.snapshot();
        self.with_shared(|shared| {
            (shared.policy() == policy).then(|| !state.ended() && shared.join())
        })?
    }

    /// Why it has ended without a value. Only for a flight that has.
    pub(crate) fn aborted(&self) -> Aborted {
        // A flight's primary settles once, so only an abort can have come before it.
        let aborted = self.cell.snapshot().aborted();
        aborted.unwrap_or(Aborted::new(Cause::Cancelled))
    }

    /// The outcome, given the state of an ended flight.
    pub(crate) fn outcome(&self, state: Snapshot) -> Result<Settled<K, T>, Error> {
        match state.aborted() {
            None => Ok(Settled::new(self.clone())),
            Some(aborted) => Err(Error::Aborted(aborted)),
        }
    }

    /// The outcome, if it has ended.
    pub(crate) fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        let state = self.cell.snapshot();
        state.ended().then(|| self.outcome(state))
    }

    /// Whether it has an operation that can be dropped at once, since nobody polls it.
    pub(crate) fn is_idle(&self) -> bool {
        self.with_shared(Shared::is_idle).unwrap_or(false)
    }

    /// How often its operation was run again.
    #[inline]
    pub(crate) fn reruns(&self) -> usize {
        self.with_shared(|shared| shared.reruns()).unwrap_or(0)
    }

    /// How many duplicates wait now.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.cell.snapshot();
        if state.ended() { 0 } else { state.duplicates() }
    }
}

/// The cause of a flight whose caller drops the operation or the guard now.
pub(crate) fn loss() -> Cause {
    if panicking() {
        Cause::Panicked
    } else {
        Cause::Dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_two_shards_never_meet() {
        let id = |count, shard| FlightId::new(shard, count, 4).get();
        assert_eq!([id(1, 0), id(1, 3), id(2, 0), id(2, 1)], [1, 4, 5, 6]);
    }
}
