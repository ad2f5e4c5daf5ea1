//! A flight that is ended from outside while its operation is polled: its waiters are told at once, and its poller drops
//! the operation when that poll returns.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use oneflight::{Begin, Budget, Cause, Group, WorkError};

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
                waiter
                    .get()
                    .map(|outcome| outcome.map(drop).unwrap_err().cause())
            };
            scope.spawn(look).join().unwrap()
        });
        assert_eq!(told, Some(Cause::Closed), "told while the poll goes on");
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
    let Poll::Ready(Err(WorkError::Aborted(aborted))) = poll(&mut work) else {
        panic!("ended")
    };
    assert_eq!(aborted.cause(), Cause::Closed);
    assert!(dropped.load(Ordering::SeqCst));
}

#[test]
fn the_operation_of_a_rerun_is_dropped_when_its_poll_returns() {
    let (group, dropped) = (Group::new(), Arc::default());
    let operation = ends_all(&group, &dropped);
    let mut work = Box::pin(group.work_rerun("k", Budget::times(1), || operation));
    let Poll::Ready(Err(WorkError::Aborted(aborted))) = poll(&mut work) else {
        panic!("ended")
    };
    assert_eq!(aborted.cause(), Cause::Closed);
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
    assert_eq!((ended.cause(), ended.into_value()), (Cause::Closed, None));
    assert!(dropped.load(Ordering::SeqCst));
}
