//! A `spawn` that joins a `work`, and the task that it hands to its runtime.

use std::future::{Ready, pending, ready};

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use oneflight_core::error::Cause;

use crate::work::Signal;
use crate::{Counter, Shelf, bounded_model, cause_of, group};

fn never_made() -> Ready<u32> {
    unreachable!("never made")
}

#[test]
fn a_spawn_that_joins_while_the_last_participant_leaves_runs_to_its_end() {
    bounded_model(4, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let work = group.work(1, || ready(7));
        let leave = thread::spawn(move || drop(work));
        // It joins before the end, and its task continues the operation; or it begins its own.
        let call = group.entry(1).spawn_on(&shelf, || ready(8));
        leave.join().unwrap();
        block_on(shelf.take().expect("a task in either case"));
        assert!(shelf.take().is_none());
        let own = call.is_primary();
        assert_eq!(*block_on(call).unwrap(), if own { 8 } else { 7 });
        assert!(group.is_empty());
        assert_eq!(group.stats().settled, 1);
    });
}

#[test]
fn a_spawn_that_joins_while_the_task_of_another_is_dropped_hands_one() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let work = group.work(1, || ready(7));
        drop(group.entry(1).spawn_on(&shelf, never_made));
        let task = shelf.take().unwrap();
        let gone = Arc::new(AtomicBool::new(false));
        let is_gone = gone.clone();
        let lose = thread::spawn(move || {
            drop(task);
            is_gone.store(true, Ordering::SeqCst);
        });
        let was_gone = gone.load(Ordering::SeqCst);
        let later = group.entry(1).spawn_on(&shelf, never_made);
        lose.join().unwrap();
        drop(work);
        match shelf.take() {
            Some(task) => {
                block_on(task);
                assert_eq!(*block_on(later).unwrap(), 7);
            }
            // It joined before the other task was gone: that one was the runtime's to run.
            None => {
                assert!(!was_gone, "it hands none where there is none");
                assert_eq!(cause_of(block_on(later)), Cause::Dropped);
            }
        }
        assert!(group.is_empty());
    });
}

#[test]
fn two_spawns_that_join_at_once_hand_one_task() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let work = group.work(1, || ready(7));
        let (other, runtime) = (group.clone(), shelf.clone());
        let thread = thread::spawn(move || other.entry(1).spawn_on(&runtime, never_made));
        let here = group.entry(1).spawn_on(&shelf, never_made);
        let there = thread.join().unwrap();
        drop(work);
        block_on(shelf.take().unwrap());
        assert!(shelf.take().is_none());
        assert_eq!(
            (*block_on(here).unwrap(), *block_on(there).unwrap()),
            (7, 7)
        );
    });
}

#[test]
fn the_task_drives_though_the_driver_is_kept_and_not_polled() {
    bounded_model(3, || {
        let (group, shelf, signal) = (group::<u32>(), Shelf::default(), Signal::default());
        let operation = signal.clone();
        let mut idle = group.work(1, move || operation.wait());
        assert!(Counter::default().poll(&mut idle).is_pending());
        let call = group.entry(1).spawn_on(&shelf, never_made);
        let task = shelf.take().unwrap();
        let drives = thread::spawn(move || block_on(task));
        // Before the task parks, while it does, or after.
        signal.set();
        drives.join().unwrap();
        assert_eq!(*block_on(call).unwrap(), 7);
        drop(idle);
    });
}

#[test]
fn the_task_and_a_participant_that_polls_beside_it_lose_no_wake() {
    bounded_model(2, || {
        let (group, shelf, signal) = (group::<u32>(), Shelf::default(), Signal::default());
        let operation = signal.clone();
        let mut idle = group.work(1, move || operation.wait());
        drop(group.entry(1).spawn_on(&shelf, never_made));
        let task = shelf.take().unwrap();
        let drives = thread::spawn(move || block_on(task));
        let wakes = thread::spawn(move || signal.set());
        // Polled once: it may become the driver, and never comes back.
        let _ = Counter::default().poll(&mut idle);
        drives.join().unwrap();
        wakes.join().unwrap();
        assert_eq!(*idle.get().unwrap().unwrap(), 7);
    });
}

#[test]
fn the_task_is_woken_by_an_end_from_outside() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let work = group.work(1, pending);
        let call = group.entry(1).spawn_on(&shelf, never_made);
        let task = shelf.take().unwrap();
        let thread = thread::spawn(move || block_on(task));
        assert!(group.abort(&1));
        thread.join().unwrap();
        assert_eq!(cause_of(block_on(call)), Cause::Cancelled);
        drop(work);
        assert_eq!(group.stats().ending, 0);
    });
}
