//! Operations that attack: they panic while they are made, polled or dropped, and call back into the group.

mod support;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use oneflight_core::{Aborted, Begin, Cause, Group, WorkError};
use support::runtimes::{Drops, Inline, Panics, Threads};
use support::{
    Act, Shelf, assert_idle, panic_text, panics, poll_idly, primary, waiter, while_unwinding,
    within_limit,
};

type Registry = Group<&'static str, u32>;

/// Pending, and at once awake again, until its last poll; then it ends as told. Its drop does what it is told.
struct Operation {
    polls_left: usize,
    end: Option<u32>,
    on_drop: Option<Act>,
}

impl Operation {
    fn ready(polls: usize) -> Self {
        Self {
            polls_left: polls,
            end: Some(7),
            on_drop: None,
        }
    }

    fn panics(polls: usize) -> Self {
        Self {
            polls_left: polls,
            end: None,
            on_drop: None,
        }
    }

    fn on_drop(mut self, act: impl FnOnce() + Send + 'static) -> Self {
        self.on_drop = Some(Box::new(act));
        self
    }
}

impl Future for Operation {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        self.polls_left = self
            .polls_left
            .checked_sub(1)
            .expect("polled after its end");
        cx.waker().wake_by_ref();
        if self.polls_left > 0 {
            return Poll::Pending;
        }
        Poll::Ready(self.end.expect("the operation panics"))
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(act) = self.on_drop.take() {
            act();
        }
    }
}

fn aborted(outcome: Option<Result<impl Sized, Aborted>>) -> Cause {
    match outcome {
        Some(Err(aborted)) => aborted.cause(),
        Some(Ok(_)) => panic!("settled"),
        None => panic!("still in flight"),
    }
}

fn work_aborted(outcome: Option<Result<impl Sized, WorkError>>) -> Cause {
    match outcome {
        Some(Err(WorkError::Aborted(aborted))) => aborted.cause(),
        _ => panic!("not aborted"),
    }
}

#[test]
fn a_panic_in_any_poll_of_run_ends_the_flight_and_goes_on_in_its_caller() {
    for polls in 1..5 {
        let group = Registry::new();
        let mut run = primary(&group, "k").run(Operation::panics(polls));
        let waiting = waiter(&group, "k");
        for _ in 1..polls {
            assert!(poll_idly(&mut run).is_pending());
        }
        let text = panic_text(|| poll_idly(&mut run)).expect("it panics");
        assert!(text.contains("the operation panics"));
        assert_eq!(aborted(waiting.get()), Cause::Panicked);
        assert!(!group.contains("k"));
        drop((run, waiting));
        assert_idle(&group);
    }
}

#[test]
fn a_panic_in_any_poll_of_work_ends_the_flight_and_goes_on_in_its_driver() {
    for polls in 1..5 {
        let group = Registry::new();
        let mut driver = group.work("k", || Operation::panics(polls));
        let other = group.work("k", || Operation::ready(1));
        let waiting = waiter(&group, "k");
        for _ in 1..polls {
            assert!(poll_idly(&mut driver).is_pending());
        }
        assert!(panics(|| poll_idly(&mut driver)));
        for work in [driver, other] {
            assert_eq!(work_aborted(work.get()), Cause::Panicked);
        }
        assert_eq!(aborted(waiting.get()), Cause::Panicked);
        assert_idle(&group);
    }
}

#[test]
fn a_panic_of_a_task_or_a_call_ends_in_it() {
    within_limit(|| {
        let group = Registry::new();
        let threads = Threads::default();
        for polls in 1..4 {
            let inline = group.spawn_on(&Inline, "k", move || Operation::panics(polls));
            assert_eq!(work_aborted(inline.get()), Cause::Panicked);

            let threaded = group.spawn_on(&threads, "k", move || Operation::panics(polls));
            threads.join();
            assert_eq!(work_aborted(threaded.get()), Cause::Panicked);

            let shelf = Shelf::default();
            let later = group.spawn_on(&shelf, "k", move || Operation::panics(polls));
            let mut task = shelf.take_task();
            while poll_idly(&mut task).is_pending() {}
            assert_eq!(work_aborted(later.get()), Cause::Panicked);
            // A runtime that polls once more than it should finds nothing to do.
            assert!(poll_idly(&mut task).is_ready());
        }
        let inline = group.spawn_blocking_on(&Inline, "k", || panic!("a call"));
        let threaded = group.spawn_blocking_on(&threads, "l", || panic!("a call"));
        threads.join();
        for call in [inline, threaded] {
            assert_eq!(work_aborted(call.get()), Cause::Panicked);
        }
        assert_idle(&group);
    });
}

#[test]
fn a_panic_while_the_operation_is_made_ends_the_flight() {
    let group = Registry::new();
    // Others join while it is made.
    let joined = Mutex::new(None);
    let text = panic_text(|| {
        group.work("k", || -> Operation {
            let others = (waiter(&group, "k"), group.work("k", || Operation::ready(1)));
            *joined.lock().expect("not poisoned") = Some(others);
            panic!("while it is made")
        })
    });
    assert_eq!(text.as_deref(), Some("while it is made"));
    let (waiting, work) = joined.into_inner().expect("not poisoned").expect("made");
    assert_eq!(aborted(waiting.get()), Cause::Panicked);
    assert_eq!(work_aborted(work.get()), Cause::Panicked);

    let call = group.spawn_on(&Inline, "k", || -> Operation { panic!("while it is made") });
    assert_eq!(work_aborted(call.get()), Cause::Panicked);
    assert_idle(&group);
}

#[test]
fn an_operation_of_work_may_panic_when_it_is_dropped() {
    let group = Registry::new();
    let bomb = |polls| Operation::ready(polls).on_drop(|| panic!("a drop"));

    // After its outcome: everyone has that.
    let mut driver = group.work("k", || bomb(1));
    let other = group.work("k", || Operation::ready(1));
    assert_eq!(
        panic_text(|| poll_idly(&mut driver)).as_deref(),
        Some("a drop")
    );
    assert!(driver.get().expect("ended").is_ok() && other.get().expect("ended").is_ok());
    drop((driver, other));
    assert_idle(&group);

    // With the last participant: the flight is over before.
    let mut last = group.work("k", || bomb(9));
    let waiting = waiter(&group, "k");
    assert!(poll_idly(&mut last).is_pending());
    assert_eq!(panic_text(|| drop(last)).as_deref(), Some("a drop"));
    assert_eq!(aborted(waiting.get()), Cause::Dropped);
    assert_idle(&group);

    // With the last participant, which a panic drops.
    let mut last = group.work("k", || bomb(9));
    assert!(poll_idly(&mut last).is_pending());
    while_unwinding(move || drop(last));
    assert_idle(&group);

    // While its own poll unwinds.
    let mut driver = group.work("k", || Operation::panics(1).on_drop(|| panic!("a drop")));
    let text = panic_text(|| poll_idly(&mut driver)).expect("it panics");
    assert!(text.contains("the operation panics"));
    assert_eq!(work_aborted(driver.get()), Cause::Panicked);
    assert_idle(&group);
}

#[test]
fn an_operation_of_run_may_panic_when_it_is_dropped() {
    let group = Registry::new();
    let bomb = |polls| Operation::ready(polls).on_drop(|| panic!("a drop"));
    for polls in [1, 9] {
        let mut run = primary(&group, "k").run(bomb(polls));
        let waiting = waiter(&group, "k");
        assert_eq!(poll_idly(&mut run).is_ready(), polls == 1);
        assert_eq!(panic_text(|| drop(run)).as_deref(), Some("a drop"));
        assert_eq!(waiting.get().expect("ended").is_ok(), polls == 1);
        drop(waiting);
        assert_idle(&group);
    }
}

#[test]
fn an_operation_of_a_task_may_panic_when_it_is_dropped() {
    let group = Registry::new();
    let bomb = |polls| Operation::ready(polls).on_drop(|| panic!("a drop"));
    let ran = group.spawn_on(&Inline, "k", move || bomb(1));
    assert!(ran.get().expect("ended").is_ok(), "the outcome was first");

    let shelf = Shelf::default();
    let lost = group.spawn_on(&shelf, "k", move || bomb(9));
    let mut task = shelf.take_task();
    assert!(poll_idly(&mut task).is_pending());
    assert_eq!(panic_text(|| drop(task)).as_deref(), Some("a drop"));
    assert_eq!(work_aborted(lost.get()), Cause::Dropped);
    assert_idle(&group);
}

/// Runs this test again in a process of its own, where it may abort. True in that process.
fn alone(test: &str) -> bool {
    const MARK: &str = "ONEFLIGHT_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("this test program has a path");
    let child = std::process::Command::new(program)
        .args(["--exact", test])
        .env(MARK, "1")
        .output()
        .expect("this test program runs");
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{}: {said}", child.status);
    false
}

#[test]
fn an_operation_of_a_task_that_panics_in_its_poll_and_its_drop_does_not_abort_the_process() {
    if alone(
        "an_operation_of_a_task_that_panics_in_its_poll_and_its_drop_does_not_abort_the_process",
    ) {
        let group = Registry::new();
        let bomb = || Operation::panics(1).on_drop(|| panic!("a drop"));
        let call = group.spawn_on(&Inline, "k", bomb);
        assert_eq!(work_aborted(call.get()), Cause::Panicked);
        assert_idle(&group);
    }
}

#[test]
fn a_runtime_that_drops_what_it_is_given_ends_the_flight_at_once() {
    let group = Registry::new();
    let spawned = group.spawn_on(&Drops, "k", || Operation::ready(1));
    let called = group.spawn_blocking_on(&Drops, "k", || 7);
    assert!(spawned.is_primary() && called.is_primary());
    assert_eq!(work_aborted(spawned.get()), Cause::Dropped);
    assert_eq!(work_aborted(called.get()), Cause::Dropped);
    assert_idle(&group);
}

#[test]
fn a_runtime_that_panics_leaves_no_flight_behind() {
    let group = Registry::new();
    assert!(panics(|| group.spawn_on(
        &Panics,
        "k",
        || Operation::ready(1)
    )));
    assert!(panics(|| group.spawn_blocking_on(&Panics, "k", || 7)));
    assert_eq!(group.stats().aborted_by(Cause::Panicked), 2);
    assert_idle(&group);
}

#[test]
fn every_runtime_settles_what_it_runs() {
    within_limit(|| {
        let group = Registry::new();
        let threads = Threads::default();
        let shelf = Shelf::default();
        let calls = [
            group.spawn_on(&Inline, "a", || Operation::ready(3)),
            group.spawn_on(&threads, "b", || Operation::ready(3)),
            group.spawn_blocking_on(&Inline, "c", || 7),
            group.spawn_blocking_on(&threads, "d", || 7),
            group.spawn_on(&shelf, "e", || Operation::ready(3)),
            group.spawn_blocking_on(&shelf, "f", || 7),
        ];
        let mut task = shelf.take_task();
        while poll_idly(&mut task).is_pending() {}
        shelf.take_call()();
        threads.join();
        for call in calls {
            assert_eq!(*call.get().expect("ended").expect("settled"), 7);
        }
        assert_idle(&group);
    });
}

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
        let mut joined = waiter(group, "k");
        assert!(poll_idly(&mut joined).is_pending());
        let mut work = group.work("k", || Operation::ready(1));
        assert!(
            poll_idly(&mut work).is_pending(),
            "it is being polled already"
        );
        drop(work);
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

/// A value whose drop does what it was told.
struct Bomb(Option<Act>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

fn bomb(act: impl FnOnce() + Send + 'static) -> Mutex<Bomb> {
    Mutex::new(Bomb(Some(Box::new(act))))
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
