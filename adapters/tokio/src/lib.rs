//! oneflight on tokio: operations that outlive their callers, and waiting with a timeout.
//!
//! | file | what it holds |
//! |---|---|
//! | `runtime` | [`Tokio`]: the executor, as the core sees it; [`TokioClock`]: its time |
//! | `ext` | [`GroupExt`], [`EntryExt`] and [`HandleExt`]: the calls that need one |
//!
//! Every adapter has the same files and the same names. Waiting needs no adapter: a
//! [`Waiter`](oneflight_core::Waiter) is an ordinary future, and any executor can poll it. You can
//! use several adapters in one program.
//!
//! # Which runtime
//!
//! The calls of [`GroupExt`], [`EntryExt`] and [`HandleExt`] use the tokio runtime of the thread
//! that makes the call, like `tokio::spawn`. They panic outside of a runtime. To use another
//! runtime, or to call from a thread outside of every runtime, use
//! [`spawn_on`](oneflight_core::Entry::spawn_on) with `Tokio::from(handle)`.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ext;
mod runtime;

pub use ext::{EntryExt, GroupExt, HandleExt};
pub use runtime::{InContext, Tokio, TokioClock};
