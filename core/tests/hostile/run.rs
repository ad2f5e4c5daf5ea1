//! The waker of a `Primary::run` and of a task: it is where the value will be. And callers whose wakers cannot be cloned.

use std::future::{Future, pending, poll_fn};
#[cfg(feature = "std")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
#[cfg(feature = "std")]
use std::{sync::Mutex, thread};

use oneflight_core::error::Cause;
#[cfg(feature = "std")]
use oneflight_core::error::Rejected;
#[cfg(feature = "std")]
use oneflight_core::gate::{Gate, Mode};
use oneflight_core::handle::Run;
use oneflight_core::{Begin, Error, Group, Primary, Waiter};

#[cfg(feature = "std")]
use crate::limit::lock;
use crate::limit::{alone, panics, quiet_panic};
use crate::outcome::cause_of;
use crate::wakers::hooked::{Hooks, hooked};

type Registry = Group<&'static str, u32>;

/// What a waker does, beside counting its wakes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hostile {
    No,
    Woken,
    Dropped,
}

struct Spy {
    wakes: AtomicUsize,
    hostile: Hostile,
}

impl Spy {
    fn new(hostile: Hostile) -> Arc<Self> {
        let wakes = AtomicUsize::new(0);
        Arc::new(Self { wakes, hostile })
    }

    /// How often it was woken, and how many have it.
    fn seen(self: &Arc<Self>) -> [usize; 2] {
        [
            self.wakes.load(Ordering::SeqCst),
            Arc::strong_count(self) - 1,
        ]
    }
}

impl Wake for Spy {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        if self.hostile == Hostile::Woken {
            quiet_panic();
        }
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        if self.hostile == Hostile::Dropped {
            quiet_panic();
        }
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

fn first_two(group: &Registry) -> (Primary<&'static str, u32>, Waiter<&'static str, u32>) {
    match (group.begin("k"), group.begin("k")) {
        (Begin::Primary(primary), Begin::Waiter(waiter)) => (primary, waiter),
        begun => panic!("{begun:?}"),
    }
}

/// Pending at its first poll, and then ready with `7`.
fn second_time() -> impl Future<Output = u32> {
    let mut polled = false;
    poll_fn(move |_| match std::mem::replace(&mut polled, true) {
        false => Poll::Pending,
        true => Poll::Ready(7),
    })
}

type BoxedRun<F> = Pin<Box<Run<&'static str, u32, F>>>;

/// A run that was polled once, with this waker that nobody else keeps, and a waiter.
fn parked<F: Future<Output = u32>>(
    group: &Registry,
    operation: F,
    waker: Waker,
) -> (BoxedRun<F>, Waiter<&'static str, u32>) {
    let (primary, waiter) = first_two(group);
    let mut run = Box::pin(primary.run(operation));
    assert!(poll(&mut run, waker).is_pending());
    (run, waiter)
}

fn assert_idle(group: &Registry) {
    let stats = group.stats();
    let left = (stats.in_flight, stats.ending, stats.waiting);
    assert_eq!(left, (0, 0, 0), "{stats:?}");
    assert!(group.is_empty());
}

#[test]
fn a_waker_whose_drop_panics_does_not_cost_the_outcome() {
    alone(|| {
        let group = Registry::new();
        let hostile = Waker::from(Spy::new(Hostile::Dropped));
        let (mut run, waiter) = parked(&group, second_time(), hostile);
        assert!(panics(|| drop(poll(&mut run, Waker::noop().clone()))));
        let outcome = waiter.get().expect("the operation was ready");
        assert_eq!(*outcome.expect("it has settled"), 7);
        drop(run);
        drop(waiter);
        assert_idle(&group);
    });
}

#[test]
fn a_run_keeps_the_waker_of_its_last_poll_and_no_other() {
    alone(|| {
        let group = Registry::new();
        let spies = [(); 3].map(|()| Spy::new(Hostile::No));
        let [first, second, last] = &spies;
        let (mut run, _waiter) = parked(&group, pending(), first.clone().into());
        for spy in [second, second, last] {
            assert!(poll(&mut run, spy.clone().into()).is_pending());
        }
        assert_eq!(spies.each_ref().map(Spy::seen), [[0, 0], [0, 0], [0, 1]]);
        assert!(group.abort(&"k"));
        assert_eq!(spies.each_ref().map(Spy::seen), [[0, 0], [0, 0], [1, 0]]);
        drop(run);
        assert_idle(&group);
    });
}

#[test]
fn a_run_that_is_dropped_wakes_the_others_and_not_itself() {
    alone(|| {
        let group = Registry::new();
        let spies = [(); 2].map(|()| Spy::new(Hostile::No));
        let (run, mut waiter) = parked(&group, pending(), spies[0].clone().into());
        assert!(poll(&mut waiter, spies[1].clone().into()).is_pending());
        drop(run);
        assert_eq!(spies.each_ref().map(Spy::seen), [[0, 0], [1, 0]]);
        drop(waiter);
        assert_idle(&group);
    });
}

#[test]
fn a_run_that_is_kept_and_not_polled_is_woken_by_its_end() {
    alone(|| {
        let group = Registry::new();
        let spy = Spy::new(Hostile::No);
        let (run, waiter) = parked(&group, pending(), spy.clone().into());
        group.abort_all();
        assert_eq!(spy.seen(), [1, 0]);
        let outcome = waiter.get().expect("it has ended");
        assert_eq!(cause_of(outcome), Cause::AbortedAll);
        // Its operation is here still.
        assert_eq!((group.len(), group.stats().ending), (0, 1));
        drop(run);
        assert_eq!(group.stats().ending, 0);
    });
}

#[test]
fn an_operation_that_panics_in_a_later_poll_leaves_no_waker_and_is_polled_no_more() {
    alone(|| {
        let group = Registry::new();
        let spy = Spy::new(Hostile::No);
        let mut polls = 0;
        let operation = poll_fn(move |_| {
            polls += 1;
            match polls {
                1 => Poll::Pending,
                2 => quiet_panic(),
                _ => unreachable!("it is lost"),
            }
        });
        let (mut run, waiter) = parked(&group, operation, spy.clone().into());
        assert!(panics(|| drop(poll(&mut run, Waker::noop().clone()))));
        // It is not woken by its own end.
        assert_eq!(spy.seen(), [0, 0]);
        let Poll::Ready(Err(Error::Aborted(own))) = poll(&mut run, spy.clone().into()) else {
            panic!("it has ended")
        };
        assert_eq!(own.cause(), Cause::Panicked);
        assert_eq!(cause_of(waiter.get().expect("told")), Cause::Panicked);
        assert!(panics(|| drop(poll(&mut run, Waker::noop().clone()))));
        drop((run, waiter));
        assert_eq!(spy.seen(), [0, 0]);
        assert_idle(&group);
    });
}

#[test]
fn a_run_that_ends_its_own_flight_is_ready_in_that_poll() {
    alone(|| {
        let group = Registry::new();
        let spy = Spy::new(Hostile::No);
        let (inner, mut polls) = (group.clone(), 0);
        let operation = poll_fn(move |_| {
            polls += 1;
            assert!(polls == 1 || inner.abort(&"k"));
            Poll::Pending
        });
        let (mut run, _waiter) = parked(&group, operation, spy.clone().into());
        let Poll::Ready(Err(Error::Aborted(own))) = poll(&mut run, spy.clone().into()) else {
            panic!("it has ended")
        };
        assert_eq!((own.cause(), spy.seen()), (Cause::Cancelled, [0, 0]));
        drop(run);
        assert_idle(&group);
    });
}

fn uncloneable() -> Waker {
    let on_clone: Box<dyn Fn() + Send + Sync> = Box::new(|| quiet_panic());
    hooked(Hooks {
        on_clone: Some(on_clone),
        ..Hooks::default()
    })
}

/// Polled by a task whose waker cannot be cloned, it panics.
fn poll_uncloneable<F: Future + Unpin>(future: &mut F) {
    let waker = uncloneable();
    let mut cx = Context::from_waker(&waker);
    assert!(panics(|| drop(Pin::new(future).poll(&mut cx))));
}

/// It was polled by one task, and then by another one.
#[test]
fn whoever_is_parked_stays_parked_if_the_clone_of_the_next_waker_panics() {
    fn stays<F: Future + Unpin>(kind: &str, group: &Registry, mut future: F) {
        let spy = Spy::new(Hostile::No);
        assert!(poll(&mut future, spy.clone().into()).is_pending());
        poll_uncloneable(&mut future);
        assert_eq!(spy.seen(), [0, 1], "{kind}");
        assert!(group.abort(&"k"));
        assert_eq!(spy.seen(), [1, 0], "{kind}");
        drop(future);
    }
    alone(|| {
        let group = Registry::new();
        let (primary, waiter) = first_two(&group);
        stays("waiter", &group, waiter);
        drop(primary);
        let (run, waiter) = parked(&group, pending(), Waker::noop().clone());
        stays("run", &group, run);
        drop(waiter);
        let mut driver = group.work("k", pending);
        assert!(poll(&mut driver, Waker::noop().clone()).is_pending());
        stays("work", &group, group.work("k", pending));
        drop(driver);
        let mut driver = Box::pin(group.try_work("k", pending::<Result<u32, Error>>));
        assert!(poll(&mut driver, Waker::noop().clone()).is_pending());
        let second = group.try_work("k", pending::<Result<u32, Error>>);
        stays("try_work", &group, Box::pin(second));
        drop(driver);
        assert_idle(&group);
    });
}

/// The panic is that of one caller. The operation waits for its wake, and then another one drives. Without `std` no panic
/// is caught, and this one ends the flight as a panic of the operation does.
#[test]
#[cfg(feature = "std")]
fn a_driver_whose_waker_cannot_be_cloned_takes_nobody_along() {
    for (polled_before, woken) in [(false, false), (false, true), (true, false), (true, true)] {
        alone(move || {
            let group = Registry::new();
            let own = Arc::new(Mutex::new(None::<Waker>));
            let (kept, mut polls) = (own.clone(), 0);
            let operation = poll_fn(move |cx| {
                polls += 1;
                if polls == 2 + u32::from(polled_before) {
                    return Poll::Ready(7);
                }
                *lock(&kept) = Some(cx.waker().clone());
                if woken && polls == 1 + u32::from(polled_before) {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            });
            let wake = || lock(&own).take().expect("it was polled").wake();
            let mut driver = group.work("k", || operation);
            if polled_before {
                assert!(poll(&mut driver, Waker::noop().clone()).is_pending());
            }
            let Begin::Waiter(mut waiter) = group.begin("k") else {
                panic!("it is in flight")
            };
            let spies = [(); 2].map(|()| Spy::new(Hostile::No));
            assert!(poll(&mut waiter, spies[0].clone().into()).is_pending());
            let join = || {
                let mut second = group.work("k", pending);
                let polled = poll(&mut second, spies[1].clone().into());
                (second, polled.is_pending())
            };
            let joined = polled_before.then(join);
            if polled_before {
                wake();
            }
            // It drives: it is the only participant, or its operation is ready.
            poll_uncloneable(&mut driver);
            assert!(waiter.get().is_none(), "{:?}", waiter.get());
            let (mut second, parked) = joined.unwrap_or_else(join);
            if !woken {
                assert!(parked && spies[1].seen() == [0, 1]);
                wake();
            }
            assert_eq!(spies[1].seen()[0], usize::from(parked));
            for _ in 0..2 {
                let Poll::Ready(Ok(settled)) = poll(&mut second, spies[1].clone().into()) else {
                    panic!("the operation goes on")
                };
                assert_eq!(*settled, 7);
            }
            assert_eq!(spies[0].seen(), [1, 0]);
            drop((driver, second, waiter));
            assert_idle(&group);
        });
    }
}

/// A second panic that gets out aborts the process.
#[test]
#[cfg(feature = "std")]
fn a_task_whose_waker_panics_is_told_by_a_last_caller_that_a_panic_drops() {
    use crate::limit::while_unwinding;

    alone(|| {
        let group = Registry::new();
        let shelf = crate::wakers::Shelf::default();
        let spawned = group.entry("k").spawn_while_wanted_on(&shelf, pending);
        let spy = Spy::new(Hostile::Woken);
        let mut task = shelf.take().pop().expect("it was spawned");
        assert!(poll(&mut task, spy.clone().into()).is_pending());
        while_unwinding(|| drop(spawned));
        assert_eq!(spy.seen(), [1, 0]);
        assert!(poll(&mut task, Waker::noop().clone()).is_ready());
        drop(task);
        assert_idle(&group);
    });
}

/// Another one joins, the operation is woken, and every second time the flight is ended, all at once.
#[test]
#[cfg(feature = "std")]
fn no_wake_is_lost_that_meets_a_driver_whose_waker_cannot_be_cloned() {
    alone(|| {
        let group = Registry::new();
        for round in 0..2_000 {
            let (signal, kept) = (Arc::new(AtomicUsize::new(0)), Mutex::new(None::<Waker>));
            let kept = Arc::new(kept);
            let operation = {
                let (signal, kept) = (signal.clone(), kept.clone());
                poll_fn(move |cx| {
                    *lock(&kept) = Some(cx.waker().clone());
                    match signal.load(Ordering::SeqCst) {
                        0 => Poll::Pending,
                        _ => Poll::Ready(7),
                    }
                })
            };
            let mut driver = group.work("k", || operation);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let waker = uncloneable();
                    let poll = || Pin::new(&mut driver).poll(&mut Context::from_waker(&waker));
                    let _ready_or_panicked = catch_unwind(AssertUnwindSafe(poll));
                });
                scope.spawn(|| {
                    signal.store(1, Ordering::SeqCst);
                    if let Some(waker) = lock(&kept).take() {
                        waker.wake();
                    }
                    if round % 2 == 1 {
                        group.abort(&"k");
                    }
                });
                let outcome = futures_lite::future::block_on(group.work("k", || async { 8 }));
                match outcome {
                    Ok(settled) => assert!([7, 8].contains(&*settled)),
                    Err(error) => assert_eq!(cause_of(Err::<(), _>(error)), Cause::Cancelled),
                }
            });
            drop(driver);
            assert_idle(&group);
        }
    });
}

#[test]
#[cfg(feature = "std")]
fn a_clone_that_waits_for_the_flight_of_its_driver_is_told() {
    alone(|| {
        let group = Registry::new();
        let mut driver = group.work("k", pending);
        let inner = group.clone();
        let on_clone: Box<dyn Fn() + Send + Sync> = Box::new(move || {
            let Begin::Waiter(waiter) = inner.begin("k") else {
                panic!("it is in flight")
            };
            let waits = [
                inner.work("k", pending).wait_blocking(),
                waiter.wait_blocking(),
            ];
            for outcome in waits {
                assert_eq!(outcome.err(), Some(Error::Rejected(Rejected::Reentrant)));
            }
        });
        let waker = hooked(Hooks {
            on_clone: Some(on_clone),
            ..Hooks::default()
        });
        let polled = Pin::new(&mut driver).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(driver);
        assert_idle(&group);
    });
}

#[test]
#[cfg(feature = "std")]
fn a_task_that_waits_for_a_gate_does_not_unwind_when_it_is_dropped() {
    alone(|| {
        let gate: Gate<&'static str, u32> = Gate::new(Mode::Queue);
        let Begin::Primary(holder) = gate.begin(Some("held")) else {
            panic!("nobody has it")
        };
        let shelf = crate::wakers::Shelf::default();
        let spawned = gate.entry(Some("k")).spawn_on(&shelf, pending);
        let mut task = shelf.take().pop().expect("it was spawned");
        let hostile = Waker::from(Spy::new(Hostile::Dropped));
        assert!(poll(&mut task, hostile).is_pending());
        drop(task);
        let outcome = spawned.get().expect("its task is gone");
        assert_eq!((cause_of(outcome), gate.queued()), (Cause::Dropped, 0));
        drop((spawned, holder));
        assert!(!gate.is_busy());
    });
}

/// A waker that panics, and one of a waiter that panics too.
#[test]
#[cfg(feature = "std")]
fn those_who_wait_are_woken_though_the_wakers_of_all_panic() {
    alone(|| {
        let group = Registry::new();
        let spies = [(); 3].map(|()| Spy::new(Hostile::Woken));
        let (run, mut waiter) = parked(&group, pending(), spies[0].clone().into());
        assert!(poll(&mut waiter, spies[1].clone().into()).is_pending());
        let Begin::Waiter(mut other) = group.begin("k") else {
            unreachable!("it is in flight")
        };
        assert!(poll(&mut other, spies[2].clone().into()).is_pending());
        assert!(panics(|| {
            group.abort(&"k");
        }));
        assert_eq!(spies.each_ref().map(Spy::seen), [[1, 0]; 3]);
        drop((run, waiter, other));
        assert_idle(&group);
    });
}
