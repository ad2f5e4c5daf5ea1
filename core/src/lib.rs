//! One execution for each key; every duplicate waits for it without a thread and gets the same
//! outcome.
//!
//! Clients retry. A duplicate of a request that is still running must not run again: it waits for
//! the first and gets the same outcome. Here a waiter is two words and a waker. It holds no thread,
//! is not polled while it waits, and costs nobody anything when it leaves. No runtime is needed,
//! and no `std`.
//!
//! - [`Group`] is the registry. [`Group::begin`] makes its caller the [`Primary`] or a [`Waiter`];
//!   [`Group::work`] runs an operation that any caller may carry on.
//! - [`SettleCell`] is the part that waits, on its own: one value, no key.
//! - [`rt`] is what an executor's adapter supplies, for operations that outlive their callers.
//!
//! Applications usually depend on the facade crate `oneflight`, which re-exports this one and the
//! adapters.
//!
//! ```
//! use oneflight_core::{Begin, Error, Group, Settled};
//!
//! type Charge = Result<u64, String>;
//!
//! type Receipt = Result<Settled<String, Charge>, Error>;
//!
//! /// One of the callers charges the card, and each gets the receipt.
//! async fn charge(group: &Group<String, Charge>, token: &str) -> Receipt {
//!     match group.entry_ref(token).begin() {
//!         Begin::Primary(primary) => primary.run(async { Ok(1999) }).await,
//!         Begin::Waiter(waiter) => waiter.await,
//!         Begin::Rejected(why) => Err(why.into()),
//!     }
//! }
//!
//! let group = Group::new();
//! # futures_lite::future::block_on(async {
//! let (first, retry) = (charge(&group, "42"), charge(&group, "42"));
//! let (first, retry) = futures_lite::future::zip(first, retry).await;
//! assert_eq!(*first.unwrap(), Ok(1999));
//! assert_eq!(*retry.unwrap(), Ok(1999));
//! # });
//! ```
//!
//! # What it is not
//!
//! No cache: when a flight has ended its key is free. No "exactly once": there is one successful
//! settle for a flight; an effect happens once only if the effect itself is idempotent or checks
//! the [`FlightId`].
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `std` | yes | blocking waits, `parking_lot` locks, panics of others' wakers isolated |
//! | `critical-section` | no | without `std`, locks are critical sections |
//! | `portable-atomic` | no | atomics for targets without compare-and-swap |
//! | `tracing` | no | a span for each flight, an event for each duplicate: see below |
//! | `serde` | no | an outcome is serialized as its value |
//! | `metrics` | no | counters `oneflight_{begun,joined,settled,aborted,rejected}_total` |
//! | `loom` | no | model checking, under `--cfg loom` only; exempt from semver |
//! | `shuttle` | no | random schedules, under `--cfg shuttle` only; exempt from semver |
//!
//! With `tracing`, the span of a flight is a root, so the span of its first caller can close while
//! the flight continues. It *follows from* that caller's span, and the span of each duplicate
//! follows from it. With `metrics`, `aborted` has the label `cause`, `rejected` the label `why`.
//!
//! Without `std` and without `critical-section` the locks spin. A task that is preempted while it
//! holds one (by a higher-priority task or an interrupt handler that wants the same lock) blocks
//! the other forever: on such targets enable `critical-section`. `event-listener`, which this
//! crate stands on, says the same of its own.
//!
//! A target without compare-and-swap (`thumbv6m-none-eabi`, say) needs `portable-atomic`, and the
//! final program must say how `portable-atomic` makes it there: by that crate's own feature
//! `critical-section`, say, with an implementation of critical sections. No 64-bit atomics are
//! needed anywhere. On wasm nothing blocks, so the blocking waits are not there; on
//! `wasm32-unknown-unknown` there is no clock either, so a group that retains or ages needs one.
//!
//! # The waker contract
//!
//! No waker is woken, cloned or dropped, and nothing else of yours is called, while a lock is held.
//! Wakers run in batches of at most 64 after the outcome is published. One that panics strands
//! nobody: the others are woken, then the panic goes on.

#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod cell;
pub mod clock;
pub mod error;
mod fingerprint;
mod flight;
pub mod gate;
mod group;
pub mod guide;
mod policy;
pub mod rt;
mod sync;
mod unwind;

pub use cell::SettleCell;
pub use equivalent::Equivalent;
pub use error::Error;
pub use fingerprint::Fingerprint;
pub use flight::{FlightId, Settled, Success};
pub use group::{Begin, Entry, Group, GroupBuilder, Primary, RandomState, Registry, Stats, Waiter};

/// The futures that calls return, and what comes with them. Their names are seldom typed.
pub mod handle {
    pub use crate::cell::Wait;
    pub use crate::group::{Drained, Run};
    pub use crate::policy::{AbortHandle, Budget, Rerun, Spawned, Work};
}
