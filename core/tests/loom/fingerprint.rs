//! A flight that began without a fingerprint takes the first one that it sees.

use std::time::Duration;

use loom::thread;
use oneflight_core::error::Rejected;
use oneflight_core::{Begin, Fingerprint, Group};

use crate::{Fixed, Hand, Registry, bounded_model, group, model, primary};

fn begin(group: &Registry<u32>, print: u64) -> Begin<u8, u32> {
    group
        .entry(1)
        .fingerprint(Fingerprint::new(print.into()))
        .begin()
}

fn retaining() -> Registry<u32> {
    Group::<u8, u32>::builder()
        .shards(1)
        .hasher(Fixed)
        .retain_for(Duration::from_secs(60))
        .clock(Hand::default())
        .build()
}

/// Two calls with different payloads: no flight has both. Returns how many are a mismatch.
fn mismatches(begun: &[Begin<u8, u32>; 2]) -> usize {
    let flight = |begin: &Begin<u8, u32>| match begin {
        Begin::Primary(primary) => Some(primary.id()),
        Begin::Waiter(waiter) => Some(waiter.id()),
        Begin::Rejected(why) => {
            assert_eq!(*why, Rejected::Mismatch);
            None
        }
    };
    let flights: Vec<_> = begun.iter().filter_map(flight).collect();
    assert!(flights.len() < 2 || flights[0] != flights[1], "merged");
    2 - flights.len()
}

fn assert_idle(group: &Registry<u32>) {
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
}

#[test]
fn of_two_first_fingerprints_one_is_the_flights() {
    model(|| {
        let group = group::<u32>();
        let guard = primary(group.begin(1));
        let other = group.clone();
        let ten = thread::spawn(move || begin(&other, 10));
        let begun = [begin(&group, 20), ten.join().unwrap()];
        assert_eq!(mismatches(&begun), 1);
        let stats = group.stats();
        assert_eq!((stats.joined, stats.waiting, stats.rejected), (1, 1, 1));
        drop(begun);
        drop(guard);
        assert_idle(&group);
    });
}

#[test]
fn a_first_fingerprint_meets_the_settle() {
    bounded_model(3, || {
        let group = group::<u32>();
        let guard = primary(group.begin(1));
        let settle = thread::spawn(move || drop(guard.settle(7)));
        match begin(&group, 10) {
            Begin::Waiter(waiter) => {
                assert_eq!(*loom::future::block_on(waiter).unwrap(), 7);
            }
            // The key was free.
            Begin::Primary(new) => {
                assert!(matches!(
                    begin(&group, 20),
                    Begin::Rejected(Rejected::Mismatch)
                ));
                drop(new);
            }
            Begin::Rejected(why) => panic!("{why}"),
        }
        settle.join().unwrap();
        assert_idle(&group);
        // Nothing of the old flight's is known to the next one.
        drop(primary(begin(&group, 20)));
    });
}

#[test]
fn two_first_fingerprints_meet_a_settle_that_is_retained() {
    bounded_model(2, || {
        let group = retaining();
        let guard = primary(group.begin(1));
        let settle = thread::spawn(move || drop(guard.settle(7)));
        let other = group.clone();
        let ten = thread::spawn(move || begin(&other, 10));
        let begun = [begin(&group, 20), ten.join().unwrap()];
        settle.join().unwrap();
        assert_eq!(mismatches(&begun), 1);
        for begin in begun {
            if let Begin::Waiter(waiter) = begin {
                assert_eq!(*waiter.get().unwrap().unwrap(), 7);
            }
        }
        assert_eq!((group.stats().begun, group.stats().retained), (1, 1));
    });
}

#[test]
fn a_first_fingerprint_meets_a_forget() {
    bounded_model(2, || {
        let group = group::<u32>();
        let guard = primary(group.begin(1));
        let other = group.clone();
        let ten = thread::spawn(move || begin(&other, 10));
        let other = group.clone();
        let forget = thread::spawn(move || other.forget(&1));
        let begun = [begin(&group, 20), ten.join().unwrap()];
        assert!(forget.join().unwrap() || group.contains(&1));
        mismatches(&begun);
        drop(begun);
        drop(guard);
        assert_idle(&group);
    });
}

#[test]
fn a_first_fingerprint_meets_a_supersede() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = Group::<u8, u32>::builder()
            .shards(1)
            .hasher(Fixed)
            .supersede_after(Duration::from_secs(10))
            .clock(clock.clone())
            .build();
        let old = primary(group.begin(1));
        let other = group.clone();
        let ten = thread::spawn(move || begin(&other, 10));
        clock.turn(11);
        let begun = [begin(&group, 20), ten.join().unwrap()];
        mismatches(&begun);
        drop(begun);
        drop(old);
        assert_idle(&group);
    });
}
