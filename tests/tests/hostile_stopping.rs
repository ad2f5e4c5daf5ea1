//! Wakers and operations that attack while a group is closed, aborted and drained.

mod support;

use std::sync::{Arc, Mutex};
use std::task::Waker;

use oneflight_core::{Begin, Budget, Cause, Group, Primary, Rejected};
use support::hand::Key;
use support::operation::{Operation, aborted, work_aborted};
use support::{
    Shelf, Spy, assert_idle, panics, poll, poll_idly, primary, waiter, while_unwinding,
    within_limit,
};

type Registry = Group<u32, u32>;

#[test]
fn wakers_that_panic_keep_no_flight_from_being_aborted() {
    within_limit(|| {
        for unwinding in [false, true] {
            let group = Registry::new();
            let owners: Vec<_> = (0..200).map(|key| primary(&group, key)).collect();
            let mut duplicates: Vec<_> = (0..200).map(|key| waiter(&group, key)).collect();
            for duplicate in &mut duplicates {
                let spy = Spy::on_wake(|| panic!("hostile"));
                assert!(poll(duplicate, &Waker::from(spy)).is_pending());
            }
            assert!(group.forget(&3));
            let mut work = group.work(1000, std::future::pending);
            assert!(poll(&mut work, &Waker::from(Spy::on_wake(|| panic!("hostile")))).is_pending());
            if unwinding {
                let group = group.clone();
                while_unwinding(move || group.abort_all());
            } else {
                assert!(panics(|| group.abort_all()));
            }
            for duplicate in duplicates {
                assert_eq!(aborted(duplicate.get()), Cause::Closed);
            }
            assert_eq!(work_aborted(work.get()), Cause::Closed);
            for owner in owners {
                assert_eq!(owner.settle(7).unwrap_err().cause(), Some(Cause::Closed));
            }
            drop(work);
            assert_idle(&group);
        }
    });
}

#[test]
fn a_key_that_panics_when_dropped_beside_a_waker_that_does_does_not_abort_the_process() {
    let group: Group<Key, u32> = Group::builder().shards(1).build();
    let mut duplicates = Vec::new();
    let owners: Arc<Mutex<Vec<Primary<Key, u32>>>> = Arc::default();
    for number in 0..4 {
        let hostile = Key::on_drop(number, || panic!("hostile"));
        owners.lock().unwrap().push(primary(&group, hostile));
    }
    // Whichever flight is first: its waker drops the other primaries, and panics.
    let first = primary(&group, Key::new(10));
    let mut duplicate = waiter(&group, Key::new(10));
    let rest = owners.clone();
    let spy = Spy::on_wake(move || {
        // The flights come in any order, so this may be the last handle: two panics of the test's own
        // would prove nothing.
        for owner in rest.lock().unwrap().drain(..) {
            panics(|| drop(owner));
        }
        panic!("hostile");
    });
    assert!(poll(&mut duplicate, &Waker::from(spy)).is_pending());
    duplicates.push(duplicate);
    assert!(panics(|| group.abort_all()));
    drop((first, duplicates));
    assert!(group.is_empty());
}

#[test]
fn a_waker_that_closes_aborts_and_begins_ends_nothing_twice() {
    within_limit(|| {
        let group = Registry::builder().max_flights(8).build();
        let owners: Vec<_> = (0..8).map(|key| primary(&group, key)).collect();
        let mut duplicates: Vec<_> = (0..8).map(|key| waiter(&group, key)).collect();
        for (key, duplicate) in (0..).zip(&mut duplicates) {
            let inner = group.clone();
            let spy = Spy::on_wake(move || {
                inner.abort_all();
                drop(inner.begin(key));
                inner.forget(&key);
            });
            assert!(poll(duplicate, &Waker::from(spy)).is_pending());
        }
        group.abort_all();
        drop((owners, duplicates));
        assert_idle(&group);
        let all: Vec<_> = (100..108).map(|key| primary(&group, key)).collect();
        assert!(matches!(group.begin(1), Begin::Rejected(Rejected::Full)));
        drop(all);
    });
}

#[test]
fn closing_from_within_a_waker_drains() {
    within_limit(|| {
        let group = Registry::new();
        let (owner, other) = (primary(&group, 1), primary(&group, 2));
        let mut duplicate = waiter(&group, 1);
        let inner = group.clone();
        let spy = Spy::on_wake(move || inner.close());
        assert!(poll(&mut duplicate, &Waker::from(spy)).is_pending());
        let mut drained = group.drained();
        let told = Spy::counting();
        assert!(poll(&mut drained, &Waker::from(told.clone())).is_pending());
        drop(owner.settle(7));
        assert!(matches!(group.begin(1), Begin::Rejected(Rejected::Closed)));
        assert_eq!(told.wakes(), 0);
        drop(other.settle(7));
        assert_eq!(told.wakes(), 1);
        assert!(poll_idly(&mut drained).is_ready());
        assert!(poll_idly(&mut group.drained()).is_ready());
    });
}

#[test]
fn wakers_at_drained_that_panic_or_come_back_strand_nobody() {
    within_limit(|| {
        for last in 0..4 {
            let group = Registry::new();
            let owner = primary(&group, 1);
            let mut all: Vec<_> = (0..200).map(|_| group.drained()).collect();
            for (index, drained) in all.iter_mut().enumerate() {
                let inner = group.clone();
                let spy = Spy::on_wake(move || {
                    inner.close();
                    inner.abort_all();
                    assert!(matches!(inner.begin(1), Begin::Rejected(Rejected::Closed)));
                    assert!(poll_idly(&mut inner.drained()).is_ready());
                    assert!(index % 3 > 0, "hostile");
                });
                assert!(poll(drained, &Waker::from(spy)).is_pending());
            }
            let told = Spy::counting();
            let mut honest = group.drained();
            assert!(poll(&mut honest, &Waker::from(told.clone())).is_pending());
            if last == 3 {
                // The close itself is what drains it.
                drop(owner);
                assert!(panics(|| group.close()));
            } else {
                group.close();
                assert!(panics(|| match last {
                    0 => drop(owner.settle(7)),
                    1 => drop(owner),
                    _ => group.abort_all(),
                }));
            }
            assert_eq!(told.wakes(), 1);
            for drained in &mut all {
                assert!(poll_idly(drained).is_ready());
            }
            assert_idle(&group);
        }
    });
}

#[test]
fn an_operation_that_stops_the_group_from_within_ends_itself() {
    within_limit(|| {
        let group = Registry::new();
        let stop = |group: &Registry| {
            let group = group.clone();
            async move {
                group.close();
                group.abort_all();
                std::future::pending().await
            }
        };
        let mut work = group.work(1, || stop(&group));
        let other = group.clone();
        let mut rerun = Box::pin(other.work_rerun(2, Budget::times(9), || stop(&other)));
        let shelf = Shelf::default();
        let inner = group.clone();
        let detached = group.spawn_on(&shelf, 3, move || stop(&inner));
        assert!(poll_idly(&mut shelf.take_task()).is_ready());
        assert!(poll_idly(&mut work).is_ready() && poll_idly(&mut rerun).is_ready());
        for cause in [
            work_aborted(work.get()),
            work_aborted(rerun.get()),
            work_aborted(detached.get()),
        ] {
            assert_eq!(cause, Cause::Closed);
        }
        assert!(poll_idly(&mut group.drained()).is_ready());
        drop((work, rerun, detached));
        assert_idle(&group);
    });
}

#[test]
fn a_run_dropped_among_hostile_wakers_and_drops_does_not_abort_the_process() {
    let group = Registry::new();
    let hostile = || Operation::ready(2).on_drop(|| panic!("hostile"));
    let mut run = primary(&group, 1).run(hostile());
    assert!(poll_idly(&mut run).is_pending());
    let mut duplicate = waiter(&group, 1);
    let spy = Spy::on_wake(|| panic!("hostile"));
    assert!(poll(&mut duplicate, &Waker::from(spy)).is_pending());
    assert!(panics(|| drop(run)));
    assert_eq!(aborted(duplicate.get()), Cause::Dropped);
}

#[test]
fn a_task_dropped_among_hostile_wakers_and_drops_does_not_abort_the_process() {
    for started in [false, true] {
        let (group, shelf) = (Registry::new(), Shelf::default());
        let operation = Operation::ready(2).on_drop(|| panic!("hostile"));
        let mut detached = group.spawn_on(&shelf, 1, move || operation);
        let spy = Spy::on_wake(|| panic!("hostile"));
        assert!(poll(&mut detached, &Waker::from(spy)).is_pending());
        let mut task = shelf.take_task();
        if started {
            assert!(poll_idly(&mut task).is_pending());
        }
        let _ = panics(|| drop(task));
        assert_eq!(work_aborted(detached.get()), Cause::Dropped);
    }
}

#[test]
fn an_abort_handle_used_from_wakers_and_drops_ends_the_flight_once() {
    within_limit(|| {
        let (group, shelf) = (Registry::new(), Shelf::default());
        let handle = Arc::new(Mutex::new(None));
        let (inner, registry) = (handle.clone(), group.clone());
        let again = move || {
            let handle: Option<oneflight_core::AbortHandle<u32, u32>> =
                inner.lock().unwrap().clone();
            assert!(!handle.expect("set").abort());
            drop(registry.begin(1));
        };
        let operation = Operation::ready(2).on_drop(again.clone());
        let mut detached = group.spawn_on(&shelf, 1, move || operation);
        *handle.lock().unwrap() = detached.abort_handle();
        assert!(poll(&mut detached, &Waker::from(Spy::on_wake(again))).is_pending());
        let (mut task, woken) = (shelf.take_task(), Spy::counting());
        assert!(poll(&mut task, &Waker::from(woken.clone())).is_pending());
        let before = woken.wakes();
        let own = handle.lock().unwrap().clone().expect("set");
        assert!(own.abort());
        assert_eq!(woken.wakes(), before + 1);
        assert!(poll_idly(&mut task).is_ready());
        assert_eq!(work_aborted(detached.get()), Cause::Cancelled);
        drop((task, detached));
        assert_idle(&group);
    });
}
