//! The shared operation of `try_work`.

use std::future::{Pending, Ready, pending, ready};
use std::pin::Pin;

use loom::future::block_on;
use loom::thread;
use oneflight_core::error::Cause;
use oneflight_core::handle::TryWork;
use oneflight_core::{Error, Group};

use crate::{Counter, Fixed, Registry, bounded_model, cause_of, group, primary, waiter};

type Tried = Result<u32, Error>;
type Make<F> = fn() -> F;

/// A caller whose operation never ends.
type Stuck = TryWork<u8, u32, Make<Pending<Tried>>, Pending<Tried>>;
/// A caller whose operation is ready at once.
type Quick = TryWork<u8, u32, Make<Ready<Tried>>, Ready<Tried>>;

/// The error of an operation. No flight ends with it.
const OWN: Error = Error::TimedOut;

fn without_reruns() -> Registry<u32> {
    let builder = Group::<u8, u32>::builder();
    builder.max_reruns(0).shards(1).hasher(Fixed).build()
}

/// A driver that is stuck, and parked.
fn stuck(group: &Registry<u32>) -> Pin<Box<Stuck>> {
    let mut driver = Box::pin(group.try_work(1, pending as Make<Pending<Tried>>));
    assert!(Counter::default().poll(&mut driver).is_pending());
    driver
}

fn fresh(group: &Registry<u32>) -> Pin<Box<Quick>> {
    Box::pin(group.try_work(1, (|| ready(Ok(7))) as Make<Ready<Tried>>))
}

fn failing(group: &Registry<u32>) -> Pin<Box<Quick>> {
    Box::pin(group.try_work(1, (|| ready(Err(OWN))) as Make<Ready<Tried>>))
}

#[test]
fn a_driver_is_lost_while_another_is_polled_and_that_one_takes_over() {
    bounded_model(3, || {
        let group = group::<u32>();
        let driver = stuck(&group);
        let other = fresh(&group);
        let lose = thread::spawn(move || drop(driver));
        assert_eq!(*block_on(other).unwrap(), 7);
        lose.join().unwrap();
        assert!(group.is_empty());
        assert_eq!(group.stats().reruns, 1);
    });
}

#[test]
fn a_driver_is_lost_and_exactly_one_of_two_takes_over() {
    bounded_model(2, || {
        let group = group::<u32>();
        let driver = stuck(&group);
        let (one, two) = (fresh(&group), fresh(&group));
        let lose = thread::spawn(move || drop(driver));
        let thread = thread::spawn(move || *block_on(one).unwrap());
        assert_eq!(*block_on(two).unwrap(), 7);
        assert_eq!(thread.join().unwrap(), 7);
        lose.join().unwrap();
        assert_eq!(group.stats().reruns, 1);
    });
}

#[test]
fn a_participant_polled_while_max_reruns_is_used_up_is_told() {
    bounded_model(3, || {
        let group = without_reruns();
        let driver = stuck(&group);
        let other = fresh(&group);
        let lose = thread::spawn(move || drop(driver));
        assert_eq!(cause_of(block_on(other)), Cause::Exhausted);
        lose.join().unwrap();
        assert!(group.is_empty());
    });
}

#[test]
fn a_participant_with_another_waker_while_max_reruns_is_used_up_is_told() {
    bounded_model(3, || {
        let group = without_reruns();
        let driver = stuck(&group);
        let mut other = fresh(&group);
        assert!(Counter::default().poll(&mut other).is_pending());
        let lose = thread::spawn(move || drop(driver));
        assert!(block_on(other).is_err());
        lose.join().unwrap();
    });
}

#[test]
fn a_driver_and_the_last_other_leave_at_once_and_the_key_is_free() {
    bounded_model(3, || {
        let group = group::<u32>();
        let driver = stuck(&group);
        let mut other = fresh(&group);
        assert!(Counter::default().poll(&mut other).is_pending());
        let lose = thread::spawn(move || drop(driver));
        drop(other);
        lose.join().unwrap();
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!((stats.aborted_by(Cause::Dropped), stats.waiting), (1, 0));
        assert_eq!(stats.joined, stats.waited + stats.cancelled);
        drop(primary(group.begin(1)));
    });
}

#[test]
fn a_newcomer_takes_over_from_the_last_that_leaves_or_begins_anew() {
    bounded_model(3, || {
        let group = group::<u32>();
        let driver = stuck(&group);
        let lose = thread::spawn(move || drop(driver));
        assert_eq!(*block_on(fresh(&group)).unwrap(), 7);
        lose.join().unwrap();
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!(stats.begun, 1 + stats.aborted_by(Cause::Dropped));
        assert_eq!(stats.reruns + stats.aborted, 1);
    });
}

#[test]
fn a_driver_that_settles_while_another_leaves_counts_it_once() {
    bounded_model(3, || {
        let group = group::<u32>();
        let driver = fresh(&group);
        let other = fresh(&group);
        let leave = thread::spawn(move || drop(other));
        assert_eq!(*block_on(driver).unwrap(), 7);
        leave.join().unwrap();
        let stats = group.stats();
        assert_eq!(stats.joined, stats.waited + stats.cancelled);
        assert_eq!((stats.waiting, stats.in_flight), (0, 0));
    });
}

#[test]
fn max_reruns_is_used_up_while_the_last_other_leaves_and_the_flight_is_over() {
    for parks in [false, true] {
        bounded_model(3, move || {
            let group = without_reruns();
            let driver = stuck(&group);
            let mut other = fresh(&group);
            if parks {
                assert!(Counter::default().poll(&mut other).is_pending());
            }
            let lose = thread::spawn(move || drop(driver));
            drop(other);
            lose.join().unwrap();
            assert!(group.is_empty());
            group.close();
            block_on(group.drained());
        });
    }
}

/// The newcomer takes part and runs its own, or begins the next flight. It never gets the error.
#[test]
fn a_newcomer_to_an_operation_that_fails_runs_its_own_or_begins_the_next_flight() {
    bounded_model(3, || {
        let group = group::<u32>();
        let mut driver = failing(&group);
        let plain = waiter(group.begin(1));
        let fails = thread::spawn(move || block_on(&mut driver).unwrap_err());
        let newcomer = fresh(&group);
        let began = newcomer.is_primary();
        assert_eq!(*block_on(newcomer).unwrap(), 7);
        assert_eq!(fails.join().unwrap(), OWN);
        match block_on(plain) {
            Ok(settled) => assert!(!began && *settled == 7),
            told => assert!(began && cause_of(told) == Cause::Failed),
        }
        let stats = group.stats();
        assert_eq!(stats.aborted_by(Cause::Failed), u64::from(began));
        assert_eq!((stats.reruns, stats.settled), (u64::from(!began), 1));
        assert!(group.is_empty());
    });
}

/// One of the two ends the flight. Everybody gets that end.
#[test]
fn of_a_success_and_an_end_from_outside_one_is_the_outcome() {
    bounded_model(3, || {
        let group = group::<u32>();
        let (driver, other) = (fresh(&group), fresh(&group));
        let succeeds = thread::spawn(move || block_on(driver));
        let outside = group.clone();
        let ends = thread::spawn(move || outside.abort(&1));
        let settled = match succeeds.join().unwrap() {
            Ok(settled) => *settled == 7,
            told => cause_of(told) != Cause::Cancelled,
        };
        assert_eq!(ends.join().unwrap(), !settled);
        assert_eq!(block_on(other).is_ok(), settled);
        group.close();
        block_on(group.drained());
    });
}

/// The caller gets its own error in each case, and the flight is over.
#[test]
fn a_failure_that_meets_an_end_from_outside_is_its_callers() {
    bounded_model(3, || {
        let group = group::<u32>();
        let (mut driver, other) = (failing(&group), fresh(&group));
        let fails = thread::spawn(move || block_on(&mut driver));
        let outside = group.clone();
        let ends = thread::spawn(move || outside.abort(&1));
        match fails.join().unwrap() {
            // Its operation was ready before the end, or was polled meanwhile.
            Err(OWN) => {}
            told => assert_eq!(cause_of(told), Cause::Cancelled),
        }
        let ended = ends.join().unwrap();
        assert_eq!(ended, block_on(other).is_err());
        group.close();
        block_on(group.drained());
    });
}

#[test]
fn a_failure_and_the_last_other_that_leaves_end_the_flight_once() {
    for drives in [false, true] {
        bounded_model(3, move || {
            let group = group::<u32>();
            let mut driver = failing(&group);
            let mut other = Box::pin(group.try_work(1, pending as Make<Pending<Tried>>));
            if drives {
                // Its run is lost, and the failure comes after it.
                assert!(Counter::default().poll(&mut other).is_pending());
            }
            let plain = waiter(group.begin(1));
            let fails = thread::spawn(move || block_on(&mut driver).map(drop));
            drop(other);
            assert_eq!(fails.join().unwrap(), Err(OWN));
            assert_eq!(cause_of(block_on(plain)), Cause::Failed);
            group.close();
            block_on(group.drained());
        });
    }
}

#[test]
fn max_reruns_is_used_up_by_a_failure_while_the_last_other_leaves() {
    bounded_model(3, || {
        let group = without_reruns();
        let mut driver = failing(&group);
        let other = fresh(&group);
        let plain = waiter(group.begin(1));
        let fails = thread::spawn(move || block_on(&mut driver).map(drop));
        drop(other);
        assert_eq!(fails.join().unwrap(), Err(OWN));
        let told = cause_of(block_on(plain));
        assert!(matches!(told, Cause::Failed | Cause::Exhausted), "{told}");
        group.close();
        block_on(group.drained());
    });
}
