//! Groups that retain free what hangs on a flight once all have been told: the last of the ender and of the calls that
//! are inside then frees it. What a participant uses inside is seen by loom: a free that comes too early is a race on it.

use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use oneflight_core::Group;
use oneflight_core::handle::Work;

use crate::{Counter, Fixed, Hand, Registry, Shelf, bounded_model, primary, waiter};

pub(crate) fn retaining<T>() -> Registry<T> {
    Group::<u8, T>::builder()
        .shards(1)
        .hasher(Fixed)
        .retain_for(Duration::from_secs(60))
        .clock(Hand::default())
        .build()
}

#[test]
fn a_waiter_leaves_while_its_flight_sheds() {
    bounded_model(2, || {
        let group = retaining::<u32>();
        let guard = primary(group.begin(1));
        let (mut leaves, mut stays) = (waiter(group.begin(1)), waiter(group.begin(1)));
        let counter = Counter::default();
        assert!(counter.poll(&mut leaves).is_pending());
        assert!(counter.poll(&mut stays).is_pending());
        let settle = thread::spawn(move || guard.settle(7).is_ok());
        drop(leaves);
        assert_eq!(*block_on(stays).unwrap(), 7);
        assert!(settle.join().unwrap());
        assert_eq!(group.peek(&1).as_deref(), Some(&7));
    });
}

#[test]
fn a_waiter_parks_while_its_flight_sheds() {
    bounded_model(2, || {
        let group = retaining::<u32>();
        let guard = primary(group.begin(1));
        let joins = waiter(group.begin(1));
        let settle = thread::spawn(move || guard.settle(7).is_ok());
        assert_eq!(*block_on(joins).unwrap(), 7);
        assert!(settle.join().unwrap());
        assert_eq!(group.peek(&1).as_deref(), Some(&7));
    });
}

#[test]
fn a_thread_parks_while_its_flight_sheds() {
    bounded_model(3, || {
        let group = retaining::<u32>();
        let guard = primary(group.begin(1));
        let joins = waiter(group.begin(1));
        let settle = thread::spawn(move || guard.settle(7).is_ok());
        assert_eq!(*joins.wait_blocking().unwrap(), 7);
        assert!(settle.join().unwrap());
    });
}

/// Pending at its first poll, and ready at the next one. Leaves its waker to the test.
#[derive(Clone, Default)]
struct Held(std::sync::Arc<std::sync::Mutex<(bool, Option<Waker>)>>);

impl Future for Held {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        // Cloned and dropped outside of the lock: loom sees that, and may let another thread go on.
        let own = cx.waker().clone();
        let (polled, _old) = {
            let mut state = self.0.lock().unwrap();
            (std::mem::replace(&mut state.0, true), state.1.replace(own))
        };
        if polled {
            Poll::Ready(7)
        } else {
            Poll::Pending
        }
    }
}

impl Held {
    fn wake(&self) {
        let waker = self.0.lock().unwrap().1.take();
        waker.unwrap().wake();
    }
}

/// Two participants of one flight: the first one drives and both are parked.
fn participants(group: &Registry<u32>, held: &Held) -> (Work<u8, u32>, Work<u8, u32>) {
    let (own, counter) = (held.clone(), Counter::default());
    let mut first = group.work(1, || own);
    let mut second = group.work(1, || async { unreachable!("never made") });
    assert!(counter.poll(&mut first).is_pending());
    assert!(counter.poll(&mut second).is_pending());
    (first, second)
}

#[test]
fn a_participant_leaves_while_its_flight_sheds() {
    bounded_model(3, || {
        let (group, held) = (retaining::<u32>(), Held::default());
        let (drives, leaves) = participants(&group, &held);
        let thread = thread::spawn(move || {
            held.wake();
            *block_on(drives).unwrap()
        });
        drop(leaves);
        assert_eq!(thread.join().unwrap(), 7);
        assert_eq!(group.peek(&1).as_deref(), Some(&7));
    });
}

#[test]
fn a_participant_is_polled_while_its_flight_sheds() {
    bounded_model(2, || {
        let (group, held) = (retaining::<u32>(), Held::default());
        let (drives, waits) = participants(&group, &held);
        let thread = thread::spawn(move || {
            held.wake();
            *block_on(drives).unwrap()
        });
        assert_eq!(*block_on(waits).unwrap(), 7);
        assert_eq!(thread.join().unwrap(), 7);
        assert_eq!(group.stats().retained, 1);
    });
}

#[test]
fn a_participant_is_polled_while_abort_all_sheds() {
    bounded_model(3, || {
        let group = retaining::<u32>();
        let works = group.work(1, || async { 7 });
        let other = group.clone();
        let thread = thread::spawn(move || other.abort_all());
        let outcome = block_on(works);
        thread.join().unwrap();
        assert_eq!(group.stats().retained, usize::from(outcome.is_ok()));
    });
}

#[test]
fn a_newcomer_joins_while_the_last_participant_sheds() {
    bounded_model(3, || {
        let group = retaining::<u32>();
        let last = group.work(1, || async { 7 });
        let thread = thread::spawn(move || drop(last));
        // It continues the operation, or begins its own. It inherits no cancel.
        let newcomer = group.work(1, || async { 8 });
        assert!(matches!(*block_on(newcomer).unwrap(), 7 | 8));
        thread.join().unwrap();
    });
}

#[test]
fn a_spawn_joins_while_the_last_participant_leaves_and_its_flight_sheds() {
    bounded_model(3, || {
        let (group, shelf) = (retaining::<u32>(), Shelf::default());
        let work = group.work(1, || ready(7));
        let leave = thread::spawn(move || drop(work));
        let call = group.entry(1).spawn_on(&shelf, || ready(8));
        leave.join().unwrap();
        block_on(shelf.take().expect("a task in either case"));
        let own = call.is_primary();
        assert_eq!(*block_on(call).unwrap(), if own { 8 } else { 7 });
    });
}
