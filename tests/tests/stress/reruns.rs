//! Drivers of `try_work` that are lost, over and over: exactly one re-run for each, and never two
//! operations at once.

use std::future::{Future, pending};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Waker;
use std::thread;

use futures_lite::future::{block_on, yield_now};
use oneflight::Group;
use oneflight_conformance::{fine, poll};

const ROUNDS: usize = 200;

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

/// The driver is dropped while three threads come, poll and go: one of those that are left takes
/// over, once.
pub(crate) fn race() {
    let group: Group<usize, usize> = Group::new();
    for round in 0..ROUNDS {
        let runs = Arc::new(Runs::default());
        let inside = runs.clone();
        let lost = move || async move {
            let _alive = Alive::new(&inside);
            pending().await
        };
        let mut driver = Box::pin(group.try_work(round, fine(lost)));
        assert!(poll(&mut driver, Waker::noop()).is_pending());
        let heirs = (0..3).map(|_| {
            let runs = runs.clone();
            group.try_work(round, fine(move || finishes(&runs)))
        });
        let heirs: Vec<_> = heirs.collect();
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
}
