//! Where the futures of a case stand: a group, a gate, a clock and a runtime.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use oneflight_core::clock::Clock;
use oneflight_core::error::Rejected;
use oneflight_core::gate::{Gate, Mode};
use oneflight_core::rt::{Spawn, SpawnBlocking};
use oneflight_core::{Begin, Group, Primary, Waiter};

use super::place::End;
use crate::limit::lock;

type Registry = Group<u32, u32>;
type Line = Gate<u32, u32>;

/// The most flights at once: more than the victims and their acts have.
const FLIGHTS: usize = 200;

/// Where the futures stand.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) group: Registry,
    pub(crate) gate: Line,
    clock: Hand,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let clock = Hand::default();
        Self {
            group: Group::builder()
                .clock(clock.clone())
                .supersede_after(Duration::from_secs(60))
                .max_flights(FLIGHTS)
                .build(),
            gate: Gate::new(Mode::Queue),
            clock,
        }
    }

    /// Flights that are in flight now are too old.
    pub(crate) fn grow_old(&self) {
        self.clock.0.fetch_add(61, Ordering::SeqCst);
    }

    /// All flights that there may be can be begun: none that is over is still counted.
    pub(crate) fn assert_room(&self) {
        let begun = (0..FLIGHTS as u32).map(|key| self.group.begin(key));
        let begun: Vec<_> = begun.collect();
        let taken = |begin: &Begin<u32, u32>| matches!(begin, Begin::Primary(_));
        let closed = |begin: &_| matches!(begin, Begin::Rejected(Rejected::Closed));
        assert!(begun.iter().all(taken) || begun.iter().all(closed));
    }

    pub(crate) fn abort_all(&self) -> End {
        let group = self.group.clone();
        Box::new(move || group.abort_all())
    }

    pub(crate) fn primary(&self, key: u32) -> Primary<u32, u32> {
        match self.group.begin(key) {
            Begin::Primary(primary) => primary,
            other => panic!("the key is free: {other:?}"),
        }
    }

    pub(crate) fn waiter(&self, key: u32) -> Waiter<u32, u32> {
        match self.group.begin(key) {
            Begin::Waiter(waiter) => waiter,
            other => panic!("the key is taken: {other:?}"),
        }
    }
}

#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Clock for Hand {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A runtime that runs what it was given when it is told to.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<Vec<Task>>>);

impl Shelf {
    pub(crate) fn take(&self) -> Vec<Task> {
        std::mem::take(&mut *lock(&self.0))
    }

    /// Every task, whichever panics (without `std` a task may); the first panic goes on afterwards.
    pub(crate) fn run(&self) {
        each(self.take(), |mut task| {
            let mut cx = Context::from_waker(Waker::noop());
            assert!(task.as_mut().poll(&mut cx).is_ready());
        });
    }
}

/// Calls `f` with each item, whichever call panics; the first panic goes on afterwards.
pub(crate) fn each<I>(items: Vec<I>, f: impl Fn(I)) {
    let mut panicked = None;
    for item in items {
        let payload = catch_unwind(AssertUnwindSafe(|| f(item))).err();
        panicked = panicked.or(payload);
    }
    if let Some(payload) = panicked {
        resume_unwind(payload);
    }
}

impl Spawn for Shelf {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        lock(&self.0).push(Box::pin(task));
    }
}

impl SpawnBlocking for Shelf {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        call();
    }
}
