//! What the hostile tests share: a time limit, the ledger of a group, wakers and runtimes that do as they are told.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod arena;
pub(crate) mod hand;
pub(crate) mod operation;
pub(crate) mod runtimes;

use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use oneflight_core::rt::Runtime;
use oneflight_core::{Begin, Group, Primary, Waiter};

pub(crate) type Act = Box<dyn FnOnce() + Send>;
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Generous: reached only by a dead-lock.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `f` on a thread of its own. A hang becomes a failure.
pub(crate) fn within_limit<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, finished) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = f();
        done.send(()).expect("the test waits");
        result
    });
    if finished.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("still running after {LIMIT:?}: dead-locked");
    }
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Whether `f` panics.
pub(crate) fn panics<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

/// What `f` panics with, if that is a text.
pub(crate) fn panic_text<R>(f: impl FnOnce() -> R) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(f)).err()?;
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(|text| text.to_string()))
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

pub(crate) fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

pub(crate) fn poll_idly<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll(future, Waker::noop())
}

/// A waker that counts, and does what it was told at its first wake and at its drop.
#[derive(Default)]
pub(crate) struct Spy {
    wakes: AtomicUsize,
    on_wake: Mutex<Option<Act>>,
    on_drop: Mutex<Option<Act>>,
}

impl Spy {
    pub(crate) fn counting() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn on_wake(act: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Self::new(Some(Box::new(act)), None)
    }

    pub(crate) fn on_drop(act: impl FnOnce() + Send + 'static) -> Arc<Self> {
        Self::new(None, Some(Box::new(act)))
    }

    fn new(on_wake: Option<Act>, on_drop: Option<Act>) -> Arc<Self> {
        Arc::new(Self {
            wakes: AtomicUsize::new(0),
            on_wake: Mutex::new(on_wake),
            on_drop: Mutex::new(on_drop),
        })
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}

impl Wake for Spy {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        let act = self
            .on_wake
            .lock()
            .expect("never held over user code")
            .take();
        if let Some(act) = act {
            act();
        }
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        let act = self.on_drop.get_mut().expect("never held over user code");
        if let Some(act) = act.take() {
            act();
        }
    }
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

    pub(crate) fn take_call(&self) -> Act {
        let call = self.calls.lock().expect("never poisoned").pop();
        call.expect("something was handed over")
    }
}

impl Runtime for Shelf {
    type Sleep = std::future::Ready<()>;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.tasks
            .lock()
            .expect("never poisoned")
            .push(Box::pin(task));
    }

    fn sleep(&self, _: Duration) -> Self::Sleep {
        std::future::ready(())
    }

    fn unblock<F: FnOnce() + Send + 'static>(&self, call: F) {
        self.calls
            .lock()
            .expect("never poisoned")
            .push(Box::new(call));
    }
}
