//! `spawn_while_wanted`: the last who leaves, against everything that can come at the same time.

use std::future::{Future, pending, ready};
use std::pin::pin;
use std::task::{Context, Waker};

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use oneflight_core::error::Cause;
use oneflight_core::handle::Spawned;

use crate::{Counted, Counter, Registry, Shelf, bounded_model, group, waiter};

fn wanted<F>(
    group: &Registry<u32>,
    shelf: &Shelf,
    make: impl FnOnce() -> F + Send + 'static,
) -> Spawned<u8, u32>
where
    F: Future<Output = u32> + Send + 'static,
{
    group.entry(1).spawn_while_wanted_on(shelf, make)
}

/// Every flight has ended once, and nothing is left of it.
fn assert_over(group: &Registry<u32>, begun: u64) {
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.begun, stats.in_flight, stats.waiting), (begun, 0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
    assert_eq!(stats.ending, 0);
}

#[test]
fn a_newcomer_shares_the_operation_or_begins_its_own_when_the_last_caller_leaves() {
    bounded_model(4, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let first = wanted(&group, &shelf, || ready(7));
        let leave = thread::spawn(move || drop(first));
        let newcomer = wanted(&group, &shelf, || ready(7));
        leave.join().unwrap();
        assert_eq!(
            newcomer.get().map(|it| it.is_ok()),
            None,
            "it inherited a cancel"
        );
        assert!(group.contains(&1));
        while let Some(task) = shelf.take() {
            block_on(task);
        }
        assert_eq!(*block_on(newcomer).unwrap(), 7);
        let begun = group.stats().begun;
        assert_over(&group, begun);
    });
}

#[test]
fn a_spawn_that_joins_while_the_last_caller_leaves_runs_to_its_end() {
    bounded_model(4, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let first = wanted(&group, &shelf, || ready(7));
        let leave = thread::spawn(move || drop(first));
        // The call wants nothing but that it runs.
        drop(group.entry(1).spawn_on(&shelf, || ready(7)));
        leave.join().unwrap();
        assert!(group.contains(&1));
        while let Some(task) = shelf.take() {
            block_on(task);
        }
        assert_eq!(group.stats().settled, 1);
        let begun = group.stats().begun;
        assert_over(&group, begun);
    });
}

#[test]
fn of_callers_that_leave_at_once_the_last_one_ends_the_flight() {
    bounded_model(4, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let owner = wanted(&group, &shelf, pending);
        let duplicate = waiter(group.begin(1));
        let leave = thread::spawn(move || drop(owner));
        drop(duplicate);
        leave.join().unwrap();
        assert!(!group.contains(&1));
        drop(shelf.take());
        assert_over(&group, 1);
        assert_eq!(group.stats().aborted_by(Cause::Dropped), 1);
    });
}

#[test]
fn duplicates_that_leave_at_once_end_the_flight_once() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let owner = wanted(&group, &shelf, pending);
        let (one, mut two) = (waiter(group.begin(1)), waiter(group.begin(1)));
        let counter = Counter::default();
        assert!(counter.poll(&mut two).is_pending());
        drop(owner);
        let leave = thread::spawn(move || drop(one));
        drop(two);
        leave.join().unwrap();
        assert!(!group.contains(&1));
        drop(shelf.take());
        assert_over(&group, 1);
    });
}

#[test]
fn a_settle_and_the_last_caller_end_the_flight_once() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let owner = wanted(&group, &shelf, || ready(7));
        let task = shelf.take().unwrap();
        let thread = thread::spawn(move || block_on(task));
        drop(owner);
        thread.join().unwrap();
        assert_over(&group, 1);
    });
}

#[test]
fn a_task_that_parks_while_the_last_caller_leaves_is_woken_and_drops_its_operation() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let live = Arc::new(AtomicUsize::new(0));
        let counted = Counted::new(&live);
        let owner = wanted(&group, &shelf, move || async move {
            let _counted = counted;
            pending().await
        });
        let task = shelf.take().unwrap();
        // The operation never ends by itself, so only that end lets the task end.
        let thread = thread::spawn(move || block_on(task));
        drop(owner);
        thread.join().unwrap();
        assert_eq!(live.load(Ordering::SeqCst), 0);
        assert_over(&group, 1);
    });
}

#[test]
fn an_operation_that_nobody_wants_begins_before_its_end_or_never() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let owner = wanted(&group, &shelf, move || {
            count.fetch_add(1, Ordering::SeqCst);
            pending()
        });
        let mut task = shelf.take().unwrap();
        let (stats, begun) = (group.clone(), made.clone());
        let leave = thread::spawn(move || {
            drop(owner);
            // The end has found that it has not begun: so it is over already.
            begun.load(Ordering::SeqCst) == 0 && stats.stats().ending == 0
        });
        let _ = pin!(task.as_mut()).poll(&mut Context::from_waker(Waker::noop()));
        let never = leave.join().unwrap();
        assert!(
            !never || made.load(Ordering::SeqCst) == 0,
            "begun after its end"
        );
        drop(task);
        assert_over(&group, 1);
    });
}

#[test]
fn an_abort_handle_and_the_last_caller_end_the_flight_once() {
    bounded_model(4, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let owner = wanted(&group, &shelf, pending);
        let handle = owner.abort_handle().unwrap();
        let abort = thread::spawn(move || handle.abort());
        drop(owner);
        let aborted = abort.join().unwrap();
        let cause = if aborted {
            Cause::Cancelled
        } else {
            Cause::Dropped
        };
        assert_eq!(group.stats().aborted_by(cause), 1);
        drop(shelf.take());
        assert_over(&group, 1);
    });
}

#[test]
fn a_wrong_join_that_is_the_last_to_leave_ends_the_flight() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let owner = wanted(&group, &shelf, pending);
        let leave = thread::spawn(move || drop(owner));
        // Another key with the same hash: it may have joined the flight before the keys are compared.
        let other = group.begin(2);
        leave.join().unwrap();
        assert!(!group.contains(&1), "nobody wants it, and it goes on");
        drop(other);
        drop(shelf.take());
        assert_over(&group, 2);
    });
}

#[test]
fn a_waiter_that_parks_while_the_others_leave_is_told_nothing() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let owner = wanted(&group, &shelf, || ready(7));
        let mut duplicate = waiter(group.begin(1));
        let leave = thread::spawn(move || drop(owner));
        assert!(Counter::default().poll(&mut duplicate).is_pending());
        leave.join().unwrap();
        block_on(shelf.take().unwrap());
        assert_eq!(*block_on(duplicate).unwrap(), 7);
        assert_over(&group, 1);
    });
}

#[test]
fn abort_all_and_the_last_caller_end_the_flight_once() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let owner = wanted(&group, &shelf, pending);
        let leave = thread::spawn(move || drop(owner));
        group.abort_all();
        leave.join().unwrap();
        drop(shelf.take());
        assert_over(&group, 1);
    });
}
