//! The replay window.

use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use oneflight_core::{Begin, Group};

use crate::{Apart, Counted, Fixed, Hand, Registry, bounded_model, model, primary};

fn retaining<T>(clock: &Hand) -> Registry<T> {
    Group::<u8, T>::builder()
        .shards(1)
        .hasher(Fixed)
        .retain_for(Duration::from_secs(60))
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
    bounded_model(1, || {
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
            .retain_for(Duration::from_secs(60))
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
        // The old one has expired by now.
        assert_eq!((stats.retained as u64, stats.begun), (again, 1 + again));
        assert_eq!((stats.waited, stats.cancelled), (stats.joined, 0));
        assert!(group.is_empty());
    });
}

/// One place for the keys of two shards. `live` are the values that are there.
fn one_place(clock: &Hand) -> (Group<u8, Counted, Apart>, Arc<AtomicUsize>) {
    let builder = Group::<u8, Counted>::builder().shards(2).hasher(Apart);
    let builder = builder.retain_for(Duration::from_secs(60)).max_retained(1);
    let live = Arc::new(AtomicUsize::new(0));
    (builder.clock(clock.clone()).build(), live)
}

type OnePlace = Group<u8, Counted, Apart>;

fn settle(group: &OnePlace, key: u8, live: &Arc<AtomicUsize>) {
    let settled = primary(group.begin(key)).settle_registered(Counted::new(live));
    assert!(
        settled.is_ok_and(|(_, registered)| registered),
        "not forgotten"
    );
}

/// What is counted is what is there, and the place is not lost.
fn assert_one_place(group: &OnePlace, live: &Arc<AtomicUsize>) {
    let stats = group.stats();
    assert_eq!(stats.retained, live.load(Ordering::SeqCst));
    let kept = (0..8).filter(|key| group.peek(key).is_some()).count();
    assert_eq!(kept, stats.retained);
    settle(group, 8, live);
    let after = group.stats();
    assert!(group.peek(&8).is_some() && after.retained == 1);
    assert_eq!(after.given_up - stats.given_up, stats.retained as u64);
    assert_eq!(live.load(Ordering::SeqCst), 1);
}

#[test]
fn of_two_settles_for_one_place_one_is_retained() {
    model(|| {
        let (group, live) = one_place(&Hand::default());
        let (other, values) = (group.clone(), live.clone());
        let thread = thread::spawn(move || settle(&other, 1, &values));
        settle(&group, 2, &live);
        thread.join().unwrap();
        let stats = group.stats();
        assert_eq!((stats.retained, stats.given_up), (1, 1));
        assert_one_place(&group, &live);
    });
}

#[test]
fn two_settles_that_want_the_place_of_a_third_never_make_two() {
    model(|| {
        let (group, live) = one_place(&Hand::default());
        settle(&group, 0, &live);
        let (other, values) = (group.clone(), live.clone());
        let thread = thread::spawn(move || settle(&other, 1, &values));
        settle(&group, 2, &live);
        // In this order: what is there at the second look was there at the first.
        let (third, own) = (group.peek(&0), group.peek(&2));
        assert!(third.is_none() || own.is_none(), "two are retained");
        drop((third, own));
        thread.join().unwrap();
        let stats = group.stats();
        assert_eq!((stats.retained, stats.given_up), (1, 2));
        assert_one_place(&group, &live);
    });
}

#[test]
fn a_forgotten_outcome_leaves_its_place_to_a_settle() {
    model(|| {
        let (group, live) = one_place(&Hand::default());
        settle(&group, 0, &live);
        let (other, values) = (group.clone(), live.clone());
        let thread = thread::spawn(move || settle(&other, 1, &values));
        let forgotten = group.forget(&0);
        thread.join().unwrap();
        let stats = group.stats();
        assert!(group.peek(&0).is_none() && group.peek(&1).is_some());
        assert_eq!(stats.given_up, u64::from(!forgotten));
        assert_one_place(&group, &live);
    });
}

#[test]
fn an_outcome_forgotten_while_it_settles_keeps_no_place() {
    model(|| {
        let (group, live) = one_place(&Hand::default());
        let (old, value) = (primary(group.begin(1)), Counted::new(&live));
        let thread = thread::spawn(move || drop(old.settle(value)));
        assert!(group.forget(&1));
        thread.join().unwrap();
        assert_eq!(group.stats().given_up, 0);
        assert_one_place(&group, &live);
    });
}

#[test]
fn an_expired_outcome_leaves_its_place_whoever_clears_it_away() {
    model(|| {
        let clock = Hand::default();
        let (group, live) = one_place(&clock);
        settle(&group, 0, &live);
        clock.turn(60);
        let (other, values) = (group.clone(), live.clone());
        let thread = thread::spawn(move || settle(&other, 1, &values));
        let purged = group.purge_expired();
        thread.join().unwrap();
        let stats = group.stats();
        assert!(purged <= 1 && group.peek(&1).is_some());
        assert_eq!((stats.retained, stats.given_up), (1, 0));
        assert_one_place(&group, &live);
    });
}

#[test]
fn what_is_cleared_while_another_settles_is_dropped_once() {
    model(|| {
        let (group, live) = one_place(&Hand::default());
        settle(&group, 0, &live);
        let (other, values) = (group.clone(), live.clone());
        let thread = thread::spawn(move || settle(&other, 1, &values));
        let cleared = group.clear_retained();
        thread.join().unwrap();
        let stats = group.stats();
        assert!(group.peek(&0).is_none());
        let gone = cleared as u64 + stats.given_up;
        assert_eq!(gone + stats.retained as u64, 2);
        assert_one_place(&group, &live);
    });
}

#[test]
fn of_two_who_clear_each_returns_when_all_is_dropped() {
    model(|| {
        let (group, live) = one_place(&Hand::default());
        settle(&group, 0, &live);
        let clear = |group: &OnePlace| {
            let cleared = group.clear_retained();
            assert!(group.peek(&0).is_none(), "it is given out still");
            cleared
        };
        let other = group.clone();
        let thread = thread::spawn(move || clear(&other));
        assert_eq!(clear(&group) + thread.join().unwrap(), 1);
        assert_one_place(&group, &live);
    });
}

#[test]
fn the_last_handle_goes_while_a_settle_takes_a_place() {
    model(|| {
        let (group, live) = one_place(&Hand::default());
        settle(&group, 0, &live);
        // The other one keeps the shard, and the shard keeps nothing.
        let (runs, kept) = (primary(group.begin(1)), primary(group.begin(2)));
        let value = Counted::new(&live);
        let thread = thread::spawn(move || drop(runs.settle(value)));
        drop(group);
        thread.join().unwrap();
        assert_eq!(live.load(Ordering::SeqCst), 0);
        drop(kept);
    });
}
