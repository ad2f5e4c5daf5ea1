//! The short way of a flight's first participant, which makes, polls and ends without the operation's lock, against each
//! call that takes the lock. And who is the last one to hold the memory of a flight.
//!
//! Loom's own cell holds the operation and another one the value: who polls, drops or frees without being ordered after
//! the last one who did is a race on it.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use oneflight_core::Group;
use oneflight_core::error::Cause;
use oneflight_core::handle::Work;

use crate::shed::retaining;
use crate::work::Signal;
use crate::{Counter, Fixed, Hand, Registry, Shelf, bounded_model, cause_of, group, primary};

/// How many operations or values are there. Loom does not see it: it is read where all threads have been joined.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<AtomicUsize>);

impl Live {
    pub(crate) fn one(&self) -> One {
        self.0.fetch_add(1, Ordering::SeqCst);
        One(self.clone())
    }

    fn operation(&self, is_ready: bool) -> Operation {
        Operation {
            one: self.one(),
            is_ready,
            wakers: Wakers::default(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) struct One(pub(crate) Live);

impl Drop for One {
    fn drop(&mut self) {
        let before = self.0.0.fetch_sub(1, Ordering::SeqCst);
        assert!(before > 0, "dropped twice");
    }
}

/// The wakers that an operation was polled with.
type Wakers = Arc<Mutex<Vec<Waker>>>;

/// Keeps its wakers.
struct Operation {
    one: One,
    is_ready: bool,
    wakers: Wakers,
}

impl Future for Operation {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        assert!(self.one.0.count() > 0, "polled after its drop");
        // Cloned outside of the lock: loom sees that, and may let another thread go on.
        let own = cx.waker().clone();
        self.wakers.lock().unwrap().push(own);
        if self.is_ready {
            Poll::Ready(7)
        } else {
            Poll::Pending
        }
    }
}

/// Both kinds of memory: behind the flight, and, in a group that retains, by itself. The latter have more to explore.
pub(crate) fn of_both(
    bounds: [usize; 2],
    body: impl Fn(Registry<u32>) + Copy + Send + Sync + 'static,
) {
    bounded_model(bounds[0], move || body(group()));
    bounded_model(bounds[1], move || body(retaining()));
}

/// Nothing is in flight, and every figure adds up.
pub(crate) fn assert_idle(group: &Registry<u32>) {
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting, stats.ending), (0, 0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
}

#[test]
fn a_join_during_the_first_poll_shares_its_outcome() {
    of_both([2, 1], |group| {
        let live = Live::default();
        let first = group.work(1, || live.operation(true));
        let id = first.id();
        let polls = thread::spawn(move || assert_eq!(*block_on(first).unwrap(), 7));
        let second = group.work(1, || ready(8));
        let expected = if second.id() == id { 7 } else { 8 };
        assert_eq!(*block_on(second).unwrap(), expected);
        polls.join().unwrap();
        assert_eq!(live.count(), 0);
        assert_idle(&group);
    });
}

/// The operation is not ready then, so it is put back for the other one, who continues it.
#[test]
fn a_join_during_the_first_poll_continues_the_operation() {
    of_both([2, 1], |group| {
        let signal = Signal::default();
        let operation = signal.clone();
        let mut first = group.work(1, || operation.wait());
        let polls = thread::spawn(move || {
            let _ = Counter::default().poll(&mut first);
            drop(first);
        });
        signal.set();
        let second = group.work(1, || ready(8));
        assert!(matches!(*block_on(second).unwrap(), 7 | 8));
        polls.join().unwrap();
        assert_idle(&group);
    });
}

#[test]
fn a_participant_that_comes_while_the_operation_is_made_gets_its_outcome() {
    of_both([2, 1], |group| {
        let (live, other) = (Live::default(), group.clone());
        let made = live.clone();
        let makes = thread::spawn(move || {
            let call = other.work(1, || made.operation(true));
            *block_on(call).unwrap()
        });
        let here = block_on(group.work(1, || live.operation(true)));
        assert_eq!((*here.unwrap(), makes.join().unwrap()), (7, 7));
        assert_eq!(live.count(), 0);
        assert_idle(&group);
    });
}

/// Joins, and leaves again, while the first one makes, polls and ends.
#[test]
fn a_participant_that_comes_and_leaves_disturbs_no_first_one() {
    of_both([3, 2], |group| {
        let other = group.clone();
        let leaves = thread::spawn(move || drop(other.work(1, pending)));
        let here = group.work(1, || ready(7));
        if here.is_primary() {
            assert_eq!(*block_on(here).unwrap(), 7);
        } else {
            drop(here);
        }
        leaves.join().unwrap();
        assert_idle(&group);
    });
}

/// Before the first poll, during it, or while it settles: the operation is dropped once, by the caller that has it.
#[test]
fn an_abort_during_the_first_poll_drops_the_operation_once() {
    for is_ready in [false, true] {
        of_both([3, 2], move |group| {
            let live = Live::default();
            let mut first = group.work(1, || live.operation(is_ready));
            let polls = thread::spawn(move || {
                let _ = Counter::default().poll(&mut first);
                first
            });
            let aborted = group.abort(&1);
            let mut first = polls.join().unwrap();
            match Counter::default().poll(&mut first) {
                Poll::Ready(Ok(settled)) => assert_eq!((*settled, aborted), (7, false)),
                Poll::Ready(told) => assert_eq!(cause_of(told), Cause::Cancelled),
                Poll::Pending => panic!("it has ended"),
            }
            assert_eq!(live.count(), 0);
            drop(first);
            assert_idle(&group);
        });
    }
}

/// The flight ends while its operation is made. The maker finds the end, and drops what it has made.
#[test]
fn an_abort_while_the_operation_is_made_is_found_by_the_maker() {
    of_both([3, 2], |group| {
        let (live, other) = (Live::default(), group.clone());
        let ends = thread::spawn(move || other.abort_all());
        let call = group.work(1, || live.operation(true));
        let outcome = block_on(call);
        ends.join().unwrap();
        if outcome.is_err() {
            assert_eq!(cause_of(outcome), Cause::AbortedAll);
        }
        assert_eq!(live.count(), 0);
        assert_idle(&group);
    });
}

#[test]
fn a_supersede_during_the_first_poll_drops_the_operation_once() {
    bounded_model(3, || {
        let (clock, live) = (Hand::default(), Live::default());
        let builder = Group::<u8, u32>::builder().shards(1).hasher(Fixed);
        let ten = Duration::from_secs(10);
        let group = builder.supersede_after(ten).clock(clock.clone()).build();
        let mut old = group.work(1, || live.operation(false));
        clock.turn(11);
        let polls = thread::spawn(move || {
            let _ = Counter::default().poll(&mut old);
            old
        });
        let new = primary(group.begin(1));
        let old = polls.join().unwrap();
        assert_eq!(live.count(), 0);
        assert_eq!(cause_of(block_on(old)), Cause::Superseded);
        drop(new);
        assert_idle(&group);
    });
}

#[test]
fn a_spawn_that_joins_during_the_first_poll_runs_to_its_end() {
    of_both([2, 1], |group| {
        let (shelf, signal) = (Shelf::default(), Signal::default());
        let operation = signal.clone();
        let mut first = group.work(1, || operation.wait());
        let polls = thread::spawn(move || {
            // It may drive, and never comes back.
            let _ = Counter::default().poll(&mut first);
            first
        });
        signal.set();
        let call = group.entry(1).spawn_on(&shelf, || ready(7));
        if let Some(task) = shelf.take() {
            block_on(task);
        }
        assert_eq!(*block_on(call).unwrap(), 7);
        drop(polls.join().unwrap());
        assert_idle(&group);
    });
}

/// Joins and parks before the end, or finds it: in either order it is told.
#[test]
fn a_participant_that_parks_is_told_by_an_end_without_the_lock() {
    of_both([3, 1], |group| {
        let first = group.work(1, pending);
        let id = first.id();
        let other = group.clone();
        let ends = thread::spawn(move || other.abort_all());
        let second = group.work(1, || ready(8));
        if second.id() == id {
            match block_on(second) {
                // It has continued nothing: that operation is never ready.
                Ok(settled) => panic!("{settled:?}"),
                told => assert_eq!(cause_of(told), Cause::AbortedAll),
            }
        } else {
            drop(second);
        }
        ends.join().unwrap();
        drop(first);
        assert_idle(&group);
    });
}

/// A `work` that is parked, and the waker of its operation.
fn parked(group: &Registry<u32>, live: &Live) -> (Work<u8, u32>, Waker) {
    let operation = live.operation(false);
    let wakers = operation.wakers.clone();
    let mut work = group.work(1, || operation);
    assert!(Counter::default().poll(&mut work).is_pending());
    let waker = wakers.lock().unwrap().pop().unwrap();
    (work, waker)
}

/// The last handle of the flight, which also drops the operation, against the last waker.
#[test]
fn the_last_handle_and_the_last_waker_free_the_memory_once() {
    for wakes in [false, true] {
        of_both([3, 2], move |group| {
            let live = Live::default();
            let (work, waker) = parked(&group, &live);
            let last = thread::spawn(move || {
                if wakes {
                    waker.wake();
                } else {
                    drop(waker);
                }
            });
            drop(work);
            last.join().unwrap();
            assert_eq!(live.count(), 0);
            assert_idle(&group);
        });
    }
}

/// Three at once: a waker, the drop of the operation by an end from outside, and the last handle of the flight.
#[test]
fn the_last_handle_and_the_last_waker_and_the_operation_free_the_memory_once() {
    of_both([2, 1], |group| {
        let live = Live::default();
        let (work, waker) = parked(&group, &live);
        let wakes = thread::spawn(move || waker.wake());
        let leaves = thread::spawn(move || drop(work));
        group.abort_all();
        wakes.join().unwrap();
        leaves.join().unwrap();
        assert_eq!(live.count(), 0);
        assert_idle(&group);
    });
}

/// A waker that is cloned and dropped while the operation is polled and dropped.
#[test]
fn a_waker_that_is_cloned_while_its_flight_ends_holds_the_memory() {
    of_both([3, 2], |group| {
        let live = Live::default();
        let (work, waker) = parked(&group, &live);
        let clones = thread::spawn(move || {
            let copy = waker.clone();
            drop(waker);
            copy.wake_by_ref();
        });
        drop(work);
        clones.join().unwrap();
        assert_eq!(live.count(), 0);
        assert_idle(&group);
    });
}

/// One unwraps the outcome. The other one has read the value before it leaves.
#[test]
fn an_outcome_is_unwrapped_while_the_last_participant_leaves() {
    bounded_model(4, || {
        let values = Live::default();
        let group: Registry<One> = group();
        let value = values.one();
        let first = group.work(1, || ready(value));
        let second = group.work(1, pending);
        let settled = block_on(first).unwrap();
        let leaves = thread::spawn(move || {
            let seen = second.get().unwrap().unwrap();
            assert!(seen.0.count() > 0);
        });
        let unwrapped = settled.try_unwrap();
        assert_eq!(values.count(), 1);
        leaves.join().unwrap();
        let value = match unwrapped {
            Ok(value) => value,
            // The other one had a handle still. It is gone now.
            Err(settled) => settled.try_unwrap().ok().expect("the last handle"),
        };
        assert_eq!(values.count(), 1);
        drop(value);
        assert_eq!(values.count(), 0);
    });
}
