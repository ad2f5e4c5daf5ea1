//! What is the user's: keys, values, operations, clocks, runtimes. Each tells when it is called.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::hash::{Hash, Hasher};
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll};
use core::time::Duration;

use oneflight_core::clock::Clock;
use oneflight_core::error::Cause;
use oneflight_core::rt::{Spawn, SpawnBlocking};
use oneflight_core::{Begin, Error, Group, Primary, SettleCell, Settled, Waiter};
use portable_atomic_util::Arc;

use crate::check::{decrement, increment, user_code};

pub(crate) type Map = Group<Key, Value>;

/// A key in a block of its own, so that one that is not dropped is seen.
pub(crate) struct Key(Box<u32>);

pub(crate) fn key(number: u32) -> Key {
    Key(Box::new(number))
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        user_code();
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        user_code();
        self.0.hash(state);
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        user_code();
        key(*self.0)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        user_code();
    }
}

/// A value, likewise, that can not be cloned.
#[derive(Debug, PartialEq)]
pub(crate) struct Value(Box<u32>);

impl Value {
    pub(crate) fn new(number: u32) -> Self {
        Self(Box::new(number))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        user_code();
    }
}

/// The number that was settled.
pub(crate) fn number<K>(settled: &Settled<K, Value>) -> u32 {
    *settled.0
}

/// Whether this is the outcome of a flight that was aborted for this reason.
pub(crate) fn is_aborted<T>(outcome: &Result<T, Error>, cause: Cause) -> bool {
    matches!(outcome, Err(Error::Aborted(aborted)) if aborted.cause() == cause)
}

/// The primary that a begin must have made.
pub(crate) fn primary<K, T>(begin: Begin<K, T>) -> Primary<K, T> {
    match begin {
        Begin::Primary(primary) => primary,
        other => panic!("no primary but {other:?}"),
    }
}

/// The waiter that a begin must have made.
pub(crate) fn waiter<K, T>(begin: Begin<K, T>) -> Waiter<K, T> {
    match begin {
        Begin::Waiter(waiter) => waiter,
        other => panic!("no waiter but {other:?}"),
    }
}

static OPERATIONS: AtomicUsize = AtomicUsize::new(0);

/// Operations that were made and not dropped.
pub(crate) fn operations() -> usize {
    OPERATIONS.load(Relaxed)
}

/// Something to wait for.
pub(crate) type Signal = Arc<SettleCell<()>>;

pub(crate) fn signal() -> Signal {
    Arc::new(SettleCell::new())
}

pub(crate) fn raise(signal: &Signal) {
    signal.settle(()).expect("a signal is raised once");
}

struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        user_code();
        decrement(&OPERATIONS);
    }
}

/// An operation that waits for a signal and then has a value.
pub(crate) fn after(
    signal: &Signal,
    number: u32,
) -> impl Future<Output = Value> + Send + 'static + use<> {
    user_code();
    increment(&OPERATIONS);
    let (signal, running) = (signal.clone(), Running);
    async move {
        user_code();
        signal.wait().await;
        user_code();
        drop(running);
        Value::new(number)
    }
}

/// Wakes its own task, and is ready at the next poll.
#[derive(Default)]
pub(crate) struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if core::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

static SECONDS: AtomicUsize = AtomicUsize::new(0);

/// A clock that is turned by hand.
pub(crate) struct Hand;

impl Clock for Hand {
    fn now(&self) -> Duration {
        user_code();
        Duration::from_secs(SECONDS.load(Relaxed) as u64)
    }
}

pub(crate) fn turn(seconds: usize) {
    SECONDS.store(SECONDS.load(Relaxed) + seconds, Relaxed);
}

/// A runtime that keeps what is spawned until it is run by hand.
#[derive(Clone, Default)]
pub(crate) struct Manual {
    task: Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>>,
    /// Blocking calls run, all of them inline.
    pub(crate) blocking: Rc<Cell<usize>>,
}

impl Manual {
    /// The task that was spawned last.
    pub(crate) fn task(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        self.task.take()
    }
}

impl Spawn for Manual {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        user_code();
        *self.task.borrow_mut() = Some(Box::pin(task));
    }
}

impl SpawnBlocking for Manual {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        user_code();
        self.blocking.set(self.blocking.get() + 1);
        call();
    }
}
