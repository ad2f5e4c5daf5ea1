//! The allocator of the harness: the system's own, which counts only while it is asked to.
//!
//! A counter costs an atomic update for each allocation, more than a tenth of the shortest row. So it is off in every timed
//! pass; what is left of it there is one load of a flag that never changes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats};

static COUNTING: AtomicBool = AtomicBool::new(false);

/// Make it the `#[global_allocator]`.
#[derive(Debug)]
pub struct Counted;

// SAFETY: every call is passed on unchanged, and both allocators it may go to are the system's: what one has allocated the
// other may free.
unsafe impl GlobalAlloc for Counted {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those of the callee.
        unsafe {
            if COUNTING.load(Ordering::Relaxed) {
                INSTRUMENTED_SYSTEM.alloc(layout)
            } else {
                System.alloc(layout)
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those of the callee.
        unsafe {
            if COUNTING.load(Ordering::Relaxed) {
                INSTRUMENTED_SYSTEM.dealloc(ptr, layout);
            } else {
                System.dealloc(ptr, layout);
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are those of the callee.
        unsafe {
            if COUNTING.load(Ordering::Relaxed) {
                INSTRUMENTED_SYSTEM.realloc(ptr, layout, size)
            } else {
                System.realloc(ptr, layout, size)
            }
        }
    }
}

/// Counts on every thread from here on, until [`stop`].
pub fn start() -> Region<'static, System> {
    COUNTING.store(true, Ordering::SeqCst);
    Region::new(&INSTRUMENTED_SYSTEM)
}

/// What was allocated since `start`.
pub fn stop(region: &Region<'static, System>) -> Stats {
    let stats = region.change();
    COUNTING.store(false, Ordering::SeqCst);
    stats
}

/// What `part` allocated.
pub fn count<R>(part: impl FnOnce() -> R) -> (R, Stats) {
    let region = start();
    let result = part();
    (result, stop(&region))
}

/// Bytes that were allocated and not freed again; what a reallocation adds or takes is in both figures already.
#[must_use]
pub fn live(stats: &Stats) -> f64 {
    stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
}
