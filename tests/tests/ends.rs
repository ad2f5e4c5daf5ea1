//! When a flight is over: it has ended, and its operation or guard is gone. What has not begun never begins.

mod support;

use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use oneflight::error::{Aborted, Cause, Rejected};
use oneflight::gate::{Gate, Mode};
use oneflight::rt::SpawnBlocking;
use oneflight::{Error, Group};
use oneflight_conformance::{
    HandClock, cause_of, fine, poll, primary, quiet_panic, rejected, scripted, waiter, watched,
};
use support::{Shelf, is_drained};

type Keys = Group<&'static str, usize>;

/// Closes the group and ends its flights. Whether it says that it is drained.
fn stop(group: &Keys) -> bool {
    group.close();
    group.abort_all();
    is_drained(group)
}

#[test]
fn what_has_not_begun_never_begins() {
    watched("not begun", || {
        let (busy, group) = (Shelf::default(), Keys::new());
        let begun = Arc::new([const { AtomicUsize::new(0) }; 4]);
        let count = |nth: usize| {
            let begun = begun.clone();
            move || begun[nth].fetch_add(1, Ordering::Relaxed)
        };
        // Aborted one by one.
        let call = group.entry("call").spawn_blocking_on(&busy, count(0));
        let task = count(1);
        let task = group.entry("task").spawn_on(&busy, move || ready(task()));
        for spawned in [call, task] {
            assert!(spawned.abort_handle().unwrap().abort());
            let told = smol::block_on(spawned).map(drop);
            assert_eq!(
                told,
                Err(Error::Aborted(Aborted::never_begun(Cause::Cancelled)))
            );
        }
        assert_eq!(
            group.stats().ending,
            0,
            "there is no operation that could be waited for"
        );
        // Stopped with the whole group, which says that it is drained.
        let call = group.entry("other call").spawn_blocking_on(&busy, count(2));
        let task = count(3);
        let task = group
            .entry("other task")
            .spawn_on(&busy, move || ready(task()));
        assert!(stop(&group));
        busy.run();
        for spawned in [call, task] {
            let told = smol::block_on(spawned).map(drop);
            assert_eq!(
                told,
                Err(Error::Aborted(Aborted::never_begun(Cause::AbortedAll)))
            );
        }
        assert_eq!(
            begun.each_ref().map(|count| count.load(Ordering::Relaxed)),
            [0; 4]
        );
    });
}

#[test]
fn who_has_begun_is_told_so() {
    let (busy, group) = (Shelf::default(), Keys::new());
    drop(group.entry("task").spawn_on(&busy, pending));
    let mut task = busy.take_task();
    assert!(poll(&mut task, Waker::noop()).is_pending());
    // A `work` has begun when its operation is made, a guard at `begin`.
    let (_work, _guard) = (group.work("work", pending), group.begin("guard"));
    let duplicates = ["task", "work", "guard"].map(|key| waiter(group.begin(key)));
    group.abort_all();
    for duplicate in duplicates {
        let told = duplicate.get().unwrap().map(drop);
        assert_eq!(told, Err(Error::Aborted(Aborted::new(Cause::AbortedAll))));
    }
    drop(task);
    // A runtime that drops what it has not begun.
    let unpolled = group.entry("unpolled").spawn_on(&busy, || ready(0));
    let call = group.entry("call").spawn_blocking_on(&busy, || 0);
    drop(busy);
    for spawned in [unpolled, call] {
        let told = smol::block_on(spawned).map(drop);
        assert_eq!(
            told,
            Err(Error::Aborted(Aborted::never_begun(Cause::Dropped)))
        );
    }
    assert!(group.is_empty());
}

/// A runtime that runs blocking calls where they are handed in.
struct Inline;

impl SpawnBlocking for Inline {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        call();
    }
}

#[test]
fn a_blocking_call_counts_until_it_has_returned() {
    let group = Keys::new();
    let inside = group.clone();
    let call = group.entry("k").spawn_blocking_on(&Inline, move || {
        assert!(!stop(&inside) && inside.stats().ending == 1);
        7
    });
    assert_eq!(cause_of(smol::block_on(call)), Cause::AbortedAll);
    assert!(is_drained(&group) && group.stats().ending == 0);

    // Or until it has unwound.
    let group = Keys::new();
    let inside = group.clone();
    let call = group.entry("k").spawn_blocking_on(&Inline, move || {
        assert!(!stop(&inside));
        quiet_panic()
    });
    assert_eq!(cause_of(smol::block_on(call)), Cause::AbortedAll);
    assert!(is_drained(&group));
}

#[test]
fn an_operation_counts_until_its_poll_returns() {
    for ready in [false, true] {
        let group = Keys::new();
        let inside = group.clone();
        let operation = move || {
            poll_fn(move |_| {
                assert!(!stop(&inside) && inside.stats().ending == 1);
                if ready { Poll::Ready(7) } else { Poll::Pending }
            })
        };
        let mut work = group.work("k", operation.clone());
        assert!(poll(&mut work, Waker::noop()).is_ready());
        assert!(is_drained(&group), "work");
        let again = Keys::new();
        let inside = again.clone();
        let operation = poll_fn(move |_| {
            assert!(!stop(&inside));
            if ready { Poll::Ready(7) } else { Poll::Pending }
        });
        let mut run = Box::pin(primary(again.begin("k")).run(operation));
        assert!(poll(&mut run, Waker::noop()).is_ready());
        assert!(is_drained(&again), "run");
    }
}

#[test]
fn a_try_work_that_is_kept_and_not_polled_keeps_drained_waiting() {
    let group = Keys::new();
    let call = |group: &Keys| Box::pin(group.try_work("k", fine(pending)));
    let (mut driver, mut other) = (call(&group), call(&group));
    assert!(poll(&mut driver, Waker::noop()).is_pending());
    assert!(poll(&mut other, Waker::noop()).is_pending());
    assert!(!stop(&group));
    assert!(poll(&mut other, Waker::noop()).is_ready());
    drop(other);
    assert!(!is_drained(&group), "the operation is still here");
    assert!(poll(&mut driver, Waker::noop()).is_ready());
    assert!(is_drained(&group));

    // Dropped without a poll.
    let group = Keys::new();
    let mut driver = call(&group);
    assert!(poll(&mut driver, Waker::noop()).is_pending());
    assert!(!stop(&group));
    drop(driver);
    assert!(is_drained(&group));

    // One that was never polled has no operation.
    let group = Keys::new();
    let _idle = call(&group);
    assert!(stop(&group));
}

#[test]
fn an_operation_that_waits_is_gone_when_its_flight_is_aborted() {
    let group = Keys::new();
    let (remote, operation) = scripted();
    let mut work = group.work("k", || operation);
    assert!(poll(&mut work, Waker::noop()).is_pending());
    assert!(stop(&group) && remote.dropped());
}

#[test]
fn a_guard_counts_until_it_is_dropped() {
    let group = Keys::new();
    let guard = group.begin("k");
    assert!(!stop(&group));
    drop(guard);
    assert!(is_drained(&group));

    let group = Keys::builder().max_flights(1).build();
    let guard = group.begin("k");
    group.abort_all();
    assert_eq!(
        (group.len(), group.stats().in_flight, group.stats().ending),
        (0, 0, 1)
    );
    assert_eq!(rejected(group.begin("other")), Rejected::TooManyFlights);
    drop(guard);
    drop(primary(group.begin("other")));

    // A forgotten one, and a settle that is too late.
    let guard = primary(group.begin("k"));
    assert!(group.forget("k"));
    group.abort_all();
    assert_eq!(rejected(group.begin("other")), Rejected::TooManyFlights);
    assert_eq!(guard.settle(7).unwrap_err().value, 7);
    drop(primary(group.begin("other")));
}

#[test]
fn a_superseded_operation_counts_until_its_poll_returns() {
    watched("superseded while polled", || {
        // Any later begin supersedes it.
        let group = Keys::builder()
            .supersede_after(Duration::ZERO)
            .max_flights(2)
            .build();
        let inside = group.clone();
        let mut old = group.work("k", || {
            poll_fn(move |_| {
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let new = primary(inside.begin("k"));
                        assert_eq!(inside.stats().ending, 1);
                        assert_eq!(rejected(inside.begin("other")), Rejected::TooManyFlights);
                        drop(new);
                        assert!(!stop(&inside));
                    });
                });
                Poll::Pending
            })
        });
        let told = poll(&mut old, Waker::noop());
        assert!(
            matches!(told, Poll::Ready(Err(Error::Aborted(why))) if why.cause() == Cause::Superseded)
        );
        assert!(is_drained(&group) && group.stats().ending == 0);
    });
}

/// Calls its closure, and panics.
struct Last<F>(F);

impl<F: Fn() + Send + Sync> Wake for Last<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
        quiet_panic()
    }
}

/// A `try_work` begins its flight in the place of one that is too old, and a waker of that one panics.
fn lose_a_try_work_in_its_begin(first: impl Fn(&Keys) + Send + Sync + 'static) {
    let clock = HandClock::default();
    let builder = Keys::builder().clock(clock.clone());
    let group = builder
        .supersede_after(Duration::from_secs(60))
        .max_flights(2)
        .build();
    let old = primary(group.begin("k"));
    let mut told = waiter(group.begin("k"));
    let inside = group.clone();
    let last = Arc::new(Last(move || first(&inside)));
    assert!(poll(&mut told, &last.into()).is_pending());
    clock.forward(100);
    let call = || drop(group.try_work("k", fine(|| ready(7))));
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    drop(old);
    let two = ["a", "b"].map(|key| primary(group.begin(key)));
    assert_eq!(rejected(group.begin("c")), Rejected::TooManyFlights);
    drop(two);
    assert!(stop(&group), "no operation is there");
}

#[test]
fn a_try_work_that_is_lost_in_its_begin_is_over() {
    watched("lost in its begin", || {
        lose_a_try_work_in_its_begin(|_| {});
        lose_a_try_work_in_its_begin(Keys::abort_all);
    });
}

#[test]
fn a_holder_that_was_ended_keeps_the_gate_until_its_operation_is_gone() {
    for mode in [Mode::Exclusive, Mode::Queue] {
        let (busy, gate) = (Shelf::default(), Gate::<u8, usize>::new(mode));
        let call = gate.entry(Some(1)).spawn_on(&busy, pending);
        let mut task = busy.take_task();
        assert!(poll(&mut task, Waker::noop()).is_pending());
        assert!(call.abort_handle().unwrap().abort());
        assert!(gate.is_busy());
        assert_eq!(rejected(gate.begin(Some(2))), Rejected::Busy);
        drop(task);
        assert!(!gate.is_busy());
        drop(primary(gate.begin(Some(2))));
    }
}

#[test]
fn a_value_may_panic_when_the_panic_of_retain_by_drops_it() {
    struct Fragile;
    impl Drop for Fragile {
        fn drop(&mut self) {
            quiet_panic()
        }
    }
    let group = Group::<u8, Fragile>::builder()
        .retain_by(|_: &Fragile| -> Option<Duration> { quiet_panic() })
        .build();
    let (first, told) = (primary(group.begin(1)), waiter(group.begin(1)));
    let settle = || drop(first.settle(Fragile));
    assert!(catch_unwind(AssertUnwindSafe(settle)).is_err());
    assert_eq!(told.get().map(cause_of), Some(Cause::Panicked));
    assert!(group.is_empty());
}
