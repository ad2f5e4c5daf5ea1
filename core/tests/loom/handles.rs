//! The handles of a flight: of the caller that settles it, whose waker is where the value will be; of the call that spawned
//! it, whose waker is behind it; and of a call that joins, which counts two by one step, its own and that of the outcome that
//! it hands out.

use std::future::{Future, pending, poll_fn, ready};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake};

use loom::future::block_on;
use loom::thread;
use oneflight_core::Begin;
use oneflight_core::error::Cause;
use oneflight_core::handle::Spawned;

use crate::lay::{Live, One};
use crate::shed::retaining;
use crate::{Counter, Registry, Shelf, Task, bounded_model, cause_of, group, primary, waiter};

/// Pending at its first poll, and then ready with `7`.
fn second_time() -> impl Future<Output = u32> + Send {
    let mut polled = false;
    poll_fn(move |_| match std::mem::replace(&mut polled, true) {
        false => Poll::Pending,
        true => Poll::Ready(7),
    })
}

/// Only this test has the waker.
fn assert_not_kept(waker: &Counter, most: usize) {
    assert_eq!(Arc::strong_count(&waker.0), 1, "a waker is kept");
    assert!(
        waker.0.load(Ordering::SeqCst) <= most,
        "woken more than once"
    );
}

#[test]
fn a_run_that_is_ended_from_outside_is_woken() {
    bounded_model(3, || {
        let group = group::<u32>();
        let run = primary(group.begin(1)).run(pending());
        let aborts = thread::spawn(move || group.abort(&1));
        assert_eq!(cause_of(block_on(run)), Cause::Cancelled);
        assert!(aborts.join().unwrap());
    });
}

#[test]
fn a_parked_run_that_is_polled_with_another_waker_is_woken_by_that_one() {
    bounded_model(3, || {
        let (group, waker) = (group::<u32>(), Counter::default());
        let mut run = Box::pin(primary(group.begin(1)).run(pending()));
        assert!(waker.poll(&mut run).is_pending());
        let aborts = thread::spawn(move || group.abort(&1));
        assert_eq!(cause_of(block_on(&mut run)), Cause::Cancelled);
        assert!(aborts.join().unwrap());
        assert_not_kept(&waker, 1);
    });
}

#[test]
fn a_parked_run_that_is_dropped_leaves_no_waker() {
    bounded_model(3, || {
        let (group, waker) = (group::<u32>(), Counter::default());
        let mut run = Box::pin(primary(group.begin(1)).run(pending()));
        assert!(waker.poll(&mut run).is_pending());
        let other = group.clone();
        let aborts = thread::spawn(move || other.abort(&1));
        drop(run);
        aborts.join().unwrap();
        assert_not_kept(&waker, 1);
        drop(primary(group.begin(1)));
    });
}

#[test]
fn a_parked_run_is_ready_or_was_ended_and_a_waiter_sees_the_same() {
    bounded_model(3, || {
        let (group, waker) = (group::<u32>(), Counter::default());
        let mut run = Box::pin(primary(group.begin(1)).run(second_time()));
        let duplicate = waiter(group.begin(1));
        assert!(waker.poll(&mut run).is_pending());
        let aborts = thread::spawn(move || group.abort(&1));
        let ran = match waker.poll(&mut run) {
            Poll::Ready(ran) => ran,
            Poll::Pending => panic!("neither ready nor ended"),
        };
        assert_eq!(ran.is_err(), aborts.join().unwrap());
        let seen = duplicate.get().expect("it has ended");
        assert_eq!(seen.map(|it| *it).ok(), ran.map(|it| *it).ok());
        drop(run);
        assert_not_kept(&waker, 1);
    });
}

#[test]
fn a_value_that_comes_too_late_is_returned() {
    bounded_model(3, || {
        let (group, value) = (group::<Arc<u32>>(), Arc::new(7));
        let guard = primary(group.begin(1));
        let aborts = thread::spawn(move || group.abort(&1));
        let settled = guard.settle(value.clone());
        let late = settled.as_ref().err().map(|error| *error.value);
        assert_eq!(late.is_some(), aborts.join().unwrap());
        assert!(late.is_none_or(|late| late == 7));
        drop(settled);
        assert_eq!(Arc::strong_count(&value), 1, "the value is dropped once");
    });
}

#[test]
fn a_task_that_runs_while_its_last_caller_leaves_is_woken() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let spawned = group.entry(1).spawn_while_wanted_on(&shelf, pending);
        let task = shelf.take().expect("it was spawned");
        let leaves = thread::spawn(move || drop(spawned));
        block_on(task);
        leaves.join().unwrap();
        let stats = group.stats();
        assert_eq!((stats.aborted, stats.ending), (1, 0));
        assert!(group.is_empty());
    });
}

#[test]
fn a_parked_task_that_is_polled_or_dropped_while_its_last_caller_leaves_leaves_no_waker() {
    for polled in [false, true] {
        bounded_model(3, move || {
            let (group, shelf) = (group::<u32>(), Shelf::default());
            let spawned = group.entry(1).spawn_while_wanted_on(&shelf, second_time);
            let (mut task, waker) = (shelf.take().expect("it was spawned"), Counter::default());
            assert!(waker.poll(&mut task).is_pending());
            let leaves = thread::spawn(move || drop(spawned));
            assert!(!polled || waker.poll(&mut task).is_ready());
            drop(task);
            leaves.join().unwrap();
            assert_not_kept(&waker, 1);
            let stats = group.stats();
            assert_eq!((stats.settled + stats.aborted, stats.ending), (1, 0));
            assert!(polled || stats.settled == 0);
        });
    }
}

/// A waker that comes back into its group: it aborts, and begins the key again.
struct Comeback {
    group: Registry<u32>,
    began: std::sync::atomic::AtomicBool,
}

impl Wake for Comeback {
    fn wake(self: Arc<Self>) {
        assert!(!self.group.abort(&1), "the key is free");
        let next = matches!(self.group.begin(1), Begin::Primary(_));
        assert!(next && !self.began.swap(true, Ordering::SeqCst));
    }
}

#[test]
fn the_waker_of_a_run_comes_back_into_the_group_while_the_run_is_polled() {
    bounded_model(3, || {
        let group = group::<u32>();
        let mut run = Box::pin(primary(group.begin(1)).run(pending()));
        let comeback = Arc::new(Comeback {
            group: group.clone(),
            began: false.into(),
        });
        let waker = comeback.clone().into();
        assert!(
            run.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(waker);
        let aborts = thread::spawn(move || group.abort(&1));
        // It is woken, or it sees the end in this poll, or it is parked with another waker.
        assert_eq!(cause_of(block_on(run)), Cause::Cancelled);
        assert!(aborts.join().unwrap());
        assert_eq!(Arc::strong_count(&comeback), 1, "a waker is kept");
    });
}

#[test]
fn of_two_enders_one_wakes_a_parked_run() {
    bounded_model(3, || {
        let (group, waker) = (group::<u32>(), Counter::default());
        let mut run = Box::pin(primary(group.begin(1)).run(pending()));
        assert!(waker.poll(&mut run).is_pending());
        let other = group.clone();
        let aborts = thread::spawn(move || other.abort(&1));
        group.abort_all();
        aborts.join().unwrap();
        assert_eq!(waker.count(), 1);
        drop(run);
        assert_not_kept(&waker, 1);
    });
}

/// A call of `spawn` that began its flight, and the task of that.
fn spawned<F: Future<Output = u32> + Send + 'static>(
    group: &Registry<u32>,
    operation: impl FnOnce() -> F + Send + 'static,
) -> (Spawned<u8, u32>, Task) {
    let shelf = Shelf::default();
    let owner = group.entry(1).spawn_on(&shelf, operation);
    (owner, shelf.take().expect("it was spawned"))
}

#[test]
fn an_owner_that_parks_while_its_task_settles_is_woken() {
    bounded_model(4, || {
        let (owner, task) = spawned(&group(), || ready(7));
        let settles = thread::spawn(move || block_on(task));
        assert_eq!(*block_on(owner).unwrap(), 7);
        settles.join().unwrap();
    });
}

#[test]
fn an_owner_that_parks_while_its_flight_is_ended_is_woken() {
    bounded_model(4, || {
        let group = group();
        let (owner, task) = spawned(&group, pending);
        let ends = thread::spawn(move || group.abort_all());
        assert_eq!(cause_of(block_on(owner)), Cause::AbortedAll);
        ends.join().unwrap();
        drop(task);
    });
}

#[test]
fn a_parked_owner_that_is_polled_with_another_waker_is_woken_by_that_one() {
    bounded_model(4, || {
        let waker = Counter::default();
        let (mut owner, task) = spawned(&group(), || ready(7));
        assert!(waker.poll(&mut owner).is_pending());
        let settles = thread::spawn(move || block_on(task));
        assert_eq!(*block_on(&mut owner).unwrap(), 7);
        settles.join().unwrap();
        assert_not_kept(&waker, 1);
    });
}

#[test]
fn a_parked_owner_that_is_polled_again_or_dropped_while_its_task_settles_leaves_no_waker() {
    for dropped in [false, true] {
        bounded_model(4, move || {
            let waker = Counter::default();
            let (mut owner, task) = spawned(&group(), || ready(7));
            assert!(waker.poll(&mut owner).is_pending());
            let settles = thread::spawn(move || block_on(task));
            // Parked again by a waker that wakes the same, or with the outcome.
            let polled = !dropped && waker.poll(&mut owner).is_ready();
            if dropped {
                drop(owner);
            }
            settles.join().unwrap();
            assert!(dropped || polled || waker.count() == 1, "not woken");
            assert_not_kept(&waker, 1);
        });
    }
}

#[test]
fn an_owner_that_parks_beside_a_waiter_while_the_task_settles_is_woken_and_so_is_the_waiter() {
    bounded_model(3, || {
        let (group, waker) = (group(), Counter::default());
        let (owner, task) = spawned(&group, || ready(7));
        let mut duplicate = waiter(group.begin(1));
        assert!(waker.poll(&mut duplicate).is_pending());
        let settles = thread::spawn(move || block_on(task));
        assert_eq!(*block_on(owner).unwrap(), 7);
        settles.join().unwrap();
        assert_eq!(waker.count(), 1);
    });
}

#[test]
fn a_parked_owner_that_leaves_with_the_last_duplicate_leaves_no_waker() {
    bounded_model(3, || {
        let (group, shelf, waker) = (group::<u32>(), Shelf::default(), Counter::default());
        let mut owner = group.entry(1).spawn_while_wanted_on(&shelf, pending);
        let duplicate = waiter(group.begin(1));
        assert!(waker.poll(&mut owner).is_pending());
        let leaves = thread::spawn(move || drop(duplicate));
        drop(owner);
        leaves.join().unwrap();
        drop(shelf.take());
        assert_not_kept(&waker, 0);
        assert!(group.is_empty() && group.stats().aborted == 1);
    });
}

#[test]
fn of_two_enders_one_wakes_a_parked_owner() {
    bounded_model(3, || {
        let (group, waker) = (group::<u32>(), Counter::default());
        let (mut owner, task) = spawned(&group, || ready(7));
        assert!(waker.poll(&mut owner).is_pending());
        let settles = thread::spawn(move || block_on(task));
        group.abort_all();
        settles.join().unwrap();
        assert_eq!(waker.count(), 1);
        assert!(waker.poll(&mut owner).is_ready());
        assert_not_kept(&waker, 1);
    });
}

/// Groups of both kinds. One that retains has a handle too, until the end of the model.
fn of_both(bounds: [usize; 2], body: impl Fn(Registry<One>) + Copy + Send + Sync + 'static) {
    bounded_model(bounds[0], move || body(group()));
    bounded_model(bounds[1], move || body(retaining()));
}

#[test]
fn a_waiter_that_leaves_and_two_outcomes_drop_the_value_once() {
    of_both([3, 2], |group| {
        let values = Live::default();
        let guard = primary(group.begin(1));
        let (leaves, mut takes) = (waiter(group.begin(1)), waiter(group.begin(1)));
        let settled = guard.settle(values.one()).expect("nobody has ended it");
        let left = thread::spawn(move || drop(leaves));
        let taken = thread::spawn(move || {
            let (first, second) = (block_on(&mut takes).unwrap(), block_on(takes).unwrap());
            drop(first);
            assert_eq!(second.0.count(), 1);
        });
        // Dropped here in either case, by itself or with the flight.
        drop(settled.try_unwrap());
        left.join().unwrap();
        taken.join().unwrap();
        drop(group);
        assert_eq!(values.count(), 0);
    });
}

#[test]
fn a_participant_that_leaves_and_two_outcomes_drop_the_value_once() {
    of_both([3, 2], |group| {
        let values = Live::default();
        let value = values.one();
        let call = || group.work(1, || async { unreachable!("never made") });
        let driver = group.work(1, || ready(value));
        let (leaves, takes) = (call(), call());
        let settled = block_on(driver).unwrap();
        let left = thread::spawn(move || drop(leaves));
        let taken = thread::spawn(move || assert_eq!(block_on(takes).unwrap().0.count(), 1));
        drop(settled.try_unwrap());
        left.join().unwrap();
        taken.join().unwrap();
        drop(group);
        assert_eq!(values.count(), 0);
    });
}

/// The waiter takes its outcome while the flight settles, and leaves before or after that outcome.
#[test]
fn an_outcome_that_is_taken_during_the_settle_drops_the_value_once() {
    for leaves_first in [false, true] {
        of_both([3, 1], move |group| {
            let values = Live::default();
            let value = values.one();
            let driver = group.work(1, || ready(value));
            let mut takes = waiter(group.begin(1));
            let taken = thread::spawn(move || {
                let settled = block_on(&mut takes).unwrap();
                if leaves_first {
                    drop(takes);
                }
                assert_eq!(settled.0.count(), 1);
            });
            drop(block_on(driver).unwrap().try_unwrap());
            taken.join().unwrap();
            drop(group);
            assert_eq!(values.count(), 0);
        });
    }
}
