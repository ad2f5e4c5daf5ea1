//! A flight that is too old where the group is at its limit: it makes room only if its operation can
//! be dropped at once, and its successor takes its place.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use loom::thread;
use oneflight_core::error::{Cause, Rejected};
use oneflight_core::{Begin, Group};

use crate::{Counter, Fixed, Hand, Registry, bounded_model, primary};

fn full(clock: &Hand) -> Registry<u32> {
    Group::<u8, u32>::builder()
        .shards(1)
        .hasher(Fixed)
        .supersede_after(Duration::from_secs(10))
        .max_flights(1)
        .clock(clock.clone())
        .build()
}

fn assert_idle(group: &Registry<u32>) {
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
    // The limit is where it was.
    let only = primary(group.begin(8));
    assert!(matches!(group.begin(9), Begin::Rejected(_)));
    drop(only);
}

/// The key is its own hash: 1 and 2 are in different shards of two.
#[derive(Clone, Default)]
struct Own(u64);

impl BuildHasher for Own {
    type Hasher = Own;
    fn build_hasher(&self) -> Own {
        Own(0)
    }
}

impl Hasher for Own {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes[0].into();
    }
}

#[test]
fn a_successor_takes_the_place_of_an_idle_flight_and_no_other_call_does() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = Group::<u8, u32>::builder()
            .shards(2)
            .hasher(Own(0))
            .supersede_after(Duration::from_secs(10))
            .max_flights(1)
            .clock(clock.clone())
            .build();
        let mut old = group.work(1, std::future::pending);
        assert!(Counter::default().poll(&mut old).is_pending());
        clock.turn(11);
        let other = group.clone();
        let third = thread::spawn(move || {
            let begin = other.begin(2);
            assert!(matches!(begin, Begin::Rejected(Rejected::TooManyFlights)));
        });
        let new = primary(group.begin(1));
        assert!(Counter::default().poll(&mut old).is_ready());
        third.join().unwrap();
        drop((old, new));
        assert!(group.is_empty());
        drop(primary(group.begin(2)));
    });
}

#[test]
fn of_a_poll_and_a_supersede_at_the_limit_one_has_the_operation() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = full(&clock);
        let old = group.work(1, || async {
            thread::yield_now();
            7
        });
        clock.turn(11);
        let poll = thread::spawn(move || loom::future::block_on(old));
        let begun = group.begin(1);
        let polled = poll.join().unwrap();
        match begun {
            Begin::Primary(new) => {
                // Superseded, or it had settled before.
                assert!(polled.is_ok() || group.stats().aborted_by(Cause::Superseded) == 1);
                drop(new);
            }
            Begin::Waiter(waiter) => {
                assert_eq!(*loom::future::block_on(waiter).unwrap(), 7);
                assert_eq!(*polled.unwrap(), 7);
            }
            Begin::Rejected(why) => panic!("{why}"),
        }
        assert_idle(&group);
    });
}

#[test]
fn of_the_last_participant_and_a_supersede_at_the_limit_one_ends_the_flight() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = full(&clock);
        let old = group.work(1, std::future::pending);
        clock.turn(11);
        let leave = thread::spawn(move || drop(old));
        let begun = group.begin(1);
        leave.join().unwrap();
        match begun {
            Begin::Primary(new) => drop(new),
            // The last participant had left, and its end was not counted yet.
            Begin::Rejected(why) => assert_eq!(why, Rejected::TooManyFlights),
            Begin::Waiter(waiter) => assert!(waiter.get().is_some()),
        }
        assert_idle(&group);
    });
}

#[test]
fn of_two_begins_at_the_limit_one_supersedes_the_idle_flight() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = full(&clock);
        let old = group.work(1, std::future::pending);
        clock.turn(11);
        let other = group.clone();
        let thread = thread::spawn(move || other.begin(1));
        let begun = [group.begin(1), thread.join().unwrap()];
        let primaries = begun
            .iter()
            .filter(|begin| matches!(begin, Begin::Primary(_)));
        assert_eq!(primaries.count(), 1);
        assert_eq!(group.stats().aborted_by(Cause::Superseded), 1);
        drop((old, begun));
        assert_idle(&group);
    });
}
