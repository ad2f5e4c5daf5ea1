//! The loom model checker: every interleaving of a few threads, and what weak orderings allow.

use core::pin::pin;
use core::task::{Context, Waker};

pub(crate) use event_listener::{Event, EventListener};
use event_listener::{IntoNotification, Listener};
pub(crate) use loom::cell::UnsafeCell;
pub(crate) use loom::sync::{Arc, atomic};

/// As the one of `std`. Loom's own knows no constant initialisers: it runs them.
macro_rules! local {
    (static $name:ident: $t:ty = const $init:block;) => {
        ::loom::thread_local! { static $name: $t = $init; }
    };
}
pub(crate) use local as thread_local;

pub(super) mod lock {
    pub(in crate::sync) use crate::sync::enter;

    pub(in crate::sync) type Raw<T> = loom::sync::Mutex<T>;

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

/// As on a real machine: see `native`.
pub(crate) fn notify_all(event: &Event) {
    event.notify(usize::MAX.relaxed());
}

/// Parks the calling thread until `listener` is notified. With a deadline it looks once: here time
/// is up when the model says so, and loom looks at every moment.
pub(crate) fn park(listener: EventListener, deadline: Option<std::time::Instant>) -> bool {
    if deadline.is_none() {
        listener.wait();
        return true;
    }
    let mut nobody = Context::from_waker(Waker::noop());
    core::future::Future::poll(pin!(listener), &mut nobody).is_ready()
}
