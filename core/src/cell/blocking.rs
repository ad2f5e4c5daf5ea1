//! Threads that park until a cell has ended.
//!
//! A thread listens to the cell's `Event` directly and has no place in the slab: an `Event` unparks
//! a thread under its own lock, which is safe, since an unpark runs none of the user's code.

use std::time::Instant;

use crate::cell::SettleCell;
use crate::cell::settle_cell::RawCell;
use crate::cell::state::{Snapshot, State};
use crate::cell::waiting_room::WaitingRoom;
use crate::sync::park;

impl<T> SettleCell<T> {
    /// Waits for the value by parking the calling thread.
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked until the settle. Do not call it on a thread that an executor needs:
    /// use [`wait`](Self::wait) there.
    pub fn wait_blocking(&self) -> &T {
        self.raw.block(None);
        self.get()
            .unwrap_or_else(|| unreachable!("a cell ends only by a settle"))
    }

    /// Waits for the value by parking the calling thread, until `deadline` at most. Returns `None`
    /// if the cell is not settled by then.
    ///
    /// A cell that is settled already returns its value, also if `deadline` has passed.
    ///
    /// # Deadlocks
    ///
    /// The thread is blocked as by [`wait_blocking`](Self::wait_blocking), at most until
    /// `deadline`.
    ///
    /// ```
    /// use oneflight_core::SettleCell;
    /// use std::time::{Duration, Instant};
    ///
    /// let cell = SettleCell::new();
    /// let soon = Instant::now() + Duration::from_millis(1);
    /// assert_eq!(cell.wait_deadline(soon), None);
    /// cell.settle(7).unwrap();
    /// assert_eq!(cell.wait_deadline(soon), Some(&7));
    /// ```
    pub fn wait_deadline(&self, deadline: Instant) -> Option<&T> {
        self.raw.block(Some(deadline));
        self.get()
    }
}

impl<T, B> RawCell<T, B> {
    /// Parks the calling thread until the cell has ended, or until `deadline`. Returns the state as
    /// it was last read. The thread is inside of the cell while it is parked.
    pub(crate) fn block(&self, deadline: Option<Instant>) -> Snapshot {
        let state = self.snapshot();
        if state.ended() {
            return state;
        }
        let blocked = self.with_room(|room| room.block(&self.state, deadline));
        blocked.unwrap_or_else(|| self.snapshot())
    }
}

impl WaitingRoom {
    fn block(&self, state: &State, deadline: Option<Instant>) -> Snapshot {
        loop {
            let listener = self.listen();
            // Registered after listening: either the ender's notify reaches this listener, or the
            // state shows the end.
            if state.register().ended() || !park(listener, deadline) {
                return state.load();
            }
        }
    }
}
