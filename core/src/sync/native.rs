//! Real machines: `std`, `no_std` with spin locks or critical sections, and targets whose atomics
//! come from `portable-atomic`.

use event_listener::IntoNotification;
#[cfg(all(feature = "std", not(target_family = "wasm")))]
use {event_listener::Listener, std::time::Instant};

pub(crate) use event_listener::{Event, EventListener};
#[cfg(not(feature = "std"))]
pub(crate) use no_thread_locals::thread_local;
#[cfg(feature = "std")]
pub(crate) use std::thread_local;

#[cfg(not(feature = "portable-atomic"))]
pub(crate) use {alloc::sync::Arc, core::sync::atomic};

#[cfg(feature = "portable-atomic")]
pub(crate) use {portable_atomic as atomic, portable_atomic_util::Arc};

#[cfg(feature = "std")]
pub(super) mod lock {
    pub(in crate::sync) type Raw<T> = parking_lot::Mutex<T>;

    pub(in crate::sync) fn new<T>(value: T) -> Raw<T> {
        Raw::new(value)
    }

    pub(in crate::sync) fn get_mut<T>(raw: &mut Raw<T>) -> &mut T {
        raw.get_mut()
    }

    #[inline(always)]
    pub(in crate::sync) fn with<T, R>(raw: &Raw<T>, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut raw.lock())
    }

    #[inline(always)]
    pub(in crate::sync) fn enter<T, S: crate::sync::Section<T>>(
        raw: &Raw<T>,
        section: S,
    ) -> S::Output {
        section.run(&mut raw.lock())
    }
}

#[cfg(all(not(feature = "std"), feature = "critical-section"))]
pub(super) mod lock {
    use core::cell::RefCell;

    pub(in crate::sync) use crate::sync::enter;

    pub(in crate::sync) type Raw<T> = critical_section::Mutex<RefCell<T>>;

    pub(in crate::sync) fn new<T>(value: T) -> Raw<T> {
        Raw::new(RefCell::new(value))
    }

    pub(in crate::sync) fn get_mut<T>(raw: &mut Raw<T>) -> &mut T {
        raw.get_mut().get_mut()
    }

    pub(in crate::sync) fn with<T, R>(raw: &Raw<T>, f: impl FnOnce(&mut T) -> R) -> R {
        critical_section::with(|token| f(&mut raw.borrow_ref_mut(token)))
    }
}

#[cfg(all(not(feature = "std"), not(feature = "critical-section")))]
pub(super) mod lock {
    pub(in crate::sync) use crate::sync::enter;

    pub(in crate::sync) type Raw<T> = spin::Mutex<T>;

    pub(in crate::sync) fn new<T>(value: T) -> Raw<T> {
        Raw::new(value)
    }

    pub(in crate::sync) fn get_mut<T>(raw: &mut Raw<T>) -> &mut T {
        raw.get_mut()
    }

    pub(in crate::sync) fn with<T, R>(raw: &Raw<T>, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut raw.lock())
    }
}

/// Thread locals where there are none: every access fails.
#[cfg(not(feature = "std"))]
pub(crate) mod no_thread_locals {
    pub(crate) struct Absent<T>(core::marker::PhantomData<fn() -> T>);

    impl<T> Absent<T> {
        pub(crate) const fn new() -> Self {
            Self(core::marker::PhantomData)
        }

        pub(crate) fn try_with<R>(&self, _: impl FnOnce(&T) -> R) -> Result<R, ()> {
            Err(())
        }
    }

    macro_rules! absent {
        (static $name:ident: $t:ty = const $init:block;) => {
            static $name: $crate::sync::Absent<$t> = $crate::sync::Absent::new();
        };
    }
    pub(crate) use absent as thread_local;
}
#[cfg(not(feature = "std"))]
pub(crate) use no_thread_locals::Absent;

/// An `UnsafeCell` with loom's shape: the pointer is valid for the length of the closure, so that
/// a model checker can see each access.
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Notifies every listener. There is no fence before it: it is for a caller that has acquired what
/// each listener which must not be missed has released after it began to listen.
pub(crate) fn notify_all(event: &Event) {
    event.notify(usize::MAX.relaxed());
}

/// Parks the calling thread until `listener` is notified. Returns false if `deadline` came first.
#[cfg(all(feature = "std", not(target_family = "wasm")))]
pub(crate) fn park(listener: EventListener, deadline: Option<Instant>) -> bool {
    match deadline {
        None => listener.wait(),
        Some(deadline) => return listener.wait_deadline(deadline).is_some(),
    }
    true
}
