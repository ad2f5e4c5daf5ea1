//! Ends from outside, the limit of flights, and closing until nothing is left.

use loom::future::block_on;
use loom::thread;
use oneflight_core::error::{Cause, Rejected};
use oneflight_core::{Begin, Error, Group};

use crate::{Fixed, Registry, Shelf, bounded_model, cause_of, group, primary, waiter};

fn limited(flights: usize) -> Registry<u32> {
    Group::<u8, u32>::builder()
        .shards(1)
        .hasher(Fixed)
        .max_flights(flights)
        .build()
}

/// There is room for one, and not for two.
fn assert_room_for_one(group: &Registry<u32>) {
    let one = primary(group.begin(8));
    assert!(matches!(
        group.begin(9),
        Begin::Rejected(Rejected::TooManyFlights)
    ));
    drop(one);
}

#[test]
fn of_abort_all_and_a_settle_one_ends_the_flight() {
    bounded_model(3, || {
        let group = limited(1);
        let owner = primary(group.begin(1));
        let duplicate = waiter(group.begin(1));
        let settle = thread::spawn(move || owner.settle(7).is_ok());
        group.abort_all();
        let told = block_on(duplicate);
        assert_eq!(settle.join().unwrap(), told.is_ok());
        if told.is_err() {
            assert_eq!(cause_of(told), Cause::AbortedAll);
        }
        assert_room_for_one(&group);
    });
}

#[test]
fn a_forgotten_flight_aborted_while_its_primary_is_dropped_lands_once() {
    bounded_model(3, || {
        let group = limited(1);
        let owner = primary(group.begin(1));
        assert!(group.forget(&1));
        let lose = thread::spawn(move || drop(owner));
        group.abort_all();
        lose.join().unwrap();
        assert_eq!(group.stats().aborted, 1);
        assert_room_for_one(&group);
    });
}

#[test]
fn a_work_aborted_while_its_last_participant_leaves_lands_once() {
    bounded_model(3, || {
        let group = limited(1);
        let work = group.work(1, std::future::pending);
        let leave = thread::spawn(move || drop(work));
        group.abort_all();
        leave.join().unwrap();
        assert_eq!(group.stats().aborted, 1);
        assert_room_for_one(&group);
    });
}

#[test]
fn a_begin_at_the_limit_and_the_settle_count_exactly() {
    bounded_model(3, || {
        let group = limited(1);
        let owner = primary(group.begin(1));
        let settle = thread::spawn(move || drop(owner.settle(7)));
        match group.begin(2) {
            Begin::Primary(second) => drop(second),
            other => assert!(matches!(other, Begin::Rejected(Rejected::TooManyFlights))),
        }
        settle.join().unwrap();
        assert_room_for_one(&group);
    });
}

#[test]
fn an_abort_handle_wakes_the_task_that_parks_meanwhile() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let outcome = group.entry(1).spawn_on(&shelf, std::future::pending);
        let handle = outcome.abort_handle().unwrap();
        let task = shelf.take().unwrap();
        // The operation never ends by itself, so only the abort lets the task end.
        let thread = thread::spawn(move || block_on(task));
        assert!(handle.abort());
        let told = block_on(outcome).unwrap_err();
        assert!(matches!(told, Error::Aborted(why) if why.cause() == Cause::Cancelled));
        thread.join().unwrap();
        assert!(group.is_empty());
    });
}

#[test]
fn a_task_that_settles_and_an_abort_end_the_flight_once() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let outcome = group.entry(1).spawn_on(&shelf, || async { 7 });
        let handle = outcome.abort_handle().unwrap();
        let task = shelf.take().unwrap();
        let thread = thread::spawn(move || block_on(task));
        let aborted = handle.abort();
        assert_eq!(block_on(outcome).is_err(), aborted);
        thread.join().unwrap();
        let stats = group.stats();
        assert_eq!((stats.settled + stats.aborted, stats.in_flight), (1, 0));
    });
}

#[test]
fn a_place_among_the_waiters_given_back_while_another_joins_is_counted_exactly() {
    bounded_model(3, || {
        let group = Group::<u8, u32>::builder()
            .shards(1)
            .hasher(Fixed)
            .max_waiters(1)
            .build();
        let owner = primary(group.begin(1));
        let first = waiter(group.begin(1));
        let leave = thread::spawn(move || drop(first));
        let second = group.begin(1);
        leave.join().unwrap();
        let waiting = match &second {
            Begin::Waiter(_) => 1,
            other => {
                assert!(matches!(other, Begin::Rejected(Rejected::TooManyWaiters)));
                0
            }
        };
        assert_eq!(owner.waiters(), waiting);
        drop(owner.settle(7));
        let stats = group.stats();
        assert_eq!((stats.waited, stats.cancelled), (waiting as u64, 1));
        assert_eq!(
            stats.rejected_by(Rejected::TooManyWaiters),
            1 - waiting as u64
        );
        drop(second);
    });
}

#[test]
fn the_last_settle_and_the_close_meet_and_drain() {
    bounded_model(3, || {
        let group = group::<u32>();
        let last = primary(group.begin(1));
        let settle = thread::spawn(move || drop(last.settle(7)));
        group.close();
        block_on(group.drained());
        settle.join().unwrap();
        assert!(group.is_empty());
    });
}

#[test]
fn drained_waits_for_a_begin_that_came_before_the_close() {
    bounded_model(2, || {
        let group = group::<u32>();
        let (begins, closes) = (group.clone(), group.clone());
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let flag = ended.clone();
        let begin = thread::spawn(move || match begins.begin(1) {
            Begin::Primary(primary) => {
                flag.store(false, std::sync::atomic::Ordering::SeqCst);
                thread::yield_now();
                flag.store(true, std::sync::atomic::Ordering::SeqCst);
                drop(primary.settle(7));
            }
            other => assert!(matches!(other, Begin::Rejected(Rejected::Closed))),
        });
        let close = thread::spawn(move || closes.close());
        block_on(group.drained());
        let settled = ended.load(std::sync::atomic::Ordering::SeqCst);
        assert!(settled, "the flight had not come to its settle");
        close.join().unwrap();
        assert!(matches!(group.begin(2), Begin::Rejected(Rejected::Closed)));
        begin.join().unwrap();
        assert!(group.is_empty());
    });
}

#[test]
fn two_closes_drain_once() {
    bounded_model(3, || {
        let group = group::<u32>();
        let last = primary(group.begin(1));
        let other = group.clone();
        let thread = thread::spawn(move || {
            other.close();
            block_on(other.drained());
        });
        group.close();
        drop(last);
        block_on(group.drained());
        thread.join().unwrap();
    });
}

#[test]
fn a_forgotten_flight_that_is_aborted_and_dropped_at_once_drains() {
    bounded_model(3, || {
        let group = group::<u32>();
        let last = primary(group.begin(1));
        assert!(group.forget(&1));
        group.close();
        let lose = thread::spawn(move || drop(last));
        group.abort_all();
        block_on(group.drained());
        lose.join().unwrap();
        let stats = group.stats();
        assert_eq!((stats.begun, stats.aborted, stats.in_flight), (1, 1, 0));
    });
}
