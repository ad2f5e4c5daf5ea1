//! Firing wakers: in batches, under no lock, and all of them even if some panic.
//!
//! A waker is the user's code. It can poll, drop or settle anything inline, and it can panic. So:
//! - a batch is taken out under the lock and fired after the lock is released;
//! - at most [`BATCH`] wakers are taken out at once, so that a waiter that leaves meanwhile can
//!   still take back its own;
//! - when one panics, a guard fires the rest, and then the panic continues. This costs nothing
//!   until a panic happens; a `catch_unwind` for each wake would cost a fifth;
//! - when this thread already unwinds, a panic of a waker would abort the process, so it is caught.

use alloc::vec::Vec;
use core::cell::Cell;
use core::mem;
use core::task::Waker;

use crate::cell::slab::{LITTLE, Slot};
use crate::sync::{panicking, thread_local};
use crate::unwind::{Fragile, isolate};

/// The maximum number of wakers that are out of their slab at one time.
pub(crate) const BATCH: usize = 64;

/// Fires every waker that `refill` hands out. `refill` puts the next wakers into the batch, in
/// reverse order, and returns whether there can be more after them.
///
/// `refill` is called with an empty `Vec` and takes its own lock. It is never called while a waker
/// runs.
pub(crate) fn fire(refill: impl FnMut(&mut Vec<Slot>) -> bool) {
    // Without thread locals it has none, and a slab gives its own memory along.
    let batch = SPARE.try_with(|spare| match spare.take() {
        none if none.capacity() == 0 => Vec::with_capacity(LITTLE),
        spare => spare,
    });
    let mut firing = Firing {
        refill,
        batch: batch.unwrap_or_default(),
        more: true,
    };
    if panicking() {
        firing.fire(isolated);
    } else {
        firing.fire(Waker::wake);
    }
    if firing.batch.capacity() <= LITTLE {
        // Fails while the thread is torn down. Then the memory is freed here.
        let _ = SPARE.try_with(|spare| spare.set(mem::take(&mut firing.batch)));
    }
}

// Memory for a batch, if it is little, which is used again. This is no documentation of the item:
// not every platform's macro takes one.
thread_local! {
    static SPARE: Cell<Vec<Slot>> = const { Cell::new(Vec::new()) };
}

fn isolated(waker: Waker) {
    isolate(|| waker.wake());
}

/// Fires one waker. Its panic is caught if this thread already unwinds.
pub(crate) fn fire_one(waker: Waker) {
    if panicking() {
        isolated(waker);
    } else {
        waker.wake();
    }
}

/// A waker that was taken out of a slab or not used. It must be dropped under no lock: its drop is
/// the user's.
pub(crate) type TakenWaker = Fragile<Waker>;

struct Firing<F: FnMut(&mut Vec<Slot>) -> bool> {
    refill: F,
    batch: Vec<Slot>,
    more: bool,
}

impl<F: FnMut(&mut Vec<Slot>) -> bool> Firing<F> {
    fn fire(&mut self, wake: impl Fn(Waker)) {
        while self.take_next() {
            while let Some(slot) = self.batch.pop() {
                if let Slot::Parked(waker) = slot {
                    wake(waker);
                }
            }
        }
    }

    /// Takes the next batch if this one is used up. Returns whether there can be something to fire.
    fn take_next(&mut self) -> bool {
        if self.batch.is_empty() {
            if !self.more {
                return false;
            }
            self.more = (self.refill)(&mut self.batch);
        }
        true
    }
}

impl<F: FnMut(&mut Vec<Slot>) -> bool> Drop for Firing<F> {
    fn drop(&mut self) {
        // Something is left only when a waker has panicked.
        self.fire(isolated);
    }
}
