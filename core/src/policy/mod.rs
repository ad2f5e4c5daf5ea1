//! What becomes of an operation whose caller is lost.
//!
//! | file | policy | a lost caller means |
//! |---|---|---|
//! | `work` | *Continue* | another participant continues the same operation |
//! | `try_work` | *Rerun* | another participant runs its own operation, also after a failure |
//! | `spawn` | *Detach* | nothing: the operation is a task of a runtime |
//! | `work_blocking` | a call on the caller's own thread | it unwinds, and the flight ends |
//!
//! `blocking` holds the threads that wait for these calls.
//!
//! `in_turn` is what waits for its turn at a gate, on a runtime.
//!
//! `participant` is what `work` and `try_work` have in common: a caller that can drive the flight.

#[cfg(all(feature = "std", not(target_family = "wasm")))]
mod blocking;
mod in_turn;
mod participant;
mod spawn;
mod try_work;
mod work;
#[cfg(all(feature = "std", not(target_family = "wasm")))]
mod work_blocking;

pub use spawn::{AbortHandle, Spawned};
pub use try_work::TryWork;
pub use work::Work;
