//! Every future of the core that waits, behind one face, where a hostile waker can reach it.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use oneflight_core::{Group, SettleCell};

use super::{Act, Shelf, poll, poll_idly, primary, waiter};

pub(crate) type Key = &'static str;
pub(crate) type Registry = Group<Key, u32>;

/// One future under attack: says whether it is ready when polled.
pub(crate) type Victim = Box<dyn FnMut(&Waker) -> bool + Send>;

/// Futures that wait for one outcome, where a hostile waker can reach them.
pub(crate) struct Arena {
    pub(crate) group: Registry,
    pub(crate) seats: Vec<Mutex<Option<Victim>>>,
}

impl Arena {
    /// Polls a victim inline, unless that one is being polled already. True when it is ready.
    pub(crate) fn poll(&self, index: usize, waker: &Waker) -> Option<bool> {
        let mut seat = self.seats[index].try_lock().ok()?;
        seat.as_mut().map(|victim| victim(waker))
    }

    /// Drops a victim, unless it is being polled.
    pub(crate) fn evict(&self, index: usize) {
        let victim = match self.seats[index].try_lock() {
            Ok(mut seat) => seat.take(),
            Err(_) => None,
        };
        drop(victim);
    }
}

/// The futures of this crate, each with a way to end what they wait for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Waiters,
    Participants,
    CellWaits,
    DetachedCalls,
}

pub(crate) const KINDS: [Kind; 4] = [
    Kind::Waiters,
    Kind::Participants,
    Kind::CellWaits,
    Kind::DetachedCalls,
];

impl Kind {
    /// An arena with `count` victims that wait for `"k"`, and the call that settles it.
    pub(crate) fn arena(self, count: usize) -> (Arc<Arena>, Act) {
        let group = Registry::new();
        let mut victims: Vec<Victim> = Vec::new();
        let end: Act = match self {
            Kind::Waiters => {
                let primary = primary(&group, "k");
                for _ in 0..count {
                    let mut waiter = waiter(&group, "k");
                    victims.push(Box::new(move |waker| poll(&mut waiter, waker).is_ready()));
                }
                Box::new(move || drop(primary.settle(7)))
            }
            Kind::Participants => {
                // The first one drives, and is polled by the call that ends it.
                let gate = Arc::new(SettleCell::<u32>::new());
                let inner = gate.clone();
                let mut driver = group.work("k", move || async move { *inner.wait().await });
                assert!(poll_idly(&mut driver).is_pending());
                for _ in 0..count {
                    let mut work = group.work("k", pending);
                    victims.push(Box::new(move |waker| poll(&mut work, waker).is_ready()));
                }
                Box::new(move || {
                    gate.settle(7).expect("settled once");
                    drop(poll_idly(&mut driver));
                })
            }
            Kind::CellWaits => {
                let cell: &'static SettleCell<u32> = Box::leak(Box::default());
                for _ in 0..count {
                    let mut wait = cell.wait();
                    victims.push(Box::new(move |waker| poll(&mut wait, waker).is_ready()));
                }
                Box::new(move || drop(cell.settle(7)))
            }
            Kind::DetachedCalls => {
                let shelf = Shelf::default();
                for _ in 0..count {
                    let mut call = group.spawn_on(&shelf, "k", || async { 7 });
                    victims.push(Box::new(move |waker| poll(&mut call, waker).is_ready()));
                }
                let mut task = shelf.take_task();
                Box::new(move || assert!(poll_idly(&mut task).is_ready(), "never unwinds"))
            }
        };
        let seats = victims.into_iter().map(|victim| Mutex::new(Some(victim)));
        let seats = seats.collect();
        (Arc::new(Arena { group, seats }), end)
    }

    /// Whether a panic of a waker comes out of the call that settles; a task keeps it.
    pub(crate) fn lets_panics_through(self) -> bool {
        self != Kind::DetachedCalls
    }
}
