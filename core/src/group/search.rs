//! The search of a begin for its key's flight: candidates by hash under the lock, keys compared
//! without it.

use crate::error::Rejected;
use crate::fingerprint::Fingerprint;
use crate::flight::{Flight, FlightId};
use crate::group::Begin;
use crate::group::extras::Later;
use crate::reentry::is_inside;
use crate::sync::Arc;
use crate::waiter::Waiter;

/// A flight with the right hash, as a begin finds it under the lock, before its key is compared.
pub(crate) enum Candidate<K, T> {
    /// Counted as its waiter, if it has not ended.
    Joined(Waiter<K, T>),
    /// Ended without a value and not taken out yet, or past its window.
    Over(Arc<Flight<K, T>>),
    /// If it has this key, the caller may not share it.
    Barred(Arc<Flight<K, T>>, Rejected),
    /// Older than flights may get.
    Old(Arc<Flight<K, T>>),
}

/// How far a search has come.
pub(crate) struct Search<K, T> {
    pub(crate) hash: u64,
    pub(crate) after: Option<FlightId>,
    /// The key's flight, which is over: take the key from it before going on.
    pub(crate) stale: Option<Arc<Flight<K, T>>>,
    /// The key's flight, which is too old: end it before going on.
    pub(crate) superseded: Option<Arc<Flight<K, T>>>,
    /// What is too old is joined all the same: no new flight could take its place.
    pub(crate) spare_old: bool,
    /// The new flight is counted already.
    pub(crate) taken_off: bool,
    /// A join that is to be uncounted: (joined, waited).
    undo: (u64, u64),
    pub(crate) later: Later<K, T>,
}

impl<K, T> Search<K, T> {
    #[inline(always)]
    pub(crate) fn new(hash: u64) -> Self {
        Self {
            hash,
            after: None,
            stale: None,
            superseded: None,
            spare_old: false,
            taken_off: false,
            undo: (0, 0),
            later: None,
        }
    }

    /// Drops what the last lock hold has done with.
    pub(crate) fn let_go(&mut self) {
        drop(self.stale.take());
        drop(self.later.take());
    }

    pub(crate) fn supersedes(&self) -> bool {
        self.superseded.is_some()
    }

    pub(crate) fn has_undone(&self) -> bool {
        self.undo.0 != 0
    }

    pub(crate) fn take_undo(&mut self) -> (u64, u64) {
        core::mem::take(&mut self.undo)
    }

    /// Compares the candidate's key, outside the lock. `None`: go on searching.
    pub(crate) fn compare(
        &mut self,
        candidate: Candidate<K, T>,
        eq: impl FnOnce(&K) -> bool,
        admit: impl FnOnce(&Arc<Flight<K, T>>) -> bool,
    ) -> Option<Begin<K, T>> {
        match candidate {
            Candidate::Joined(waiter) => {
                let same = eq(waiter.key());
                if same && admit(waiter.flight()) {
                    return Some(Begin::Waiter(waiter));
                }
                self.passed(waiter.flight(), same);
                self.uncount(waiter);
            }
            Candidate::Over(flight) => {
                let same = eq(&flight.key);
                self.passed(&flight, same);
            }
            Candidate::Barred(flight, why) => {
                if eq(&flight.key) {
                    return Some(Begin::Rejected(why));
                }
                self.passed(&flight, false);
            }
            Candidate::Old(flight) => {
                if eq(&flight.key) {
                    self.superseded = Some(flight);
                } else {
                    self.passed(&flight, false);
                }
            }
        }
        None
    }

    #[cold]
    pub(crate) fn passed(&mut self, flight: &Arc<Flight<K, T>>, stale: bool) {
        self.after = Some(flight.id);
        self.stale = stale.then(|| flight.clone());
    }

    #[cold]
    pub(crate) fn uncount(&mut self, waiter: Waiter<K, T>) {
        // A join that the flight's end has frozen into its count was counted as one that waited.
        self.undo = if waiter.withdraw() { (1, 0) } else { (1, 1) };
    }
}

/// Why a caller of the flight's own key may not share it. Another payload is told before anything
/// else.
pub(crate) fn bar<K, T>(
    flight: &Arc<Flight<K, T>>,
    mine: Option<Fingerprint>,
    its: Option<Fingerprint>,
) -> Option<Rejected> {
    if mine.zip(its).is_some_and(|(mine, its)| mine != its) {
        Some(Rejected::Mismatch)
    } else {
        is_inside(flight).then_some(Rejected::Reentrant)
    }
}
