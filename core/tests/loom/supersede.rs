//! Flights that are too old.

use std::time::Duration;

use loom::thread;
use oneflight_core::error::Cause;
use oneflight_core::{Begin, Group};

use crate::{Fixed, Hand, Registry, bounded_model, primary, waiter};

fn aged(clock: &Hand) -> Registry<u32> {
    Group::<u8, u32>::builder()
        .shards(1)
        .hasher(Fixed)
        .supersede_after(Duration::from_secs(10))
        .max_flights(3)
        .clock(clock.clone())
        .build()
}

fn assert_idle(group: &Registry<u32>) {
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
    drop([5, 6, 7].map(|key| primary(group.begin(key))));
}

#[test]
fn of_two_begins_that_find_a_flight_too_old_one_supersedes_it() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = aged(&clock);
        let old = primary(group.begin(1));
        clock.turn(11);
        let other = group.clone();
        let thread = thread::spawn(move || other.begin(1));
        let (one, two) = (group.begin(1), thread.join().unwrap());
        assert_eq!(group.stats().aborted_by(Cause::Superseded), 1);
        let primaries = [&one, &two].map(|begin| matches!(begin, Begin::Primary(_)));
        assert!(primaries[0] != primaries[1]);
        assert_eq!(
            old.settle(7).unwrap_err().aborted.cause(),
            Cause::Superseded
        );
        drop((one, two));
        assert_idle(&group);
    });
}

#[test]
fn of_the_old_settle_and_a_supersede_one_ends_the_flight() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = aged(&clock);
        let old = primary(group.begin(1));
        let duplicate = waiter(group.begin(1));
        clock.turn(11);
        let settle = thread::spawn(move || old.settle(7).is_ok());
        let begun = group.begin(1);
        let settled = settle.join().unwrap();
        let told = duplicate.get().unwrap();
        assert_eq!(settled, told.is_ok());
        match begun {
            Begin::Primary(new) => drop(new.settle(8)),
            Begin::Waiter(late) => assert_eq!(*late.get().unwrap().unwrap(), 7),
            Begin::Rejected(why) => panic!("{why}"),
        }
        assert_idle(&group);
    });
}

#[test]
fn of_a_drop_of_the_old_primary_and_a_supersede_one_ends_the_flight() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = aged(&clock);
        let old = primary(group.begin(1));
        clock.turn(11);
        let lose = thread::spawn(move || drop(old));
        drop(primary(group.begin(1)));
        lose.join().unwrap();
        assert_idle(&group);
    });
}

#[test]
fn of_the_last_participant_and_a_supersede_one_ends_the_flight() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = aged(&clock);
        let old = group.work(1, std::future::pending);
        clock.turn(11);
        let leave = thread::spawn(move || drop(old));
        drop(primary(group.begin(1)));
        leave.join().unwrap();
        assert_idle(&group);
    });
}
