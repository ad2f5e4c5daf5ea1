//! A compact slab of wakers: 16 bytes for each waiter, slots reused, nothing that belongs to the
//! user run here.
//!
//! A slab is always behind a lock. So it never clones, drops or wakes a waker: it takes them in by
//! value and hands them out by value, and its callers do the rest after the lock is released.
//! (`will_wake` compares two pairs of pointers and calls nobody. When all the seats there can be are
//! taken, four thousand million, the waker that wants another is dropped where it is.)
//!
//! # Invariants
//! 1. A slot belongs to the seat that took it until that seat is given back, also after its waker
//!    was taken out: an index is never in two seats.
//! 2. `Vacant` slots are either in the free list (each holds the next index) or reserved for their
//!    seat.
//! 3. Once [`Slab::take_rest`] has begun, nobody parks here any more: the cell has ended. A seat
//!    then means a place in what has not been handed out yet, or nothing.

use alloc::vec::{self, Vec};
use core::mem;
use core::task::Waker;

use crate::wake::BATCH;

/// One slot. `Vacant` hides in the waker's vtable niche, so a slot is as large as a waker.
pub(crate) enum Slot {
    Parked(Waker),
    Vacant(usize),
}

const END: usize = usize::MAX;
const RESERVED: usize = usize::MAX - 1;

impl Slot {
    /// Takes the waker out and leaves the slot to its seat.
    pub(crate) fn take(&mut self) -> Option<Waker> {
        match mem::replace(self, Slot::Vacant(RESERVED)) {
            Slot::Parked(waker) => Some(waker),
            vacant @ Slot::Vacant(_) => {
                *self = vacant;
                None
            }
        }
    }
}

/// A participant's place in a slab. Half a word, so that who holds flags beside it stays small: the size of a waiting future
/// decides what its task costs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat(u32);

impl Seat {
    /// Not parked yet.
    pub(crate) const NONE: Seat = Seat(u32::MAX);
    /// Has its outcome; will never park again and owes nothing.
    pub(crate) const DONE: Seat = Seat(u32::MAX - 1);

    /// # Panics
    ///
    /// When there are no more seats: 64 gigabytes of wakers stand in the slab then.
    #[inline(always)]
    fn at(index: usize) -> Self {
        match u32::try_from(index) {
            Ok(index) if Self(index).taken() => Self(index),
            _ => panic!("more than four thousand million wait for one flight"),
        }
    }

    #[inline(always)]
    const fn index(self) -> usize {
        self.0 as usize
    }

    #[inline(always)]
    pub(crate) fn taken(self) -> bool {
        self.0 < Self::DONE.0
    }
}

pub(crate) struct Slab {
    slots: Vec<Slot>,
    free: usize,
    /// After the end: what [`Slab::take_rest`] has not handed out yet. Moved out of, not written to.
    rest: vec::IntoIter<Slot>,
    /// How many it has handed out.
    drained: usize,
}

impl Slab {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: END,
            rest: Vec::new().into_iter(),
            drained: 0,
        }
    }

    /// Takes memory back that [`take_rest`](Self::take_rest) has given away.
    pub(crate) fn reuse(&mut self, memory: Vec<Slot>) {
        debug_assert!(memory.is_empty() && self.slots.is_empty());
        self.slots = memory;
    }

    /// Whether it is as it was made, but for the memory that [`reuse`](Self::reuse) was given.
    #[cfg(all(feature = "std", not(loom), not(shuttle)))]
    pub(crate) fn is_as_new(&mut self) -> bool {
        self.free = END;
        self.drained = 0;
        self.slots.is_empty() && self.rest.len() == 0
    }

    /// Whether `seat` is parked with a waker that wakes the same task as `waker`.
    pub(crate) fn will_wake(&self, seat: Seat, waker: &Waker) -> bool {
        matches!(self.slots.get(seat.index()), Some(Slot::Parked(parked)) if parked.will_wake(waker))
    }

    /// Parks `waker` at `seat`, taking a place first if it has none. Returns the waker it replaced.
    pub(crate) fn park(&mut self, seat: &mut Seat, waker: Waker) -> Option<Waker> {
        if !seat.taken() {
            if let Some(slot) = self.slots.get_mut(self.free) {
                *seat = Seat::at(self.free);
                if let Slot::Vacant(next) = mem::replace(slot, Slot::Parked(waker)) {
                    self.free = next;
                }
            } else {
                *seat = Seat::at(self.slots.len());
                self.slots.push(Slot::Parked(waker));
            }
            return None;
        }
        let old = self.take(*seat);
        if let Some(slot) = self.slots.get_mut(seat.index()) {
            *slot = Slot::Parked(waker);
        }
        old
    }

    /// Takes the waker of `seat` out; the seat keeps its place.
    pub(crate) fn take(&mut self, seat: Seat) -> Option<Waker> {
        self.slot(seat)?.take()
    }

    fn slot(&mut self, seat: Seat) -> Option<&mut Slot> {
        if seat.index() < self.slots.len() {
            return self.slots.get_mut(seat.index());
        }
        let rest = self.rest.as_mut_slice();
        rest.get_mut(seat.index().checked_sub(self.drained)?)
    }

    /// Gives the place back. Returns the waker if it was still there.
    pub(crate) fn leave(&mut self, seat: &mut Seat) -> Option<Waker> {
        let seat = mem::replace(seat, Seat::NONE);
        let free = self.free;
        let slot = self.slot(seat)?;
        let old = slot.take();
        *slot = Slot::Vacant(free);
        self.free = seat.index();
        old
    }

    /// Takes up to a batch of wakers at or after `cursor`, the first of them last, leaving every place to its seat. False
    /// when there are no more.
    pub(crate) fn take_some(&mut self, cursor: &mut usize, batch: &mut Vec<Slot>) -> bool {
        while batch.len() < BATCH {
            let Some(slot) = self.slots.get_mut(*cursor) else {
                batch.reverse();
                return false;
            };
            *cursor += 1;
            if let Some(waker) = slot.take() {
                batch.push(Slot::Parked(waker));
            }
        }
        batch.reverse();
        true
    }

    /// After the end: takes the next batch for good, the first of it last; the last batch takes the memory with it. False
    /// when there are no more.
    pub(crate) fn take_rest(&mut self, batch: &mut Vec<Slot>) -> bool {
        if self.drained == 0 {
            if self.slots.len() <= BATCH {
                mem::swap(batch, &mut self.slots);
                batch.reverse();
                return false;
            }
            self.rest = mem::take(&mut self.slots).into_iter();
        }
        batch.extend(self.rest.by_ref().take(BATCH));
        batch.reverse();
        self.drained += batch.len();
        let more = self.rest.len() > 0;
        if !more {
            self.rest = Vec::new().into_iter();
        }
        more
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_as_large_as_a_waker() {
        assert_eq!(size_of::<Slot>(), size_of::<Waker>());
    }

    #[test]
    fn places_are_reused_and_never_shared() {
        let mut slab = Slab::new();
        let mut seats = [Seat::NONE; 4];
        for seat in &mut seats {
            assert!(slab.park(seat, Waker::noop().clone()).is_none());
        }
        assert!(slab.leave(&mut seats[1]).is_some());
        assert!(slab.leave(&mut seats[3]).is_some());
        let mut again = [Seat::NONE; 3];
        for seat in &mut again {
            slab.park(seat, Waker::noop().clone());
        }
        assert_eq!([again[0].0, again[1].0, again[2].0], [3, 1, 4]);
        // Taking a waker out does not give the place away.
        assert!(slab.take(seats[0]).is_some());
        let mut newcomer = Seat::NONE;
        slab.park(&mut newcomer, Waker::noop().clone());
        assert_eq!(newcomer.0, 5);
        assert!(slab.park(&mut seats[0], Waker::noop().clone()).is_none());
    }

    #[test]
    fn one_that_leaves_during_the_drain_takes_back_its_own() {
        let mut slab = Slab::new();
        let mut seats = [Seat::NONE; BATCH + 2];
        for seat in &mut seats {
            slab.park(seat, Waker::noop().clone());
        }
        let mut batch = Vec::new();
        assert!(slab.take_rest(&mut batch));
        // The first is out; the last two are not, and one of them stays.
        assert!(slab.leave(&mut seats[0]).is_none());
        assert!(slab.leave(&mut seats[BATCH]).is_some());
        batch.clear();
        assert!(!slab.take_rest(&mut batch));
        assert_eq!(batch.iter_mut().filter_map(Slot::take).count(), 1);
        assert!(slab.leave(&mut seats[BATCH + 1]).is_none());
    }

    #[test]
    fn the_rest_comes_in_batches_and_takes_the_memory_along() {
        let mut slab = Slab::new();
        for _ in 0..BATCH * 2 + 5 {
            slab.park(&mut Seat::NONE.clone(), Waker::noop().clone());
        }
        let mut sizes = Vec::new();
        let mut more = true;
        while more {
            let mut batch = Vec::new();
            more = slab.take_rest(&mut batch);
            sizes.push(batch.iter_mut().filter_map(Slot::take).count());
        }
        assert_eq!(sizes, [BATCH, BATCH, 5]);
        assert_eq!((slab.slots.capacity(), slab.rest.len()), (0, 0));
    }

    #[cfg(feature = "std")]
    #[test]
    fn a_seat_knows_its_waker() {
        let mut slab = Slab::new();
        assert!(slab.is_as_new());
        let mut seat = Seat::NONE;
        assert!(!seat.taken() && !Seat::DONE.taken());
        // Two clones of one waker: only these are sure to have one vtable.
        let [parked, same] = [Waker::noop(); 2].map(Waker::clone);
        slab.park(&mut seat, parked);
        assert!(seat.taken() && slab.will_wake(seat, &same));
        assert!(!slab.will_wake(Seat::NONE, &same) && !slab.is_as_new());
        slab.leave(&mut seat);
        assert!(!seat.taken() && slab.slots.len() == 1);
    }

    #[cfg(feature = "std")]
    #[test]
    fn some_are_taken_a_batch_at_a_time_and_memory_comes_back() {
        let mut slab = Slab::new();
        for _ in 0..=BATCH {
            slab.park(&mut Seat::NONE.clone(), Waker::noop().clone());
        }
        let (mut cursor, mut batch) = (0, Vec::new());
        assert!(slab.take_some(&mut cursor, &mut batch));
        assert_eq!((cursor, batch.len()), (BATCH, BATCH));
        batch.clear();
        assert!(!slab.take_some(&mut cursor, &mut batch));
        assert_eq!(batch.len(), 1);
        let mut slab = Slab::new();
        slab.reuse(Vec::with_capacity(BATCH));
        assert!(slab.slots.capacity() >= BATCH && slab.is_as_new());
    }
}
