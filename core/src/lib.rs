//! Runs one execution for each key. Duplicate calls wait without blocking a thread and get the same
//! outcome.
//!
//! Clients retry. A retry of a request that is still running must not run again. It should wait for
//! the first request and get the same outcome. A waiting duplicate uses little memory: two words
//! and a waker. It holds no thread and is not polled while it waits. Dropping it has no effect on
//! other waiters. The core needs no runtime, and no `std`.
//!
//! - [`Group`] is the registry, with a table of [all calls](Group#choosing-a-call). An operation
//!   can run as a task ([`spawn_on`](Entry::spawn_on)), in its callers ([`work`](Group::work)), or
//!   in your own control flow between [`begin`](Group::begin) and [`settle`](Primary::settle).
//! - [`Gate`](gate::Gate) lets one request in at a time.
//! - [`SettleCell`] is one value to wait for, without a key.
//! - [`rt`] has the traits that the adapter of an executor implements.
//!
//! Applications usually depend on the crate `oneflight`, which re-exports this one and the adapters
//! for tokio, smol and async-std. Its documentation has a guide: <https://docs.rs/oneflight>.
//!
//! ```
//! use oneflight_core::{Begin, Error, Group, Settled};
//!
//! /// One of the callers loads the row, and each gets it.
//! async fn load(group: &Group<u64, String>, id: u64) -> Result<Settled<u64, String>, Error> {
//!     match group.begin(id) {
//!         Begin::Primary(primary) => primary.run(async { format!("row {id}") }).await,
//!         Begin::Waiter(waiter) => waiter.await,
//!         Begin::Rejected(why) => Err(why.into()),
//!     }
//! }
//!
//! let group = Group::new();
//! # futures_lite::future::block_on(async {
//! let (first, second) = futures_lite::future::zip(load(&group, 7), load(&group, 7)).await;
//! assert_eq!(*first.unwrap(), "row 7");
//! assert_eq!(*second.unwrap(), "row 7");
//! # });
//! ```
//!
//! # What it is not
//!
//! It is not a cache. When a flight has ended, its key is free, unless you have set a time for
//! which outcomes are retained. It does not promise "exactly once". A flight has one successful
//! settle, but an effect happens once only if the effect itself is idempotent or checks a token.
//!
//! # Features
//!
//! | feature | default | what it does |
//! |---|---|---|
//! | `std` | yes | blocking waits, `parking_lot`, a clock, isolated panics, [re-entry] detected |
//! | `critical-section` | no | without `std`, locks are critical sections |
//! | `portable-atomic` | no | atomics for targets without compare-and-swap |
//! | `tracing` | no | a span for each flight, an event for each duplicate: see below |
//! | `serde` | no | an outcome is serialized as its value |
//! | `metrics` | no | counters and histograms, each with the group's name: see below |
//! | `loom` | no | model checking, under `--cfg loom` only; exempt from semver |
//! | `shuttle` | no | random schedules, under `--cfg shuttle` only; exempt from semver |
//!
//! [re-entry]: crate::error::Rejected::Reentrant
//!
//! With `tracing`, the span of a flight is a root, so the span of its first caller can close while
//! the flight continues. It *follows from* that caller's span, and the span of each duplicate
//! follows from it.
//!
//! With `metrics`, each count goes to the recorder that is current in the call that counts. Read a
//! level, for example the number of flights in progress, from [`Group::stats`]. The names of all
//! spans, events and metrics are in one table, in the section "Looking in" of the documentation of
//! `oneflight`.
//!
//! Without `std` and without `critical-section` the locks spin. If a task is preempted while it
//! holds such a lock, a higher-priority task or an interrupt handler that needs the same lock spins
//! forever. On such targets enable `critical-section`. The final program must then bring an
//! implementation of critical sections, as the crate `critical-section` describes. The crate
//! `event-listener`, which this crate uses, has the same limitation.
//!
//! A target without compare-and-swap, for example `thumbv6m-none-eabi`, needs `portable-atomic`.
//! The final program must choose how `portable-atomic` provides it there, for example with the
//! feature `critical-section` of that crate and an implementation of critical sections. No 64-bit
//! atomics are needed.
//!
//! A wasm thread cannot block, so the blocking waits do not exist on wasm. `wasm32-unknown-unknown`
//! has no clock either, so a group that retains outcomes or has
//! [`supersede_after`](GroupBuilder::supersede_after) needs one from [`GroupBuilder::clock`].
//!
//! # The waker contract
//!
//! While a lock is held, no waker is woken, cloned or dropped, and no other code of yours is
//! called. Wakers run in batches of at most 64 after the outcome is published. If one of them
//! panics, the other waiters are woken first, and then the panic propagates.

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

/// The futures that calls return, and their handles. You seldom have to name these types.
pub mod handle {
    pub use crate::cell::Wait;
    pub use crate::group::{Drained, Run};
    pub use crate::policy::{AbortHandle, Spawned, TryWork, Work};
}

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
