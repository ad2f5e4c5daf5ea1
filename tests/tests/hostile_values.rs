//! Operations that call back into their group, makers that panic when they are not used, and values whose drop attacks.

mod support;

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use oneflight_conformance::elsewhere;
use oneflight_core::{Begin, Cause, Group};
use support::operation::{Bomb, Operation, aborted, bomb};
use support::runtimes::Drops;
use support::{
    Shelf, assert_idle, panic_text, panics, poll_idly, primary, waiter, while_unwinding,
    within_limit,
};

type Registry = Group<&'static str, u32>;

/// What an operation may do to its own group from inside a poll; the outcome must come all the same.
fn attack_from_a_poll(attack: impl Fn(&Registry) + Send + 'static) {
    within_limit(move || {
        let group = Registry::new();
        let inner = group.clone();
        let mut polls = 0;
        let mut driver = group.work("k", move || {
            poll_fn(move |cx| {
                attack(&inner);
                polls += 1;
                cx.waker().wake_by_ref();
                if polls < 3 {
                    Poll::Pending
                } else {
                    Poll::Ready(7)
                }
            })
        });
        let mut other = group.work("k", || Operation::ready(1));
        assert!(poll_idly(&mut driver).is_pending());
        drop(driver);
        assert!(poll_idly(&mut other).is_pending());
        let Poll::Ready(Ok(settled)) = poll_idly(&mut other) else {
            panic!("no outcome");
        };
        assert_eq!(*settled, 7);
        drop(other);
        assert_idle(&group);
    });
}

#[test]
fn an_operation_may_forget_its_own_key() {
    attack_from_a_poll(|group| {
        group.forget("k");
        assert!(!group.contains("k"));
        // The next flight of the key is another one, and may fail.
        assert!(panics(|| poll_idly(
            &mut group.work("k", || Operation::panics(1))
        )));
    });
}

#[test]
fn an_operation_may_run_other_keys() {
    attack_from_a_poll(|group| {
        let other = primary(group, "other");
        let waiting = waiter(group, "other");
        other.settle(1).expect("first");
        assert_eq!(*waiting.get().expect("ended").expect("settled"), 1);
        assert!(poll_idly(&mut group.work("other", || Operation::ready(1))).is_ready());
        drop(group.begin("other"));
        support::assert_ledger(group);
    });
}

#[test]
fn an_operation_may_join_its_own_flight_and_leave_it() {
    attack_from_a_poll(|group| {
        let _joined = elsewhere(|| {
            let mut joined = waiter(group, "k");
            assert!(poll_idly(&mut joined).is_pending());
            let mut work = group.work("k", || Operation::ready(1));
            assert!(
                poll_idly(&mut work).is_pending(),
                "it is being polled already"
            );
            drop(work);
            joined
        });
        assert!(group.waiters("k") >= 1);
    });
}

#[test]
fn an_operation_may_drop_all_other_participants() {
    within_limit(|| {
        let group = Registry::new();
        let others = Arc::new(Mutex::new(Vec::new()));
        let inner = others.clone();
        let mut driver = group.work("k", move || {
            poll_fn(move |_| {
                let others = std::mem::take(&mut *inner.lock().expect("not poisoned"));
                assert_eq!(others.len(), 100);
                drop(others);
                Poll::Ready(7)
            })
        });
        let mut works: Vec<_> = (0..100)
            .map(|_| group.work("k", || Operation::ready(1)))
            .collect();
        others.lock().expect("not poisoned").append(&mut works);
        assert!(poll_idly(&mut driver).is_ready());
        drop(driver);
        assert_idle(&group);
        assert_eq!(group.stats().cancelled, 100);
    });
}

/// A maker of operations that is never called, and panics when it is dropped.
fn unused_maker() -> impl FnOnce() -> Operation + Send + 'static {
    let bomb = bomb(|| panic!("an unused maker's drop"));
    move || {
        drop(bomb);
        unreachable!("a duplicate's operation is never made")
    }
}

#[test]
fn a_participant_whose_unused_maker_panics_leaves_its_flight() {
    let group = Registry::new();
    let driver = group.work("k", || Operation::ready(9));
    let waiting = waiter(&group, "k");
    let text = panic_text(|| group.work("k", unused_maker()));
    assert_eq!(text.as_deref(), Some("an unused maker's drop"));
    assert_eq!(group.waiters("k"), 1);
    drop(driver);
    assert_eq!(aborted(waiting.get()), Cause::Dropped);
    assert_idle(&group);
}

#[test]
fn a_caller_of_spawn_whose_unused_maker_panics_leaves_its_flight() {
    let group = Registry::new();
    let owner = primary(&group, "k");
    assert!(panics(|| group.spawn_on(&Drops, "k", unused_maker())));
    assert_eq!(owner.waiters(), 0);
    let call = bomb(|| panic!("an unused call's drop"));
    assert!(panics(|| {
        group.spawn_blocking_on(&Drops, "k", move || {
            drop(call);
            unreachable!("a duplicate's call is never made")
        })
    }));
    assert_eq!(owner.waiters(), 0);
    drop(owner);
    assert_idle(&group);
}

#[test]
fn a_value_may_call_the_group_when_it_is_dropped() {
    within_limit(|| {
        let group: Group<&str, Mutex<Bomb>> = Group::new();
        let inner = group.clone();
        let value = bomb(move || {
            assert!(!inner.contains("k") && !inner.forget("k"));
            let again = primary(&inner, "k");
            drop(again.settle(Mutex::new(Bomb(None))));
            support::assert_ledger(&inner);
        });
        let owner = primary(&group, "k");
        let mut waiting = waiter(&group, "k");
        assert!(poll_idly(&mut waiting).is_pending());
        drop(owner.settle(value));
        drop(waiting);
        assert_eq!(group.stats().settled, 2);
        assert_idle(&group);
    });
}

#[test]
fn a_value_may_panic_when_it_is_dropped() {
    let group: Group<&str, Mutex<Bomb>> = Group::new();
    let value = || bomb(|| panic!("a value's drop"));
    // By the primary, by the last waiter, in a task and in a call, where it ends.
    assert!(panics(|| drop(primary(&group, "k").settle(value()))));
    let owner = primary(&group, "k");
    let waiting = waiter(&group, "k");
    drop(owner.settle(value()));
    assert!(panics(|| drop(waiting)));
    let shelf = Shelf::default();
    drop(group.spawn_on(&shelf, "k", move || async move { value() }));
    assert!(poll_idly(&mut shelf.take_task()).is_ready());
    drop(group.spawn_blocking_on(&shelf, "k", value));
    shelf.take_call()();
    assert_eq!(group.stats().settled, 4);
    assert_idle(&group);
}

#[test]
fn a_primary_may_be_settled_in_a_drop() {
    struct SettleLate(Option<oneflight_core::Primary<&'static str, u32>>);
    impl Drop for SettleLate {
        fn drop(&mut self) {
            if let Some(primary) = self.0.take() {
                primary.settle(7).expect("first");
            }
        }
    }
    let group = Registry::new();
    for unwinding in [false, true] {
        let late = SettleLate(Some(primary(&group, "k")));
        let waiting = waiter(&group, "k");
        if unwinding {
            while_unwinding(move || drop(late));
        } else {
            drop(late);
        }
        assert_eq!(*waiting.get().expect("ended").expect("settled"), 7);
    }
    assert!(matches!(group.begin("k"), Begin::Primary(_)));
    assert_idle(&group);
}
