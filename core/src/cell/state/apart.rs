//! The callers that are parked in a place of their own, by which no other caller is parked: the
//! settler, and the owner of a flight. See invariants 8 and 9 of [`state`](super).

use crate::cell::state::{CLAIMED, OWNER_PARKED, OWNER_PLACE, PARKED, SHEDS, Snapshot, State};
use crate::sync::atomic::Ordering;

/// Such a caller.
#[derive(Clone, Copy)]
pub(crate) enum Apart {
    /// Its place is the value's.
    Settler,
    /// The call that began the flight and waits for it. Its place is behind the flight.
    Owner,
}

impl Apart {
    const fn parked(self) -> usize {
        match self {
            Apart::Settler => PARKED,
            Apart::Owner => OWNER_PARKED,
        }
    }
}

impl State {
    /// The waker of this caller is in its place. Returns false if the cell has ended.
    #[inline(always)]
    pub(in crate::cell) fn set_parked(&self, who: Apart) -> bool {
        self.update(|word| (word & CLAIMED == 0).then_some(word | who.parked()))
            .is_ok()
    }

    /// Takes the right to the waker of this caller, if it is in its place (invariants 8 and 9).
    #[inline(always)]
    pub(in crate::cell) fn unset_parked(&self, who: Apart) -> bool {
        self.0.fetch_and(!who.parked(), Ordering::AcqRel) & who.parked() != 0
    }
}

impl Snapshot {
    /// Whether the settler's waker is in the value's place.
    #[inline(always)]
    pub(crate) fn is_parked(self) -> bool {
        self.0 & PARKED != 0
    }

    /// Of a new cell, which does not shed, and whose owner has its place behind the flight.
    pub(crate) const fn with_owner_place(self) -> Self {
        Self(self.0 | OWNER_PLACE)
    }

    /// Whether the owner has its place behind the flight. It is so from the cell's creation on, or
    /// never.
    #[inline(always)]
    pub(crate) fn has_owner_place(self) -> bool {
        self.0 & (SHEDS | OWNER_PLACE) == OWNER_PLACE
    }

    /// Whether the owner's waker is in that place.
    #[inline(always)]
    pub(crate) fn is_owner_parked(self) -> bool {
        self.0 & (SHEDS | OWNER_PARKED) == OWNER_PARKED
    }

    /// The same state, once the owner has been told.
    pub(crate) fn owner_told(self) -> Self {
        Self(self.0 & !OWNER_PARKED)
    }
}
