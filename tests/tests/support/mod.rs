//! What these tests share: the ledger of a group, and a runtime that keeps what it is given.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::thread;

use oneflight_core::rt::{Spawn, SpawnBlocking};
use oneflight_core::{Begin, Group, Primary, Waiter};

pub(crate) type Act = Box<dyn FnOnce() + Send>;
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether `f` panics.
pub(crate) fn panics<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// Runs `f` while this thread unwinds. A panic that leaves it there would abort the process.
pub(crate) fn while_unwinding(f: impl FnOnce()) {
    struct Last<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Last<F> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            if let Some(f) = self.0.take() {
                f();
            }
        }
    }
    let last = Last(Some(f));
    assert!(panics(move || {
        let _last = last;
        panic!("unwinding, as the test wants");
    }));
}

/// Begins as the primary.
pub(crate) fn primary<K: Hash + Eq, T, S: BuildHasher>(
    group: &Group<K, T, S>,
    key: K,
) -> Primary<K, T> {
    match group.begin(key) {
        Begin::Primary(primary) => primary,
        Begin::Waiter(_) => panic!("the key is in flight"),
        Begin::Rejected(why) => panic!("{why}"),
    }
}

/// Begins as a waiter.
pub(crate) fn waiter<K: Hash + Eq, T, S: BuildHasher>(
    group: &Group<K, T, S>,
    key: K,
) -> Waiter<K, T> {
    match group.begin(key) {
        Begin::Waiter(waiter) => waiter,
        Begin::Primary(_) => panic!("the key is free"),
        Begin::Rejected(why) => panic!("{why}"),
    }
}

/// The two equations that hold at every moment.
pub(crate) fn assert_ledger<K, T, S>(group: &Group<K, T, S>) {
    let stats = group.stats();
    assert_eq!(
        Some(stats.begun),
        stats
            .settled
            .checked_add(stats.aborted)
            .and_then(|ended| ended.checked_add(stats.in_flight as u64)),
        "{stats:?}"
    );
    assert_eq!(
        Some(stats.joined),
        stats
            .waited
            .checked_add(stats.cancelled)
            .and_then(|gone| gone.checked_add(stats.waiting as u64)),
        "{stats:?}"
    );
}

/// Nothing is left in the registry, and every count came back.
pub(crate) fn assert_idle<K, T, S>(group: &Group<K, T, S>) {
    let stats = group.stats();
    assert!(group.is_empty(), "{stats:?}");
    assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
    assert_ledger(group);
}

pub(crate) fn poll_idly<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Whether a closed group is drained at this moment.
pub(crate) fn is_drained<K, T>(group: &Group<K, T>) -> bool {
    poll_idly(&mut group.drained()).is_ready()
}

/// A runtime that keeps what it is given until the test takes it.
#[derive(Default)]
pub(crate) struct Shelf {
    tasks: Mutex<Vec<Task>>,
    calls: Mutex<Vec<Act>>,
}

impl Shelf {
    pub(crate) fn take_task(&self) -> Task {
        let task = self.tasks.lock().expect("never poisoned").pop();
        task.expect("something was spawned")
    }

    /// Runs the calls, and polls each task once.
    pub(crate) fn run(&self) {
        let calls = std::mem::take(&mut *self.calls.lock().expect("never poisoned"));
        calls.into_iter().for_each(|call| call());
        let tasks = std::mem::take(&mut *self.tasks.lock().expect("never poisoned"));
        for mut task in tasks {
            let _ = poll_idly(&mut task);
        }
    }

    pub(crate) fn take_call(&self) -> Act {
        let call = self.calls.lock().expect("never poisoned").pop();
        call.expect("something was handed over")
    }
}

impl Spawn for Shelf {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.tasks
            .lock()
            .expect("never poisoned")
            .push(Box::pin(task));
    }
}

impl SpawnBlocking for Shelf {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        self.calls
            .lock()
            .expect("never poisoned")
            .push(Box::new(call));
    }
}
