//! The registry and the two roles.

use std::time::Instant;

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use oneflight_core::error::Cause;
use oneflight_core::{Begin, Error};

use crate::{Registry, bounded_model, cause_of, group, model, primary, waiter};

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
                assert_eq!(cause_of(block_on(waiter)), Cause::Dropped)
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
    model(|| {
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
    model(|| {
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
    model(|| {
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
fn a_parked_thread_and_the_loss_of_the_primary_meet() {
    bounded_model(3, || {
        let group = group::<u32>();
        let owner = primary(group.begin(1));
        let waiter = waiter(group.begin(1));
        let thread = thread::spawn(move || cause_of(waiter.wait_blocking()));
        drop(owner);
        assert_eq!(thread.join().unwrap(), Cause::Dropped);
        assert!(group.is_empty());
    });
}

#[test]
fn a_thread_whose_time_is_up_during_the_settle_is_told_or_waits_on() {
    bounded_model(3, || {
        let group = group::<u32>();
        let owner = primary(group.begin(1));
        let mut waiter = waiter(group.begin(1));
        let settle = thread::spawn(move || drop(owner.settle(7)));
        match waiter.wait_deadline(Instant::now()) {
            Ok(settled) => assert_eq!(*settled, 7),
            Err(Error::TimedOut) => assert_eq!(*waiter.wait_blocking().unwrap(), 7),
            Err(other) => panic!("{other}"),
        }
        settle.join().unwrap();
        assert_eq!((group.stats().waited, group.stats().cancelled), (1, 0));
    });
}

#[test]
fn a_thread_that_gives_up_during_the_settle_is_counted_once() {
    bounded_model(3, || {
        let group = group::<u32>();
        let owner = primary(group.begin(1));
        let mut hasty = waiter(group.begin(1));
        let give_up = thread::spawn(move || hasty.wait_deadline(Instant::now()).is_ok());
        owner.settle(7).unwrap();
        let told = give_up.join().unwrap();
        let stats = group.stats();
        assert_eq!((stats.joined, stats.waiting), (1, 0));
        assert_eq!(stats.waited + stats.cancelled, 1);
        assert!(!told || stats.waited == 1);
    });
}

#[test]
fn a_forget_a_settle_and_a_new_begin_leave_the_new_flight_where_it_is() {
    bounded_model(2, || {
        let group = group::<u32>();
        let old = primary(group.begin(1));
        let (forgets, begins) = (group.clone(), group.clone());
        let settle = thread::spawn(move || drop(old.settle(1)));
        let forget = thread::spawn(move || forgets.forget(&1));
        let begun = begins.begin(1);
        settle.join().unwrap();
        let forgotten = forget.join().unwrap();
        match begun {
            Begin::Primary(new) => {
                // The forget may have come after this begin, and then it was this one's.
                assert!(group.contains(&1) || forgotten);
                new.settle(2).unwrap();
            }
            Begin::Waiter(waiter) => assert_eq!(*waiter.get().unwrap().unwrap(), 1),
            Begin::Rejected(why) => panic!("{why}"),
        }
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!((stats.begun, stats.in_flight), (stats.settled, 0));
        assert_eq!((stats.waited, stats.cancelled), (stats.joined, 0));
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

#[test]
fn of_two_blocking_calls_one_runs_and_the_other_gets_its_outcome() {
    bounded_model(3, || {
        let group = group::<u32>();
        let runs = loom::sync::Arc::new(AtomicUsize::new(0));
        let call = |group: Registry<u32>, runs: loom::sync::Arc<AtomicUsize>| {
            let run = move || 7 + runs.fetch_add(1, Ordering::Relaxed) as u32;
            *group.work_blocking(1, run).unwrap()
        };
        let (other, counted) = (group.clone(), runs.clone());
        let other = thread::spawn(move || call(other, counted));
        let mine = call(group.clone(), runs.clone());
        let theirs = other.join().unwrap();
        // They share one run, or the first one was over when the second one came.
        match runs.load(Ordering::Relaxed) {
            1 => assert_eq!((mine, theirs), (7, 7)),
            _ => assert_eq!(mine + theirs, 15),
        }
        assert_eq!((group.stats().in_flight, group.stats().ending), (0, 0));
    });
}
