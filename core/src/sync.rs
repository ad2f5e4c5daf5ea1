//! The only file that knows which platform this is.
//!
//! Everything else writes `crate::sync::…` and gets the same names on each side: `std`, `no_std`
//! (spin lock or critical section), targets whose atomics come from `portable-atomic`, and the loom
//! model checker.
//!
//! Two shapes differ from what `std` offers, because not every side can offer more:
//! - [`Mutex::with`] takes a closure instead of giving out a guard (a critical section has no guard
//!   that is safe to hold). It also makes the locked region visible: nothing of the user's is
//!   called inside one.
//! - [`waker`] makes a `Waker` of an [`Arc`] of a [`Wakeable`]; nothing relies on unsized `Arc`s.

pub(crate) use event_listener::Event;

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, atomic};

#[cfg(all(not(loom), not(feature = "portable-atomic")))]
pub(crate) use {alloc::sync::Arc, core::sync::atomic};

#[cfg(all(not(loom), feature = "portable-atomic"))]
pub(crate) use {portable_atomic as atomic, portable_atomic_util::Arc};

/// A lock whose critical section is a closure.
///
/// The closure must run nothing of the user's: no wake, no clone or drop of a waker, key or value.
pub(crate) struct Mutex<T>(imp::Raw<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        imp::with(&self.0, f)
    }

    /// As [`with`](Self::with), for the two sections that every call goes through. A closure can
    /// not be marked `inline(always)`, and one that is not inlined costs a third of a solo
    /// call.
    #[inline(always)]
    pub(crate) fn enter<S: Section<T>>(&self, section: S) -> S::Output {
        #[cfg(all(not(loom), feature = "std"))]
        return imp::enter(&self.0, section);
        #[cfg(not(all(not(loom), feature = "std")))]
        return self.with(|value| section.run(value));
    }
}

/// A closure by another name, whose `run` is `inline(always)`.
pub(crate) trait Section<T> {
    type Output;
    fn run(self, value: &mut T) -> Self::Output;
}

#[cfg(loom)]
mod imp {
    pub(super) type Raw<T> = loom::sync::Mutex<T>;

    pub(super) fn new<T>(value: T) -> Raw<T> {
        Raw::new(value)
    }

    pub(super) fn with<T, R>(raw: &Raw<T>, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut raw.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

#[cfg(all(not(loom), feature = "std"))]
mod imp {
    pub(super) type Raw<T> = parking_lot::Mutex<T>;

    pub(super) fn new<T>(value: T) -> Raw<T> {
        Raw::new(value)
    }

    #[inline(always)]
    pub(super) fn with<T, R>(raw: &Raw<T>, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut raw.lock())
    }

    #[inline(always)]
    pub(super) fn enter<T, S: super::Section<T>>(raw: &Raw<T>, section: S) -> S::Output {
        section.run(&mut raw.lock())
    }
}

#[cfg(all(not(loom), not(feature = "std"), feature = "critical-section"))]
mod imp {
    use core::cell::RefCell;

    pub(super) type Raw<T> = critical_section::Mutex<RefCell<T>>;

    pub(super) fn new<T>(value: T) -> Raw<T> {
        Raw::new(RefCell::new(value))
    }

    pub(super) fn with<T, R>(raw: &Raw<T>, f: impl FnOnce(&mut T) -> R) -> R {
        critical_section::with(|token| f(&mut raw.borrow_ref_mut(token)))
    }
}

#[cfg(all(not(loom), not(feature = "std"), not(feature = "critical-section")))]
mod imp {
    pub(super) type Raw<T> = spin::Mutex<T>;

    pub(super) fn new<T>(value: T) -> Raw<T> {
        Raw::new(value)
    }

    pub(super) fn with<T, R>(raw: &Raw<T>, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut raw.lock())
    }
}

/// `UnsafeCell` with loom's shape: the pointer lives as long as the closure, so that loom can
/// see each access.
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;

#[cfg(not(loom))]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(loom))]
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

#[cfg(all(not(loom), not(feature = "portable-atomic")))]
impl<W: Wakes> alloc::task::Wake for Wakeable<W> {
    fn wake(self: Arc<Self>) {
        self.0.wakes();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wakes();
    }
}

#[cfg(all(not(loom), feature = "portable-atomic"))]
impl<W: Wakes> portable_atomic_util::task::Wake for Wakeable<W> {
    fn wake(this: Arc<Self>) {
        this.0.wakes();
    }

    fn wake_by_ref(this: &Arc<Self>) {
        this.0.wakes();
    }
}

/// The waker of `target`: the same one (by `will_wake`) at every call.
#[cfg(not(loom))]
pub(crate) fn waker<W: Wakes>(target: Arc<Wakeable<W>>) -> core::task::Waker {
    target.into()
}

/// Loom's `Arc` can not be a waker, so an ordinary one holds it.
#[cfg(loom)]
pub(crate) fn waker<W: Wakes>(target: Arc<Wakeable<W>>) -> core::task::Waker {
    struct Holder<W>(Arc<Wakeable<W>>);

    impl<W: Wakes> alloc::task::Wake for Holder<W> {
        fn wake(self: alloc::sync::Arc<Self>) {
            self.0.0.wakes();
        }
    }

    alloc::sync::Arc::new(Holder(target)).into()
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
