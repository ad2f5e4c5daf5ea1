//! One value without a key: [`SettleCell`], which is settled once, and what tells those who wait
//! for it.
//!
//! | file | its job |
//! |---|---|
//! | `settle_cell` | the value; the only file with `unsafe` |
//! | `state` | the states of a cell, as one atomic word |
//! | `waiting_room` | the tasks that wait for one cell, and a pool of rooms that are used again |
//! | `slab`, `wake` | wakers in compact memory; firing them in batches, under no lock |
//! | `blocking` | threads that park until the cell has ended |

#[cfg(all(feature = "std", not(target_family = "wasm")))]
mod blocking;
#[allow(unsafe_code, reason = "the one file that argues for it")]
mod settle_cell;
mod slab;
mod state;
mod waiting_room;
mod wake;

pub use settle_cell::{SettleCell, Wait};

pub(crate) use settle_cell::arc;
pub(crate) use slab::{Place, Slab};
pub(crate) use state::{Join, Snapshot};
pub(crate) use wake::{TakenWaker, fire, fire_one};
