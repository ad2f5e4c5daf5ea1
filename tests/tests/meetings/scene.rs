//! A scene: two calls on one key, by hand, one step after the other.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};

use oneflight_core::error::{Cause, Error};
use oneflight_core::rt::{Spawn, SpawnBlocking};
use oneflight_core::{Begin, Group, Settled};

pub(crate) const KEY: &str = "k";

pub(crate) type Outcome = Result<u32, Cause>;

/// A call that can begin a flight, by its name in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Begin,
    Run,
    Work,
    TryWork,
    Spawn,
    SpawnWhileWanted,
    SpawnBlocking,
    WorkBlocking,
}

/// What every operation of a scene is told through.
#[derive(Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    finish: bool,
    panic: bool,
    wakers: Vec<Waker>,
    pub(crate) made: Vec<u32>,
    pub(crate) finished: Vec<u32>,
}

impl Control {
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, f: impl FnOnce(&mut State)) {
        let wakers = self.with(|state| {
            f(state);
            std::mem::take(&mut state.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
        self.changed.notify_all();
    }

    /// An operation that is pending until it is told to finish. Its value is its caller's number.
    async fn operation(self: Arc<Self>, number: u32) -> u32 {
        self.with(|state| state.made.push(number));
        poll_fn(|cx| {
            self.with(|state| {
                if state.finish {
                    state.finished.push(number);
                    return Poll::Ready(number);
                }
                state.wakers.push(cx.waker().clone());
                Poll::Pending
            })
        })
        .await
    }

    /// The same, as a call that blocks its thread.
    fn call(&self, number: u32) -> u32 {
        self.with(|state| state.made.push(number));
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |state: &mut State| !state.finish && !state.panic;
        let waited = self.changed.wait_while(state, waits);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.panic {
            drop(state);
            std::panic::resume_unwind(Box::new("as the scene wants"));
        }
        state.finished.push(number);
        number
    }
}

/// Polls its tasks when it is told to, and has a thread for each blocking call.
#[derive(Default)]
pub(crate) struct Runtime(Mutex<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Runtime {
    pub(crate) fn turn(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().expect("never poisoned"));
        let mut cx = Context::from_waker(Waker::noop());
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        self.0.lock().expect("never poisoned").append(&mut tasks);
    }
}

impl Spawn for Runtime {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.lock().expect("never poisoned").push(Box::pin(task));
    }
}

impl SpawnBlocking for Runtime {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        thread::spawn(call);
    }
}

/// One that has called.
pub(crate) enum Caller {
    Future(Pin<Box<dyn Future<Output = Outcome>>>),
    /// It can not leave.
    Thread(JoinHandle<Outcome>),
}

impl Caller {
    fn of<F>(call: F) -> Self
    where
        F: Future<Output = Result<Settled<&'static str, u32>, Error>> + 'static,
    {
        let mut future = Box::pin(async { said(call.await) });
        let _ = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        Self::Future(future)
    }

    /// Waits for what it gets.
    pub(crate) fn outcome(self, runtime: &Runtime) -> Outcome {
        match self {
            Caller::Future(mut future) => loop {
                runtime.turn();
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(outcome) = future.as_mut().poll(&mut cx) {
                    return outcome;
                }
                thread::yield_now();
            },
            Caller::Thread(thread) => {
                while !thread.is_finished() {
                    runtime.turn();
                    thread::yield_now();
                }
                thread.join().unwrap_or(Err(Cause::Panicked))
            }
        }
    }
}

fn said(outcome: Result<Settled<&'static str, u32>, Error>) -> Outcome {
    match outcome {
        Ok(settled) => Ok(*settled),
        Err(Error::Aborted(aborted)) => Err(aborted.cause()),
        Err(other) => panic!("{other}"),
    }
}

#[derive(Default)]
pub(crate) struct Scene {
    pub(crate) group: Group<&'static str, u32>,
    pub(crate) control: Arc<Control>,
    pub(crate) runtime: Runtime,
}

impl Scene {
    /// Makes the call, and polls it once.
    fn call(&self, call: Call, number: u32) -> Caller {
        let (group, runtime) = (&self.group, &self.runtime);
        let control = self.control.clone();
        let operation = move || control.clone().operation(number);
        let control = self.control.clone();
        let caller = match call {
            Call::Begin | Call::Run => match group.begin(KEY) {
                Begin::Primary(primary) if call == Call::Run => {
                    Caller::of(primary.run(operation()))
                }
                Begin::Primary(primary) => Caller::of(async move {
                    let value = operation().await;
                    Ok(primary.settle(value)?)
                }),
                Begin::Waiter(waiter) => Caller::of(waiter),
                Begin::Rejected(why) => panic!("{why}"),
            },
            Call::Work => Caller::of(group.work(KEY, operation)),
            Call::TryWork => Caller::of(group.try_work(KEY, move || {
                let operation = operation();
                async move { Ok::<_, Error>(operation.await) }
            })),
            Call::Spawn => Caller::of(group.entry(KEY).spawn_on(runtime, operation)),
            Call::SpawnWhileWanted => {
                Caller::of(group.entry(KEY).spawn_while_wanted_on(runtime, operation))
            }
            Call::SpawnBlocking => {
                let call = move || control.call(number);
                Caller::of(group.entry(KEY).spawn_blocking_on(runtime, call))
            }
            Call::WorkBlocking => {
                let group = group.clone();
                Caller::Thread(thread::spawn(move || {
                    said(group.work_blocking(KEY, || control.call(number)))
                }))
            }
        };
        self.runtime.turn();
        caller
    }

    /// The first call begins, and its operation has begun.
    pub(crate) fn first(&self, call: Call) -> Caller {
        let caller = self.call(call, 1);
        self.until(|scene| scene.control.with(|state| state.made == [1]));
        caller
    }

    /// The second call joins. All that wait are counted, and participants of `work` and `try_work` are.
    pub(crate) fn second(&self, call: Call) -> Caller {
        self.joins(call, 2)
    }

    /// A third call joins.
    pub(crate) fn third(&self, call: Call) -> Caller {
        self.joins(call, 3)
    }

    fn joins(&self, call: Call, number: u32) -> Caller {
        let caller = self.call(call, number);
        self.until(|scene| scene.group.waiters(KEY) + 1 == number as usize);
        caller
    }

    fn until(&self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            thread::yield_now();
        }
    }

    /// The caller leaves: it is dropped or, if it runs a call on its own thread, panics.
    pub(crate) fn lose(&self, caller: Caller) {
        match caller {
            Caller::Future(future) => drop(future),
            Caller::Thread(thread) => {
                self.control.tell(|state| state.panic = true);
                assert!(thread.join().is_err(), "its panic is its own");
            }
        }
        self.runtime.turn();
    }

    pub(crate) fn finish(&self) {
        self.control.tell(|state| state.finish = true);
        self.runtime.turn();
    }

    /// The flight is over, and nothing is left of it.
    pub(crate) fn end(self) {
        self.group.close();
        let mut drained = self.group.drained();
        let mut cx = Context::from_waker(Waker::noop());
        while Pin::new(&mut drained).poll(&mut cx).is_pending() {
            self.runtime.turn();
            thread::yield_now();
        }
        let stats = self.group.stats();
        assert_eq!(
            (stats.in_flight, stats.waiting, stats.ending),
            (0, 0, 0),
            "{stats:?}"
        );
        assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
        assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats:?}");
    }
}
