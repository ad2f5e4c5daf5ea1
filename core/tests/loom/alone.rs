//! The driver of a `work` that parks without the operation's lock, while it is the only participant: each wake of its
//! operation against each call that comes meanwhile.
//!
//! Callers are polled by hand: once by a thread of the model, and after that only if they have been woken since. So a
//! wake that is lost leaves a caller without its outcome. What the operation waits for is set by relaxed stores: the
//! poll that follows a wake finds what came before it only if the wake orders it.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use oneflight_core::Group;
use oneflight_core::error::{Cause, Error};

use crate::lay::{Live, One, assert_idle, of_both};
use crate::{Fixed, Hand, Registry, Shelf, Task, bounded_model, cause_of, primary};

fn never_made() -> Ready<u32> {
    unreachable!("never made")
}

/// Two events that an operation waits for, and the waker that it was polled with last.
#[derive(Clone)]
struct Events {
    set: [Arc<AtomicBool>; 2],
    waker: std::sync::Arc<Mutex<Option<Waker>>>,
    operations: Live,
}

impl Events {
    fn new() -> Self {
        Self {
            set: std::array::from_fn(|_| Arc::new(AtomicBool::new(false))),
            waker: std::sync::Arc::default(),
            operations: Live::default(),
        }
    }

    fn operation(&self) -> Waits {
        Waits {
            on: self.clone(),
            _one: self.operations.one(),
        }
    }

    /// The waker of the operation. The operation itself keeps none.
    fn waker(&self) -> Waker {
        self.keep(None).expect("it has been polled")
    }

    fn keep(&self, waker: Option<Waker>) -> Option<Waker> {
        let mut kept = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut kept, waker)
    }

    fn set(&self, event: usize) {
        self.set[event].store(true, Ordering::Relaxed);
    }
}

/// Ready once both events are set.
struct Waits {
    on: Events,
    _one: One,
}

impl Future for Waits {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        drop(self.on.keep(Some(cx.waker().clone())));
        if self.on.set.iter().all(|set| set.load(Ordering::Relaxed)) {
            Poll::Ready(7)
        } else {
            Poll::Pending
        }
    }
}

/// The waker of one poll of a caller.
struct Woken {
    wakes: Live,
    _one: One,
}

impl Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        std::mem::forget(self.wakes.one());
    }
}

/// A future that is polled by hand.
struct Caller<F: Future> {
    call: F,
    /// How many of its wakers are kept, and how often one of them was woken.
    wakers: Live,
    wakes: Live,
    /// How often it had been woken before its last poll.
    seen: usize,
    outcome: Option<F::Output>,
}

impl<F: Future + Unpin> Caller<F> {
    fn new(call: F) -> Self {
        Self {
            call,
            wakers: Live::default(),
            wakes: Live::default(),
            seen: 0,
            outcome: None,
        }
    }

    fn poll(&mut self) {
        let (wakes, _one) = (self.wakes.clone(), self.wakers.one());
        self.seen = wakes.count();
        let waker = std::sync::Arc::new(Woken { wakes, _one }).into();
        if let Poll::Ready(outcome) =
            Pin::new(&mut self.call).poll(&mut Context::from_waker(&waker))
        {
            self.outcome = Some(outcome);
        }
    }

    /// Where all threads have been joined: polls it for as long as it has been woken.
    fn go_on(&mut self) {
        while self.outcome.is_none() && self.wakes.count() > self.seen {
            self.poll();
        }
    }

    /// Once it must have ended. The call is still there, and none of its wakers.
    fn ended(&mut self) -> F::Output {
        self.go_on();
        let outcome = self.outcome.take().expect("the wake is lost");
        assert_eq!(self.wakers.count(), 0, "a waker is kept");
        outcome
    }
}

type Outcome = Result<oneflight_core::Settled<u8, u32>, Error>;

fn assert_seven(outcome: Outcome) {
    assert_eq!(*outcome.unwrap(), 7);
}

type Work = Caller<oneflight_core::handle::Work<u8, u32>>;

/// A `work` whose driver is parked alone.
fn parked(group: &Registry<u32>, events: &Events) -> Work {
    let mut work = Caller::new(group.work(1, || events.operation()));
    work.poll();
    assert!(work.outcome.is_none() && work.wakers.count() == 1);
    work
}

/// The same, woken once more, so that its next poll picks the operation up without the lock.
fn woken(group: &Registry<u32>, events: &Events) -> Work {
    let work = parked(group, events);
    events.set(0);
    events.waker().wake();
    assert!(work.wakers.count() == 0 && work.wakes.count() == 1);
    work
}

/// Sets both events, and wakes the operation. Its last waker may have gone with the poll that is going on.
fn wakes(events: &Events, waker: Waker) -> impl FnOnce() + Send + 'static {
    let events = events.clone();
    move || {
        events.set(0);
        events.set(1);
        waker.wake();
    }
}

/// Nothing is left: no operation, and, as each caller has been asked before, no waker.
fn assert_over(group: &Registry<u32>, events: &Events) {
    assert_eq!(events.operations.count(), 0);
    assert_idle(group);
}

#[test]
fn a_poll_that_nobody_asked_for_loses_no_wake() {
    of_both([3, 2], |group| {
        let events = Events::new();
        let mut work = parked(&group, &events);
        let wake = thread::spawn(wakes(&events, events.waker()));
        work.poll();
        wake.join().unwrap();
        assert_seven(work.ended());
        assert_over(&group, &events);
    });
}

/// Before the poll that the first wake has asked for, during it, while it parks, and after.
#[test]
fn a_second_wake_during_the_poll_of_the_first_one_is_not_lost() {
    of_both([3, 2], |group| {
        let events = Events::new();
        let mut work = parked(&group, &events);
        let waker = events.waker();
        events.set(0);
        waker.wake_by_ref();
        let second = events.clone();
        let wake = thread::spawn(move || {
            second.set(1);
            waker.wake();
        });
        work.poll();
        wake.join().unwrap();
        assert_seven(work.ended());
        assert_over(&group, &events);
    });
}

#[test]
fn of_two_wakes_at_once_one_has_the_driver() {
    of_both([3, 2], |group| {
        let events = Events::new();
        let mut work = parked(&group, &events);
        let (waker, second) = (events.waker(), events.clone());
        let copy = waker.clone();
        let wake = thread::spawn(move || {
            second.set(1);
            copy.wake();
        });
        events.set(0);
        waker.wake();
        wake.join().unwrap();
        assert_eq!(work.wakes.count(), 1);
        assert_seven(work.ended());
        assert_over(&group, &events);
    });
}

/// Two wakes and the poll that the first of them asks for: three at once.
#[test]
fn two_wakes_and_a_poll_lose_none() {
    of_both([2, 1], |group| {
        let events = Events::new();
        let mut work = parked(&group, &events);
        let waker = events.waker();
        let wake = [0, 1].map(|event| {
            let (waker, events) = (waker.clone(), events.clone());
            thread::spawn(move || {
                events.set(event);
                waker.wake();
            })
        });
        drop(waker);
        work.poll();
        for wake in wake {
            wake.join().unwrap();
        }
        assert_seven(work.ended());
        assert_over(&group, &events);
    });
}

#[test]
fn a_newcomer_and_a_wake_meet_and_one_of_the_two_goes_on() {
    of_both([3, 2], |group| {
        let events = Events::new();
        let mut first = parked(&group, &events);
        let wake = thread::spawn(wakes(&events, events.waker()));
        let mut second = Caller::new(group.work(1, never_made));
        second.poll();
        wake.join().unwrap();
        // Whoever has been woken is polled. If the newcomer has settled it, the first one need not be.
        first.go_on();
        assert_seven(second.ended());
        assert_seven(first.ended());
        assert_over(&group, &events);
    });
}

/// The first one is woken, and leaves instead of being polled. A newcomer that is too late begins its own.
#[test]
fn a_newcomer_goes_on_though_the_first_one_leaves_while_it_is_woken() {
    of_both([2, 1], |group| {
        let events = Events::new();
        let first = parked(&group, &events);
        let (wakers, id) = (first.wakers.clone(), first.call.id());
        let wake = thread::spawn(wakes(&events, events.waker()));
        let leave = thread::spawn(move || drop(first.call));
        let mut second = Caller::new(group.work(1, || ready(8)));
        let expected = if second.call.id() == id { 7 } else { 8 };
        second.poll();
        wake.join().unwrap();
        leave.join().unwrap();
        assert_eq!(wakers.count(), 0);
        assert_eq!(*second.ended().unwrap(), expected);
        drop(events.keep(None));
        assert_over(&group, &events);
    });
}

#[test]
fn an_abort_and_a_wake_meet_and_the_driver_is_told() {
    of_both([3, 2], |group| {
        let events = Events::new();
        let mut work = parked(&group, &events);
        let wake = thread::spawn(wakes(&events, events.waker()));
        assert!(group.abort(&1));
        assert_eq!(events.operations.count(), 0);
        wake.join().unwrap();
        assert_eq!(cause_of(work.ended()), Cause::Cancelled);
        assert_over(&group, &events);
    });
}

#[test]
fn the_driver_leaves_while_it_is_woken_and_nothing_is_left() {
    of_both([3, 2], |group| {
        let events = Events::new();
        let work = parked(&group, &events);
        let wake = thread::spawn(wakes(&events, events.waker()));
        drop(work.call);
        assert_eq!(events.operations.count(), 0);
        wake.join().unwrap();
        assert_eq!(work.wakers.count(), 0);
        assert_eq!(group.stats().aborted_by(Cause::Dropped), 1);
        assert_over(&group, &events);
    });
}

/// The newcomer comes before the poll, during it, while the driver parks, or after.
#[test]
fn a_newcomer_during_a_poll_and_the_driver_that_parks_share_the_operation() {
    of_both([3, 1], |group| {
        let events = Events::new();
        let mut first = woken(&group, &events);
        let polls = thread::spawn(move || {
            first.poll();
            first
        });
        let mut second = Caller::new(group.work(1, never_made));
        second.poll();
        let mut first = polls.join().unwrap();
        events.set(1);
        events.waker().wake();
        first.go_on();
        assert_seven(second.ended());
        assert_seven(first.ended());
        assert_over(&group, &events);
    });
}

#[test]
fn an_abort_during_a_poll_is_told_to_the_driver_that_parks() {
    of_both([3, 2], |group| {
        let events = Events::new();
        let mut work = woken(&group, &events);
        let polls = thread::spawn(move || {
            work.poll();
            work
        });
        assert!(group.abort(&1));
        let mut work = polls.join().unwrap();
        assert_eq!(cause_of(work.ended()), Cause::Cancelled);
        drop(events.keep(None));
        assert_over(&group, &events);
    });
}

/// The first one is kept and is not polled any more. The task drives in its stead, whenever the wake comes.
#[test]
fn a_spawn_that_joins_a_driver_that_is_woken_runs_to_its_end() {
    of_both([4, 3], |group| {
        let (events, shelf) = (Events::new(), Shelf::default());
        let mut first = parked(&group, &events);
        let wake = thread::spawn(wakes(&events, events.waker()));
        let mut call = Caller::new(group.entry(1).spawn_on(&shelf, never_made));
        let mut task: Caller<Task> = Caller::new(shelf.take().expect("it joins a `work`"));
        task.poll();
        wake.join().unwrap();
        task.ended();
        call.poll();
        assert_seven(call.ended());
        assert_seven(first.ended());
        assert_over(&group, &events);
    });
}

/// Parked, while its waker is taken out, or woken: its operation can be dropped at once.
#[test]
fn a_driver_that_is_woken_makes_room_at_the_limit() {
    bounded_model(3, || {
        let (clock, ten) = (Hand::default(), Duration::from_secs(10));
        let builder = Group::<u8, u32>::builder().shards(1).hasher(Fixed);
        let builder = builder.supersede_after(ten).max_flights(1);
        let (group, events) = (builder.clock(clock.clone()).build(), Events::new());
        let mut work = parked(&group, &events);
        clock.turn(11);
        let wake = thread::spawn(wakes(&events, events.waker()));
        let successor = primary(group.begin(1));
        assert_eq!(events.operations.count(), 0);
        wake.join().unwrap();
        assert_eq!(cause_of(work.ended()), Cause::Superseded);
        drop(successor);
        assert_over(&group, &events);
    });
}
