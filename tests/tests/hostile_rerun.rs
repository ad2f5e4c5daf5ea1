//! Operations and makers of `work_rerun` that panic, drop badly and call back; wakers that do the same at each loss.

mod support;

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use oneflight_core::{Begin, Budget, Cause, Group, Rejected, WorkError};
use support::operation::{Operation, bomb, work_aborted};
use support::{
    Spy, assert_idle, panics, poll, poll_idly, primary, waiter, while_unwinding, within_limit,
};

type Registry = Group<&'static str, u32>;

const BUDGET: Budget = Budget::times(1);

/// The ways to lose a driver: in its making, in a poll, in a drop, and in both of the last two.
fn lose(group: &Registry, way: usize) {
    match way {
        0 => {
            let make = || -> Operation { panic!("hostile") };
            let mut driver = Box::pin(group.work_rerun("k", BUDGET, make));
            assert!(panics(|| poll_idly(&mut driver)));
            // Polled on: it has nothing left to run.
            assert!(matches!(
                poll_idly(&mut driver),
                Poll::Ready(Err(WorkError::Aborted(_)))
            ));
        }
        1 => {
            let mut driver = Box::pin(group.work_rerun("k", BUDGET, || Operation::panics(1)));
            assert!(panics(|| poll_idly(&mut driver)));
        }
        2 => {
            let hostile = || Operation::ready(2).on_drop(|| panic!("hostile"));
            let mut driver = Box::pin(group.work_rerun("k", BUDGET, hostile));
            assert!(poll_idly(&mut driver).is_pending());
            assert!(panics(|| drop(driver)));
        }
        3 => {
            let hostile = || Operation::panics(1).on_drop(|| panic!("hostile"));
            let mut driver = Box::pin(group.work_rerun("k", BUDGET, hostile));
            assert!(panics(|| poll_idly(&mut driver)));
        }
        _ => {
            let hostile = || Operation::ready(2).on_drop(|| panic!("hostile"));
            let mut driver = Box::pin(group.work_rerun("k", BUDGET, hostile));
            assert!(poll_idly(&mut driver).is_pending());
            while_unwinding(move || drop(driver));
        }
    }
}

#[test]
fn however_the_driver_is_lost_exactly_one_other_runs_its_own() {
    within_limit(|| {
        for way in 0..5 {
            let group = Registry::new();
            // It keeps the flight going, and is polled only after the loss.
            let mut next = Box::pin(group.work_rerun("k", BUDGET, || Operation::ready(2)));
            let mut idle = Box::pin(group.work_rerun("k", BUDGET, || Operation::ready(1)));
            let plain = waiter(&group, "k");
            lose(&group, way);
            assert!(group.contains("k"), "way {way}");
            assert_eq!(group.waiters("k"), 2);
            assert!(poll_idly(&mut next).is_pending());
            assert!(poll_idly(&mut idle).is_pending());
            assert!(poll_idly(&mut next).is_ready());
            assert!(poll_idly(&mut idle).is_ready());
            assert_eq!(plain.get().map(|outcome| *outcome.unwrap()), Some(7));
            drop((next, idle, plain));
            assert_eq!(group.stats().reruns, 1);
            assert_idle(&group);
        }
    });
}

#[test]
fn however_the_only_participant_is_lost_the_key_is_free() {
    for way in 0..5 {
        let group = Registry::new();
        lose(&group, way);
        assert!(!group.contains("k"));
        assert_eq!(group.stats().aborted, 1);
        assert_idle(&group);
    }
}

#[test]
fn however_the_driver_is_lost_a_used_up_budget_ends_it() {
    for way in 0..5 {
        let group = Registry::new();
        let mut parked = Box::pin(group.work_rerun("k", Budget::times(0), || Operation::ready(1)));
        let never_polled = Box::pin(group.work_rerun("k", BUDGET, || Operation::ready(1)));
        let plain = waiter(&group, "k");
        // The primary drives first, and parks nobody; so let another one drive and be lost.
        lose(&group, way);
        assert_eq!(work_aborted(never_polled.get()), Cause::Exhausted);
        assert!(poll_idly(&mut parked).is_ready());
        drop((parked, never_polled, plain));
        assert_idle(&group);
    }
}

#[test]
fn wakers_that_panic_at_the_loss_strand_nobody() {
    within_limit(|| {
        for unwinding in [false, true] {
            let group = Registry::new();
            let mut driver = Box::pin(group.work_rerun("k", BUDGET, pending));
            assert!(poll_idly(&mut driver).is_pending());
            let mut others: Vec<_> = (0..200)
                .map(|_| Box::pin(group.work_rerun("k", BUDGET, || Operation::ready(1))))
                .collect();
            let spies: Vec<_> = (0..200)
                .map(|_| Spy::on_wake(|| panic!("hostile")))
                .collect();
            for (other, spy) in others.iter_mut().zip(&spies) {
                assert!(poll(other, &Waker::from(spy.clone())).is_pending());
            }
            if unwinding {
                struct Unwound<T>(T);
                let driver = Unwound(driver);
                assert!(panics(move || {
                    let _driver = driver;
                    panic!("unwinding");
                }));
            } else {
                assert!(panics(|| drop(driver)));
            }
            assert!(spies.iter().all(|spy| spy.wakes() == 1));
            assert!(poll_idly(&mut others[150]).is_ready());
            drop(others);
            assert_idle(&group);
        }
    });
}

#[test]
fn a_waker_that_takes_over_inline_at_the_loss_is_the_only_one() {
    within_limit(|| {
        let group = Registry::new();
        let mut driver = Box::pin(group.work_rerun("k", BUDGET, pending));
        assert!(poll_idly(&mut driver).is_pending());
        let runs = Arc::new(Mutex::new(0));
        let mut seats = Vec::new();
        for _ in 0..100 {
            let (seat, runs) = (Arc::new(Mutex::new(None)), runs.clone());
            let mut other = Box::pin(group.work_rerun("k", BUDGET, move || {
                *runs.lock().unwrap() += 1;
                Operation::ready(2)
            }));
            let mine: Arc<Mutex<Option<std::pin::Pin<Box<_>>>>> = seat.clone();
            let spy = Spy::on_wake(move || {
                let other = mine.lock().unwrap().take();
                if let Some(mut other) = other {
                    drop(poll_idly(&mut other));
                    *mine.lock().unwrap() = Some(other);
                }
            });
            assert!(poll(&mut other, &Waker::from(spy)).is_pending());
            *seat.lock().unwrap() = Some(other);
            seats.push(seat);
        }
        drop(driver);
        assert_eq!(*runs.lock().unwrap(), 1);
        for seat in &seats {
            let _ = seat.lock().unwrap().as_mut().map(poll_idly);
        }
        for seat in &seats {
            assert!(
                seat.lock()
                    .unwrap()
                    .as_mut()
                    .is_some_and(|other| poll_idly(other).is_ready())
            );
        }
        assert_eq!(*runs.lock().unwrap(), 1);
        seats.clear();
        assert_idle(&group);
    });
}

#[test]
fn wakers_that_leave_at_the_loss_end_the_flight_with_the_last() {
    within_limit(|| {
        let group = Registry::new();
        let mut driver = Box::pin(group.work_rerun("k", Budget::times(9), pending));
        assert!(poll_idly(&mut driver).is_pending());
        let mut plain = waiter(&group, "k");
        assert!(poll_idly(&mut plain).is_pending());
        for _ in 0..100 {
            let seat = Arc::new(Mutex::new(None));
            let mut other = Box::pin(group.work_rerun("k", BUDGET, pending::<u32>));
            let mine: Arc<Mutex<Option<std::pin::Pin<Box<_>>>>> = seat.clone();
            let spy = Spy::on_wake(move || {
                let other = mine.lock().unwrap().take();
                drop(other);
            });
            assert!(poll(&mut other, &Waker::from(spy)).is_pending());
            *seat.lock().unwrap() = Some(other);
        }
        assert_eq!(group.waiters("k"), 101);
        drop(driver);
        assert!(!group.contains("k"));
        assert_eq!(plain.get().unwrap().unwrap_err().cause(), Cause::Dropped);
        drop(plain);
        assert_idle(&group);
    });
}

#[test]
fn an_operation_that_begins_its_own_key_is_told_also_in_its_rerun_and_its_making() {
    within_limit(|| {
        let group = Registry::new();
        let told =
            |group: &Registry| matches!(group.begin("k"), Begin::Rejected(Rejected::Reentrant));
        let mut first = Box::pin(group.work_rerun("k", BUDGET, || {
            assert!(told(&group));
            async {
                assert!(told(&group));
                pending().await
            }
        }));
        let mut second = Box::pin(group.work_rerun("k", BUDGET, || async {
            assert!(told(&group));
            let own = group.work_rerun("k", BUDGET, || async { 1 }).await;
            assert!(matches!(own, Err(WorkError::Rejected(Rejected::Reentrant))));
            7
        }));
        assert!(poll_idly(&mut first).is_pending());
        // A sibling on the same thread, outside of the operation, is not.
        assert!(matches!(group.begin("k"), Begin::Waiter(_)));
        drop(first);
        assert!(matches!(poll_idly(&mut second), Poll::Ready(Ok(settled)) if *settled == 7));
        drop(second);
        assert!(matches!(group.begin("k"), Begin::Primary(_)));
        assert_idle(&group);
    });
}

#[test]
fn an_operation_whose_drop_begins_its_key_joins_or_begins_and_hangs_nothing() {
    within_limit(|| {
        let group = Registry::new();
        let begin = |group: &Registry| {
            let group = group.clone();
            move || drop(group.begin("k"))
        };
        let operation = |group: &Registry| Operation::ready(9).on_drop(begin(group));
        let mut first = Box::pin(group.work_rerun("k", BUDGET, || operation(&group)));
        let mut second = Box::pin(group.work_rerun("k", BUDGET, || operation(&group)));
        assert!(poll_idly(&mut first).is_pending());
        drop(first);
        assert!(poll_idly(&mut second).is_pending());
        group.abort_all();
        assert!(poll_idly(&mut second).is_ready());
        drop(second);
        assert_idle(&group);
    });
}

#[test]
fn a_value_that_comes_too_late_and_panics_when_dropped_is_dropped_once() {
    let group: Group<&str, Mutex<support::operation::Bomb>> = Group::new();
    let inner = group.clone();
    let mut driver = Box::pin(group.work_rerun("k", BUDGET, || async move {
        inner.abort_all();
        bomb(|| panic!("hostile"))
    }));
    assert!(panics(|| poll_idly(&mut driver)));
    assert!(matches!(
        poll_idly(&mut driver),
        Poll::Ready(Err(WorkError::Aborted(_)))
    ));
    drop(driver);
    assert_idle(&group);
    drop(primary(&group, "k"));
}
