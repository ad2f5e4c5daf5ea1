//! An allocator that counts what lives.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use embedded_alloc::LlffHeap;

use crate::check::{decrement, increment};

const SIZE: usize = 512 * 1024;

struct Counting;

static HEAP: LlffHeap = LlffHeap::empty();
static BLOCKS: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

/// Gives the heap its memory. Called once, before anything else.
pub(crate) fn init() {
    // SAFETY: called once, by `run`, before anything is allocated.
    unsafe {
        embedded_alloc::init!(HEAP, SIZE);
    }
}

/// Blocks that are allocated and not freed.
pub(crate) fn blocks() -> usize {
    BLOCKS.load(Relaxed)
}

pub(crate) fn bytes() -> usize {
    HEAP.used()
}

// SAFETY: every call is passed on as it is; what is counted has no part in the answer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        increment(&BLOCKS);
        // SAFETY: the caller's promise, passed on.
        unsafe { GlobalAlloc::alloc(&HEAP, layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        decrement(&BLOCKS);
        // SAFETY: the caller's promise, passed on: `block` came from `alloc` above, and so from `HEAP`.
        unsafe { GlobalAlloc::dealloc(&HEAP, block, layout) }
    }
}
