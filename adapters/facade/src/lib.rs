//! Runs one execution for each key. Duplicate calls wait without blocking a thread and get the same
//! outcome.
//!
//! The [`guide`] has a page for each question. Start with [which call](guide::which_call). This
//! crate only re-exports [`oneflight_core`] and, each behind a feature, the adapters for tokio,
//! smol and async-std. The features can be combined.
//!
//! ```
//! use oneflight::Group;
//! use oneflight::rt::tokio::GroupExt;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let group: Group<String, Result<u64, String>> = Group::new();
//! // It runs to its end, also if the client hangs up. A retry joins it.
//! let charge = group.spawn("charge:42".to_string(), || async { Ok(1999) });
//! let retry = group.spawn("charge:42".to_string(), || async { unreachable!("never made") });
//! assert_eq!(*charge.await.unwrap(), Ok(1999));
//! assert_eq!(*retry.await.unwrap(), Ok(1999));
//! # });
//! ```
//!
//! | if the caller goes away | call | feature |
//! |---|---|---|
//! | the operation runs to its end | [`spawn`], [`spawn_blocking`] | an adapter's |
//! | it stops when no caller wants it | [`spawn_while_wanted`] | an adapter's |
//! | another caller continues it | [`Group::work`] | none |
//! | another caller runs its own | [`Group::try_work`] | none |
//! | waiters get an error | [`Group::begin`] | none |
//! | it is a thread, and can't | [`work_blocking`](Group#method.work_blocking) | `std` (default) |
//!
//! | for | take | feature |
//! |---|---|---|
//! | a late retry that gets the same outcome | [`GroupBuilder::retain_ok_for`] | none |
//! | the same key with another payload | [`Entry::fingerprint`] | none |
//! | limits, and operations that hang | [`GroupBuilder`] | none |
//! | one request at a time | [`gate::Gate`] | none |
//! | stopping a service | [`Group::close`], [`Group::drained`], [`Group::abort_all`] | none |
//! | a cancel or a heartbeat, by key | [`Group::abort`], [`Group::touch`] | none |
//! | `?` on an outcome that is a `Result` | [`Settled::into_result`] | none |
//! | an outcome as JSON | [`Settled`] is serialized as its value | `serde` |
//! | [looking in](#looking-in) | [`Group::stats`]; spans and metrics | `tracing`, `metrics` |
//! | an operation that needs tokio, elsewhere | `rt::tokio::Tokio::in_context` | `tokio` |
//! | waiting with a timeout, in a task | `HandleExt::wait_timeout` | an adapter's |
//! | waiting on a thread | [`wait_blocking`](Waiter#method.wait_blocking) | `std` (default) |
//! | one value to wait for, without a key | [`SettleCell`] | none |
//! | an executor of your own | [`rt`], [`Entry::spawn_on`] | none |
//! | firmware | default features off | `critical-section`, `portable-atomic` |
//!
//! # Looking in
//!
//! [`Group::stats`] returns the figures of a group. It needs no feature, and `{}` prints each
//! figure with its name. With `tracing` and `metrics` the group also reports while it works. Spans
//! and events have the level `DEBUG` and the target `oneflight`: to see them in a log of the level
//! `INFO`, set `RUST_LOG=info,oneflight=debug`. The names:
//!
//! | name | kind | labels or fields | what |
//! |---|---|---|---|
//! | `flight` | span | `id`, `group`, `key` | a flight, from begin to end; `key` by [`show_keys`] |
//! | `joined` | event | `flight`, `group`, `replayed` | a call joined; in the span of that call |
//! | `settled` | event | `group` | in the span of the flight |
//! | `aborted` | event | `group`, `cause` | in the span of the flight |
//! | `rejected` | event | `group`, `why` | in the span of the call |
//! | `oneflight_begun_total` | counter | `group` | flights that began |
//! | `oneflight_joined_total` | counter | `group` | calls that joined a flight or got an outcome |
//! | `oneflight_replayed_total` | counter | `group` | those of them that came after the settle |
//! | `oneflight_settled_total` | counter | `group` | flights that settled |
//! | `oneflight_aborted_total` | counter | `group`, `cause` | flights that ended without a value |
//! | `oneflight_rejected_total` | counter | `group`, `why` | calls that were rejected |
//! | `oneflight_reruns_total` | counter | `group` | runs after the first one of a flight |
//! | `oneflight_given_up_total` | counter | `group` | outcomes that were given up early |
//! | `oneflight_flight_duration_seconds` | histogram | `group` | from begin to end |
//! | `oneflight_flight_duplicates` | histogram | `group` | duplicates that waited at the end |
//! | `oneflight_in_flight` | gauge | `group` | [`Stats::in_flight`], by your exporter |
//! | `oneflight_ending` | gauge | `group` | [`Stats::ending`], by your exporter |
//! | `oneflight_waiting` | gauge | `group` | [`Stats::waiting`], by your exporter |
//! | `oneflight_retained` | gauge | `group` | [`Stats::retained`], by your exporter |
//!
//! - `group` is the name that [`GroupBuilder::name`] sets. A group without a name reports without
//!   it.
//! - `cause` is a [`Cause`](error::Cause) and `why` a [`Rejected`](error::Rejected). In metrics
//!   they are written in small letters: `aborted_all`, `too_many_waiters`.
//! - The counters count what [`Stats`] counts under the same name, with one exception.
//!   [`Rejected::Reentrant`](error::Rejected::Reentrant) is counted in
//!   `oneflight_rejected_total` only.
//! - Runs, durations and duplicates are counted when the flight ends, however it ends.
//! - The end of a flight is reported after its waiters are woken. So a waiter that has its outcome
//!   might not find it in the metrics yet. In a test, read [`Group::stats`], which has it.
//! - The duration is real time, measured with `std::time::Instant` also in a group with a
//!   [`clock`](GroupBuilder::clock) of its own. It includes the time in which the flight was queued
//!   at a gate, and not the time it takes to wake its waiters. `wasm32-unknown-unknown` has no such
//!   clock, so it has no such histogram.
//! - Metrics go to the recorder that is current in the call that counts them, also if it is
//!   installed after the group was built. Their descriptions go to the recorder that is current
//!   when the group is built.
//! - No subscriber or recorder is called under a lock. If one panics, the panic propagates from the
//!   call that reports, after the flight is in a consistent state.
//!
//! A level (a gauge in the table) is not counted while calls run. Read it from [`Group::stats`],
//! for example every ten seconds, in a task or a thread of your own:
//!
//! ```
//! use metrics::gauge;
//! use oneflight::{Group, Stats};
//!
//! fn export(group: &'static str, stats: &Stats) {
//!     gauge!("oneflight_in_flight", "group" => group).set(stats.in_flight as f64);
//!     gauge!("oneflight_ending", "group" => group).set(stats.ending as f64);
//!     gauge!("oneflight_waiting", "group" => group).set(stats.waiting as f64);
//!     gauge!("oneflight_retained", "group" => group).set(stats.retained as f64);
//! }
//!
//! let charges: Group<String, u64> = Group::builder().name("charges").build();
//! let _flight = charges.begin("card-7".to_string());
//! # let mut ticks = 0..2;
//! # let mut tick = || ticks.next().is_some();
//! while tick() {
//!     export("charges", &charges.stats());
//!     println!("{}", charges.stats());
//! }
//! ```
//!
//! [`show_keys`]: GroupBuilder::show_keys
//! [`spawn`]: Entry::spawn_on
//! [`spawn_blocking`]: Entry::spawn_blocking_on
//! [`spawn_while_wanted`]: Entry::spawn_while_wanted_on

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(inline)]
pub use oneflight_core::*;

pub mod guide;

/// The traits for executors, and the adapters. Each adapter is a module behind the feature of its
/// name.
///
/// An executor of your own implements [`Spawn`](rt::Spawn), which has one method. The page of
/// [`oneflight_core::rt`] has the contract of these traits and an example.
pub mod rt {
    #[doc(inline)]
    pub use oneflight_core::rt::*;

    // Inline modules and not renamed crates, so that rustc's advice for a forgotten trait is a path
    // that compiles.

    /// Operations on async-std.
    #[cfg(feature = "async-std")]
    pub mod async_std {
        #[doc(inline)]
        pub use oneflight_async_std::*;
    }

    /// Operations on smol.
    #[cfg(feature = "smol")]
    pub mod smol {
        #[doc(inline)]
        pub use oneflight_smol::*;
    }

    /// Operations on tokio.
    #[cfg(feature = "tokio")]
    pub mod tokio {
        #[doc(inline)]
        pub use oneflight_tokio::*;
    }
}

/// The README's examples are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
