//! What the operating system and the allocator say about this process.

use std::alloc::System;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// The system's allocator, counting.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are allocated now.
pub(crate) fn live_heap() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated)
}

/// Threads of this process now. `None` where the operating system does not tell.
pub(crate) fn threads() -> Option<usize> {
    num_threads::num_threads().map(NonZeroUsize::get)
}

/// The usual size of a pool for blocking calls: `min(32, cores + 4)`.
pub(crate) fn pool_size() -> usize {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    (cores + 4).min(32)
}
