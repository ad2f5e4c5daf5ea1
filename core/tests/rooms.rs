//! Waiting rooms that are used again: nothing of the cell before is left in one, however that cell came to its end.
#![cfg(not(loom))]

use std::cell::RefCell;
use std::future::Future;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use oneflight_core::{Begin, Error, Group, SettleCell, Waiter};

/// Counts its wakes, and does what it is told at the first one.
#[derive(Default)]
struct Bell {
    rung: AtomicUsize,
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Bell {
    fn new(then: impl FnOnce() + Send + 'static) -> Arc<Self> {
        let bell = Self::default();
        *bell.then.lock().unwrap() = Some(Box::new(then));
        Arc::new(bell)
    }

    fn rung(&self) -> usize {
        self.rung.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        let then = self.then.lock().unwrap().take();
        if let Some(then) = then {
            then();
        }
    }
}

fn poll<F: Future + Unpin>(future: &mut F, bell: &Arc<Bell>) -> Poll<F::Output> {
    let waker = Waker::from(bell.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// A whole life of a cell, in whatever room it gets: `tasks` wait, and each is woken once.
fn lives(tasks: usize) {
    let cell = SettleCell::new();
    let bells: Vec<_> = (0..tasks).map(|_| Arc::new(Bell::default())).collect();
    let mut waits: Vec<_> = bells.iter().map(|_| cell.wait()).collect();
    for (wait, bell) in waits.iter_mut().zip(&bells) {
        assert!(poll(wait, bell).is_pending());
    }
    cell.settle(7).unwrap();
    for (wait, bell) in waits.iter_mut().zip(&bells) {
        assert_eq!(bell.rung(), 1);
        assert_eq!(poll(wait, bell), Poll::Ready(&7));
    }
}

#[test]
fn a_room_serves_few_and_many_in_turn() {
    for tasks in [1, 16, 17, 64, 65, 200, 1, 3] {
        lives(tasks);
    }
}

#[test]
fn a_forgotten_wait_is_not_woken_by_the_next_cell() {
    let bell = Arc::new(Bell::default());
    {
        let cell: SettleCell<u32> = SettleCell::new();
        let mut wait = cell.wait();
        assert!(poll(&mut wait, &bell).is_pending());
        forget(wait);
    }
    // The cell is gone, and so is the waker that it still had.
    assert_eq!(Arc::strong_count(&bell), 1);
    lives(3);
    assert_eq!(bell.rung(), 0);
}

#[test]
fn a_room_whose_wakers_panicked_serves_again() {
    for tasks in [1, 3, 70] {
        let cell = SettleCell::new();
        let bells: Vec<_> = (0..tasks).map(|_| Bell::new(|| panic!("wake"))).collect();
        let mut waits: Vec<_> = bells.iter().map(|_| cell.wait()).collect();
        for (wait, bell) in waits.iter_mut().zip(&bells) {
            assert!(poll(wait, bell).is_pending());
        }
        assert!(catch_unwind(AssertUnwindSafe(|| cell.settle(7))).is_err());
        assert!(bells.iter().all(|bell| bell.rung() == 1));
        drop(waits);
        drop(cell);
        lives(tasks);
    }
}

#[test]
fn rooms_come_and_go_inside_of_a_tell() {
    let group: Group<u32, u32> = Group::new();
    for round in 0..50 {
        let (Begin::Primary(primary), Begin::Waiter(mut waiter)) =
            (group.begin(round), group.begin(round))
        else {
            unreachable!()
        };
        let (Begin::Waiter(mut neighbour), Begin::Waiter(mut late)) =
            (group.begin(round), group.begin(round))
        else {
            unreachable!()
        };
        let bell = Arc::new(Bell::default());
        assert!(poll(&mut neighbour, &bell).is_pending());
        // It drops a neighbour's place, parks where it is too late, and makes and frees rooms of others.
        let first = Bell::new(move || {
            drop(neighbour);
            assert!(poll(&mut late, &Arc::default()).is_ready());
            lives(5);
        });
        assert!(poll(&mut waiter, &first).is_pending());
        primary.settle(round).unwrap();
        assert_eq!(first.rung(), 1);
        drop(waiter);
    }
}

#[test]
fn a_thread_that_waited_in_vain_leaves_a_room_that_serves() {
    for _ in 0..20 {
        let group: Group<u32, u32> = Group::new();
        let (Begin::Primary(primary), Begin::Waiter(mut waiter)) = (group.begin(1), group.begin(1))
        else {
            unreachable!()
        };
        let late = waiter.wait_deadline(Instant::now());
        assert_eq!(late.unwrap_err(), Error::TimedOut);
        drop((primary, waiter));
        lives(2);
        // And a thread in a room where tasks have been.
        let cell = Arc::new(SettleCell::new());
        let thread = std::thread::spawn({
            let cell = cell.clone();
            move || *cell.wait_blocking()
        });
        let bell = Arc::new(Bell::default());
        assert!(poll(&mut pin!(cell.wait()).as_mut(), &bell).is_pending());
        cell.settle(3).unwrap();
        assert_eq!(thread.join().unwrap(), 3);
    }
}

/// The last handles on flights, kept by the thread until it is torn down.
#[derive(Default)]
struct Last(Vec<Waiter<u32, u32>>, Vec<SettleCell<u32>>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.clear();
        self.1.clear();
        // What was a thread's pool of rooms may be gone by now.
        lives(2);
    }
}

std::thread_local! {
    static BEFORE: RefCell<Last> = RefCell::default();
    static AFTER: RefCell<Last> = RefCell::default();
}

#[test]
fn a_thread_that_is_torn_down_still_makes_and_frees_rooms() {
    let group: Group<u32, u32> = Group::new();
    let begun: Vec<_> = (0..4).map(|key| (key, group.begin(key))).collect();
    let bell = Arc::new(Bell::default());
    let thread = std::thread::spawn({
        let (group, bell) = (group.clone(), bell.clone());
        move || {
            BEFORE.with_borrow(|_| ());
            lives(1);
            for (key, kept) in [(0, &BEFORE), (1, &AFTER), (2, &BEFORE), (3, &AFTER)] {
                let Begin::Waiter(mut waiter) = group.begin(key) else {
                    unreachable!()
                };
                assert!(poll(&mut waiter, &bell).is_pending());
                let cell = SettleCell::new();
                let mut wait = cell.wait();
                assert!(poll(&mut wait, &bell).is_pending());
                drop(wait);
                kept.with_borrow_mut(|last| {
                    last.0.push(waiter);
                    last.1.push(cell);
                });
            }
        }
    });
    thread.join().unwrap();
    assert_eq!(Arc::strong_count(&bell), 1);
    assert!((0..4).all(|key| group.waiters(&key) == 0));
    drop(begun);
    assert_eq!(bell.rung(), 0);
}
