//! async-std's global executor.

use std::future::Future;

use super::through_adapter;
use crate::runtime::TestRuntime;

/// The global executor: its threads live as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct AsyncStd;

impl TestRuntime for AsyncStd {
    type Adapter = oneflight::rt::async_std::AsyncStd;
    const NAME: &'static str = "async_std";

    fn run<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F) {
        async_std::task::block_on(case(Self));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(async_std::task::spawn(task));
    }

    fn adapter(&self) -> Self::Adapter {
        oneflight::rt::async_std::AsyncStd
    }

    through_adapter!(async_std, oneflight::rt::async_std::AsyncStd);
}
