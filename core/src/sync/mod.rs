//! Which platform this is. No other folder knows.
//!
//! The rest of the crate writes `crate::sync::..` and gets the same names everywhere: `native` is
//! for real machines (`std`, `no_std`, targets whose atomics come from `portable-atomic`), `loom`
//! and `shuttle` are for the two model checkers.
//!
//! Two shapes differ from those of `std`, because not every platform can offer more:
//! - [`Mutex::with`] takes a closure and gives out no guard (a critical section has no guard that
//!   is safe to hold). It also makes the locked region visible: nothing of the user's is called
//!   inside one.
//! - [`thread_local`] has `try_with` only. Without `std` there are no thread locals and it always
//!   fails, as it does in `std` while a thread is torn down.

#[cfg_attr(loom, path = "loom.rs")]
#[cfg_attr(all(shuttle, feature = "shuttle", not(loom)), path = "shuttle.rs")]
#[cfg_attr(not(any(loom, all(shuttle, feature = "shuttle"))), path = "native.rs")]
mod platform;

#[cfg(not(feature = "std"))]
pub(crate) use platform::Absent;
#[cfg(all(feature = "std", not(target_family = "wasm")))]
pub(crate) use platform::park;
pub(crate) use platform::{
    Arc, Event, EventListener, UnsafeCell, atomic, notify_all, thread_local,
};

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

    /// For who has it to itself: takes no lock.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        lock::get_mut(&mut self.0)
    }

    /// As [`with`](Self::with), for the two sections that every call runs. A closure cannot be
    /// marked `inline(always)`, and one that is not inlined costs a third of a solo call.
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

/// For the platforms where speed does not count.
#[cfg(any(loom, shuttle, not(feature = "std")))]
fn enter<T, S: Section<T>>(raw: &lock::Raw<T>, section: S) -> S::Output {
    lock::with(raw, |value| section.run(value))
}

/// Whether this thread unwinds. Without `std` this cannot be found out, and the answer is no.
#[inline]
pub(crate) fn panicking() -> bool {
    #[cfg(feature = "std")]
    return std::thread::panicking();
    #[cfg(not(feature = "std"))]
    return false;
}

/// A count of handles is about to overflow: ends the process.
#[cold]
pub(crate) fn overflow() -> ! {
    #[cfg(feature = "std")]
    std::process::abort();
    #[cfg(not(feature = "std"))]
    {
        // A panic while another one unwinds ends the process, and so does one that cannot unwind.
        struct Again;
        impl Drop for Again {
            fn drop(&mut self) {
                panic!("too many handles");
            }
        }
        let _again = Again;
        panic!("too many handles");
    }
}

/// What a panic carries. Without `std` no panic can be caught, so there is never one.
pub(crate) type Payload = alloc::boxed::Box<dyn core::any::Any + Send>;

/// Runs `f` and catches its panic, where the platform can do that.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    #[cfg(feature = "std")]
    return std::panic::catch_unwind(core::panic::AssertUnwindSafe(f));
    #[cfg(not(feature = "std"))]
    return Ok(f());
}

/// Continues a panic that was caught.
#[cold]
pub(crate) fn resume(payload: Payload) -> ! {
    #[cfg(feature = "std")]
    std::panic::resume_unwind(payload);
    #[cfg(not(feature = "std"))]
    {
        drop(payload);
        unreachable!("no panic is caught")
    }
}

/// A number that nobody can foresee. Without `std` it is 0, and so it is under a model checker,
/// where no run may differ from another.
pub(crate) fn random() -> u64 {
    #[cfg(all(feature = "std", not(any(loom, shuttle))))]
    return std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), ());
    #[cfg(not(all(feature = "std", not(any(loom, shuttle)))))]
    return 0;
}

/// Of a hasher. It is fixed under a model checker, for the same reason.
#[cfg(not(any(loom, shuttle)))]
pub(crate) type Seed = foldhash::fast::RandomState;
#[cfg(any(loom, shuttle))]
pub(crate) type Seed = foldhash::fast::FixedState;
