//! The critical sections of a machine with one thread and no interrupts: nothing to switch off, only to count.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::check::{decrement, increment};

static DEPTH: AtomicUsize = AtomicUsize::new(0);

/// How many critical sections are open.
pub(crate) fn depth() -> usize {
    DEPTH.load(Relaxed)
}

struct Counted;
critical_section::set_impl!(Counted);

// SAFETY: nothing runs beside this program's one thread (no second thread, no interrupt handler), so it is alone in every
// section, and whatever it does is ordered by itself.
unsafe impl critical_section::Impl for Counted {
    unsafe fn acquire() {
        increment(&DEPTH);
    }

    unsafe fn release((): ()) {
        decrement(&DEPTH);
    }
}
