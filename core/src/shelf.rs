//! Waiting rooms that are used again. A room comes with an `Event` and a slab, so the first waiter of a flight pays for three
//! allocations; most flights have few waiters or none, and theirs are as good as new when the flight is gone.
//!
//! Each thread keeps a few. A room on the shelf holds no waker, no listener and no memory to speak of. Without `std` there
//! are no shelves, and under the model checkers none either: they shall see each room made.

use alloc::boxed::Box;
use core::ops::Range;

use crate::crowd::WaitingRoom;

/// How many places a slab may have room for on the shelf.
pub(crate) const KEEPS: Range<usize> = 1..17;

#[cfg(all(feature = "std", not(loom), not(shuttle)))]
mod here {
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::cell::RefCell;

    use crate::crowd::WaitingRoom;

    /// The most rooms that a thread keeps.
    const ROOMS: usize = 16;

    /// A cell points to its room, so a room comes and goes in its box.
    type Shelf = RefCell<Vec<Box<WaitingRoom>>>;

    std::thread_local! {
        static SHELF: Shelf = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn take() -> Option<Box<WaitingRoom>> {
        SHELF.try_with(|shelf| shelf.borrow_mut().pop()).ok()?
    }

    pub(super) fn put(mut room: Box<WaitingRoom>) {
        if room.is_as_new() {
            // Not while the thread is torn down: then the room is dropped here.
            let _ = SHELF.try_with(|shelf| {
                let mut shelf = shelf.borrow_mut();
                if shelf.len() < ROOMS {
                    shelf.push(room);
                }
            });
        }
    }
}

#[cfg(not(all(feature = "std", not(loom), not(shuttle))))]
mod here {
    use alloc::boxed::Box;

    use crate::crowd::WaitingRoom;

    pub(super) fn take() -> Option<Box<WaitingRoom>> {
        None
    }

    pub(super) fn put(room: Box<WaitingRoom>) {
        drop(room);
    }
}

/// A room that nobody waits in.
#[inline]
pub(crate) fn take() -> Box<WaitingRoom> {
    here::take().unwrap_or_else(|| Box::new(WaitingRoom::new()))
}

/// The room of a cell that is gone. Nothing of the user's is in it, but what a cell that never ended has left.
#[inline]
pub(crate) fn put(room: Box<WaitingRoom>) {
    here::put(room);
}
