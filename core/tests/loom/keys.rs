//! Calls that act on one key, or on those that a closure picks, while its flight ends.

use std::time::Duration;

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use oneflight_core::error::{Aborted, Cause};
use oneflight_core::{Begin, Error, Group};

use crate::{Counted, Fixed, Hand, Registry, bounded_model, group, model, primary, waiter};

const CANCELLED: Error = Error::Aborted(Aborted::new(Cause::Cancelled));

/// Nothing is left, and every duplicate has waited to the end.
fn assert_idle<T>(group: &Registry<T>) {
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!((stats.waited, stats.cancelled), (stats.joined, 0));
}

#[test]
fn a_join_that_races_with_the_settle_gets_the_outcome_or_finds_no_flight() {
    bounded_model(3, || {
        let group = group::<u32>();
        let owner = primary(group.begin(1));
        let settle = thread::spawn(move || drop(owner.settle(7)));
        let joined = group.join(&1).unwrap().map(|waiter| block_on(waiter));
        settle.join().unwrap();
        assert!(joined.is_none_or(|outcome| *outcome.unwrap() == 7));
        assert!(group.join(&1).unwrap().is_none());
        assert_eq!(group.stats().begun, 1);
        assert_idle(&group);
    });
}

#[test]
fn a_join_never_finds_a_flight_that_was_aborted_before() {
    bounded_model(3, || {
        let group = group::<u32>();
        let owner = primary(group.begin(1));
        let aborts = group.clone();
        let abort = thread::spawn(move || {
            assert!(aborts.abort(&1));
            assert!(aborts.join(&1).unwrap().is_none());
        });
        if let Some(waiter) = group.join(&1).unwrap() {
            assert_eq!(block_on(waiter).unwrap_err(), CANCELLED);
        }
        abort.join().unwrap();
        drop(owner);
        assert_idle(&group);
    });
}

#[test]
fn of_an_abort_by_key_and_a_settle_one_ends_the_flight() {
    model(|| {
        let group = group::<u32>();
        let owner = primary(group.begin(1));
        let duplicate = waiter(group.begin(1));
        let settle = thread::spawn(move || owner.settle(7).is_ok());
        let aborted = group.abort(&1);
        let told = block_on(duplicate);
        assert_eq!(settle.join().unwrap(), !aborted);
        assert_eq!(told.is_err(), aborted);
        assert_idle(&group);
    });
}

#[test]
fn a_flight_that_was_seen_is_forgotten_and_no_newer_one() {
    bounded_model(2, || {
        let group = group::<u32>();
        let old = primary(group.begin(1));
        let seen = old.id();
        let forgets = group.clone();
        let settle = thread::spawn(move || drop(old.settle(1)));
        let forget = thread::spawn(move || forgets.forget_flight(&1, seen));
        match group.begin(1) {
            Begin::Primary(new) => {
                forget.join().unwrap();
                assert!(group.contains(&1), "the newer one has lost its key");
                new.settle(2).unwrap();
            }
            Begin::Waiter(waiter) => {
                assert_eq!(*block_on(waiter).unwrap(), 1);
                forget.join().unwrap();
            }
            Begin::Rejected(why) => panic!("{why}"),
        }
        settle.join().unwrap();
        assert_idle(&group);
    });
}

#[test]
fn a_settle_says_exactly_whether_it_was_forgotten_before() {
    for retains in [false, true] {
        model(move || {
            let mut builder = Group::<u8, u32>::builder().shards(1).hasher(Fixed);
            if retains {
                let window = Duration::from_secs(60);
                builder = builder.retain_for(window).clock(Hand::default());
            }
            let group = builder.build();
            let owner = primary(group.begin(1));
            let forgets = group.clone();
            let forget = thread::spawn(move || forgets.forget(&1));
            let (settled, registered) = owner.settle_registered(7).unwrap();
            let forgotten = forget.join().unwrap();
            assert_eq!(*settled, 7);
            // A retained outcome can be forgotten after its settle.
            assert!(registered || forgotten);
            assert!(retains || registered != forgotten);
            assert_eq!(group.peek(&1).is_some(), retains && !forgotten);
            assert_idle(&group);
        });
    }
}

#[test]
fn of_an_abort_by_a_closure_and_a_settle_one_ends_the_flight() {
    bounded_model(3, || {
        let group = group::<u32>();
        let owner = primary(group.begin(1));
        let duplicate = waiter(group.begin(1));
        let settle = thread::spawn(move || owner.settle(7).is_ok());
        let aborted = group.abort_if(|key| *key == 1);
        let told = block_on(duplicate);
        assert_eq!(usize::from(!settle.join().unwrap()), aborted);
        assert_eq!(usize::from(told.is_err()), aborted);
        assert_idle(&group);
    });
}

#[test]
fn an_abort_leaves_a_flight_alone_that_was_forgotten_before() {
    for by_closure in [false, true] {
        bounded_model(3, move || {
            let group = group::<u32>();
            let owner = primary(group.begin(1));
            let forgets = group.clone();
            let forget = thread::spawn(move || forgets.forget(&1));
            let aborted = if by_closure {
                group.abort_if(|_| true) == 1
            } else {
                group.abort(&1)
            };
            assert_eq!(forget.join().unwrap(), !aborted);
            assert_eq!(owner.settle(7).is_ok(), !aborted);
            assert_idle(&group);
        });
    }
}

#[test]
fn a_value_that_two_handles_are_unwrapped_for_is_given_out_once_at_most() {
    model(|| {
        let live = Arc::new(AtomicUsize::new(0));
        let group = group::<Counted>();
        let settled = primary(group.begin(1)).settle(Counted::new(&live));
        let settled = settled.ok().unwrap();
        let other = settled.clone();
        let unwrap = thread::spawn(move || other.try_unwrap().is_ok());
        let here = settled.try_unwrap().is_ok();
        assert!(!(unwrap.join().unwrap() && here));
        assert_eq!(live.load(Ordering::SeqCst), 0);
    });
}
