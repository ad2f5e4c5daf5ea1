//! A flight that is ended from outside while its operation is polled: its waiters are told at once, and its poller drops
//! the operation when that poll returns.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use oneflight::error::Cause;
use oneflight::{Begin, Error, Group};
use oneflight_conformance::{cause_of, fine, quiet_panic, waiter};

/// Sets a flag when it is dropped.
struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Ends every flight from within its own poll, and stays pending.
fn ends_all(
    group: &Group<&'static str, u32>,
    dropped: &Arc<AtomicBool>,
) -> impl Future<Output = u32> + use<> {
    let (group, held, dropped) = (group.clone(), Held(dropped.clone()), dropped.clone());
    poll_fn(move |_| {
        let _held = &held;
        // The caller's thread stands in this operation, so another one looks.
        let told = std::thread::scope(|scope| {
            let look = || {
                let Begin::Waiter(waiter) = group.begin("k") else {
                    unreachable!()
                };
                group.abort_all();
                waiter.get().map(cause_of)
            };
            scope.spawn(look).join().unwrap()
        });
        assert_eq!(told, Some(Cause::AbortedAll), "told while the poll goes on");
        assert!(!dropped.load(Ordering::SeqCst), "it is being polled");
        Poll::Pending
    })
}

fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn the_operation_of_work_is_dropped_when_its_poll_returns() {
    let (group, dropped) = (Group::new(), Arc::default());
    let operation = ends_all(&group, &dropped);
    let mut work = Box::pin(group.work("k", || operation));
    let Poll::Ready(Err(Error::Aborted(aborted))) = poll(&mut work) else {
        panic!("ended")
    };
    assert_eq!(aborted.cause(), Cause::AbortedAll);
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn the_operation_of_a_try_work_is_dropped_when_its_poll_returns() {
    let (group, dropped) = (Group::new(), Arc::default());
    let operation = ends_all(&group, &dropped);
    let mut work = Box::pin(group.try_work("k", fine(|| operation)));
    let Poll::Ready(Err(Error::Aborted(aborted))) = poll(&mut work) else {
        panic!("ended")
    };
    assert_eq!(aborted.cause(), Cause::AbortedAll);
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn the_operation_of_run_is_dropped_when_its_poll_returns() {
    let (group, dropped) = (Group::new(), Arc::default());
    let primary = match group.begin("k") {
        Begin::Primary(primary) => primary,
        _ => unreachable!(),
    };
    let mut run = Box::pin(primary.run(ends_all(&group, &dropped)));
    let Poll::Ready(Err(ended)) = poll(&mut run) else {
        panic!("ended")
    };
    assert!(matches!(ended, Error::Aborted(why) if why.cause() == Cause::AbortedAll));
    assert!(dropped.load(Ordering::SeqCst));
}

/// Loses the participants one by one (true: by a panic of the operation). Returns what a plain
/// waiter gets.
fn lost(losses: &[bool]) -> Option<Cause> {
    let group: Group<&str, usize> = Group::new();
    let participant = |panics: bool| {
        group.try_work(
            "k",
            fine(move || {
                if panics {
                    quiet_panic();
                }
                pending()
            }),
        )
    };
    let participants: Vec<_> = losses.iter().map(|panics| participant(*panics)).collect();
    let waiting = waiter(group.begin("k"));
    for participant in participants {
        let _planned = catch_unwind(AssertUnwindSafe(|| {
            let _pending = poll(&mut Box::pin(participant));
        }));
    }
    waiting.get().map(cause_of)
}

#[test]
fn the_last_loss_of_a_try_work_is_its_cause() {
    assert_eq!(lost(&[false]), Some(Cause::Dropped));
    assert_eq!(lost(&[true, false]), Some(Cause::Dropped));
    assert_eq!(lost(&[true]), Some(Cause::Panicked));
    assert_eq!(lost(&[false, true]), Some(Cause::Panicked));
}

#[test]
fn a_work_that_is_dropped_while_its_thread_unwinds_says_panicked() {
    let group: Group<&str, usize> = Group::new();
    let last = group.work("k", pending);
    let waiting = waiter(group.begin("k"));
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _last = last;
        quiet_panic();
    }));
    assert!(unwound.is_err());
    let outcome = waiting.get().expect("ended");
    assert_eq!(cause_of(outcome), Cause::Panicked);
}

#[test]
fn a_panic_in_making_a_shared_operation_reaches_those_who_joined_meanwhile() {
    let group: Group<&str, usize> = Group::new();
    let joined = std::sync::Mutex::new(None);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        group.work("k", || {
            // On a thread of its own, which is not inside the flight.
            let join = || *joined.lock().unwrap() = Some(group.work("k", pending));
            std::thread::scope(|scope| scope.spawn(join).join().unwrap());
            if group.contains("k") {
                quiet_panic();
            }
            pending()
        })
    }));
    assert!(unwound.is_err());
    let joined = joined.into_inner().unwrap().expect("joined meanwhile");
    match joined.get() {
        Some(Err(Error::Aborted(aborted))) => assert_eq!(aborted.cause(), Cause::Panicked),
        other => panic!("still waiting: {}", other.is_none()),
    }
}
