//! The executors that resume the waiters, behind one trait.

use std::future::Future;

use futures_lite::future::block_on;
use tokio::runtime::{Builder, Runtime};

/// An executor: starts tasks, and runs a future to its end on a thread of its own.
pub trait Executor: 'static {
    /// In the rows' `key`.
    const NAME: &'static str;

    /// Whether tasks run beside the one that starts them.
    const PARALLEL: bool = false;

    /// Whether it is tokio, which some contenders need.
    const TOKIO: bool = true;

    /// How a task starts others.
    type Spawner: Spawner;

    /// A fresh one.
    fn new() -> Self;

    /// For use inside of `run`.
    fn spawner(&self) -> Self::Spawner;

    /// Runs `main` where its wakes are local ones.
    fn run<T: Send + 'static>(&self, main: impl Future<Output = T> + Send + 'static) -> T;
}

/// Starts tasks that nobody waits for.
pub trait Spawner: Copy + Send + Sync + 'static {
    /// Starts one.
    fn spawn(self, task: impl Future<Output = ()> + Send + 'static);
}

/// `tokio::spawn`.
#[derive(Clone, Copy)]
pub struct TokioSpawn;

impl Spawner for TokioSpawn {
    #[inline]
    fn spawn(self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }
}

/// tokio on the calling thread.
pub struct TokioCurrent(Runtime);

impl Executor for TokioCurrent {
    const NAME: &'static str = "tokio-current";
    type Spawner = TokioSpawn;

    fn new() -> Self {
        Self(Builder::new_current_thread().build().expect("a runtime"))
    }

    fn spawner(&self) -> TokioSpawn {
        TokioSpawn
    }

    fn run<T: Send + 'static>(&self, main: impl Future<Output = T> + Send + 'static) -> T {
        self.0.block_on(main)
    }
}

/// tokio on two workers.
pub struct TokioTwo(Runtime);

impl Executor for TokioTwo {
    const NAME: &'static str = "tokio-2";
    const PARALLEL: bool = true;
    type Spawner = TokioSpawn;

    fn new() -> Self {
        let mut builder = Builder::new_multi_thread();
        Self(builder.worker_threads(2).build().expect("a runtime"))
    }

    fn spawner(&self) -> TokioSpawn {
        TokioSpawn
    }

    fn run<T: Send + 'static>(&self, main: impl Future<Output = T> + Send + 'static) -> T {
        self.0
            .block_on(self.0.spawn(main))
            .expect("it does not panic")
    }
}

/// smol's executor, run by one thread.
pub struct Smol(&'static async_executor::Executor<'static>);

impl Spawner for &'static async_executor::Executor<'static> {
    #[inline]
    fn spawn(self, task: impl Future<Output = ()> + Send + 'static) {
        async_executor::Executor::spawn(self, task).detach();
    }
}

impl Executor for Smol {
    const NAME: &'static str = "smol";
    const TOKIO: bool = false;
    type Spawner = &'static async_executor::Executor<'static>;

    fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    fn spawner(&self) -> Self::Spawner {
        self.0
    }

    fn run<T: Send + 'static>(&self, main: impl Future<Output = T> + Send + 'static) -> T {
        block_on(self.0.run(main))
    }
}

/// async-std, whose one executor has a thread for each core.
pub struct AsyncStd;

/// `async_std::task::spawn`.
#[derive(Clone, Copy)]
pub struct AsyncStdSpawn;

impl Spawner for AsyncStdSpawn {
    #[inline]
    fn spawn(self, task: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(task));
    }
}

impl Executor for AsyncStd {
    const NAME: &'static str = "async-std";
    const PARALLEL: bool = true;
    const TOKIO: bool = false;
    type Spawner = AsyncStdSpawn;

    fn new() -> Self {
        Self
    }

    fn spawner(&self) -> AsyncStdSpawn {
        AsyncStdSpawn
    }

    fn run<T: Send + 'static>(&self, main: impl Future<Output = T> + Send + 'static) -> T {
        // As a task: the wakes are then those of a thread of the executor.
        block_on(async_std::task::spawn(main))
    }
}
