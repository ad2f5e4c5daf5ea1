//! Keys, values, clocks and `keep`s that call back, end flights or panic, in a group with rules.

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use oneflight_core::{Begin, Budget, Cause, Clock, Fingerprint, Group, Primary, Rejected};
use support::hand::{Hand, Key};
use support::operation::{Bomb, bomb};
use support::{Spy, assert_idle, panics, poll, poll_idly, primary, waiter, within_limit};

const WINDOW: Duration = Duration::from_secs(60);
const AGE: Duration = Duration::from_secs(10);

/// Takes all the flights there may be, and gives them back: none is lost to the limit.
fn assert_room<T>(group: &Group<u32, T>, flights: u32) {
    let taken: Vec<Primary<u32, T>> = (1000..1000 + flights)
        .map(|key| primary(group, key))
        .collect();
    assert!(matches!(group.begin(999), Begin::Rejected(Rejected::Full)));
    drop(taken);
}

#[test]
fn a_late_participant_gets_the_retained_outcome_of_a_work() {
    let group: Group<u32, u32> = Group::builder()
        .retain(WINDOW)
        .clock(Hand::default())
        .build();
    let mut first = group.work(1, || async { 7 });
    assert!(poll_idly(&mut first).is_ready());
    drop(first);
    let mut late = group.work(1, || async { unreachable!("retained") });
    assert!(
        poll_idly(&mut late)
            .map(|outcome| *outcome.unwrap() == 7)
            .is_ready()
    );
    assert_eq!(group.stats().begun, 1);
}

#[test]
fn a_late_participant_gets_the_retained_outcome_of_a_rerun() {
    let group: Group<u32, u32> = Group::builder()
        .retain(WINDOW)
        .clock(Hand::default())
        .build();
    let first = group.work_rerun(1, Budget::times(1), || async { 7 });
    assert_eq!(*futures_lite::future::block_on(first).unwrap(), 7);
    group.close();
    let late = group.work_rerun(1, Budget::times(1), || async { unreachable!("retained") });
    assert_eq!(*futures_lite::future::block_on(late).unwrap(), 7);
}

#[test]
fn superseded_participants_give_their_flight_back() {
    let clock = Hand::default();
    let group: Group<u32, u32> = Group::builder()
        .max_age(AGE)
        .max_flights(3)
        .clock(clock.clone())
        .build();
    let mut work = group.work(1, std::future::pending);
    let mut rerun = Box::pin(group.work_rerun(2, Budget::times(1), std::future::pending));
    assert!(poll_idly(&mut work).is_pending() && poll_idly(&mut rerun).is_pending());
    clock.turn(11);
    drop((primary(&group, 1), work));
    drop((primary(&group, 2), rerun));
    assert_eq!(group.stats().superseded(), 2);
    assert_idle(&group);
    assert_room(&group, 3);
    group.close();
    assert!(poll_idly(&mut group.drained()).is_ready());
}

#[test]
fn a_flight_that_settles_while_it_is_found_too_old_is_dropped_under_no_lock() {
    within_limit(|| {
        let clock = Hand::default();
        let group: Group<Key, u32> = Group::builder().max_age(AGE).clock(clock.clone()).build();
        let inner = group.clone();
        let old = primary(
            &group,
            Key::on_drop(1, move || assert_eq!(inner.waiters(&Key::new(1)), 0)),
        );
        clock.turn(11);
        let newcomer = Key::new(1).on_eq(move || drop(old.settle(7)));
        drop(primary(&group, newcomer));
        assert_idle(&group);
    });
}

#[test]
fn a_keep_that_panics_at_a_superseded_settle_gives_the_flight_back() {
    let clock = Hand::default();
    let builder = Group::builder().max_age(AGE).max_flights(2).retain(WINDOW);
    let group: Group<u32, u32> = builder
        .clock(clock.clone())
        .keep(|_: &u32| -> bool { panic!("hostile") })
        .build();
    let old = primary(&group, 1);
    clock.turn(11);
    let new = primary(&group, 1);
    let _ = panics(|| old.settle(7));
    drop(new);
    assert_idle(&group);
    assert_room(&group, 2);
}

#[test]
fn a_keep_that_supersedes_its_own_flight_and_panics_gives_it_back() {
    let clock = Hand::default();
    let myself: Arc<Mutex<Option<Group<u32, u32>>>> = Arc::default();
    let (inner, hand) = (myself.clone(), clock.clone());
    let keep = move |_: &u32| -> bool {
        let group = inner.lock().unwrap().take();
        hand.turn(11);
        drop(primary(&group.expect("called once"), 1));
        panic!("hostile");
    };
    let builder = Group::builder().max_age(AGE).max_flights(2).retain(WINDOW);
    let group: Group<u32, u32> = builder.clock(clock).keep(keep).build();
    *myself.lock().unwrap() = Some(group.clone());
    assert!(panics(|| primary(&group, 1).settle(7)));
    assert_eq!(group.stats().superseded(), 1);
    assert_idle(&group);
    assert_room(&group, 2);
}

#[test]
fn a_keep_that_panics_ends_its_flight_and_no_other() {
    let group: Group<u32, u32> = Group::builder()
        .retain(WINDOW)
        .max_flights(2)
        .keep(|_: &u32| -> bool { panic!("hostile") })
        .build();
    let (first, other) = (primary(&group, 1), primary(&group, 2));
    let duplicate = waiter(&group, 1);
    assert!(panics(|| first.settle(7)));
    assert_eq!(
        duplicate.get().unwrap().unwrap_err().cause(),
        Cause::Panicked
    );
    drop(other);
    assert_idle(&group);
    assert_room(&group, 2);
}

#[test]
fn a_clock_that_panics_loses_no_flight() {
    struct Broken(Arc<AtomicBool>);
    impl Clock for Broken {
        fn now(&self) -> Duration {
            assert!(!self.0.load(Ordering::SeqCst), "hostile");
            Duration::ZERO
        }
    }
    let broken = Arc::new(AtomicBool::new(false));
    let builder = Group::builder().retain(WINDOW).max_age(AGE).max_flights(2);
    let group: Group<u32, u32> = builder.clock(Broken(broken.clone())).build();
    let first = primary(&group, 1);
    let mut work = group.work(2, || async { 7 });
    broken.store(true, Ordering::SeqCst);
    assert!(panics(|| group.begin(1)));
    assert!(panics(|| group.begin_ref(&3)));
    assert!(panics(|| first.settle(7)));
    assert!(panics(|| poll_idly(&mut work)));
    broken.store(false, Ordering::SeqCst);
    drop(work);
    assert_eq!(group.stats().aborted_by(Cause::Panicked), 2);
    assert_idle(&group);
    assert_room(&group, 2);
}

#[test]
fn a_closed_group_does_not_end_a_flight_that_nobody_may_replace() {
    let clock = Hand::default();
    let group: Group<u32, u32> = Group::builder().max_age(AGE).clock(clock.clone()).build();
    let old = primary(&group, 1);
    group.close();
    clock.turn(11);
    assert!(
        matches!(group.begin(1), Begin::Waiter(_)),
        "a duplicate of a flight still joins"
    );
    assert!(old.settle(7).is_ok());
}

#[test]
fn a_full_group_does_not_end_a_flight_that_nobody_may_replace() {
    let clock = Hand::default();
    let group: Group<u32, u32> = Group::builder()
        .max_age(AGE)
        .max_flights(1)
        .clock(clock.clone())
        .build();
    let old = primary(&group, 1);
    clock.turn(11);
    let newcomer = group.begin(1);
    // Either it takes the old one's place, or the old one goes on.
    let replaced = matches!(newcomer, Begin::Primary(_));
    assert_eq!(old.settle(7).is_err(), replaced);
}

#[test]
fn two_retained_values_that_panic_when_dropped_do_not_abort_the_process() {
    let group: Group<u32, Mutex<Bomb>> = Group::builder()
        .shards(1)
        .retain(WINDOW)
        .clock(Hand::default())
        .build();
    for key in 0..3 {
        drop(primary(&group, key).settle(bomb(|| panic!("hostile"))));
    }
    assert!(panics(|| drop(group)));
}

#[test]
fn a_retained_value_that_panics_when_dropped_keeps_no_shard_from_being_cleared() {
    let group: Group<u32, Mutex<Bomb>> = Group::builder()
        .shards(16)
        .retain(WINDOW)
        .clock(Hand::default())
        .build();
    let gone = Arc::new(AtomicUsize::new(0));
    // The primaries keep their shards.
    let primaries: Vec<_> = (1000..1100).map(|key| primary(&group, key)).collect();
    for key in 0..64 {
        let gone = gone.clone();
        let value = bomb(move || {
            gone.fetch_add(1, Ordering::SeqCst);
            assert!(key != 0, "hostile");
        });
        drop(primary(&group, key).settle(value));
    }
    assert!(panics(|| drop(group)));
    assert_eq!(gone.load(Ordering::SeqCst), 64);
    drop(primaries);
}

#[test]
fn a_value_whose_drop_begins_again_is_expired_under_no_lock() {
    within_limit(|| {
        let clock = Hand::default();
        let group: Group<u32, Mutex<Bomb>> = Group::builder()
            .shards(1)
            .retain(WINDOW)
            .capacity(2)
            .clock(clock.clone())
            .build();
        let value = |group: &Group<u32, Mutex<Bomb>>| {
            let group = group.clone();
            bomb(move || drop(group.begin(77)))
        };
        // By capacity, by expiry, by a forget, and with a late begin of its own key.
        for key in 0..4 {
            drop(primary(&group, key).settle(value(&group)));
        }
        assert_eq!(group.stats().retained, 2);
        clock.turn(61);
        drop(primary(&group, 3).settle(value(&group)));
        assert_eq!(group.stats().retained, 1);
        assert!(group.forget(&3));
        assert!(!group.forget(&3));
        assert_eq!(group.stats().retained, 0);
        assert_idle(&group);
    });
}

#[test]
fn a_waker_that_begins_the_superseded_key_again_joins_the_new_flight() {
    within_limit(|| {
        let clock = Hand::default();
        let group: Group<u32, u32> = Group::builder()
            .max_age(AGE)
            .max_flights(2)
            .clock(clock.clone())
            .build();
        let old = primary(&group, 1);
        let mut duplicate = waiter(&group, 1);
        let (inner, joined) = (group.clone(), Arc::new(Mutex::new(None)));
        let result = joined.clone();
        let spy = Spy::on_wake(move || {
            *result.lock().unwrap() = Some(inner.begin(1));
            panic!("hostile");
        });
        assert!(poll(&mut duplicate, &Waker::from(spy)).is_pending());
        clock.turn(11);
        // The panic of the waker goes on in the begin, and takes the new primary with it.
        assert!(panics(|| group.begin(1)));
        assert_eq!(
            duplicate.get().unwrap().unwrap_err().cause(),
            Cause::Superseded
        );
        assert!(matches!(
            joined.lock().unwrap().take(),
            Some(Begin::Waiter(_))
        ));
        drop(old);
        assert_idle(&group);
        assert_room(&group, 2);
    });
}

#[test]
fn a_caller_that_is_only_compared_takes_nobodys_place() {
    let group: Group<Key, u32> = Group::builder().max_waiters(1).build();
    let begun = group
        .fingerprinted(Fingerprint::of_bytes(b"one"))
        .begin(Key::new(1));
    assert!(matches!(begun, Begin::Primary(_)));
    let (inner, joined) = (group.clone(), Arc::new(Mutex::new(None)));
    let result = joined.clone();
    let stranger =
        Key::new(1).on_eq(move || *result.lock().unwrap() = Some(inner.begin(Key::new(1))));
    let refused = group
        .fingerprinted(Fingerprint::of_bytes(b"two"))
        .begin(stranger);
    assert!(matches!(refused, Begin::Rejected(Rejected::Mismatch)));
    assert!(matches!(
        joined.lock().unwrap().take(),
        Some(Begin::Waiter(_))
    ));
}

#[test]
fn a_superseded_flight_leaves_no_memory_behind() {
    let clock = Hand::default();
    let group: Group<u32, u32> = Group::builder()
        .shards(1)
        .max_age(AGE)
        .clock(clock.clone())
        .build();
    let supersede = |times: u32| {
        let mut current = primary(&group, 1);
        for _ in 0..times {
            clock.turn(11);
            current = primary(&group, 1);
        }
        drop(current);
    };
    supersede(100);
    let info = allocation_counter::measure(|| supersede(10_000));
    assert!(info.bytes_current < 1000, "{info:?}");
}
