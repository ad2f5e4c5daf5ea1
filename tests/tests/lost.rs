//! A lost operation: it is dropped first, then its key is free, then its waiters are told.

mod support;

use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use oneflight::error::{Cause, Rejected};
use oneflight::rt::tokio::GroupExt;
use oneflight::{Begin, Error, Group};
use oneflight_conformance::{cause_of, fine, poll, primary, quiet_panic, waiter, watched};
use support::{Shelf, is_drained};

type Keys = Group<&'static str, usize>;

/// What happened, in its order. As a waker it is the waiter's.
#[derive(Default)]
struct Log(Mutex<Vec<&'static str>>);

impl Wake for Log {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().push("told");
    }
}

/// Never ready.
struct Operation(Keys, Arc<Log>, &'static str);

impl Future for Operation {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<usize> {
        if self.2 == "its poll panics" {
            quiet_panic();
        }
        Poll::Pending
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let free = !self.0.contains("k");
        self.1.0.lock().unwrap().push(if free {
            "dropped, its key free"
        } else {
            "dropped"
        });
        if self.2 == "its drop panics" {
            quiet_panic();
        }
    }
}

/// Begins a flight, and gives what loses its operation, after it polled it once if that is asked for.
type Way = fn(&Keys, Operation) -> Box<dyn FnOnce(bool)>;

const RUN: Way = |group, operation| {
    let primary = primary(group.begin("k"));
    Box::new(|polled| {
        let mut run = Box::pin(primary.run(operation));
        assert!(!polled || poll(&mut run, Waker::noop()).is_pending());
    })
};

const SPAWN: Way = |group, operation| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let entered = runtime.enter();
    drop(group.spawn("k", || operation));
    drop(entered);
    // A runtime that goes down drops its tasks.
    Box::new(move |polled| {
        if polled {
            runtime.block_on(tokio::task::yield_now());
        }
    })
};

const BLOCKING: Way = |group, operation| {
    let busy = Shelf::default();
    drop(group.entry("k").spawn_blocking_on(&busy, move || {
        if operation.2 == "its poll panics" {
            quiet_panic();
        }
        // Lost by a panic of its drop, else it settles.
        drop(operation);
        7
    }));
    Box::new(move |_| drop(busy))
};

#[test]
fn a_lost_operation_is_dropped_before_anybody_is_told() {
    watched("lost", || {
        for (name, way) in [("run", RUN), ("spawn", SPAWN), ("blocking", BLOCKING)] {
            for how in [
                "never polled",
                "polled once",
                "its poll panics",
                "its drop panics",
            ] {
                let (group, log) = (Keys::new(), Arc::new(Log::default()));
                let lose = way(&group, Operation(group.clone(), log.clone(), how));
                let mut told = waiter(group.begin("k"));
                let waker = Waker::from(log.clone());
                assert!(poll(&mut told, &waker).is_pending());
                let _planned = catch_unwind(AssertUnwindSafe(|| lose(how != "never polled")));
                assert_eq!(*log.0.lock().unwrap(), ["dropped", "told"], "{name}, {how}");
                let panics = how == "its poll panics" && name != "blocking";
                let cause = if panics {
                    Cause::Panicked
                } else {
                    Cause::Dropped
                };
                assert_eq!(told.get().map(cause_of), Some(cause), "{name}, {how}");
                assert!(
                    group.is_empty() && group.stats().ending == 0,
                    "{name}, {how}"
                );
            }
        }
    });
}

#[test]
fn a_poll_after_a_panic_gives_its_cause() {
    let group = Keys::new();
    let mut run = Box::pin(primary(group.begin("k")).run(poll_fn(|_| quiet_panic())));
    let unwound = catch_unwind(AssertUnwindSafe(|| poll(&mut run, Waker::noop())));
    assert!(unwound.is_err());
    group.close();
    assert!(is_drained(&group), "the operation is gone");
    let Poll::Ready(told) = poll(&mut run, Waker::noop()) else {
        panic!("the flight has ended")
    };
    assert_eq!(cause_of(told), Cause::Panicked);
    let again = catch_unwind(AssertUnwindSafe(|| poll(&mut run, Waker::noop())));
    assert!(again.is_err(), "polled after it was ready");
}

/// Begins its own key while it is dropped, and parks its thread if it has to wait.
struct Owner(Keys, Arc<Mutex<Vec<Option<Error>>>>);

impl Drop for Owner {
    fn drop(&mut self) {
        let told = match self.0.begin("k") {
            Begin::Primary(_) => None,
            Begin::Waiter(waiter) => waiter.wait_blocking().err(),
            Begin::Rejected(why) => Some(Error::Rejected(why)),
        };
        self.1.lock().unwrap().push(told);
    }
}

async fn owned(group: Keys, seen: Arc<Mutex<Vec<Option<Error>>>>) -> usize {
    let _owner = Owner(group, seen);
    pending().await
}

#[test]
fn a_lost_operation_that_waits_for_its_own_key_is_told() {
    watched("waits for its own key", || {
        let (group, seen) = (Keys::new(), Arc::default());
        let mut run =
            Box::pin(primary(group.begin("k")).run(owned(group.clone(), Arc::clone(&seen))));
        assert!(poll(&mut run, Waker::noop()).is_pending());
        drop(run);
        let reentrant = Some(Error::Rejected(Rejected::Reentrant));
        assert_eq!(*seen.lock().unwrap(), [reentrant]);
        // One that is ended from outside has lost its key: a new flight begins.
        let mut run =
            Box::pin(primary(group.begin("k")).run(owned(group.clone(), Arc::clone(&seen))));
        assert!(poll(&mut run, Waker::noop()).is_pending());
        group.abort_all();
        assert_eq!((seen.lock().unwrap().len(), group.stats().ending), (1, 1));
        assert!(poll(&mut run, Waker::noop()).is_ready());
        assert_eq!(*seen.lock().unwrap(), [reentrant, None]);
        assert_eq!(group.stats().ending, 0);
    });
}

#[test]
fn a_lost_try_work_that_waits_for_its_own_key_is_told() {
    watched("a try_work waits for its own key", || {
        let (group, seen) = (Keys::new(), Arc::default());
        let owner = owned(group.clone(), Arc::clone(&seen));
        let mut driver = Box::pin(group.try_work("k", fine(|| owner)));
        let other = group.try_work("k", fine(|| ready(7)));
        assert!(poll(&mut driver, Waker::noop()).is_pending());
        // The other one cannot run before this drop returns.
        drop(driver);
        let reentrant = Some(Error::Rejected(Rejected::Reentrant));
        assert_eq!(*seen.lock().unwrap(), [reentrant]);
        assert_eq!(*smol::block_on(other).unwrap(), 7);
    });
}
