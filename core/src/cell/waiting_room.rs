//! The waiting room of one cell: an `Event`, the tasks that share one listener of it, and a pool of
//! rooms that are used again.
//!
//! A settle notifies the [`Event`]. Threads that park listen to it directly (`blocking`). Tasks do
//! not: an `Event` wakes, clones and drops wakers with its list locked, so a waker that polls or
//! drops another listener inline would deadlock on that lock, and one that panics would leave every
//! listener after it waiting forever. So the tasks of a cell keep their wakers in a slab of our own
//! and share one listener, which carries no waker at all. When the `Event` has notified it, the
//! tasks are due, and the call that ended the cell fires their wakers under no lock.
//!
//! # Invariants
//! 1. A waker is parked under the lock of the tasks, and only while they have a listener. The first
//!    task makes the listener and registers it in the state of the cell, in the same critical
//!    section. Only the ender takes the listener away, in the critical section in which it begins
//!    to hand out the wakers. No waker is parked after that, so the ender fires them all.
//! 2. A place is given back by its owner or made stale by the ender, never both: see `slab`.
//!
//! # The window in which a wake-up could be lost
//! Ending is: publish the state, notify, hand out the wakers. Registering is, in one critical
//! section: listen, register, park. If the registration comes first, the ender sees `REGISTERED`,
//! its notify finds the listener, and it waits for the lock before it hands out. If the publication
//! comes first, the registration returns an ended state, and every task that gets the lock later
//! reads one. Both are read-modify-writes of one atomic word, so there is no third case. The ender
//! acquires what the registration has released, so its notify needs no fence of its own.
//!
//! # Lock order
//! The lock of the tasks before that of the `Event`. Never the other way: nothing the `Event` calls
//! takes the lock of the tasks.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::task::Waker;

use crate::cell::slab::{Place, Slab};
use crate::cell::state::{Snapshot, State};
use crate::cell::wake::fire;
use crate::sync::{Event, EventListener, Mutex, notify_all, thread_local};
use crate::unwind::Fragile;

pub(super) struct WaitingRoom {
    event: Event,
    tasks: Mutex<Tasks>,
}

struct Tasks {
    slab: Slab,
    /// What the tasks share at the `Event`, made by the first one that parks.
    listener: Option<EventListener>,
    /// The `Event` has notified the listener.
    due: bool,
}

impl Tasks {
    /// Whether the `Event` has notified the tasks: asked after it has notified everybody, and true
    /// from then on. The listener is dropped in the lock order.
    fn are_due(&mut self, event: &Event) -> bool {
        if let Some(listener) = self.listener.take() {
            self.due = event.is_notified();
            drop(listener);
        }
        self.due
    }
}

impl WaitingRoom {
    fn new() -> Self {
        Self {
            event: Event::new(),
            tasks: Mutex::new(Tasks {
                slab: Slab::new(),
                listener: None,
                due: false,
            }),
        }
    }

    /// Parks a task, unless the cell has ended meanwhile. Returns the state as it was found.
    pub(super) fn park(&self, state: &State, place: &mut Place, waker: &Waker) -> Snapshot {
        if place.is_taken() && self.tasks.with(|tasks| tasks.slab.will_wake(*place, waker)) {
            return state.load();
        }
        let waker = waker.clone();
        let (found, unused) = self.tasks.with(|tasks| {
            let mut found = state.load();
            if !found.ended() && tasks.listener.is_none() {
                tasks.listener = Some(self.event.listen());
                found = state.register();
            }
            if found.ended() {
                // The ender has handed out the wakers already, or it saw no registration. It would
                // not fire this one.
                return (found, Some(waker));
            }
            (found, tasks.slab.park(place, waker))
        });
        if unused.is_some() {
            drop(Fragile(unused));
        }
        found
    }

    /// Gives a place back. Its waker, if it is still there, is dropped after the lock is released.
    pub(super) fn vacate(&self, place: &mut Place) {
        drop(self.tasks.with(|tasks| Fragile(tasks.slab.vacate(place))));
    }

    /// A listener for a thread that parks.
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub(super) fn listen(&self) -> EventListener {
        self.event.listen()
    }

    /// Wakes everybody who has registered. Called once, by the call that ended the cell.
    pub(super) fn tell(&self) {
        notify_all(&self.event);
        fire(|batch| {
            self.tasks
                .with(|tasks| tasks.are_due(&self.event) && tasks.slab.take_rest(batch))
        });
    }

    /// Makes it ready for another cell. Returns false if a waker or a listener was left in it.
    fn reset(&mut self) -> bool {
        let tasks = self.tasks.get_mut();
        tasks.due = false;
        tasks.listener.is_none() && tasks.slab.reset()
    }
}

/// The maximum number of rooms that one thread keeps.
const POOLED: usize = 16;

/// Rooms that are used again. A room consists of three allocations (its own, its `Event`'s and its
/// slab's), which the first waiter of a flight would pay for. A pooled room holds no waker, no
/// listener and little memory. A cell points to its room, so a room stays in its box.
type Pool = RefCell<Vec<Box<WaitingRoom>>>;

thread_local! {
    static POOL: Pool = const { RefCell::new(Vec::new()) };
}

/// A room that nobody waits in.
pub(super) fn take() -> Box<WaitingRoom> {
    let pooled = POOL.try_with(|pool| pool.borrow_mut().pop());
    pooled
        .ok()
        .flatten()
        .unwrap_or_else(|| Box::new(WaitingRoom::new()))
}

/// Takes back the room of a cell that has no use for it any more. A cell that never ended can have
/// left wakers in it; such a room is dropped.
pub(super) fn put(mut room: Box<WaitingRoom>) {
    if room.reset() {
        // Fails while the thread is torn down. Then the room is dropped here.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED {
                pool.push(room);
            }
        });
    }
}
