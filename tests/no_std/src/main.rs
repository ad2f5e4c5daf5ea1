//! The core without `std`, run: everything a flight can do, on an executor of ten lines, with an allocator that counts.
//!
//! One thread and no interrupts. So a lock that is taken while it is held does not wait: it hangs as a spin lock, and is
//! seen as a critical section, whose depth is looked at each time that anything of the user's is called.

#![no_std]
#![no_main]

extern crate alloc;

mod cases;
mod check;
mod executor;
mod heap;
mod platform;
mod user;

/// Runs everything. True if all of it held.
fn run() -> bool {
    heap::init();
    cases::all();
    if cfg!(feature = "planted") {
        core::mem::forget(alloc::boxed::Box::new(0_u8));
    }
    check::that("no block is left", heap::blocks() == 0);
    check::that("no byte is left", heap::bytes() == 0);
    check::that("no waker is left", executor::wakers() == 0);
    check::that("the user's code was called", check::calls() > 1000);
    check::finish()
}
