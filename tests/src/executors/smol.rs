//! smol's global executor, and its local one.

use std::fmt;
use std::future::Future;
use std::rc::Rc;

use oneflight::rt::smol::Smol;
use smol::LocalExecutor;

use super::through_adapter;
use crate::runtime::{LocalRuntime, TestRuntime};

/// The global executor: its threads live as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct SmolGlobal;

impl TestRuntime for SmolGlobal {
    type Adapter = Smol;
    const NAME: &'static str = "smol_global";

    fn run<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F) {
        smol::block_on(case(Self));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }

    fn adapter(&self) -> Smol {
        Smol
    }

    through_adapter!(smol, Smol);
}

/// An executor of the calling thread. Its tasks need not be `Send`.
#[derive(Clone)]
pub struct SmolLocal(Rc<LocalExecutor<'static>>);

impl fmt::Debug for SmolLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmolLocal")
    }
}

impl TestRuntime for SmolLocal {
    type Adapter = Smol;
    const NAME: &'static str = "smol_local";

    fn run<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F) {
        let executor = Rc::new(LocalExecutor::new());
        smol::block_on(executor.run(case(Self(executor.clone()))));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_local(task);
    }

    fn adapter(&self) -> Smol {
        Smol
    }

    through_adapter!(smol, Smol);
}

impl LocalRuntime for SmolLocal {
    fn spawn_local(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawn(task).detach();
    }
}
