//! What becomes of an operation whose caller is lost.
//!
//! | file | policy | a lost caller means |
//! |---|---|---|
//! | `work` | *Continue* | another participant continues the same operation |
//! | `rerun` | *Rerun* | another participant runs its own operation |
//! | `spawn` | *Detach* | nothing: the operation is a task of a runtime |
//! | `work_blocking` | a call on the caller's own thread | it unwinds, and the flight ends |
//!
//! `blocking` holds the threads that wait for these calls.
//!
//! `in_turn` is what waits for its turn at a gate, on a runtime.
//!
//! `participant` is what `work` and `rerun` have in common: a caller that can drive the flight.

#[cfg(all(feature = "std", not(target_family = "wasm")))]
mod blocking;
mod in_turn;
mod participant;
mod rerun;
mod spawn;
mod work;
#[cfg(all(feature = "std", not(target_family = "wasm")))]
mod work_blocking;

pub use rerun::{Budget, Rerun};
pub use spawn::{AbortHandle, Spawned};
pub use work::Work;
