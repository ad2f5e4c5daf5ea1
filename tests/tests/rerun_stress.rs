//! Drivers of `work_rerun` that are lost, over and over, on four threads: exactly one re-run for each.

use std::future::{Future, pending};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Waker;
use std::thread;

use futures_lite::future::{block_on, yield_now};
use oneflight::{Budget, Group};
use oneflight_conformance::{Counted, TestRuntime, executors, poll, until, watched};

const ROUNDS: usize = 200;
const WAITERS: usize = 5;

#[derive(Default)]
struct Runs {
    made: AtomicUsize,
    alive: AtomicUsize,
}

/// Alive from its making to its drop: never two at once.
struct Alive(Arc<Runs>);

impl Alive {
    fn new(runs: &Arc<Runs>) -> Self {
        runs.made.fetch_add(1, Ordering::SeqCst);
        let others = runs.alive.fetch_add(1, Ordering::SeqCst);
        assert_eq!(others, 0, "the lost operation is not gone yet");
        Self(runs.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

fn finishes(runs: &Arc<Runs>) -> impl Future<Output = usize> + Send + use<> {
    let alive = Alive::new(runs);
    async move {
        let _alive = alive;
        yield_now().await;
        7
    }
}

/// Lost while five are parked on tokio's threads.
#[test]
fn a_lost_primary_with_five_parked_waiters_is_run_again_exactly_once() {
    watched("five parked", || {
        executors::TokioMulti::run(|rt| async move {
            let group: Group<usize, usize> = Group::new();
            for round in 0..ROUNDS {
                let runs = Arc::new(Runs::default());
                let inside = runs.clone();
                let driver = group.work_rerun(round, Budget::times(1), move || async move {
                    let _alive = Alive::new(&inside);
                    pending().await
                });
                let (driver, cancel) = rt.cancellable(driver);
                until(|| runs.made.load(Ordering::SeqCst) == 1).await;
                let heirs = (0..WAITERS).map(|_| {
                    let runs = runs.clone();
                    let run = move || finishes(&runs);
                    Counted::new(group.work_rerun(round, Budget::times(1), run))
                });
                let (heirs, counts): (Vec<_>, Vec<_>) = heirs.unzip();
                let heirs: Vec<_> = heirs.into_iter().map(|heir| rt.task(heir)).collect();
                until(|| counts.iter().all(|count| count.polls() == 1)).await;
                assert_eq!(group.waiters(&round), WAITERS);
                cancel.cancel();
                assert!(driver.await.is_none());
                for heir in heirs {
                    assert_eq!(*heir.await.unwrap(), 7);
                }
                assert_eq!(runs.made.load(Ordering::SeqCst), 2, "round {round}");
            }
            let stats = group.stats();
            let rounds = ROUNDS as u64;
            assert_eq!(
                (stats.begun, stats.settled, stats.reruns),
                (rounds, rounds, rounds)
            );
            assert_eq!((stats.joined, stats.waited), (5 * rounds, 5 * rounds));
        });
    });
}

/// The driver is dropped while three threads come, poll and go: one of those that are left takes over, once.
#[test]
fn heirs_that_race_for_a_lost_flight_run_it_once() {
    watched("heirs race", || {
        let group: Group<usize, usize> = Group::new();
        for round in 0..ROUNDS {
            let runs = Arc::new(Runs::default());
            let inside = runs.clone();
            let mut driver =
                Box::pin(
                    group.work_rerun(round, Budget::times(1), move || async move {
                        let _alive = Alive::new(&inside);
                        pending().await
                    }),
                );
            assert!(poll(&mut driver, Waker::noop()).is_pending());
            let heirs: Vec<_> = (0..3)
                .map(|_| {
                    let runs = runs.clone();
                    group.work_rerun(round, Budget::times(9), move || finishes(&runs))
                })
                .collect();
            let start = Barrier::new(4);
            thread::scope(|scope| {
                let start = &start;
                for heir in heirs {
                    scope.spawn(move || {
                        start.wait();
                        assert_eq!(*block_on(heir).unwrap(), 7);
                    });
                }
                start.wait();
                drop(driver);
            });
            assert_eq!(runs.made.load(Ordering::SeqCst), 2, "round {round}");
        }
        assert_eq!(group.stats().reruns, ROUNDS as u64);
        assert!(group.is_empty());
    });
}
