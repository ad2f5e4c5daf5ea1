//! Operations that attack: they panic while they are made, polled or dropped, on runtimes of every kind.

mod support;

use std::sync::Mutex;

use oneflight_conformance::elsewhere;
use oneflight_core::{Cause, Group};
use support::operation::{Operation, aborted, work_aborted};
use support::runtimes::{Drops, Inline, Panics, Threads};
use support::{
    Shelf, assert_idle, panic_text, panics, poll_idly, primary, waiter, while_unwinding,
    within_limit,
};

type Registry = Group<&'static str, u32>;

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
            let join = || (waiter(&group, "k"), group.work("k", || Operation::ready(1)));
            let others = elsewhere(join);
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
