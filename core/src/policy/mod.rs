//! What becomes of an operation whose caller is lost.
//!
//! | file | policy | a lost caller means |
//! |---|---|---|
//! | `work` | *Continue* | another participant continues the same operation |
//! | `try_work` | *Rerun* | another participant runs its own operation, also after a failure |
//! | `spawn` | *Detach* | nothing: the operation is a task of a runtime |
//! | `spawn` | *WhileWanted* | nothing, unless it was the last: then the task drops the operation |
//! | `work_blocking` | a call on the caller's own thread | it unwinds, and the flight ends |
//!
//! `blocking` holds the threads that wait for these calls.
//!
//! `task` is what a runtime is given, and `spawned` is the caller that waits for it, or ends it.
//!
//! `participant` is what `work` and `try_work` have in common: a caller that can drive the flight.
//! `participate` is how it becomes one.

#[cfg(all(feature = "std", not(target_family = "wasm")))]
mod blocking;
mod participant;
mod participate;
mod spawn;
mod spawned;
mod task;
mod try_work;
mod work;
#[cfg(all(feature = "std", not(target_family = "wasm")))]
mod work_blocking;

pub use spawned::{AbortHandle, Spawned};
pub use try_work::TryWork;
pub use work::Work;
