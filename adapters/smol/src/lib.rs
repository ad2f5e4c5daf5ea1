//! oneflight on smol: operations that outlive their callers, and waiting with a timeout.
//!
//! | file | what it holds |
//! |---|---|
//! | `runtime` | [`Smol`]: the executor, as the core sees it |
//! | `ext` | [`GroupExt`], [`EntryExt`] and [`HandleExt`]: the calls that need one |
//!
//! Every adapter has the same files and the same names: learn one, know all. Waiting needs no
//! adapter: a [`Waiter`](oneflight_core::Waiter) is an ordinary future and resumes on whatever
//! executor polls it. You can use several adapters in one program.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ext;
mod runtime;

pub use ext::{EntryExt, GroupExt, HandleExt};
pub use runtime::{Sleep, Smol};
