//! Threads that park until a cell has ended.
//!
//! A thread listens to the cell's `Event` directly and has no place in the slab: an `Event` unparks
//! a thread under its own lock, which is safe, since an unpark runs none of the user's code.

use std::time::Instant;

use crate::cell::SettleCell;
use crate::cell::state::{Snapshot, State};
use crate::cell::waiting_room::WaitingRoom;
use crate::sync::park;

impl<T> SettleCell<T> {
    /// Waits for the value by parking the calling thread.
    ///
    /// # Deadlocks
    ///
    /// The thread is gone until the settle. On a thread that an executor needs, this is the mistake
    /// this crate exists to avoid: use [`wait`](Self::wait) there.
    pub fn wait_blocking(&self) -> &T {
        self.block(None);
        self.get()
            .unwrap_or_else(|| unreachable!("a cell ends only by a settle"))
    }

    /// Parks the calling thread until the cell has ended, or until `deadline`. Returns the state as
    /// it was last read.
    pub(crate) fn block(&self, deadline: Option<Instant>) -> Snapshot {
        let state = self.snapshot();
        if state.ended() {
            return state;
        }
        self.room().block(&self.state, deadline)
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
