//! The cell and its waiting room.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use oneflight_core::SettleCell;

use crate::{Counted, Counter, bounded_model, model};

#[test]
fn a_registration_that_races_with_the_settle_is_told() {
    model(|| {
        let cell = Arc::new(SettleCell::new());
        let settler = cell.clone();
        let thread = thread::spawn(move || settler.settle(7).is_ok());
        assert_eq!(*block_on(cell.wait()), 7);
        assert!(thread.join().unwrap());
    });
}

#[test]
fn a_thread_that_parks_while_it_is_settled_is_told() {
    model(|| {
        let cell = Arc::new(SettleCell::new());
        let settler = cell.clone();
        let thread = thread::spawn(move || settler.settle(7).is_ok());
        assert_eq!(*cell.wait_blocking(), 7);
        assert!(thread.join().unwrap());
    });
}

#[test]
fn of_two_settles_one_wins_and_the_other_gets_its_value_back() {
    model(|| {
        let live = Arc::new(AtomicUsize::new(0));
        let cell = Arc::new(SettleCell::new());
        let (other, value) = (cell.clone(), Counted::new(&live));
        let thread = thread::spawn(move || other.settle(value).is_ok());
        let first = cell.settle(Counted::new(&live)).is_ok();
        assert!(first != thread.join().unwrap());
        assert_eq!(live.load(Ordering::SeqCst), 1);
        drop(cell);
        assert_eq!(live.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_waiter_that_leaves_during_the_settle_keeps_nothing_and_costs_nobody() {
    bounded_model(2, || {
        let cell = Arc::new(SettleCell::new());
        let (settler, canceller) = (cell.clone(), cell.clone());
        let counter = Counter::default();
        let settle = thread::spawn(move || settler.settle(7).is_ok());
        let cancel = thread::spawn(move || {
            let mut wait = canceller.wait();
            let _ = counter.poll(&mut wait);
        });
        assert_eq!(*block_on(cell.wait()), 7);
        cancel.join().unwrap();
        assert!(settle.join().unwrap());
    });
}

#[test]
fn a_waker_that_comes_too_late_is_not_kept() {
    bounded_model(3, || {
        let cell = Arc::new(SettleCell::new());
        let settler = cell.clone();
        let thread = thread::spawn(move || settler.settle(7).is_ok());
        let counter = std::sync::Arc::new(Counter::default());
        let waker = counter.clone().into();
        let mut wait = cell.wait();
        let polled = Pin::new(&mut wait).poll(&mut Context::from_waker(&waker));
        drop(waker);
        assert!(thread.join().unwrap());
        if polled.is_ready() {
            // It has its value, and is not dropped yet.
            assert_eq!(std::sync::Arc::strong_count(&counter), 1);
        }
        drop(wait);
    });
}

#[test]
fn two_first_waiters_make_one_waiting_room_and_both_are_told() {
    bounded_model(2, || {
        let cell = Arc::new(SettleCell::new());
        let (one, settler) = (cell.clone(), cell.clone());
        let waiter = thread::spawn(move || *block_on(one.wait()));
        let settle = thread::spawn(move || settler.settle(7).is_ok());
        assert_eq!(*block_on(cell.wait()), 7);
        assert_eq!(waiter.join().unwrap(), 7);
        assert!(settle.join().unwrap());
    });
}

#[test]
fn a_waker_replaced_during_the_settle_is_told() {
    model(|| {
        let cell = Arc::new(SettleCell::new());
        let settler = cell.clone();
        let mut wait = cell.wait();
        // Parked with one waker; `block_on` replaces it while the settle runs.
        assert!(Counter::default().poll(&mut wait).is_pending());
        let thread = thread::spawn(move || settler.settle(7).is_ok());
        assert_eq!(*block_on(wait), 7);
        assert!(thread.join().unwrap());
    });
}

#[test]
fn a_slot_reused_during_the_settle_is_told() {
    model(|| {
        let cell = Arc::new(SettleCell::new());
        let settler = cell.clone();
        let mut gone = cell.wait();
        assert!(Counter::default().poll(&mut gone).is_pending());
        let thread = thread::spawn(move || settler.settle(7).is_ok());
        drop(gone);
        assert_eq!(*block_on(cell.wait()), 7);
        assert!(thread.join().unwrap());
    });
}

#[test]
fn a_task_and_a_thread_are_told_of_the_same_settle() {
    bounded_model(2, || {
        let cell = Arc::new(SettleCell::new());
        let (parked, settler) = (cell.clone(), cell.clone());
        let blocked = thread::spawn(move || *parked.wait_blocking());
        let settle = thread::spawn(move || settler.settle(7).is_ok());
        assert_eq!(*block_on(cell.wait()), 7);
        assert_eq!(blocked.join().unwrap(), 7);
        assert!(settle.join().unwrap());
    });
}

#[test]
fn a_place_given_back_while_another_task_takes_it_and_the_cell_settles() {
    bounded_model(2, || {
        let cell = Arc::new(SettleCell::new());
        let (waits, settler) = (cell.clone(), cell.clone());
        let mut gone = cell.wait();
        assert!(Counter::default().poll(&mut gone).is_pending());
        let waiter = thread::spawn(move || *block_on(waits.wait()));
        let settle = thread::spawn(move || settler.settle(7).is_ok());
        drop(gone);
        assert_eq!(waiter.join().unwrap(), 7);
        assert!(settle.join().unwrap());
    });
}

#[test]
fn a_room_that_is_used_again_serves_its_next_cell() {
    bounded_model(3, || {
        let cells = [(); 2].map(|()| Arc::new(SettleCell::new()));
        let settlers = cells.clone();
        let thread = thread::spawn(move || {
            for (value, cell) in settlers.into_iter().enumerate() {
                assert!(cell.settle(value).is_ok());
            }
        });
        // Where this thread drops the first cell last, the second one waits in its room.
        for (value, cell) in cells.into_iter().enumerate() {
            assert_eq!(*block_on(cell.wait()), value);
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_cell_that_was_emptied_serves_again() {
    bounded_model(3, || {
        let live = Arc::new(AtomicUsize::new(0));
        let mut cell = Arc::new(SettleCell::new());
        for _ in 0..2 {
            let (settler, value) = (cell.clone(), Counted::new(&live));
            let thread = thread::spawn(move || settler.settle(value).is_ok());
            block_on(cell.wait());
            assert!(thread.join().unwrap());
            let cell = Arc::get_mut(&mut cell).expect("the other handle is gone");
            assert!(cell.get_mut().is_some() && cell.take().is_some());
            assert!(!cell.is_settled());
            assert_eq!(live.load(Ordering::SeqCst), 0);
        }
        let with = SettleCell::new_with(Counted::new(&live));
        assert!(with.is_settled() && with.settle(Counted::new(&live)).is_err());
        drop(with);
        assert_eq!(live.load(Ordering::SeqCst), 0);
    });
}
