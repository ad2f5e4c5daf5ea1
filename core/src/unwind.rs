//! What must hold when the user's code panics.
//!
//! A waker, a drop, a closure of the user may panic at any call, also while its thread already
//! unwinds from another panic. These helpers keep such a panic from reaching another participant,
//! from stopping the rest of a loop, and from meeting a panic that is under way (which would abort
//! the process). [`sync`](crate::sync) knows what the platform can do about a panic.

use core::mem;
use core::pin::Pin;

use crate::sync::{catch, panicking};

/// Runs `f` and catches its panic. It is used where a second panic would abort the process, and
/// where one participant's panic must not reach another. Without `std` no panic can be caught.
///
/// The destructor of the panic's payload is the user's too. If it panics in turn, the payload of
/// that second panic is leaked, so that this ends.
pub(crate) fn isolate<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch(f)
        .map_err(|payload| mem::forget(catch(|| drop(payload))))
        .ok()
}

/// Drops a value of the user's. Its panic is caught if this thread already unwinds.
pub(crate) fn discard<T>(value: T) {
    if panicking() {
        isolate(|| drop(value));
    } else {
        drop(value);
    }
}

/// A value of the user's that is [discarded](discard) when it is dropped.
#[must_use = "dropped where it stands, it may be dropped under a lock"]
pub(crate) struct Fragile<T>(pub(crate) Option<T>);

impl<T> Drop for Fragile<T> {
    fn drop(&mut self) {
        discard(self.0.take());
    }
}

/// Drops a pinned value of the user's where it is, when this guard is dropped. Its panic is caught
/// if this thread already unwinds.
pub(crate) struct FragilePin<'a, F>(pub(crate) Pin<&'a mut Option<F>>);

impl<F> Drop for FragilePin<'_, F> {
    fn drop(&mut self) {
        if panicking() {
            isolate(|| self.0.set(None));
        } else {
            self.0.set(None);
        }
    }
}

/// Calls its closure when it is dropped, also when that happens by unwinding.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Calls `f` with each item. If one call panics, the remaining calls are made all the same, and
/// the panic continues after them.
pub(crate) fn for_each<I: Iterator>(items: I, f: impl FnMut(I::Item)) {
    struct Rest<I: Iterator, F: FnMut(I::Item)>(I, F);
    impl<I: Iterator, F: FnMut(I::Item)> Drop for Rest<I, F> {
        fn drop(&mut self) {
            for item in self.0.by_ref() {
                isolate(|| (self.1)(item));
            }
        }
    }
    let mut rest = Rest(items, f);
    for item in rest.0.by_ref() {
        (rest.1)(item);
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    /// A panic of `f` that is not caught aborts the process here.
    fn catches_a_second_panic(f: impl Fn()) {
        let first = catch(|| {
            let _last = OnDrop(f);
            std::panic::panic_any(1_u8);
        });
        assert_eq!(first.unwrap_err().downcast_ref(), Some(&1_u8));
    }

    #[test]
    fn what_is_dropped_while_a_thread_unwinds_may_panic() {
        catches_a_second_panic(|| discard(Bomb));
        catches_a_second_panic(|| drop(Fragile(Some(Bomb))));
        assert!(catch(|| discard(Bomb)).is_err());
    }
}
