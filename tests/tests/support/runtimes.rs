//! Runtimes within the letter of the contract and far from its spirit.

use std::future::{Future, Ready, ready};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_lite::future::block_on;
use oneflight_core::rt::Runtime;

/// Runs everything before the call returns.
pub(crate) struct Inline;

impl Runtime for Inline {
    type Sleep = Ready<()>;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        block_on(task);
    }

    fn sleep(&self, _: Duration) -> Ready<()> {
        ready(())
    }

    fn unblock<F: FnOnce() + Send + 'static>(&self, call: F) {
        call();
    }
}

/// Drops everything before the call returns, as one that shuts down does.
pub(crate) struct Drops;

impl Runtime for Drops {
    type Sleep = Ready<()>;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        drop(task);
    }

    fn sleep(&self, _: Duration) -> Ready<()> {
        ready(())
    }

    fn unblock<F: FnOnce() + Send + 'static>(&self, call: F) {
        drop(call);
    }
}

/// Has no thread left, and says so loudly.
pub(crate) struct Panics;

impl Runtime for Panics {
    type Sleep = Ready<()>;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, _: F) {
        panic!("no thread left");
    }

    fn sleep(&self, _: Duration) -> Ready<()> {
        ready(())
    }

    fn unblock<F: FnOnce() + Send + 'static>(&self, _: F) {
        panic!("no thread left");
    }
}

/// A thread for each task and call.
#[derive(Default)]
pub(crate) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Waits for all of them; none may have unwound.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut *self.0.lock().expect("never poisoned"));
        for thread in threads {
            thread
                .join()
                .expect("neither a task nor a call ever unwinds");
        }
    }

    fn start(&self, run: impl FnOnce() + Send + 'static) {
        self.0
            .lock()
            .expect("never poisoned")
            .push(thread::spawn(run));
    }
}

impl Runtime for Threads {
    type Sleep = Ready<()>;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.start(|| block_on(task));
    }

    fn sleep(&self, _: Duration) -> Ready<()> {
        ready(())
    }

    fn unblock<F: FnOnce() + Send + 'static>(&self, call: F) {
        self.start(call);
    }
}
