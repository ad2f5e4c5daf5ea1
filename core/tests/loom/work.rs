//! The shared operation of `work`.

use std::future::{poll_fn, ready};
use std::sync::Mutex;
use std::task::{Poll, Waker};

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use oneflight_core::Error;
use oneflight_core::error::Cause;

use crate::{Counter, bounded_model, cause_of, group, model, waiter};

/// An event the operation waits for: set by another thread, which then wakes it.
///
/// Flag and waker stand behind one lock of `std`, which loom does not see: it is held for a moment only, so that the
/// model explores the interleavings of the shared operation and not this one's. Wakers are cloned and dropped outside:
/// loom sees that, and may let another thread go on.
#[derive(Clone, Default)]
pub(crate) struct Signal(std::sync::Arc<Mutex<(bool, Option<Waker>)>>);

impl Signal {
    pub(crate) async fn wait(self) -> u32 {
        poll_fn(|cx| {
            let own = cx.waker().clone();
            let (set, _old) = {
                let mut state = self.0.lock().unwrap();
                (state.0, state.1.replace(own))
            };
            if set { Poll::Ready(7) } else { Poll::Pending }
        })
        .await
    }

    pub(crate) fn set(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[test]
fn the_driver_leaves_while_the_operation_is_woken_and_another_goes_on() {
    bounded_model(3, || {
        let (group, signal) = (group::<u32>(), Signal::default());
        let operation = signal.clone();
        let mut driver = group.work(1, move || operation.wait());
        let other = group.work(1, || async { unreachable!("never made") });
        assert!(Counter::default().poll(&mut driver).is_pending());
        let leave = thread::spawn(move || drop(driver));
        let wake = thread::spawn(move || signal.set());
        assert_eq!(*block_on(other).unwrap(), 7);
        leave.join().unwrap();
        wake.join().unwrap();
        assert!(group.is_empty());
    });
}

#[test]
fn an_operation_woken_while_it_is_polled_is_polled_again() {
    model(|| {
        let (group, signal) = (group::<u32>(), Signal::default());
        let operation = signal.clone();
        let work = group.work(1, move || operation.wait());
        let wake = thread::spawn(move || signal.set());
        assert_eq!(*block_on(work).unwrap(), 7);
        wake.join().unwrap();
    });
}

#[test]
fn a_newcomer_never_inherits_the_cancellation_of_the_last_participant() {
    bounded_model(6, || {
        let group = group::<u32>();
        let first = group.work(1, std::future::pending);
        let leave = thread::spawn(move || drop(first));
        // Either it continues the first one's operation, and leaves it here, or it begins its own.
        let mut newcomer = group.work(1, || async { 7 });
        match Counter::default().poll(&mut newcomer) {
            Poll::Ready(outcome) => assert_eq!(*outcome.unwrap(), 7),
            Poll::Pending => drop(newcomer),
        }
        leave.join().unwrap();
        assert!(group.is_empty());
        let stats = group.stats();
        assert_eq!(
            stats.begun,
            stats.settled + stats.aborted_by(Cause::Dropped)
        );
    });
}

#[test]
fn participants_on_two_threads_share_one_execution() {
    bounded_model(3, || {
        let group = group::<u32>();
        let made = Arc::new(AtomicUsize::new(0));
        let run = |group: &crate::Registry<u32>, made: &Arc<AtomicUsize>| {
            let made = made.clone();
            group.work(1, move || {
                made.fetch_add(1, Ordering::SeqCst);
                async { 7 }
            })
        };
        let (one, two) = (run(&group, &made), run(&group, &made));
        let thread = thread::spawn(move || *block_on(one).unwrap());
        assert_eq!(*block_on(two).unwrap(), 7);
        assert_eq!(thread.join().unwrap(), 7);
        assert_eq!(made.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_plain_waiter_is_told_when_the_last_participant_leaves() {
    model(|| {
        let group = group::<u32>();
        let work = group.work(1, std::future::pending);
        let waiter = match group.begin(1) {
            oneflight_core::Begin::Waiter(waiter) => waiter,
            _ => unreachable!(),
        };
        let leave = thread::spawn(move || drop(work));
        assert_eq!(cause_of(block_on(waiter)), Cause::Dropped);
        leave.join().unwrap();
    });
}

#[test]
fn a_participant_parked_while_the_operation_is_made_is_woken() {
    bounded_model(3, || {
        let group = group::<u32>();
        let other = group.clone();
        // The maker of one may run while the other joins and parks.
        let thread =
            thread::spawn(move || block_on(other.work(1, || async { 7 })).map(|settled| *settled));
        let here = block_on(group.work(1, || async { 7 })).map(|settled| *settled);
        assert_eq!(here, Ok(7));
        assert_eq!(thread.join().unwrap(), Ok::<u32, Error>(7));
    });
}

#[test]
fn a_thread_that_drives_is_unparked_by_its_operation() {
    bounded_model(3, || {
        let (group, signal) = (group::<u32>(), Signal::default());
        let operation = signal.clone();
        let work = group.work(1, move || operation.wait());
        let wake = thread::spawn(move || signal.set());
        assert_eq!(*work.wait_blocking().unwrap(), 7);
        wake.join().unwrap();
    });
}

#[test]
fn a_call_that_comes_after_the_record_is_a_replay() {
    bounded_model(3, || {
        let group = group::<u32>();
        let driver = group.work(1, || ready(7));
        let first = driver.id();
        let seen = waiter(group.begin(1));
        let comes = thread::spawn(move || {
            while seen.get().is_none() {
                thread::yield_now();
            }
            let late = group.work(1, || ready(8));
            assert!(late.is_replayed() || late.id() != first);
        });
        assert_eq!(*block_on(driver).unwrap(), 7);
        comes.join().unwrap();
    });
}
