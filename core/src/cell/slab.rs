//! A compact slab of wakers: 16 bytes for each waiter, and its slots are used again.
//!
//! A slab is always behind a lock, so it runs nothing of the user's: it takes wakers in and hands
//! them out by value and never clones, drops or wakes one. Its callers do that after the lock is
//! released. (`will_wake` compares two pairs of pointers and calls no code of the waker's. There is
//! one exception: when all of about four thousand million places are taken, the waker that wants
//! another place is dropped by the panic.)
//!
//! # Invariants
//! 1. A slot belongs to the place that took it until that place is given back, also after its waker
//!    was taken out. No two places have the same index.
//! 2. A `Vacant` slot is either in the free list (it holds the next free index) or reserved for its
//!    place.
//! 3. Once [`Slab::take_rest`] has begun, no waker is parked here any more: the cell has ended. A
//!    place then refers to a waker that has not been handed out yet, or to nothing.

mod few;

pub(crate) use few::Few;

use alloc::vec::{self, Vec};
use core::mem;
use core::ops::Range;
use core::task::Waker;

use crate::cell::wake::BATCH;

/// One slot. `Vacant` uses the niche of the waker's vtable, so a slot is as large as a waker.
pub(crate) enum Slot {
    Parked(Waker),
    Vacant(usize),
}

const END: usize = usize::MAX;
const RESERVED: usize = usize::MAX - 1;

/// How many slots a slab, or a batch, that is used again may have memory for.
pub(super) const LITTLE: usize = 16;

impl Slot {
    /// Takes the waker out and leaves the slot to its place.
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

/// The place of a waiter or a participant in a slab. It has 32 bits, so that a future with flags
/// beside it stays small: the size of a waiting future decides what its task costs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    /// Not parked yet.
    pub(crate) const NONE: Place = Place(u32::MAX);
    pub(crate) const FIRST: Place = Place(0);
    /// Its owner has left, has no waker here, and will not park again.
    pub(crate) const LEFT: Place = Place(u32::MAX - 1);
    /// Its owner has parked under no lock. Which place that is is seen under the lock.
    pub(crate) const ALONE: Place = Place(u32::MAX - 2);

    /// # Panics
    ///
    /// Panics when there are no more places: the slab then holds 64 gigabytes of wakers.
    fn at(index: usize) -> Self {
        match u32::try_from(index) {
            Ok(index) if index < Self::ALONE.0 => Self(index),
            _ => panic!("more than four thousand million wait for one flight"),
        }
    }

    const fn index(self) -> usize {
        self.0 as usize
    }

    /// The place before this one; none before the first.
    fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }

    /// As a number, to keep it with others.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The place with this [number](Self::number).
    pub(crate) const fn of_number(number: u32) -> Self {
        Self(number)
    }

    pub(crate) fn is_taken(self) -> bool {
        self.0 < Self::LEFT.0
    }
}

/// A place and flags of its owner, in one word that is always written whole.
///
/// A future that is made in two halves and is then moved as one word makes the move wait until both
/// stores have left the core. That took a fifth of a join, and no count of instructions shows it.
#[derive(Clone, Copy)]
pub(crate) struct MarkedPlace(u64);

impl MarkedPlace {
    /// Without a place.
    #[inline(always)]
    pub(crate) const fn new(flags: u32) -> Self {
        Self::whole(Place::NONE, flags)
    }

    #[inline(always)]
    const fn whole(place: Place, flags: u32) -> Self {
        Self(place.0 as u64 | (flags as u64) << 32)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    pub(crate) const fn place(self) -> Place {
        Place(self.0 as u32)
    }

    /// Whether one of these flags is set.
    #[inline(always)]
    pub(crate) const fn has(self, flags: u32) -> bool {
        self.0 & ((flags as u64) << 32) != 0
    }

    /// Sets these flags, and clears those.
    #[inline(always)]
    pub(crate) fn mark(&mut self, set: u32, clear: u32) {
        self.0 = (self.0 | (set as u64) << 32) & !((clear as u64) << 32);
    }

    /// Makes the place none, and clears these flags.
    #[inline(always)]
    pub(crate) fn leave_place(&mut self, clear: u32) {
        self.0 = (self.0 | Place::NONE.0 as u64) & !((clear as u64) << 32);
    }

    /// Calls `f` with the place, which it can change, also if it unwinds then.
    #[inline(always)]
    pub(crate) fn with_place<R>(&mut self, f: impl FnOnce(&mut Place) -> R) -> R {
        let mut changing = Changing {
            place: self.place(),
            word: self,
        };
        f(&mut changing.place)
    }
}

struct Changing<'a> {
    place: Place,
    word: &'a mut MarkedPlace,
}

impl Drop for Changing<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.word = MarkedPlace(self.word.0 >> 32 << 32 | u64::from(self.place.0));
    }
}

pub(crate) struct Slab {
    slots: Vec<Slot>,
    free: usize,
    /// After the end: what [`Slab::take_rest`] has not handed out yet.
    rest: vec::IntoIter<Slot>,
    /// How many slots it has handed out.
    handed_out: usize,
}

impl Slab {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: END,
            rest: Vec::new().into_iter(),
            handed_out: 0,
        }
    }

    /// Makes it as new, but for its memory. Returns false if a slot is left in it.
    pub(super) fn reset(&mut self) -> bool {
        self.free = END;
        self.handed_out = 0;
        self.slots.is_empty() && self.rest.len() == 0
    }

    /// Whether `place` is parked with a waker that wakes the same task as `waker`.
    pub(crate) fn will_wake(&self, place: Place, waker: &Waker) -> bool {
        let slot = self.slots.get(place.index());
        matches!(slot, Some(Slot::Parked(parked)) if parked.will_wake(waker))
    }

    /// Parks `waker` in `place`, which is taken first if it is none. Returns the waker that was
    /// there before.
    pub(crate) fn park(&mut self, place: &mut Place, waker: Waker) -> Option<Waker> {
        if !place.is_taken() {
            if let Some(slot) = self.slots.get_mut(self.free) {
                *place = Place::at(self.free);
                if let Slot::Vacant(next) = mem::replace(slot, Slot::Parked(waker)) {
                    self.free = next;
                }
            } else {
                *place = Place::at(self.slots.len());
                self.slots.push(Slot::Parked(waker));
            }
            return None;
        }
        let old = self.take(*place);
        if let Some(slot) = self.slots.get_mut(place.index()) {
            *slot = Slot::Parked(waker);
        }
        old
    }

    /// Takes the waker out of `place`. The slot stays reserved.
    pub(crate) fn take(&mut self, place: Place) -> Option<Waker> {
        self.slot(place)?.take()
    }

    fn slot(&mut self, place: Place) -> Option<&mut Slot> {
        if place.index() < self.slots.len() {
            return self.slots.get_mut(place.index());
        }
        let rest = self.rest.as_mut_slice();
        rest.get_mut(place.index().checked_sub(self.handed_out)?)
    }

    /// Gives the place back. Returns its waker if that was still there.
    pub(crate) fn vacate(&mut self, place: &mut Place) -> Option<Waker> {
        let place = mem::replace(place, Place::NONE);
        let free = self.free;
        let slot = self.slot(place)?;
        let old = slot.take();
        *slot = Slot::Vacant(free);
        self.free = place.index();
        old
    }

    /// How many slots it has, parked or vacant.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Takes the next batch of wakers in `places`, in reverse order, and takes those places off
    /// `places`. Their slots stay reserved. Returns false when there are no more.
    pub(crate) fn take_some(&mut self, places: &mut Range<usize>, batch: &mut Vec<Slot>) -> bool {
        while batch.len() < BATCH {
            let Some(place) = places.next() else {
                batch.reverse();
                return false;
            };
            if let Some(waker) = self.slots.get_mut(place).and_then(Slot::take) {
                batch.push(Slot::Parked(waker));
            }
        }
        batch.reverse();
        true
    }

    /// All at once. The memory goes along, unless it is little and the batch has its own: the cell
    /// can be kept for long.
    fn take_all(&mut self, batch: &mut Vec<Slot>) {
        if self.slots.capacity() <= LITTLE && self.slots.len() <= batch.capacity() {
            batch.extend(self.slots.drain(..).rev());
        } else {
            mem::swap(batch, &mut self.slots);
            batch.reverse();
        }
    }

    /// After the end: takes the next batch for good, in reverse order. Returns false when there are
    /// no more.
    pub(crate) fn take_rest(&mut self, batch: &mut Vec<Slot>) -> bool {
        if self.handed_out == 0 {
            if self.slots.len() <= BATCH {
                self.take_all(batch);
                return false;
            }
            self.rest = mem::take(&mut self.slots).into_iter();
        }
        batch.extend(self.rest.by_ref().take(BATCH));
        batch.reverse();
        self.handed_out += batch.len();
        let more = self.rest.len() > 0;
        if !more {
            self.rest = Vec::new().into_iter();
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_as_large_as_a_waker() {
        assert_eq!(size_of::<Slot>(), size_of::<Waker>());
    }

    #[test]
    fn a_place_and_its_flags_are_one_word() {
        assert_eq!(size_of::<MarkedPlace>(), size_of::<u64>());
        let mut marked = MarkedPlace::new(0b101);
        assert!(marked.has(0b100) && !marked.has(0b10) && !marked.place().is_taken());
        marked.with_place(|place| *place = Place::at(7));
        marked.mark(0b10, 0b100);
        assert!(marked.place() == Place::at(7) && marked.has(0b10) && marked.has(1));
        assert!(!marked.has(0b100));
    }

    #[test]
    fn places_are_reused_and_never_shared() {
        let mut slab = Slab::new();
        let mut places = [Place::NONE; 4];
        for place in &mut places {
            assert!(slab.park(place, Waker::noop().clone()).is_none());
        }
        assert!(slab.vacate(&mut places[1]).is_some());
        assert!(slab.vacate(&mut places[3]).is_some());
        let mut again = [Place::NONE; 3];
        for place in &mut again {
            slab.park(place, Waker::noop().clone());
        }
        assert_eq!([again[0].0, again[1].0, again[2].0], [3, 1, 4]);
        // Taking a waker out does not free its slot.
        assert!(slab.take(places[0]).is_some());
        let mut newcomer = Place::NONE;
        slab.park(&mut newcomer, Waker::noop().clone());
        assert_eq!(newcomer.0, 5);
        assert!(slab.park(&mut places[0], Waker::noop().clone()).is_none());
    }

    #[test]
    fn a_place_given_back_while_wakers_are_handed_out_yields_its_own_waker() {
        let mut slab = Slab::new();
        let mut places = [Place::NONE; BATCH + 2];
        for place in &mut places {
            slab.park(place, Waker::noop().clone());
        }
        let mut batch = Vec::new();
        assert!(slab.take_rest(&mut batch));
        // The first is out; the last two are not, and one of them stays.
        assert!(slab.vacate(&mut places[0]).is_none());
        assert!(slab.vacate(&mut places[BATCH]).is_some());
        batch.clear();
        assert!(!slab.take_rest(&mut batch));
        assert_eq!(batch.iter_mut().filter_map(Slot::take).count(), 1);
        assert!(slab.vacate(&mut places[BATCH + 1]).is_none());
    }

    #[test]
    fn the_rest_is_handed_out_in_batches_and_takes_the_memory_along() {
        let mut slab = Slab::new();
        for _ in 0..BATCH * 2 + 5 {
            slab.park(&mut Place::NONE.clone(), Waker::noop().clone());
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

    #[test]
    fn a_place_knows_its_waker() {
        let mut slab = Slab::new();
        assert!(slab.reset());
        let mut place = Place::NONE;
        assert!(!place.is_taken() && !Place::LEFT.is_taken());
        // Two clones of one waker: only they are sure to have one vtable.
        let [parked, same] = [Waker::noop(); 2].map(Waker::clone);
        slab.park(&mut place, parked);
        assert!(place.is_taken() && slab.will_wake(place, &same));
        assert!(!slab.will_wake(Place::NONE, &same) && !slab.reset());
        slab.vacate(&mut place);
        assert!(!place.is_taken() && slab.slots.len() == 1);
    }

    #[test]
    fn some_are_taken_a_batch_at_a_time_and_memory_comes_back() {
        let mut slab = Slab::new();
        for _ in 0..=BATCH {
            slab.park(&mut Place::NONE.clone(), Waker::noop().clone());
        }
        let (mut places, mut batch) = (0..slab.len(), Vec::new());
        assert!(slab.take_some(&mut places, &mut batch));
        assert_eq!((places.start, batch.len()), (BATCH, BATCH));
        batch.clear();
        assert!(!slab.take_some(&mut places, &mut batch));
        assert_eq!(batch.len(), 1);
    }
}
