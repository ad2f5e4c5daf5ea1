//! What a case may ask of an executor.

use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use oneflight::handle::Spawned;
use oneflight::rt::{Runtime, SpawnBlocking, Timeout, Timer};
use oneflight::{Error, Group};

use crate::task::{Cancel, Task, cancellable, reporting};
use crate::watchdog::watched;

/// The future of a runtime's clock.
pub type SleepOf<R> = <<R as TestRuntime>::Adapter as Timer>::Sleep;

/// An executor that the suite runs on. A handle: a clone is the same executor.
pub trait TestRuntime: Clone + 'static {
    /// The adapter's own `Runtime`.
    type Adapter: Runtime + Clone + Send + Sync + 'static;

    /// For the watchdog's message.
    const NAME: &'static str;

    /// Starts the executor and drives it from this thread until the case has ended. The tasks the case has left are
    /// the executor's own affair.
    fn run<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F);

    /// Spawns a task of the executor: on its own thread where it is single-threaded.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// What an operation that outlives its callers is given to.
    fn adapter(&self) -> Self::Adapter;

    /// The adapter's `GroupExt::spawn`.
    fn detach<K, T, M, F>(&self, group: &Group<K, T>, key: K, make: M) -> Spawned<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static;

    /// The adapter's `GroupExt::spawn_while_wanted`.
    fn wanted<K, T, M, F>(&self, group: &Group<K, T>, key: K, make: M) -> Spawned<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static;

    /// The adapter's `GroupExt::spawn_blocking`.
    fn detach_blocking<K, T, F>(&self, group: &Group<K, T>, key: K, call: F) -> Spawned<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        F: FnOnce() -> T + Send + 'static;

    /// The adapter's `HandleExt::wait_timeout`.
    fn timeout<'a, O, E, H>(
        &self,
        handle: &'a mut H,
        duration: Duration,
    ) -> Timeout<'a, H, SleepOf<Self>>
    where
        E: From<Error>,
        H: Future<Output = Result<O, E>> + Unpin;

    /// Spawns a task whose output can be awaited.
    fn task<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (task, output) = reporting(future);
        self.spawn(task);
        output
    }

    /// Spawns a task that can be dropped from outside; its output is `None` then.
    fn cancellable<F>(&self, future: F) -> (Task<Option<F::Output>>, Cancel)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (future, cancel) = cancellable(future);
        (self.task(future), cancel)
    }

    /// Runs a call on the executor's blocking pool.
    fn unblock<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Task<T> {
        let (task, output) = reporting(async move { call() });
        self.adapter()
            .spawn_blocking(move || futures_lite::future::block_on(task));
        output
    }
}

/// An executor that takes tasks which are not `Send`.
pub trait LocalRuntime: TestRuntime {
    /// Spawns a task on the thread that drives the executor.
    fn spawn_local(&self, task: impl Future<Output = ()> + 'static);

    /// The same, with an output to be awaited.
    fn local_task<F: Future + 'static>(&self, future: F) -> Task<F::Output> {
        let (task, output) = reporting(future);
        self.spawn_local(task);
        output
    }
}

/// Runs one case on one executor, under the watchdog.
pub fn conform<R, F>(name: &str, case: impl FnOnce(R) -> F + Send + 'static)
where
    R: TestRuntime,
    F: Future<Output = ()>,
{
    watched(&format!("{}::{name}", R::NAME), || R::run(case));
}
