//! oneflight on smol: operations that outlive their callers, and waiting for a while.
//!
//! | file | what it holds |
//! |---|---|
//! | `runtime` | [`Smol`]: the executor, as the core sees it |
//! | `ext` | [`GroupExt`] and [`WaiterExt`]: the calls that need one |
//!
//! Every adapter has the same files and the same names: learn one, know all. Waiting needs no
//! adapter: a [`Waiter`](oneflight_core::Waiter) is an ordinary future and resumes on whatever
//! executor polls it. Adapters add, they never exclude one another; nothing here guesses a "current
//! runtime" that it was not told of.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ext;
mod runtime;

pub use ext::{GroupExt, WaiterExt};
pub use runtime::{Sleep, Smol};
