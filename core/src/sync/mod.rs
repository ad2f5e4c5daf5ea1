//! The only folder that knows which platform this is.
//!
//! Everything else writes `crate::sync::…` and gets the same names on each side: `native` is for real
//! machines (`std`, `no_std`, targets whose atomics come from `portable-atomic`), and two more are
//! for the model checkers `loom` and `shuttle`.
//!
//! Two shapes differ from what `std` offers, because not every side can offer more:
//! - [`Mutex::with`] takes a closure instead of giving out a guard (a critical section has no guard
//!   that is safe to hold). It also makes the locked region visible: nothing of the user's is
//!   called inside one.
//! - [`waker`] makes a `Waker` of an [`Arc`] of a [`Wakeable`]; nothing relies on unsized `Arc`s.

#[cfg_attr(loom, path = "loom.rs")]
#[cfg_attr(all(shuttle, feature = "shuttle", not(loom)), path = "shuttle.rs")]
#[cfg_attr(not(any(loom, all(shuttle, feature = "shuttle"))), path = "native.rs")]
mod platform;

#[cfg(all(feature = "std", not(target_family = "wasm")))]
pub(crate) use platform::park;
#[cfg(feature = "std")]
pub(crate) use platform::thread_local;
pub(crate) use platform::{Arc, Event, EventListener, UnsafeCell, atomic, waker};

use platform::lock;

/// A lock whose critical section is a closure.
///
/// The closure must run nothing of the user's: no wake, no clone or drop of a waker, key or value.
pub(crate) struct Mutex<T>(lock::Raw<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(lock::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        lock::with(&self.0, f)
    }

    /// As [`with`](Self::with), for the two sections that every call goes through. A closure can
    /// not be marked `inline(always)`, and one that is not inlined costs a third of a solo
    /// call.
    #[inline(always)]
    pub(crate) fn enter<S: Section<T>>(&self, section: S) -> S::Output {
        lock::enter(&self.0, section)
    }
}

/// A closure by another name, whose `run` is `inline(always)`.
pub(crate) trait Section<T> {
    type Output;
    fn run(self, value: &mut T) -> Self::Output;
}

/// For the sides where speed is not what counts.
#[cfg(any(loom, shuttle, not(feature = "std")))]
fn enter<T, S: Section<T>>(raw: &lock::Raw<T>, section: S) -> S::Output {
    lock::with(raw, |value| section.run(value))
}

/// What a [`Wakeable`] does when its waker is woken. May be called from any thread, at any time,
/// repeatedly.
pub(crate) trait Wakes: Send + Sync + 'static {
    fn wakes(&self);
}

/// A value whose `Arc` can be turned into a `Waker` without another allocation.
pub(crate) struct Wakeable<W>(pub(crate) W);

impl<W> core::ops::Deref for Wakeable<W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.0
    }
}

/// Whether this thread unwinds. Without `std` nobody can tell, and the answer is no.
#[inline]
pub(crate) fn panicking() -> bool {
    #[cfg(feature = "std")]
    return std::thread::panicking();
    #[cfg(not(feature = "std"))]
    return false;
}

/// Runs `f` and ends a panic of it here. Used where a second panic would abort the process, or
/// where one participant's panic must not reach another. Without `std` a panic can not be caught
/// and goes on.
///
/// The payload's destructor is the user's too and may panic in its turn; a payload of that is let
/// be.
pub(crate) fn isolate<R>(f: impl FnOnce() -> R) -> Option<R> {
    #[cfg(feature = "std")]
    return catch(f)
        .map_err(|payload| core::mem::forget(catch(|| drop(payload))))
        .ok();
    #[cfg(not(feature = "std"))]
    return Some(f());
}

#[cfg(feature = "std")]
fn catch<R>(f: impl FnOnce() -> R) -> std::thread::Result<R> {
    std::panic::catch_unwind(core::panic::AssertUnwindSafe(f))
}

/// Drops what belongs to the user. If that panics while this thread unwinds already, the panic ends
/// here.
pub(crate) fn discard<T>(value: T) {
    if panicking() {
        isolate(|| drop(value));
    } else {
        drop(value);
    }
}

/// Something of the user's that is [discarded](discard) when it is dropped.
#[must_use = "dropped where it stands, it may stand under a lock"]
pub(crate) struct Fragile<T>(pub(crate) Option<T>);

impl<T> Drop for Fragile<T> {
    fn drop(&mut self) {
        discard(self.0.take());
    }
}

/// Calls `f` with each of `items`. If one call panics, the others are made all the same, and the
/// panic goes on after.
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

#[cfg(all(test, feature = "std", not(loom)))]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    /// Runs its closure while the thread unwinds.
    struct Last<F: Fn()>(F);

    impl<F: Fn()> Drop for Last<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    /// A panic that is not kept in aborts the process here.
    fn keeps_a_second_panic_in(f: impl Fn()) {
        let first = catch(|| {
            let _last = Last(f);
            std::panic::panic_any(1_u8);
        });
        assert_eq!(first.unwrap_err().downcast_ref(), Some(&1_u8));
    }

    #[test]
    fn what_is_dropped_while_a_thread_unwinds_may_panic() {
        keeps_a_second_panic_in(|| discard(Bomb));
        keeps_a_second_panic_in(|| drop(Fragile(Some(Bomb))));
        assert!(catch(|| discard(Bomb)).is_err());
    }
}
