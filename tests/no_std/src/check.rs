//! What is checked, counted.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::platform::{say, section};

static RAN: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// There is one thread, and a machine without compare-and-swap can still do this.
pub(crate) fn increment(counter: &AtomicUsize) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

pub(crate) fn decrement(counter: &AtomicUsize) {
    counter.store(counter.load(Relaxed) - 1, Relaxed);
}

/// A check: `what` must hold.
pub(crate) fn that(what: &str, holds: bool) {
    increment(&RAN);
    if !holds {
        increment(&FAILED);
        say(format_args!("no_std: FAILED: {what}"));
    }
}

/// Called by everything that is the user's: no lock is held there.
pub(crate) fn user_code() {
    increment(&CALLS);
    if section::depth() != 0 {
        increment(&FAILED);
        say(format_args!(
            "no_std: FAILED: the user's code was called in a critical section"
        ));
    }
}

/// How often the user's code was called.
pub(crate) fn calls() -> usize {
    CALLS.load(Relaxed)
}

/// Says how many checks ran. True if none failed.
pub(crate) fn finish() -> bool {
    let failed = FAILED.load(Relaxed);
    if failed == 0 {
        say(format_args!("no_std: {} checks held", RAN.load(Relaxed)));
    }
    failed == 0
}
