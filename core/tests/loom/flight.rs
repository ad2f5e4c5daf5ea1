//! The registry and the two roles.

use loom::future::block_on;
use loom::thread;
use oneflight_core::{Begin, Cause};

use crate::{bounded_model, group, primary};

#[test]
fn of_two_begins_one_is_primary_and_both_get_its_outcome() {
    bounded_model(3, || {
        let group = group::<u32>();
        let run = |group: crate::Registry<u32>| match group.begin(1) {
            Begin::Primary(primary) => (*primary.settle(7).unwrap(), 1),
            Begin::Waiter(waiter) => (*block_on(waiter).unwrap(), 0),
            Begin::Rejected(why) => panic!("{why}"),
        };
        let other = group.clone();
        let thread = thread::spawn(move || run(other));
        let (here, there) = (run(group.clone()), thread.join().unwrap());
        assert_eq!((here.0, there.0), (7, 7));
        assert!(here.1 + there.1 >= 1);
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!(stats.begun, here.1 + there.1);
        assert_eq!(stats.joined, 2 - stats.begun);
        assert_eq!((stats.waited, stats.cancelled), (stats.joined, 0));
    });
}

#[test]
fn a_begin_that_races_with_a_lost_primary_waits_for_nothing() {
    bounded_model(3, || {
        let group = group::<u32>();
        let Begin::Primary(primary) = group.begin(1) else {
            unreachable!()
        };
        let thread = thread::spawn(move || drop(primary));
        match group.begin(1) {
            Begin::Primary(next) => drop(next.settle(7).unwrap()),
            Begin::Waiter(waiter) => {
                assert_eq!(block_on(waiter).unwrap_err().cause(), Cause::Dropped)
            }
            Begin::Rejected(why) => panic!("{why}"),
        }
        thread.join().unwrap();
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!(stats.begun, stats.settled + stats.aborted);
        assert_eq!((stats.joined, stats.cancelled), (stats.waited, 0));
    });
}

#[test]
fn a_forgotten_flight_settles_beside_the_new_one() {
    loom::model(|| {
        let group = group::<u32>();
        let Begin::Primary(old) = group.begin(1) else {
            unreachable!()
        };
        let thread = thread::spawn(move || old.settle(1).is_ok());
        group.forget(&1);
        match group.begin(1) {
            Begin::Primary(new) => {
                assert!(group.contains(&1));
                new.settle(2).unwrap();
            }
            Begin::Waiter(waiter) => assert_eq!(*waiter.get().unwrap().unwrap(), 1),
            Begin::Rejected(why) => panic!("{why}"),
        }
        assert!(thread.join().unwrap());
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!((stats.begun, stats.in_flight), (stats.settled, 0));
    });
}

#[test]
fn a_count_is_exact_when_a_waiter_leaves_during_the_settle() {
    loom::model(|| {
        let group = group::<u32>();
        let Begin::Primary(primary) = group.begin(1) else {
            unreachable!()
        };
        let Begin::Waiter(waiter) = group.begin(1) else {
            unreachable!()
        };
        let thread = thread::spawn(move || drop(waiter));
        primary.settle(7).unwrap();
        thread.join().unwrap();
        let stats = group.stats();
        assert_eq!(stats.joined, 1);
        assert_eq!((stats.waited + stats.cancelled, stats.waiting), (1, 0));
    });
}

#[test]
fn a_parked_thread_and_the_settle_meet() {
    loom::model(|| {
        let group = group::<u32>();
        let Begin::Primary(primary) = group.begin(1) else {
            unreachable!()
        };
        let Begin::Waiter(waiter) = group.begin(1) else {
            unreachable!()
        };
        let thread = thread::spawn(move || *waiter.wait_blocking().unwrap());
        primary.settle(7).unwrap();
        assert_eq!(thread.join().unwrap(), 7);
    });
}

#[test]
fn a_caller_of_another_key_that_is_compared_during_the_settle_is_not_counted() {
    bounded_model(3, || {
        let group = group::<u32>();
        let first = primary(group.begin(1));
        let settle = thread::spawn(move || drop(first.settle(7)));
        // All keys share one hash: until it is compared, this one is counted in with the first.
        drop(primary(group.begin(2)).settle(8));
        settle.join().unwrap();
        let stats = group.stats();
        assert_eq!((stats.joined, stats.waited, stats.cancelled), (0, 0, 0));
        assert_eq!((stats.begun, stats.settled), (2, 2));
    });
}
