//! When a flight is over: an end, and the operation or guard that is still here.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use oneflight_core::error::{Aborted, Cause, Rejected};
use oneflight_core::rt::{Spawn, SpawnBlocking};
use oneflight_core::{Begin, Error, Group, Settled};

use crate::fine::fine;
use crate::{Counter, Fixed, Hand, Registry, bounded_model, group, primary, waiter};

/// How many operations are there. Loom does not see it: it is read where the registry has ordered it.
#[derive(Clone, Default)]
struct Live(Arc<AtomicUsize>);

impl Live {
    fn operation(&self) -> Operation {
        self.0.fetch_add(1, Ordering::SeqCst);
        Operation(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Never ready. It is slow to be polled and to be dropped.
struct Operation(Live);

impl Future for Operation {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
        thread::yield_now();
        Poll::Pending
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        thread::yield_now();
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn group_that(retains: bool) -> Registry<u32> {
    let builder = Group::<u8, u32>::builder().shards(1).hasher(Fixed);
    if retains {
        let minute = Duration::from_secs(60);
        builder.clock(Hand::default()).retain_for(minute).build()
    } else {
        builder.build()
    }
}

fn limited() -> Registry<u32> {
    let builder = Group::<u8, u32>::builder().shards(1).hasher(Fixed);
    builder.max_flights(1).build()
}

fn assert_over(group: &Registry<u32>) {
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.ending), (0, 0));
}

/// Closes the group, ends its flights, and waits: then no operation is there.
fn drain(group: &Registry<u32>, live: &Live) {
    group.close();
    group.abort_all();
    block_on(group.drained());
    assert_eq!(live.count(), 0, "drained, and an operation is there");
    assert_over(group);
}

type Call = Box<dyn FnOnce() + Send>;

/// A runtime that keeps what it is given until the model runs it.
#[derive(Default)]
struct Shelf(Mutex<Option<Call>>);

impl Shelf {
    fn take(&self) -> Call {
        self.0.lock().unwrap().take().unwrap()
    }
}

impl Spawn for Shelf {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        let mut task = Box::pin(task);
        *self.0.lock().unwrap() = Some(Box::new(move || {
            let _ = Counter::default().poll(&mut task);
        }));
    }
}

impl SpawnBlocking for Shelf {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        *self.0.lock().unwrap() = Some(Box::new(call));
    }
}

/// What is told "never begun" has not begun, and what is told "begun" has.
fn of_an_abort_and_a_begin(blocking: bool) {
    bounded_model(3, move || {
        let (group, shelf, made) = (group::<u32>(), Shelf::default(), Live::default());
        let ran = made.clone();
        let outcome = if blocking {
            group.entry(1).spawn_blocking_on(&shelf, move || {
                ran.0.fetch_add(1, Ordering::SeqCst);
                7
            })
        } else {
            group.entry(1).spawn_on(&shelf, move || {
                ran.0.fetch_add(1, Ordering::SeqCst);
                pending()
            })
        };
        let handle = outcome.abort_handle().unwrap();
        let call = shelf.take();
        let runs = thread::spawn(call);
        let aborted = handle.abort();
        let told = block_on(outcome).map(drop);
        if aborted {
            let begun = told != Err(Error::Aborted(Aborted::never_begun(Cause::Cancelled)));
            group.close();
            block_on(group.drained());
            assert_eq!(made.count(), usize::from(begun));
        }
        runs.join().unwrap();
        if aborted {
            let Err(Error::Aborted(why)) = told else {
                panic!("it was aborted")
            };
            assert_eq!(made.count(), usize::from(why.has_begun()));
        }
        assert_over(&group);
    });
}

#[test]
fn of_an_abort_and_the_begin_of_a_task_one_comes_first() {
    of_an_abort_and_a_begin(false);
}

#[test]
fn of_an_abort_and_the_begin_of_a_blocking_call_one_comes_first() {
    of_an_abort_and_a_begin(true);
}

#[test]
fn drained_waits_for_the_poll_of_a_work() {
    for retains in [false, true] {
        drained_waits_for_a_poll(retains);
    }
}

/// A group that retains gives back the shared operation of a flight, and the poller still has its own.
fn drained_waits_for_a_poll(retains: bool) {
    bounded_model(3 - usize::from(retains), move || {
        let (group, live) = (group_that(retains), Live::default());
        let mut work = group.work(1, || live.operation());
        let polls = thread::spawn(move || {
            let _ = Counter::default().poll(&mut work);
            work
        });
        drain(&group, &live);
        drop(polls.join().unwrap());
        assert_over(&group);
    });
}

#[test]
fn drained_waits_for_what_the_last_participant_drops() {
    bounded_model(3, || {
        let (group, live) = (group::<u32>(), Live::default());
        let work = group.work(1, || live.operation());
        let leaves = thread::spawn(move || drop(work));
        drain(&group, &live);
        leaves.join().unwrap();
        assert_over(&group);
    });
}

#[test]
fn drained_waits_for_a_run_that_is_polled_and_dropped() {
    bounded_model(3, || {
        let (group, live) = (group::<u32>(), Live::default());
        let mut run = Box::pin(primary(group.begin(1)).run(live.operation()));
        let loses = thread::spawn(move || {
            let _ = Counter::default().poll(&mut run);
            drop(run);
        });
        drain(&group, &live);
        loses.join().unwrap();
        assert_over(&group);
    });
}

#[test]
fn drained_waits_for_a_guard_whose_settle_is_late() {
    bounded_model(3, || {
        let (group, live) = (group::<u32>(), Live::default());
        let guard = primary(group.begin(1));
        let work = live.operation();
        let settles = thread::spawn(move || {
            drop(work);
            drop(guard.settle(7));
        });
        drain(&group, &live);
        settles.join().unwrap();
        assert_over(&group);
    });
}

type Trying = Pin<Box<dyn Future<Output = Result<Settled<u8, u32>, Error>> + Send>>;

fn tries(group: &Registry<u32>, live: &Live) -> Trying {
    let live = live.clone();
    Box::pin(group.try_work(1, fine(move || live.operation())))
}

/// The flight has been aborted. If it is over, no operation is there.
fn assert_over_without_operations(group: &Registry<u32>, live: &Live) {
    if group.stats().ending == 0 {
        assert_eq!(live.count(), 0, "it is over, and an operation is there");
    }
}

/// The driver is lost while another participant is polled, which can take over.
#[test]
fn a_flight_of_try_work_is_over_when_no_participant_has_the_run() {
    bounded_model(2, || {
        let (group, live) = (group::<u32>(), Live::default());
        let (mut driver, mut other) = (tries(&group, &live), tries(&group, &live));
        assert!(Counter::default().poll(&mut driver).is_pending());
        let loses = thread::spawn(move || drop(driver));
        let polls = thread::spawn(move || {
            let _ = Counter::default().poll(&mut other);
            drop(other);
        });
        group.abort_all();
        assert_over_without_operations(&group, &live);
        loses.join().unwrap();
        polls.join().unwrap();
        assert_over(&group);
    });
}

/// The driver finds the end and leaves, while a participant that has looked before the end is polled.
#[test]
fn no_run_begins_in_a_flight_that_is_over() {
    bounded_model(2, || {
        let (group, live) = (group::<u32>(), Live::default());
        let (mut driver, mut other) = (tries(&group, &live), tries(&group, &live));
        assert!(Counter::default().poll(&mut driver).is_pending());
        let leaves = thread::spawn(move || {
            let _ = Counter::default().poll(&mut driver);
            drop(driver);
        });
        let polls = thread::spawn(move || {
            let _ = Counter::default().poll(&mut other);
            drop(other);
        });
        group.abort_all();
        assert_over_without_operations(&group, &live);
        leaves.join().unwrap();
        polls.join().unwrap();
        assert_over(&group);
    });
}

#[test]
fn a_flight_that_is_aborted_while_it_is_polled_keeps_its_place() {
    bounded_model(3, || {
        let (group, live) = (limited(), Live::default());
        let mut work = group.work(1, || live.operation());
        let polls = thread::spawn(move || {
            let _ = Counter::default().poll(&mut work);
            drop(work);
        });
        group.abort_all();
        match group.begin(2) {
            Begin::Primary(_) => assert_eq!(live.count(), 0, "two run at once"),
            other => assert!(matches!(other, Begin::Rejected(Rejected::TooManyFlights))),
        }
        polls.join().unwrap();
        drop(primary(group.begin(3)));
        assert_over(&group);
    });
}

#[test]
fn a_superseded_flight_keeps_its_place_while_it_is_polled() {
    bounded_model(2, || {
        let (clock, live) = (Hand::default(), Live::default());
        let group = Group::<u8, u32>::builder()
            .shards(1)
            .hasher(Fixed)
            .supersede_after(Duration::from_secs(10))
            .max_flights(2)
            .clock(clock.clone())
            .build();
        let mut work = group.work(1, || live.operation());
        clock.turn(11);
        let polls = thread::spawn(move || {
            let _ = Counter::default().poll(&mut work);
            drop(work);
        });
        let new = primary(group.begin(1));
        match group.begin(2) {
            Begin::Primary(_) => assert_eq!(live.count(), 0, "three run at once"),
            other => assert!(matches!(other, Begin::Rejected(Rejected::TooManyFlights))),
        }
        drop(new);
        polls.join().unwrap();
        drop([5, 6].map(|key| primary(group.begin(key))));
        assert_over(&group);
    });
}

#[test]
fn a_caller_that_is_told_of_a_lost_run_never_meets_its_operation() {
    bounded_model(3, || {
        let (group, live) = (group::<u32>(), Live::default());
        let run = Box::pin(primary(group.begin(1)).run(live.operation()));
        let duplicate = waiter(group.begin(1));
        let loses = thread::spawn(move || drop(run));
        assert!(block_on(duplicate).is_err());
        assert_eq!(live.count(), 0, "told before the operation was dropped");
        drop(primary(group.begin(1)));
        loses.join().unwrap();
    });
}

#[test]
fn a_caller_that_begins_again_never_meets_the_operation_of_a_lost_task() {
    bounded_model(3, || {
        let (group, shelf, live) = (group::<u32>(), Shelf::default(), Live::default());
        let operation = live.operation();
        drop(group.entry(1).spawn_on(&shelf, move || operation));
        let call = shelf.take();
        let loses = thread::spawn(move || drop(call));
        if let Begin::Primary(_) = group.begin(1) {
            assert_eq!(live.count(), 0, "begun before the operation was dropped");
        }
        loses.join().unwrap();
        assert_over(&group);
    });
}
