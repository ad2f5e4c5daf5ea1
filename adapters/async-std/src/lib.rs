//! **async-std is discontinued upstream (RUSTSEC-2025-0052; state of 2026-11-23).** This adapter is
//! for services that have not moved yet. No other crate depends on it. For new work use
//! `oneflight-smol`.
//!
//! oneflight on async-std: operations that outlive their callers, and waiting with a timeout.
//!
//! | file | what it holds |
//! |---|---|
//! | `runtime` | [`AsyncStd`]: the executor, as the core sees it |
//! | `ext` | [`GroupExt`], [`EntryExt`] and [`HandleExt`]: the calls that need one |
//!
//! Every adapter has the same files and the same names. Waiting needs no adapter: a
//! [`Waiter`](oneflight_core::Waiter) is an ordinary future, and any executor can poll it. You can
//! use several adapters in one program.
//!
//! # Which runtime
//!
//! The calls of [`GroupExt`] and [`EntryExt`] use async-std's global executor and its blocking
//! pool, on any calling thread.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ext;
mod runtime;

pub use ext::{EntryExt, GroupExt, HandleExt};
pub use runtime::{AsyncStd, Sleep};
