//! A participant that joins, and one that parks.
//!
//! By the short way it is counted as a waiter, and then by the operation.
//!
//! When it parks it announces itself in the state of the cell. A driver that settles and finds nobody announced takes no
//! step at the operation. So each of the later models ends by a driver's settle, while somebody comes to wait. The callers
//! of `work` continue one operation, and those of `try_work` run their own. What they wait in is behind the flight, or, in a
//! group that retains, freed when all have been told.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::future::block_on;
use loom::thread;
use oneflight_core::Error;
use oneflight_core::error::Cause;

use crate::lay::{assert_idle, of_both};
use crate::{Counter, Registry, Shelf, bounded_model, cause_of, group, waiter};

pub(crate) fn tries(
    group: &Registry<u32>,
    value: u32,
) -> impl Future<Output = Result<u32, Error>> + Send + Unpin + use<> {
    let call = group.try_work(1, move || ready(Ok::<_, Error>(value)));
    Box::pin(async { call.await.map(|settled| *settled) })
}

#[test]
fn a_work_that_joins_while_the_last_participant_leaves_is_counted_in_one_flight() {
    bounded_model(4, || {
        let group = group::<u32>();
        let first = group.work(1, pending);
        let leave = thread::spawn(move || drop(first));
        let mut second = group.work(1, || ready(7));
        let begun = second.is_primary();
        let polled = Counter::default().poll(&mut second);
        assert_eq!(polled.is_ready(), begun);
        drop((polled, second));
        leave.join().unwrap();
        assert_idle(&group);
        let stats = group.stats();
        assert_eq!(stats.begun, 1 + u64::from(begun));
        // A join that is taken back has waited for nothing.
        assert_eq!((stats.settled, stats.waited), (u64::from(begun), 0));
    });
}

#[test]
fn a_try_work_that_joins_while_the_last_participant_leaves_runs_its_own() {
    bounded_model(4, || {
        let group = group::<u32>();
        let first = tries(&group, 6);
        let leave = thread::spawn(move || drop(first));
        assert_eq!(block_on(tries(&group, 7)), Ok(7));
        leave.join().unwrap();
        assert_idle(&group);
        assert_eq!(group.stats().settled, 1);
    });
}

#[test]
fn a_work_that_joins_while_the_flight_settles_shares_its_outcome_or_begins_the_next() {
    bounded_model(3, || {
        let group = group::<u32>();
        let first = group.work(1, || ready(7));
        let settle = thread::spawn(move || assert_eq!(*block_on(first).unwrap(), 7));
        let second = group.work(1, || ready(8));
        let value = if second.is_primary() { 8 } else { 7 };
        assert_eq!(*block_on(second).unwrap(), value);
        settle.join().unwrap();
        assert_idle(&group);
        assert_eq!(group.stats().cancelled, 0);
    });
}

#[test]
fn a_work_that_joins_while_the_flight_is_aborted_is_told_or_begins_the_next() {
    bounded_model(4, || {
        let group = group::<u32>();
        let first = group.work(1, pending);
        let registry = group.clone();
        let abort = thread::spawn(move || assert!(registry.abort(&1)));
        let second = group.work(1, || ready(7));
        match block_on(second) {
            Ok(settled) => assert_eq!(*settled, 7),
            told => assert_eq!(cause_of(told), Cause::Cancelled),
        }
        abort.join().unwrap();
        drop(first);
        assert_idle(&group);
    });
}

#[test]
fn a_plain_waiter_is_told_by_a_settle_that_finds_no_participant_parked() {
    bounded_model(4, || {
        let group = group::<u32>();
        let driver = group.work(1, || ready(7));
        let other = group.work(1, || ready(8));
        let plain = waiter(group.begin(1));
        let waits = thread::spawn(move || assert_eq!(*block_on(plain).unwrap(), 7));
        assert_eq!(*block_on(driver).unwrap(), 7);
        drop(other);
        waits.join().unwrap();
        assert_idle(&group);
        assert_eq!(group.stats().waited, 2);
    });
}

#[test]
fn a_participant_that_parks_before_the_run_is_handed_in_is_woken_for_it() {
    bounded_model(4, || {
        let group = group::<u32>();
        let other = group.clone();
        // The begin of one may still have to hand the run in while the other joins and parks.
        let there = thread::spawn(move || drop(tries(&other, 7)));
        assert_eq!(block_on(tries(&group, 8)), Ok(8));
        there.join().unwrap();
        assert_idle(&group);
    });
}

#[test]
fn a_work_takes_a_join_of_another_key_back_while_that_flight_settles() {
    bounded_model(4, || {
        let group = group::<u32>();
        let first = group.work(1, || ready(7));
        let settle = thread::spawn(move || assert_eq!(*block_on(first).unwrap(), 7));
        // The two keys have the same hash.
        let second = group.work(2, || ready(8));
        assert_eq!(*block_on(second).unwrap(), 8);
        settle.join().unwrap();
        assert_idle(&group);
        let stats = group.stats();
        assert_eq!((stats.begun, stats.settled, stats.joined), (2, 2, 0));
    });
}

#[test]
fn a_work_takes_a_join_of_a_flight_back_that_its_owner_wants_no_longer() {
    bounded_model(4, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let owner = group.entry(1).spawn_while_wanted_on(&shelf, pending);
        let leave = thread::spawn(move || drop(owner));
        let second = group.work(2, || ready(8));
        assert_eq!(*block_on(second).unwrap(), 8);
        leave.join().unwrap();
        drop(shelf.take());
        assert_idle(&group);
        let stats = group.stats();
        assert_eq!((stats.aborted_by(Cause::Dropped), stats.joined), (1, 0));
    });
}

fn works(
    group: &Registry<u32>,
    value: u32,
) -> impl Future<Output = Result<u32, Error>> + Send + Unpin + use<> {
    let call = group.work(1, move || ready(value));
    Box::pin(async { call.await.map(|settled| *settled) })
}

/// What is pending after a poll, and the count of its wakes.
type Parked<F> = Option<(F, Counter)>;

fn poll_once<F: Future + Unpin>(mut future: F) -> Parked<F> {
    let counter = Counter::default();
    let pending = counter.poll(&mut future).is_pending();
    pending.then_some((future, counter))
}

/// The settle is over.
fn assert_told<F: Future + Unpin>(parked: Parked<F>) {
    if let Some((mut future, counter)) = parked {
        assert!(counter.count() > 0, "it would wait forever");
        assert!(counter.poll(&mut future).is_ready());
    }
}

/// Models of both policies and both groups. `$call` is what makes a participant, ready at its first poll if it drives.
macro_rules! of_both_policies {
    ($bounds:expr, |$group:ident, $call:ident| $body:block) => {
        of_both($bounds, |$group| {
            let $call = works;
            $body
        });
        of_both($bounds, |$group| {
            let $call = tries;
            $body
        });
    };
}

/// Joins before the driver polls, while it does, or after the end. One that comes before makes the driver take the lock. One
/// that comes meanwhile is the only one to be announced, and parks, or finds the end when it announces itself.
#[test]
fn a_participant_that_parks_is_told_by_the_settle_of_the_driver() {
    of_both_policies!([3, 1], |group, call| {
        let (first, other) = (call(&group, 7), group.clone());
        let parks = thread::spawn(move || block_on(call(&other, 7)));
        assert_eq!(block_on(first), Ok(7));
        assert_eq!(parks.join().unwrap(), Ok(7));
        assert_idle(&group);
    });
}

/// Its waker is fired or dropped by the end, or is not taken any more.
#[test]
fn a_participant_that_finds_the_end_leaves_no_waker() {
    of_both([3, 1], |group| {
        let (first, other) = (group.work(1, || ready(7)), group.clone());
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        let parks = thread::spawn(move || {
            let mut second = other.work(1, || ready(7));
            let _ = Pin::new(&mut second).poll(&mut Context::from_waker(&waker));
            second
        });
        assert_eq!(*block_on(first).unwrap(), 7);
        let second = parks.join().unwrap();
        assert_eq!(Arc::strong_count(&counter), 1);
        drop(second);
        assert_idle(&group);
    });
}

/// It has parked or not when it leaves, before the end or after it.
#[test]
fn a_participant_that_parks_and_leaves_is_counted_once_by_the_settle_of_the_driver() {
    of_both_policies!([3, 1], |group, call| {
        let (first, other) = (call(&group, 7), group.clone());
        let leaves = thread::spawn(move || drop(poll_once(call(&other, 7))));
        assert_eq!(block_on(first), Ok(7));
        leaves.join().unwrap();
        assert_idle(&group);
    });
}

/// It joins before the end, or after it: then it has a retained outcome, or begins the next flight.
#[test]
fn a_participant_that_is_first_polled_after_the_settle_is_ready() {
    of_both_policies!([3, 1], |group, call| {
        let (first, other) = (call(&group, 7), group.clone());
        let joins = thread::spawn(move || call(&other, 7));
        assert_eq!(block_on(first), Ok(7));
        let polled = poll_once(joins.join().unwrap());
        assert!(polled.is_none(), "it would wait for nothing");
        assert_idle(&group);
    });
}

/// The participant that announces itself drives then, and settles: in the midst of what the waiter does, or beside it.
#[test]
fn a_waiter_that_makes_the_waiting_room_is_told_by_a_driver_that_has_announced_itself() {
    of_both_policies!([3, 1], |group, call| {
        let (first, second) = (call(&group, 7), call(&group, 7));
        let plain = waiter(group.begin(1));
        let settles = thread::spawn(move || block_on(second));
        let parked = poll_once(plain);
        assert_eq!(settles.join().unwrap(), Ok(7));
        assert_told(parked);
        drop(first);
        assert_idle(&group);
    });
}

/// The state says that somebody has registered, and the waiter may not have made the waiting room yet.
#[test]
fn a_waiter_that_parks_after_a_participant_is_told_by_the_settle_of_the_driver() {
    of_both_policies!([2, 1], |group, call| {
        let (first, other) = (call(&group, 7), group.clone());
        let plain = waiter(group.begin(1));
        let parks = thread::spawn(move || (poll_once(call(&other, 7)), poll_once(plain)));
        assert_eq!(block_on(first), Ok(7));
        let parked = parks.join().unwrap();
        assert_told(parked.0);
        assert_told(parked.1);
        assert_idle(&group);
    });
}

/// The state says already that somebody has registered, so the participant does not change it.
#[test]
fn a_participant_that_parks_after_a_waiter_is_told_by_the_settle_of_the_driver() {
    of_both_policies!([2, 1], |group, call| {
        let (first, other) = (call(&group, 7), group.clone());
        let plain = poll_once(waiter(group.begin(1)));
        let parks = thread::spawn(move || poll_once(call(&other, 7)));
        assert_eq!(block_on(first), Ok(7));
        assert_told(parks.join().unwrap());
        assert_told(plain);
        assert_idle(&group);
    });
}
