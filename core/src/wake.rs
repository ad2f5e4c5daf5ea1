//! Firing wakers: in batches, under no lock, and to the last one even if some of them panic.
//!
//! A waker is the user's code. It may poll, drop or settle anything inline, and it may panic. So:
//! - a batch is taken out under the lock and fired after its release;
//! - at most [`BATCH`] wakers are out at once, so that a waiter which leaves meanwhile can still
//!   take its own back;
//! - when one panics, the guard goes on with the rest and only then lets the panic continue. That
//!   costs nothing until a panic happens, where a `catch_unwind` for each wake would cost a fifth;
//! - when this thread already unwinds, a panic out of a wake would abort the process, so it ends
//!   here.

use alloc::vec::Vec;
use core::task::Waker;

use crate::slab::Slot;
use crate::sync::{Fragile, isolate, panicking};

/// The most wakers that are out of their slab at one time.
pub(crate) const BATCH: usize = 64;

/// Fires everything `refill` hands out. It puts the next wakers into the batch, the first of them
/// last, and says whether there may be more after them.
///
/// `refill` is called with an empty `Vec` and takes its own lock; it is never called while a waker
/// runs. The `Vec` comes back empty when all are fired, for its memory.
pub(crate) fn fire(refill: impl FnMut(&mut Vec<Slot>) -> bool) -> Vec<Slot> {
    let mut volley = Volley {
        refill,
        batch: Vec::new(),
        more: true,
    };
    if panicking() {
        volley.fire(isolated);
    } else {
        volley.fire(Waker::wake);
    }
    core::mem::take(&mut volley.batch)
}

fn isolated(waker: Waker) {
    isolate(|| waker.wake());
}

/// Fires one waker; a panic of it ends here if this thread already unwinds.
pub(crate) fn fire_one(waker: Waker) {
    if panicking() {
        isolated(waker);
    } else {
        waker.wake();
    }
}

/// A waker taken out of a slab, to be dropped when no lock is held: its drop is the user's.
pub(crate) type Spent = Fragile<Waker>;

struct Volley<F: FnMut(&mut Vec<Slot>) -> bool> {
    refill: F,
    batch: Vec<Slot>,
    more: bool,
}

impl<F: FnMut(&mut Vec<Slot>) -> bool> Volley<F> {
    #[inline(always)]
    fn fire(&mut self, wake: impl Fn(Waker)) {
        while self.load() {
            while let Some(slot) = self.batch.pop() {
                if let Slot::Parked(waker) = slot {
                    wake(waker);
                }
            }
        }
    }

    /// Whether there may be something to fire. When nothing is left of a batch, the next one is taken.
    fn load(&mut self) -> bool {
        if self.batch.is_empty() {
            if !self.more {
                return false;
            }
            self.more = (self.refill)(&mut self.batch);
        }
        true
    }
}

impl<F: FnMut(&mut Vec<Slot>) -> bool> Drop for Volley<F> {
    fn drop(&mut self) {
        // Reached with something left only when a wake unwinds.
        self.fire(isolated);
    }
}
