//! A participant that joins by the short way: it is counted as a waiter, and then by the operation.

use std::future::{Future, pending, ready};

use loom::future::block_on;
use loom::thread;
use oneflight_core::Error;
use oneflight_core::error::Cause;

use crate::{Counter, Registry, Shelf, bounded_model, cause_of, group, waiter};

/// Nothing is left, and every figure adds up.
fn assert_idle(group: &Registry<u32>) {
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting, stats.ending), (0, 0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
}

fn tries(
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
