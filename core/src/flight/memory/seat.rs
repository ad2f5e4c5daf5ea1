//! The seat of a caller that waits for an outcome: a handle, a place, and perhaps the handle that
//! the outcome will have.
//!
//! A handle is counted by a locked instruction. A call that joins counts two handles by one: its
//! own and that of the outcome which it hands out first. It keeps its own, because it can be polled
//! again.

use core::mem::ManuallyDrop;

use crate::cell::{MarkedPlace, Place, Snapshot};
use crate::error::Error;
use crate::flight::{FlightRef, Settled};

/// Two handles of one flight.
pub(crate) struct Two<K, T>(ManuallyDrop<FlightRef<K, T>>);

impl<K, T> FlightRef<K, T> {
    /// Clones it twice.
    #[inline(always)]
    pub(crate) fn clone_two(&self) -> Two<K, T> {
        Two(ManuallyDrop::new(self.count_more(2)))
    }
}

impl<K, T> Drop for Two<K, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: it is both, and is gone after this.
        unsafe { self.0.give_back(2) };
    }
}

/// A handle with a place and flags of its owner, and with a second handle while it is marked so.
#[repr(C)]
pub(crate) struct Seat<K, T> {
    flight: ManuallyDrop<FlightRef<K, T>>,
    marked: MarkedPlace,
}

/// It has a second handle. Only this file sets and clears it.
const HAS_TWO: u32 = 1 << 31;
/// It is the seat of its flight's owner, of which there is one. Only this file sets it.
const OWNER: u32 = 1 << 30;
const PRIVATE: u32 = HAS_TWO | OWNER;

impl<K, T> Seat<K, T> {
    #[inline(always)]
    pub(crate) fn new(flight: FlightRef<K, T>, flags: u32) -> Self {
        Self {
            flight: ManuallyDrop::new(flight),
            marked: MarkedPlace::new(flags & !PRIVATE),
        }
    }

    /// The first outcome of it costs no count.
    #[inline(always)]
    pub(crate) fn of_two(two: Two<K, T>, flags: u32) -> Self {
        let mut two = ManuallyDrop::new(two);
        Self {
            // SAFETY: taken once: `two` is not used or dropped after this.
            flight: ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut two.0) }),
            marked: MarkedPlace::new(flags & !PRIVATE | HAS_TWO),
        }
    }

    /// Of the owner of a new flight.
    ///
    /// # Safety
    ///
    /// Two handles are counted for it. It is the only one, and the flight has an owner's place.
    #[inline(always)]
    pub(super) unsafe fn of_owner(flight: &FlightRef<K, T>) -> Self {
        Self {
            // SAFETY: the contract of the caller.
            flight: ManuallyDrop::new(unsafe { flight.another() }),
            marked: MarkedPlace::new(OWNER | HAS_TWO),
        }
    }

    /// Whether it is the seat of the flight's owner.
    #[inline(always)]
    pub(crate) fn is_owner(&self) -> bool {
        self.marked.has(OWNER)
    }

    #[inline(always)]
    pub(crate) fn flight(&self) -> &FlightRef<K, T> {
        &self.flight
    }

    #[inline(always)]
    pub(crate) fn place(&self) -> Place {
        self.marked.place()
    }

    /// Whether one of these flags is set.
    #[inline(always)]
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.marked.has(flags & !PRIVATE)
    }

    /// The flight, and the place and flags, which can be changed.
    #[inline(always)]
    pub(crate) fn split(&mut self) -> (&FlightRef<K, T>, Marks<'_>) {
        (&self.flight, Marks(&mut self.marked))
    }

    /// As [`Marks::mark`].
    #[inline(always)]
    pub(crate) fn mark(&mut self, set: u32, clear: u32) {
        self.split().1.mark(set, clear);
    }

    /// As [`Marks::with_place`], with the flight.
    #[inline(always)]
    pub(crate) fn with_place<R>(&mut self, f: impl FnOnce(&FlightRef<K, T>, &mut Place) -> R) -> R {
        let (flight, mut marks) = self.split();
        marks.with_place(|place| f(flight, place))
    }

    /// It is in no place any more. Clears these flags.
    #[inline(always)]
    pub(crate) fn leave_place(&mut self, clear: u32) {
        self.marked.leave_place(clear & !PRIVATE);
    }

    /// The outcome, given the state of an ended flight.
    #[inline(always)]
    pub(crate) fn outcome(&mut self, state: Snapshot) -> Result<Settled<K, T>, Error> {
        if !(self.marked.has(HAS_TWO) && state.settled()) {
            return self.flight.outcome(state);
        }
        self.marked.mark(0, HAS_TWO);
        // SAFETY: the second handle, which is not marked any more.
        Ok(Settled::new(unsafe { self.flight.another() }))
    }
}

/// The place and flags of a [`Seat`].
pub(crate) struct Marks<'a>(&'a mut MarkedPlace);

impl Marks<'_> {
    /// Sets these flags, and clears those.
    #[inline(always)]
    pub(crate) fn mark(&mut self, set: u32, clear: u32) {
        self.0.mark(set & !PRIVATE, clear & !PRIVATE);
    }

    /// Calls `f` with the place, which it can change, also if it unwinds then.
    #[inline(always)]
    pub(crate) fn with_place<R>(&mut self, f: impl FnOnce(&mut Place) -> R) -> R {
        self.0.with_place(f)
    }
}

impl<K, T> Drop for Seat<K, T> {
    #[inline(always)]
    fn drop(&mut self) {
        let count = 1 + usize::from(self.marked.has(HAS_TWO));
        // SAFETY: it has so many, and is gone after this.
        unsafe { self.flight.give_back(count) };
    }
}
