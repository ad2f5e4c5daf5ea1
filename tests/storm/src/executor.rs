//! The executors that the storm runs on, as one type.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_lite::future;
use oneflight::rt::async_std::AsyncStd;
use oneflight::rt::smol::Smol;
use oneflight::rt::tokio::Tokio;
use oneflight::rt::{Spawn, SpawnBlocking, Timer};
use serde::Serialize;
use tokio::runtime::Builder;

use crate::os;

/// What `--runtime` and the rows call an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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

/// The executor of a run, through its adapter.
#[derive(Clone, Debug)]
pub enum Executor {
    /// Either flavour of tokio, with a blocking pool of the usual size.
    Tokio(Tokio),
    /// smol's global executor.
    Smol,
    /// async-std's global executor.
    AsyncStd,
}

impl Spawn for Executor {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        match self {
            Self::Tokio(tokio) => tokio.spawn(task),
            Self::Smol => Smol.spawn(task),
            Self::AsyncStd => AsyncStd.spawn(task),
        }
    }
}

impl SpawnBlocking for Executor {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        match self {
            Self::Tokio(tokio) => tokio.spawn_blocking(call),
            Self::Smol => Smol.spawn_blocking(call),
            Self::AsyncStd => AsyncStd.spawn_blocking(call),
        }
    }
}

impl Timer for Executor {
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        match self {
            Self::Tokio(tokio) => Box::pin(tokio.sleep(duration)),
            Self::Smol => Box::pin(Smol.sleep(duration)),
            Self::AsyncStd => Box::pin(AsyncStd.sleep(duration)),
        }
    }
}

impl Executor {
    /// What `wanted` comes to. `None` if it takes longer than `limit`: a fault is reported then.
    pub(crate) async fn in_time<F: Future>(&self, limit: Duration, wanted: F) -> Option<F::Output> {
        let time_is_up = async {
            self.sleep(limit).await; // about time
            None
        };
        future::or(async { Some(wanted.await) }, time_is_up).await
    }
}

/// Drives `job` on the calling thread, and the executor's tasks on whatever threads it has.
pub(crate) fn run<F: Future>(name: Name, job: impl FnOnce(Executor) -> F) -> io::Result<F::Output> {
    let mut tokio = match name {
        Name::Tokio => Builder::new_multi_thread(),
        Name::TokioCurrent => Builder::new_current_thread(),
        Name::Smol => return Ok(smol::block_on(job(Executor::Smol))),
        Name::AsyncStd => return Ok(async_std::task::block_on(job(Executor::AsyncStd))),
    };
    let tokio = tokio
        .enable_time()
        .max_blocking_threads(os::pool_size())
        .build()?;
    let adapter = Tokio::from(tokio.handle().clone());
    Ok(tokio.block_on(job(Executor::Tokio(adapter))))
}
