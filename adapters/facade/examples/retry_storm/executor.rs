//! The executors that the storm runs on, each with its own adapter.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::io;
use std::time::Duration;

use clap::ValueEnum;
use futures_lite::future;
use oneflight::async_std::AsyncStd;
use oneflight::rt::Runtime;
use oneflight::smol::Smol;
use oneflight::tokio::Tokio;
use oneflight::{Detached, Group};
use serde::Serialize;

use crate::os;

/// What `--runtime` and the rows call an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Name {
    Tokio,
    TokioCurrent,
    Smol,
    AsyncStd,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tokio => "tokio",
            Self::TokioCurrent => "tokio-current",
            Self::Smol => "smol",
            Self::AsyncStd => "async-std",
        })
    }
}

/// An executor and its adapter.
pub(crate) trait Executor {
    /// What the adapter makes of it.
    type Runtime: Runtime<Sleep: 'static> + Clone + Send + Sync + 'static;

    fn runtime(&self) -> Self::Runtime;

    /// Drives `main` on the calling thread, and the executor's tasks wherever it runs them.
    fn block_on<F: Future>(&self, main: F) -> F::Output;

    /// The adapter's `GroupExt::spawn_blocking`, called in a task of this executor.
    fn spawn_blocking<K, T, F>(group: &Group<K, T>, key: K, call: F) -> Detached<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        F: FnOnce() -> T + Send + 'static;
}

/// Either flavour of tokio, with a blocking pool of the usual size.
pub(crate) struct OnTokio(tokio::runtime::Runtime);

impl OnTokio {
    pub(crate) fn multi_thread() -> io::Result<Self> {
        Self::build(tokio::runtime::Builder::new_multi_thread())
    }

    pub(crate) fn current_thread() -> io::Result<Self> {
        Self::build(tokio::runtime::Builder::new_current_thread())
    }

    fn build(mut builder: tokio::runtime::Builder) -> io::Result<Self> {
        builder
            .enable_time()
            .max_blocking_threads(os::pool_size())
            .build()
            .map(Self)
    }
}

impl Executor for OnTokio {
    type Runtime = Tokio;

    fn runtime(&self) -> Tokio {
        Tokio::from(self.0.handle().clone())
    }

    fn block_on<F: Future>(&self, main: F) -> F::Output {
        self.0.block_on(main)
    }

    fn spawn_blocking<K, T, F>(group: &Group<K, T>, key: K, call: F) -> Detached<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        oneflight::tokio::GroupExt::spawn_blocking(group, key, call)
    }
}

/// smol's global executor.
pub(crate) struct OnSmol;

impl Executor for OnSmol {
    type Runtime = Smol;

    fn runtime(&self) -> Smol {
        Smol
    }

    fn block_on<F: Future>(&self, main: F) -> F::Output {
        smol::block_on(main)
    }

    fn spawn_blocking<K, T, F>(group: &Group<K, T>, key: K, call: F) -> Detached<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        oneflight::smol::GroupExt::spawn_blocking(group, key, call)
    }
}

/// async-std's global executor.
pub(crate) struct OnAsyncStd;

impl Executor for OnAsyncStd {
    type Runtime = AsyncStd;

    fn runtime(&self) -> AsyncStd {
        AsyncStd
    }

    fn block_on<F: Future>(&self, main: F) -> F::Output {
        async_std::task::block_on(main)
    }

    fn spawn_blocking<K, T, F>(group: &Group<K, T>, key: K, call: F) -> Detached<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        oneflight::async_std::GroupExt::spawn_blocking(group, key, call)
    }
}

/// What `wanted` comes to, if it does so within `limit`: a fault shall be told, not waited for.
pub(crate) async fn in_time<R: Runtime, F: Future>(
    runtime: &R,
    limit: Duration,
    wanted: F,
) -> Option<F::Output> {
    let time_is_up = async {
        runtime.sleep(limit).await;
        None
    };
    future::or(async { Some(wanted.await) }, time_is_up).await
}
