//! **async-std is discontinued upstream (RUSTSEC-2025-0052; state of 2026-11-23).** This adapter is
//! a leaf: nothing else depends on it, and it serves services that have not moved yet. For new work
//! take `oneflight-smol`.
//!
//! oneflight on async-std: operations that outlive their callers, and waiting with a timeout.
//!
//! | file | what it holds |
//! |---|---|
//! | `runtime` | [`AsyncStd`]: the executor, as the core sees it |
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
pub use runtime::{AsyncStd, Sleep};
