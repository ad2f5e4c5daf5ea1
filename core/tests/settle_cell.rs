//! A cell that gives its value back: who drops the value, and what the cell is good for after that.
#![cfg(not(loom))]

use std::cell::Cell;
use std::future::Future;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use oneflight_core::SettleCell;

/// Counts its drops.
#[derive(Debug)]
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Panics when it is dropped, once it has counted that.
struct Bomb(Counted);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped, and counted: {:?}", self.0);
    }
}

/// Counts its wakes.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_value_is_dropped_once_however_it_leaves_its_cell() {
    let drops = Rc::new(Cell::new(0));
    let value = || Counted(drops.clone());
    let settled = || SettleCell::from(value());
    type Leaves = fn(SettleCell<Counted>) -> Option<Counted>;
    let ways: [Leaves; 4] = [
        |cell| {
            drop(cell);
            None
        },
        |cell| cell.into_inner(),
        |mut cell| cell.take(),
        |mut cell| {
            let value = cell.take();
            assert!(cell.take().is_none() && cell.into_inner().is_none());
            value
        },
    ];
    for (before, leaves) in ways.into_iter().enumerate() {
        let value = leaves(settled());
        assert_eq!(drops.get(), before + usize::from(value.is_none()));
        drop(value);
        assert_eq!(drops.get(), before + 1);
    }
    // Written over by reference: the old value goes at once.
    let mut cell = settled();
    drops.set(0);
    if let Some(slot) = cell.get_mut() {
        *slot = value();
    }
    assert_eq!(drops.get(), 1);
    drop(cell);
    assert_eq!(drops.get(), 2);
}

#[test]
fn an_emptied_cell_is_as_new() {
    let mut cell = SettleCell::new();
    assert!(cell.take().is_none() && cell.get_mut().is_none());
    let bell = Arc::new(Bell::default());
    let waker = bell.clone().into();
    for round in 0..3 {
        let mut waits: Vec<_> = (0..70).map(|_| cell.wait()).collect();
        for wait in &mut waits {
            assert!(poll(wait, &waker).is_pending());
        }
        assert_eq!(cell.settle(round).unwrap(), &round);
        assert_eq!(cell.settle(9).unwrap_err().value, 9);
        assert_eq!(bell.0.swap(0, Ordering::SeqCst), 70);
        for wait in &mut waits {
            assert_eq!(poll(wait, &waker), Poll::Ready(&round));
        }
        drop(waits);
        assert_eq!(cell.take(), Some(round));
        assert_eq!((cell.is_settled(), cell.get()), (false, None));
    }
}

#[test]
fn a_leaked_wait_leaves_no_waker_in_an_emptied_cell() {
    let mut cell = SettleCell::new();
    let quiet = Arc::new(Bell::default());
    let mut leaked = cell.wait();
    assert!(poll(&mut leaked, &quiet.clone().into()).is_pending());
    forget(leaked);
    // Not settled, so nothing changes and the waker stays.
    assert!(cell.take().is_none());
    assert_eq!(Arc::strong_count(&quiet), 2);
    cell.settle(1).unwrap();
    assert_eq!(Arc::strong_count(&quiet), 1);
    assert_eq!(cell.take(), Some(1));
    let mut wait = cell.wait();
    assert!(poll(&mut wait, Waker::noop()).is_pending());
    cell.settle(2).unwrap();
    assert_eq!(poll(&mut wait, Waker::noop()), Poll::Ready(&2));
}

#[test]
fn a_value_whose_drop_panics_is_dropped_once() {
    let drops = Rc::new(Cell::new(0));
    let bomb = || Bomb(Counted(drops.clone()));
    let panics = |f: &mut dyn FnMut()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    panics(&mut || drop(SettleCell::from(bomb())));
    assert_eq!(drops.get(), 1);
    let mut cell = SettleCell::from(bomb());
    panics(&mut || drop(cell.take()));
    assert_eq!((drops.get(), cell.is_settled()), (2, false));
    // It serves again, and a value that comes too late is dropped by its caller.
    assert!(cell.settle(bomb()).is_ok());
    panics(&mut || drop(cell.settle(bomb())));
    assert_eq!((drops.get(), cell.is_settled()), (3, true));
    panics(&mut || drop(cell.take()));
    drop(cell);
    assert_eq!(drops.get(), 4);
}

#[test]
fn a_thread_waits_until_its_deadline_at_most() {
    static MADE: SettleCell<u32> = SettleCell::new_with(7);
    static CELL: SettleCell<u32> = SettleCell::new();
    let past = Instant::now();
    assert_eq!(MADE.wait_deadline(past), Some(&7));
    assert_eq!(CELL.wait_deadline(past), None);
    let thread =
        std::thread::spawn(|| CELL.wait_deadline(Instant::now() + Duration::from_secs(60)));
    CELL.settle(8).unwrap();
    assert_eq!(thread.join().unwrap(), Some(&8));
    assert_eq!(CELL.wait_deadline(past), Some(&8));
}
