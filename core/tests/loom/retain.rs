//! The replay window.

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use oneflight_core::{Begin, Group};

use crate::{Counted, Fixed, Hand, Registry, bounded_model, primary};

fn retaining<T>(clock: &Hand) -> Registry<T> {
    Group::<u8, T>::builder()
        .shards(1)
        .hasher(Fixed)
        .retain(Duration::from_secs(60))
        .clock(clock.clone())
        .build()
}

#[test]
fn of_two_begins_of_an_expired_outcome_one_is_primary() {
    bounded_model(3, || {
        let clock = Hand::default();
        let group = retaining::<u32>(&clock);
        drop(primary(group.begin(1)).settle(1));
        clock.turn(61);
        let begin = |group: &Registry<u32>| match group.begin(1) {
            Begin::Primary(primary) => {
                assert_eq!(*primary.settle(2).unwrap(), 2);
                1
            }
            Begin::Waiter(waiter) => {
                if let Some(outcome) = waiter.get() {
                    assert_eq!(*outcome.unwrap(), 2, "the old one is past its window");
                }
                0
            }
            Begin::Rejected(why) => panic!("{why}"),
        };
        let other = group.clone();
        let thread = thread::spawn(move || begin(&other));
        assert_eq!(begin(&group) + thread.join().unwrap(), 1);
        assert_eq!((group.stats().retained, group.stats().begun), (1, 2));
        assert!(group.is_empty());
    });
}

#[test]
fn an_outcome_forgotten_while_it_settles_is_not_retained() {
    bounded_model(3, || {
        let group = retaining::<u32>(&Hand::default());
        let old = primary(group.begin(1));
        let settle = thread::spawn(move || drop(old.settle(7)));
        assert!(group.forget(&1));
        assert!(group.peek(&1).is_none());
        settle.join().unwrap();
        assert!(group.peek(&1).is_none());
        assert_eq!((group.stats().retained, group.stats().in_flight), (0, 0));
        assert!(group.is_empty());
    });
}

#[test]
fn an_outcome_retained_while_the_last_handle_goes_is_freed() {
    bounded_model(3, || {
        let live = Arc::new(AtomicUsize::new(0));
        let group = retaining::<Counted>(&Hand::default());
        drop(primary(group.begin(1)).settle(Counted::new(&live)));
        let (kept, other) = (primary(group.begin(3)), primary(group.begin(2)));
        let value = Counted::new(&live);
        let settle = thread::spawn(move || drop(other.settle(value)));
        drop(group);
        settle.join().unwrap();
        // The third primary keeps the shard, and the shard keeps nothing.
        assert_eq!(live.load(Ordering::SeqCst), 0);
        drop(kept);
    });
}

#[test]
fn a_late_participant_and_the_settle_meet_in_the_window() {
    bounded_model(3, || {
        let group = retaining::<u32>(&Hand::default());
        let first = group.work(1, || async { 7 });
        let thread = thread::spawn(move || *loom::future::block_on(first).unwrap());
        let late = group.work(1, || async { 8 });
        assert_eq!(*loom::future::block_on(late).unwrap(), 7);
        assert_eq!(thread.join().unwrap(), 7);
        assert_eq!((group.stats().begun, group.stats().retained), (1, 1));
    });
}

/// A clock that loom sees: another thread may turn it between any two steps.
#[derive(Clone)]
struct Seen(Arc<AtomicUsize>);

impl oneflight_core::clock::Clock for Seen {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst) as u64)
    }
}

#[test]
fn an_outcome_that_expires_while_two_ask_for_it_is_given_out_or_run_again_once() {
    bounded_model(2, || {
        let clock = Seen(Arc::new(AtomicUsize::new(0)));
        let group = Group::<u8, u32>::builder()
            .shards(1)
            .hasher(Fixed)
            .retain(Duration::from_secs(60))
            .clock(clock.clone())
            .build();
        drop(primary(group.begin(1)).settle(1));
        let begin = |group: &Registry<u32>| match group.begin(1) {
            Begin::Primary(primary) => {
                assert_eq!(*primary.settle(2).unwrap(), 2);
                1
            }
            // Within its window the old one, or the new one.
            Begin::Waiter(waiter) => {
                assert!((1..=2).contains(&*loom::future::block_on(waiter).unwrap()));
                0
            }
            Begin::Rejected(why) => panic!("{why}"),
        };
        let other = group.clone();
        let thread = thread::spawn(move || begin(&other));
        let time = thread::spawn(move || clock.0.store(61, Ordering::SeqCst));
        let again = begin(&group) + thread.join().unwrap();
        time.join().unwrap();
        assert!(again <= 1);
        let stats = group.stats();
        assert_eq!((stats.retained, stats.begun), (1, 1 + again));
        assert_eq!((stats.waited, stats.cancelled), (stats.joined, 0));
        assert!(group.is_empty());
    });
}
