//! tokio, driven in its three ways.

use std::future::Future;

use oneflight::rt::tokio::Tokio;
use tokio::runtime::{Builder, Handle};
use tokio::task::LocalSet;

use super::through_adapter;
use crate::runtime::{LocalRuntime, TestRuntime};

/// Two workers, and two threads for blocking calls: whatever parks a thread for a waiter is soon out of threads.
#[derive(Clone, Debug)]
pub struct TokioMulti(Handle);

impl TestRuntime for TokioMulti {
    type Adapter = Tokio;
    const NAME: &'static str = "tokio_multi";

    fn run<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F) {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(2)
            .enable_time()
            .build()
            .expect("a runtime can be built");
        runtime.block_on(case(Self(runtime.handle().clone())));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    fn adapter(&self) -> Tokio {
        Tokio::from(self.0.clone())
    }

    through_adapter!(tokio, Tokio);
}

/// Everything on the thread of the case.
#[derive(Clone, Debug)]
pub struct TokioCurrent(Handle);

impl TestRuntime for TokioCurrent {
    type Adapter = Tokio;
    const NAME: &'static str = "tokio_current";

    fn run<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F) {
        let runtime = current_thread();
        runtime.block_on(case(Self(runtime.handle().clone())));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    fn adapter(&self) -> Tokio {
        Tokio::from(self.0.clone())
    }

    through_adapter!(tokio, Tokio);
}

/// Tasks in a `LocalSet`, which need not be `Send`.
#[derive(Clone, Debug)]
pub struct TokioLocal(Handle);

impl TestRuntime for TokioLocal {
    type Adapter = Tokio;
    const NAME: &'static str = "tokio_local";

    fn run<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F) {
        let runtime = current_thread();
        LocalSet::new().block_on(&runtime, case(Self(runtime.handle().clone())));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_local(task);
    }

    fn adapter(&self) -> Tokio {
        Tokio::from(self.0.clone())
    }

    through_adapter!(tokio, Tokio);
}

impl LocalRuntime for TokioLocal {
    fn spawn_local(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(task);
    }
}

fn current_thread() -> tokio::runtime::Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be built")
}
