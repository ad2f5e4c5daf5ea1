//! An executor: a list of tasks, and a flag for each that its waker sets.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::ptr::without_provenance;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use core::task::{Context, RawWaker, RawWakerVTable, Waker};

use crate::check::{decrement, increment, user_code};

const MOST: usize = 256;

static READY: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];
static WAKERS: AtomicUsize = AtomicUsize::new(0);

/// Wakers that were made or cloned, and not dropped.
pub(crate) fn wakers() -> usize {
    WAKERS.load(Relaxed)
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |task| {
        user_code();
        increment(&WAKERS);
        RawWaker::new(task, &VTABLE)
    },
    |task| {
        wake(task);
        drop_waker(task);
    },
    wake,
    drop_waker,
);

fn wake(task: *const ()) {
    user_code();
    READY[task.addr()].store(true, Relaxed);
}

fn drop_waker(_: *const ()) {
    user_code();
    decrement(&WAKERS);
}

fn waker(task: usize) -> Waker {
    increment(&WAKERS);
    // SAFETY: the data is an index and no pointer, and the functions take it as one: they are as safe from any thread as
    // the atomics they touch.
    unsafe { Waker::from_raw(RawWaker::new(without_provenance(task), &VTABLE)) }
}

type Running = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
pub(crate) struct Executor {
    tasks: Vec<Option<Running>>,
    /// Polls made, of all tasks.
    pub(crate) polls: usize,
}

/// A task of an [`Executor`], and what it came to.
pub(crate) struct Task<T> {
    index: usize,
    outcome: Rc<RefCell<Option<T>>>,
}

impl<T> Task<T> {
    /// What it came to, if it has ended; once.
    pub(crate) fn take(&self) -> Option<T> {
        self.outcome.take()
    }
}

impl Executor {
    pub(crate) fn spawn<F: Future<Output: 'static> + 'static>(
        &mut self,
        future: F,
    ) -> Task<F::Output> {
        let outcome = Rc::new(RefCell::new(None));
        let task = Task {
            index: self.tasks.len(),
            outcome: outcome.clone(),
        };
        READY[task.index].store(true, Relaxed);
        self.tasks.push(Some(Box::pin(async move {
            let value = future.await;
            *outcome.borrow_mut() = Some(value);
        })));
        task
    }

    /// Polls whoever was woken, until nobody is.
    pub(crate) fn run(&mut self) {
        while let Some(index) = (0..self.tasks.len()).find(|&task| READY[task].load(Relaxed)) {
            READY[index].store(false, Relaxed);
            if let Some(task) = &mut self.tasks[index] {
                self.polls += 1;
                if task
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker(index)))
                    .is_ready()
                {
                    self.tasks[index] = None;
                }
            }
        }
    }

    /// Drops a task.
    pub(crate) fn cancel<T>(&mut self, task: &Task<T>) {
        self.tasks[task.index] = None;
    }
}
