//! The shuttle checker: random schedules of more threads than loom can bear, all orderings as if
//! they were `SeqCst`.
//!
//! Shuttle switches threads only before its own primitives. What is not one of them (the `Event`,
//! the value of a cell) is wrapped here, with a [`step`] before each use. Its threads share one
//! thread of the system, so [`panicking`](crate::sync::panicking) is not to be believed while one
//! of them unwinds, and nothing may switch while an `Event` holds its own lock: shuttle's wakers do
//! not.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

pub(crate) use shuttle::sync::{Arc, atomic};
pub(crate) use shuttle::thread_local;

/// A moment at which another thread may run.
fn step() {
    atomic::AtomicBool::new(false).load(atomic::Ordering::SeqCst);
}

pub(super) mod lock {
    pub(in crate::sync) use crate::sync::enter;

    pub(in crate::sync) type Raw<T> = shuttle::sync::Mutex<T>;

    pub(in crate::sync) fn new<T>(value: T) -> Raw<T> {
        Raw::new(value)
    }

    pub(in crate::sync) fn get_mut<T>(raw: &mut Raw<T>) -> &mut T {
        raw.get_mut()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(in crate::sync) fn with<T, R>(raw: &Raw<T>, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut raw.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// An `UnsafeCell` that tells when an access meets another one that writes.
pub(crate) struct UnsafeCell<T> {
    value: core::cell::UnsafeCell<T>,
    written: core::sync::atomic::AtomicBool,
}

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: core::cell::UnsafeCell::new(value),
            written: core::sync::atomic::AtomicBool::new(false),
        }
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        step();
        let written = self.written.load(atomic::Ordering::SeqCst);
        assert!(!written, "read while it is written");
        f(self.value.get())
    }

    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        step();
        let written = self.written.swap(true, atomic::Ordering::SeqCst);
        assert!(!written, "written by two at once");
        // In the middle of the access, so that others come between.
        step();
        let result = f(self.value.get());
        self.written.store(false, atomic::Ordering::SeqCst);
        result
    }
}

pub(crate) struct Event(event_listener::Event);

pub(crate) struct EventListener(event_listener::EventListener);

impl Event {
    pub(crate) const fn new() -> Self {
        Self(event_listener::Event::new())
    }

    pub(crate) fn listen(&self) -> EventListener {
        step();
        EventListener(self.0.listen())
    }

    pub(crate) fn notify(&self, listeners: usize) -> usize {
        step();
        self.0.notify(listeners)
    }

    pub(crate) fn is_notified(&self) -> bool {
        self.0.is_notified()
    }
}

impl Future for EventListener {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        step();
        Pin::new(&mut self.0).poll(cx)
    }
}

/// As on a real machine: see `native`.
pub(crate) fn notify_all(event: &Event) {
    event.notify(usize::MAX);
}

/// Parks the calling thread until `listener` is notified. With a deadline it lets others run and
/// looks once: here time is up when the schedule says so.
pub(crate) fn park(mut listener: EventListener, deadline: Option<std::time::Instant>) -> bool {
    if deadline.is_none() {
        shuttle::future::block_on(listener);
        return true;
    }
    let mut nobody = Context::from_waker(core::task::Waker::noop());
    Pin::new(&mut listener).poll(&mut nobody).is_ready()
}
