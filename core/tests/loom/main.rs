//! Model checks of the real code, through the shim: every interleaving of two or three threads.
//!
//! `RUSTFLAGS="--cfg loom" cargo nextest run -p oneflight-core --features loom --test loom --release`
//!
//! A lost wake-up shows as a dead-lock that loom reports, an outcome that came wrong as a failed assertion, and a
//! value that is read without being ordered after its write as a race on loom's own cell.
#![cfg(loom)]

mod alone;
mod cell;
mod ends;
#[path = "../support/fine.rs"]
mod fine;
mod fingerprint;
mod flight;
mod gate;
mod handles;
mod idle;
mod joins;
mod keys;
mod lay;
#[path = "../support/outcome.rs"]
mod outcome;
mod reentry;
mod retain;
mod shed;
mod spawn_joins;
mod stopping;
mod supersede;
mod try_work;
mod wanted;
mod work;

pub(crate) use outcome::cause_of;

use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::task::{Context, Poll};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use oneflight_core::Group;

/// Every key has the same hash, and no run differs from another.
#[derive(Clone, Default)]
pub(crate) struct Fixed;

impl BuildHasher for Fixed {
    type Hasher = Fixed;
    fn build_hasher(&self) -> Fixed {
        Fixed
    }
}

impl Hasher for Fixed {
    fn finish(&self) -> u64 {
        7
    }
    fn write(&mut self, _: &[u8]) {}
}

/// Keys of odd and even numbers are in different shards of two, and no run differs from another.
#[derive(Clone, Default)]
pub(crate) struct Apart;

pub(crate) struct Number(u64);

impl BuildHasher for Apart {
    type Hasher = Number;
    fn build_hasher(&self) -> Number {
        Number(0)
    }
}

impl Hasher for Number {
    fn finish(&self) -> u64 {
        // The shard is chosen by bit 32 of the spread hash: an odd factor keeps that of the number.
        self.0 << 32
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }
}

pub(crate) type Registry<T> = Group<u8, T, Fixed>;

pub(crate) fn group<T>() -> Registry<T> {
    Group::<u8, T>::builder().shards(1).hasher(Fixed).build()
}

/// Explores every interleaving, and prints how many executions that took.
pub(crate) fn model<F: Fn() + Send + Sync + 'static>(body: F) {
    explore(loom::model::Builder::new(), body);
}

/// Explores every interleaving with at most so many pre-emptions: for three threads, and two that do much. Unbounded,
/// these take minutes; few faults need more than two.
pub(crate) fn bounded_model<F: Fn() + Send + Sync + 'static>(preemptions: usize, body: F) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    explore(builder, body);
}

fn explore<F: Fn() + Send + Sync + 'static>(builder: loom::model::Builder, body: F) {
    let name = std::any::type_name::<F>().replace("::{{closure}}", "");
    let executions = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        body();
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    assert!(executions > 1, "nothing to explore");
    println!("explored {name}: {executions} executions");
}

/// A waker that counts. Loom's own `block_on` is used where a wake-up must arrive; this where none may.
#[derive(Clone, Default)]
pub(crate) struct Counter(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl std::task::Wake for Counter {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Counter {
    pub(crate) fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub(crate) fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        let waker = std::sync::Arc::new(self.clone()).into();
        Pin::new(future).poll(&mut Context::from_waker(&waker))
    }
}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A runtime that keeps its tasks until the model runs or drops them. Loom does not see its lock.
#[derive(Clone, Default)]
pub(crate) struct Shelf(std::sync::Arc<std::sync::Mutex<Vec<Task>>>);

impl oneflight_core::rt::Spawn for Shelf {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.lock().unwrap().push(Box::pin(task));
    }
}

impl oneflight_core::rt::SpawnBlocking for Shelf {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        call();
    }
}

impl Shelf {
    pub(crate) fn take(&self) -> Option<Task> {
        self.0.lock().unwrap().pop()
    }
}

/// A clock that is turned by hand. Loom does not see it: what it shows is fixed before the threads start, or by one of them.
#[derive(Clone, Default)]
pub(crate) struct Hand(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Hand {
    pub(crate) fn turn(&self, seconds: u64) {
        self.0
            .fetch_add(seconds, std::sync::atomic::Ordering::SeqCst);
    }
}

impl oneflight_core::clock::Clock for Hand {
    fn now(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}

/// The primary of a begin that must be one.
pub(crate) fn primary<K, T>(begin: oneflight_core::Begin<K, T>) -> oneflight_core::Primary<K, T> {
    match begin {
        oneflight_core::Begin::Primary(primary) => primary,
        other => panic!("{other:?}"),
    }
}

/// The waiter of a begin that must be one.
pub(crate) fn waiter<K, T>(begin: oneflight_core::Begin<K, T>) -> oneflight_core::Waiter<K, T> {
    match begin {
        oneflight_core::Begin::Waiter(waiter) => waiter,
        other => panic!("{other:?}"),
    }
}

/// A value that is counted while it lives.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Self(live.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
