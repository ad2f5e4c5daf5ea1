//! oneflight on smol: operations that outlive their callers, and waiting with a timeout.
//!
//! | file | what it holds |
//! |---|---|
//! | `runtime` | [`Smol`]: the executor, as the core sees it |
//! | `ext` | [`GroupExt`], [`EntryExt`] and [`HandleExt`]: the calls that need one |
//!
//! Every adapter has the same files and the same names. Waiting needs no adapter: a
//! [`Waiter`](oneflight_core::Waiter) is an ordinary future, and any executor can poll it. You can
//! use several adapters in one program.
//!
//! # Which runtime
//!
//! The calls of [`GroupExt`] and [`EntryExt`] use smol's global executor and its blocking pool, on
//! any calling thread. They don't use a `smol::Executor` or `smol::LocalExecutor` of your own. For
//! such an executor, implement [`Spawn`](oneflight_core::rt::Spawn) and use
//! [`spawn_on`](oneflight_core::Entry::spawn_on).

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ext;
mod runtime;

pub use ext::{EntryExt, GroupExt, HandleExt};
pub use runtime::{Sleep, Smol};
