//! The waiting room of one cell: an `Event`, and the crowd of tasks that share one listener of it.
//!
//! A settle notifies the [`Event`]. Threads that park listen to it directly. Tasks do not: an
//! `Event` wakes, clones and drops wakers with its list locked, so a waker that polls or drops a
//! neighbour inline would dead-lock on that lock, and one that panics would strand every listener
//! after it. So the tasks of a cell form a *crowd*: their wakers stand in a slab of our own, and
//! the crowd as a whole is one listener, which carries no waker at all. When the `Event` has
//! notified it, the crowd is due, and whoever ended the cell fires the wakers under no lock.
//!
//! # Invariants
//! 1. Whoever parks a waker does so under the crowd's lock, and only where the crowd has a listener
//!    that was announced in time. The first one makes the listener and announces it in the state
//!    word, in the same lock hold; the others find it there, since only the ender takes it away, in
//!    the lock hold in which it begins to drain. So a waker that stands in the slab while the lock is
//!    free is due to be fired by the ender.
//! 2. A seat is given back by its owner or made stale by the drain, never both: see `slab`.
//!
//! # The window that would lose a wake-up
//! Ending is: publish the word, notify, drain. Registering is, in one lock hold: listen, announce,
//! park. If the announcement comes first, the ender sees `WAITERS`, its notify finds the listener, and
//! its drain waits for the lock. If the publication comes first, the announcement returns an ended
//! word, and whoever gets the lock later reads one. Both are read-modify-writes of one word, so there
//! is no third case.
//!
//! # Lock order
//! Crowd before `Event`. Never the other way: nothing the `Event` calls takes the crowd's lock.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};

use crate::shelf;
use crate::slab::{Seat, Slab};
use crate::state::{Snapshot, State};
#[cfg(all(feature = "std", not(target_family = "wasm")))]
use crate::sync::park;
use crate::sync::{Event, EventListener, Fragile, Mutex};
use crate::wake::fire;

pub(crate) struct WaitingRoom {
    event: Event,
    crowd: Mutex<Crowd>,
}

struct Crowd {
    slab: Slab,
    /// The crowd's own place at the `Event`, made by the first task that parks.
    listener: Option<EventListener>,
    /// The `Event` has notified it.
    due: bool,
}

impl Crowd {
    /// Whether the `Event` has notified the crowd. Asked after a notify, and true ever after. The
    /// listener is asked with a waker that is nobody's, and dropped, in the order of locks.
    fn is_due(&mut self) -> bool {
        if let Some(listener) = self.listener.take() {
            self.due = pin!(listener)
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready();
        }
        self.due
    }
}

impl WaitingRoom {
    pub(crate) fn new() -> Self {
        Self {
            event: Event::new(),
            crowd: Mutex::new(Crowd {
                slab: Slab::new(),
                listener: None,
                due: false,
            }),
        }
    }

    /// Whether it can serve another cell: nobody stands in it, and nobody listens.
    #[cfg(all(feature = "std", not(loom), not(shuttle)))]
    pub(crate) fn is_as_new(&mut self) -> bool {
        self.crowd.with(|crowd| {
            crowd.due = false;
            crowd.listener.is_none() && crowd.slab.is_as_new()
        })
    }

    /// Parks a task, unless the cell has ended meanwhile. Returns the word as it was found.
    pub(crate) fn park(&self, state: &State, seat: &mut Seat, waker: &Waker) -> Snapshot {
        if seat.taken() && self.crowd.with(|crowd| crowd.slab.will_wake(*seat, waker)) {
            return state.load();
        }
        let waker = waker.clone();
        let (word, spent) = self.crowd.with(|crowd| {
            let mut word = state.load();
            if !word.ended() && crowd.listener.is_none() {
                crowd.listener = Some(self.event.listen());
                word = state.register();
            }
            if word.ended() {
                // The ender may have been here, or may have seen nobody: it would not take this waker.
                return (word, Some(waker));
            }
            (word, crowd.slab.park(seat, waker))
        });
        if spent.is_some() {
            drop(Fragile(spent));
        }
        word
    }

    /// Gives a seat back. The waker, if it is still there, is dropped after the lock is released.
    pub(crate) fn leave(&self, seat: &mut Seat) {
        drop(self.crowd.with(|crowd| Fragile(crowd.slab.leave(seat))));
    }

    /// Tells everyone who registered that the cell has ended. Called once, by the one who ended it.
    pub(crate) fn tell(&self, state: &State) {
        self.event.notify(usize::MAX);
        let memory = fire(|batch| {
            self.crowd
                .with(|crowd| crowd.is_due() && crowd.slab.take_rest(batch))
        });
        if shelf::KEEPS.contains(&memory.capacity()) {
            self.crowd.with(|crowd| crowd.slab.reuse(memory));
        }
        state.drained();
    }

    /// Parks the calling thread until the cell has ended, or until `deadline`. Returns the word as
    /// last seen.
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub(crate) fn block(&self, state: &State, deadline: Option<std::time::Instant>) -> Snapshot {
        loop {
            let listener = self.event.listen();
            // Announced after listening, so the ender's notify reaches this listener or the word
            // shows the end.
            let before = state.register();
            if before.ended() {
                return state.load();
            }
            if !park(listener, deadline) {
                return state.load();
            }
        }
    }
}
