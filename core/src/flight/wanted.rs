//! A flight that ends when nobody wants it any more: that of `spawn_while_wanted`.
//!
//! Nobody drives it but a task of a runtime. Those who want it are the call that began it, and the
//! duplicates that it counts. The last of them who leaves ends it: one exchange of its state finds
//! nobody left and records the end (`cell/state`, invariant 7), and the rest is what every ender
//! does. For that the leaver needs the registry, and a waiter of 16 bytes has no room for it. So
//! the flight leads there.
//!
//! # Invariant
//! The flight leads to the registry only while it is in flight: its one ender takes that away
//! before anybody is told. So what is kept of a flight keeps no registry, and there is no cycle
//! but while its task has the registry anyway.

use alloc::boxed::Box;

use crate::cell::{Left, Place, Snapshot};
use crate::flight::{Attached, FlightId, FlightRef};
use crate::sync::Mutex;
use crate::unwind::{Fragile, OnDrop};

/// The registry of a flight, which frees its key and tells.
pub(crate) trait EndUnwanted: Send + Sync {
    /// Does what is left to do for a flight that has been ended by the last who wanted it. `before`
    /// is the state that the end found.
    fn end_unwanted(&self, hash: u64, id: FlightId, before: Snapshot);
}

/// Leads to the registry. Neither key nor value are in its type, so that the flight's own type is
/// as it would be without it.
pub(crate) struct Wanted(Mutex<Option<Box<dyn EndUnwanted>>>);

impl Wanted {
    pub(crate) fn new(registry: Box<dyn EndUnwanted>) -> Self {
        Self(Mutex::new(Some(registry)))
    }

    /// For the ender, which comes once.
    pub(super) fn take(&self) -> Option<Box<dyn EndUnwanted>> {
        self.0.with(Option::take)
    }
}

impl<K, T> FlightRef<K, T> {
    /// A duplicate leaves a flight that has ended, or that has to be wanted. Returns false if the
    /// end has counted it.
    #[inline]
    pub(super) fn leave_slowly(&self, place: &mut Place) -> bool {
        // An end is final, so most of those who come here need no more than this.
        !self.cell.snapshot().ended() && self.leave_wanted(place)
    }

    /// As [`leave_slowly`](Self::leave_slowly), for a flight that had not ended. If the duplicate
    /// is the last one who wants the flight, it gives its place back, and then the end is completed
    /// here.
    #[cold]
    #[inline(never)]
    fn leave_wanted(&self, place: &mut Place) -> bool {
        let left = self.cell.leave_wanted();
        let uncounted = !matches!(left, Left::Late);
        self.complete(left, place);
        uncounted
    }

    /// The call that began a flight leaves it, with its place.
    #[inline]
    pub(super) fn disown(&self, place: &mut Place) {
        if self.cell.snapshot().is_owned() {
            self.complete(self.cell.disown(), place);
        }
    }

    /// Completes the end, if this leaving has recorded one.
    #[cold]
    fn complete(&self, left: Left, place: &mut Place) {
        if let Left::Last(before) = left {
            // Before anybody is woken, since who leaves does not wait any more. The drop of its
            // waker is the user's, and the end is completed also if that panics.
            let _then = OnDrop(|| self.end_unwanted(before));
            self.cell.vacate(place);
        }
    }

    /// The exchange that left nobody who wants the flight has recorded its end.
    #[cold]
    fn end_unwanted(&self, before: Snapshot) {
        let registry = self.cell.with_attached(|attached| match &**attached {
            Attached::Wanted(wanted) => wanted.take(),
            Attached::Shared(_) => None,
        });
        // It can be the last handle on the registry, and then its drop is the user's.
        let registry = Fragile(registry.flatten());
        debug_assert!(registry.0.is_some(), "one end takes it");
        if let Some(registry) = &registry.0 {
            registry.end_unwanted(self.hash, self.id, before);
        }
    }
}
