//! Runs one execution for each key. Duplicate calls wait without blocking a thread and get the same
//! outcome.
//!
//! The [`guide`] says which policy is for which operation. Applications depend on this crate. It
//! only re-exports [`oneflight_core`] and, each behind a feature, the adapters. The features can be
//! combined.
//!
//! | use case | take | feature |
//! |---|---|---|
//! | your own control flow, a `!Send` operation, a blocking call | [`Group::begin`] | none |
//! | an `async` operation that any caller can continue | [`Group::work`] | none |
//! | an operation that is harmless to run again | [`Group::work_rerun`] | none |
//! | a late retry gets the same outcome | [`GroupBuilder::retain_for`] | none |
//! | the same key with another payload is rejected | [`Entry::fingerprint`] | none |
//! | limits, and primaries that hang | [`GroupBuilder`] | none |
//! | one invocation at a time | [`gate::Gate`] | none |
//! | stopping | [`Group::close`], [`Group::drained`], [`Group::abort_all`] | none |
//! | a cancel or a heartbeat, by key | [`Group::abort`], [`Group::touch`] | none |
//! | `?` on an outcome that is a `Result` | [`Settled::into_result`] | none |
//! | an outcome as JSON | [`Settled`] is serialized as its value | `serde` |
//! | looking in | [`Group::stats`]; spans and counters | `tracing`, `metrics` |
//! | an operation that must run to its end, on tokio | [`rt::tokio::GroupExt::spawn`] | `tokio` |
//! | a blocking call on tokio's pool | [`rt::tokio::GroupExt::spawn_blocking`] | `tokio` |
//! | an operation that needs tokio, elsewhere | [`rt::tokio::Tokio::in_context`] | `tokio` |
//! | the same on smol | [`rt::smol::GroupExt`] | `smol` |
//! | the same on async-std (discontinued upstream) | [`rt::async_std::GroupExt`] | `async-std` |
//! | waiting with a timeout, in a task | `HandleExt::wait_timeout` | the adapter's |
//! | a blocking call on a thread of your own | [`Group::work_blocking`] | `std` (default) |
//! | waiting on a thread of your own | [`Waiter::wait_blocking`] | `std` (default) |
//! | one value to wait for, no key | [`SettleCell`] | none |
//! | an executor of your own | [`rt`], [`Entry::spawn_on`] | none |
//! | firmware | default features off, `critical-section` | `critical-section`, `portable-atomic` |
//!
//! ```
//! use oneflight::Group;
//! use oneflight::rt::tokio::GroupExt;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let group: Group<String, Result<u64, String>> = Group::new();
//! let charge = group.spawn("charge:42".to_string(), || async { Ok(1999) });
//! let retry = group.spawn("charge:42".to_string(), || async { unreachable!("never made") });
//! assert_eq!(*charge.await.unwrap(), Ok(1999));
//! assert_eq!(*retry.await.unwrap(), Ok(1999));
//! # });
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(inline)]
pub use oneflight_core::*;

pub mod guide;

/// What runs operations apart from their callers. Each adapter is a module of its own, behind the
/// feature of its name.
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
