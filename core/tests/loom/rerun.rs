//! The shared operation of `work_rerun`.

use std::future::{Ready, pending, ready};
use std::pin::Pin;

use loom::future::block_on;
use loom::thread;
use oneflight_core::Error;
use oneflight_core::error::Cause;
use oneflight_core::handle::{Budget, Rerun};

use crate::{Counter, bounded_model, group, primary};

type Never = std::future::Pending<u32>;

/// A caller whose operation never ends.
type Stuck = Rerun<u8, u32, fn() -> Never, Never>;
/// A caller whose operation is ready at once.
type Quick = Rerun<u8, u32, fn() -> Ready<u32>, Ready<u32>>;

/// A driver that is stuck, and parked.
fn stuck(group: &crate::Registry<u32>, budget: Budget) -> Pin<Box<Stuck>> {
    let make: fn() -> Never = pending;
    let mut driver = Box::pin(group.work_rerun(1, budget, make));
    assert!(Counter::default().poll(&mut driver).is_pending());
    driver
}

fn fresh(group: &crate::Registry<u32>) -> Pin<Box<Quick>> {
    let make: fn() -> Ready<u32> = || ready(7);
    Box::pin(group.work_rerun(1, Budget::times(1), make))
}

#[test]
fn a_driver_is_lost_while_another_is_polled_and_that_one_takes_over() {
    bounded_model(3, || {
        let group = group::<u32>();
        let driver = stuck(&group, Budget::times(1));
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
        let driver = stuck(&group, Budget::times(1));
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
fn a_participant_polled_while_the_budget_runs_out_is_told() {
    bounded_model(3, || {
        let group = group::<u32>();
        let driver = stuck(&group, Budget::times(0));
        let other = fresh(&group);
        let lose = thread::spawn(move || drop(driver));
        let told = block_on(other).unwrap_err();
        assert!(matches!(told, Error::Aborted(why) if why.cause() == Cause::Exhausted));
        lose.join().unwrap();
        assert!(group.is_empty());
    });
}

#[test]
fn a_participant_with_another_waker_while_the_budget_runs_out_is_told() {
    bounded_model(3, || {
        let group = group::<u32>();
        let driver = stuck(&group, Budget::times(0));
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
        let driver = stuck(&group, Budget::times(1));
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
        let driver = stuck(&group, Budget::times(1));
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
fn a_budget_runs_out_while_the_last_other_leaves_and_the_flight_is_over() {
    for parks in [false, true] {
        bounded_model(3, move || {
            let group = group::<u32>();
            let driver = stuck(&group, Budget::times(0));
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
