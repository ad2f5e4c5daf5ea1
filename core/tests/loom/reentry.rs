//! A waiter that comes from inside of its flight is counted nowhere, and meets the flight's end as
//! any other. One that is told that it would wait for itself has left.

use std::sync::{Arc, Mutex};

use loom::thread;
use oneflight_core::error::{Cause, Rejected};
use oneflight_core::{Error, Waiter};

use crate::{Counter, Registry, bounded_model, group, waiter};

type Slot = Arc<Mutex<Option<Waiter<u8, u32>>>>;

const REENTRANT: Error = Error::Rejected(Rejected::Reentrant);

fn take(slot: &Slot) -> Waiter<u8, u32> {
    slot.lock().unwrap().take().expect("it was handed out")
}

fn assert_idle(group: &Registry<u32>) {
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
}

/// A flight and a waiter that was begun while its operation was made.
fn handed_out(
    group: &Registry<u32>,
    operation: impl Future<Output = u32> + Send + 'static,
) -> (oneflight_core::handle::Work<u8, u32>, Waiter<u8, u32>) {
    let slot = Slot::default();
    let (inside, given) = (group.clone(), slot.clone());
    let work = group.work(1, move || {
        let own = waiter(inside.begin(1));
        *given.lock().unwrap() = Some(own);
        operation
    });
    assert_eq!(group.waiters(&1), 0);
    (work, take(&slot))
}

#[test]
fn an_uncounted_waiter_meets_the_settle() {
    bounded_model(3, || {
        let group = group::<u32>();
        let (work, own) = handed_out(&group, async { 7 });
        let settle = thread::spawn(move || *loom::future::block_on(work).unwrap());
        assert_eq!(*loom::future::block_on(own).unwrap(), 7);
        assert_eq!(settle.join().unwrap(), 7);
        assert_eq!(group.stats().joined, 0);
        assert_idle(&group);
    });
}

#[test]
fn an_uncounted_waiter_leaves_while_the_flight_is_aborted() {
    bounded_model(3, || {
        let group = group::<u32>();
        let (work, mut own) = handed_out(&group, std::future::pending());
        let other = group.clone();
        let abort = thread::spawn(move || other.abort_all());
        if let std::task::Poll::Ready(outcome) = Counter::default().poll(&mut own) {
            let Err(Error::Aborted(aborted)) = outcome else {
                panic!("a value that nobody settled")
            };
            assert_eq!(aborted.cause(), Cause::AbortedAll);
        }
        drop(own);
        abort.join().unwrap();
        drop(work);
        assert_eq!(group.stats().joined, 0);
        assert_idle(&group);
    });
}

#[test]
fn an_uncounted_waiter_keeps_nothing_alive() {
    bounded_model(3, || {
        let group = group::<u32>();
        let (work, own) = handed_out(&group, std::future::pending());
        let leave = thread::spawn(move || drop(work));
        let Err(Error::Aborted(aborted)) = loom::future::block_on(own) else {
            panic!("a value that nobody settled")
        };
        assert_eq!(aborted.cause(), Cause::Dropped);
        leave.join().unwrap();
        assert_idle(&group);
    });
}

#[test]
fn a_counted_waiter_that_is_polled_inside_leaves_or_meets_the_end() {
    bounded_model(3, || {
        let group = group::<u32>();
        let slot = Slot::default();
        let (given, inside) = (slot.clone(), group.clone());
        let mut work = group.work(1, move || async move {
            let mut own = take(&given);
            let told = (&mut own).await;
            if let Err(REENTRANT) = told {
                assert!(matches!(own.get(), Some(Err(REENTRANT))));
                assert_eq!(inside.waiters(&1), 0);
            } else {
                assert!(matches!(told, Err(Error::Aborted(_))));
            }
            7
        });
        *slot.lock().unwrap() = Some(waiter(group.begin(1)));
        let other = group.clone();
        let abort = thread::spawn(move || other.abort_all());
        assert!(Counter::default().poll(&mut work).is_ready());
        abort.join().unwrap();
        assert_eq!(group.stats().joined, 1);
        assert_idle(&group);
    });
}
