//! Code of the user's that attacks: it panics, comes back into the group, or never lets go,
//! wherever the core runs it.
//!
//! `wakers` and `users` are two tables, in which every attack is made in every place. What takes
//! two attackers at once, or a second thread, stands beside them as a test of its own.
//! `.ci/tests.sh hostile` runs all of it on each build of the core: with `std`, on critical sections, on
//! spin locks, on portable atomics.
#![cfg(not(any(loom, shuttle)))]
#![forbid(unsafe_code)]

#[path = "../support/fine.rs"]
mod fine;
mod limit;
mod operation_wakers;
#[path = "../support/outcome.rs"]
mod outcome;
mod run;
mod users;
mod wakers;
