//! Panics that are part of the schedule. They bypass the panic hook: a fuzzer's aborts the process.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

struct Planned;

/// Unwinds from here.
pub(crate) fn planned() -> ! {
    resume_unwind(Box::new(Planned))
}

/// What the call came to; `None` if a planned panic came out of it. Any other panic goes on.
pub(crate) fn caught<R>(call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<Planned>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// Drops it on the way out of a panic.
pub(crate) fn dropped_by_a_panic<D>(it: D) {
    let caught = caught(|| {
        let _it = it;
        planned();
    });
    assert!(caught.is_none(), "a panic was swallowed");
}
