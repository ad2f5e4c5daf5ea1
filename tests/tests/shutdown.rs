//! A runtime that ends with a flight's task in it: callers elsewhere are told, they never wait for ever.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use oneflight::Group;
use oneflight::error::Cause;
use oneflight::rt::tokio::Tokio;
use oneflight::rt::{Spawn, SpawnBlocking};
use oneflight_conformance::{cause_of, scripted, until, waiter, watched};
use smol::Executor;
use tokio::runtime::{Builder, Runtime as TokioRuntime};

fn one_worker() -> TokioRuntime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime can be built")
}

#[test]
fn tokio_that_shuts_down_under_a_running_operation_aborts_its_flight() {
    watched("shutdown", || {
        let runtime = one_worker();
        let tokio = Tokio::from(runtime.handle().clone());
        let group = Group::<&str, usize>::new();
        let (remote, operation) = scripted();
        let first = group.entry("k").spawn_on(&tokio, || operation);
        let parked = waiter(group.begin("k"));
        let thread = thread::spawn(move || cause_of(parked.wait_blocking()));
        smol::block_on(until(|| remote.polls() == 1));
        drop(runtime);
        assert_eq!(cause_of(smol::block_on(first)), Cause::Dropped);
        assert_eq!(thread.join().unwrap(), Cause::Dropped);
        assert!(remote.dropped() && group.is_empty());

        // It is over now: what it is given it drops inline.
        let late = group.entry("k").spawn_on(&tokio, || ready(0));
        assert_eq!(cause_of(smol::block_on(late)), Cause::Dropped);
        let late = group.entry("k").spawn_blocking_on(&tokio, || 0);
        assert_eq!(cause_of(smol::block_on(late)), Cause::Dropped);
        assert!(group.is_empty());
    });
}

#[test]
fn a_blocking_call_in_the_queue_of_tokio_at_its_shutdown_is_told_either_way() {
    watched("shutdown of the pool", || {
        let runtime = one_worker();
        let tokio = Tokio::from(runtime.handle().clone());
        let group = Group::<&str, usize>::new();
        let (started, start) = channel::<()>();
        let (go, wait) = channel::<()>();
        // The pool's one thread is taken.
        let running = group.entry("runs").spawn_blocking_on(&tokio, move || {
            started.send(()).expect("the test waits for it");
            wait.recv().expect("told to go on");
            7
        });
        start.recv().expect("started");
        let queued = group.entry("queued").spawn_blocking_on(&tokio, || 0);
        runtime.shutdown_background();
        go.send(()).expect("the call waits for it");
        assert_eq!(*smol::block_on(running).unwrap(), 7);
        // The pool's thread runs it or drops it, whichever it sees first, the queue or the shutdown.
        match smol::block_on(queued) {
            Ok(settled) => assert_eq!(*settled, 0),
            lost => assert_eq!(cause_of(lost), Cause::Dropped),
        }
        assert!(group.is_empty());
    });
}

/// An executor of one's own that nobody drives.
#[derive(Clone)]
struct Undriven(Arc<Executor<'static>>);

impl Spawn for Undriven {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.spawn(task).detach();
    }
}

impl SpawnBlocking for Undriven {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        self.0.spawn(async move { call() }).detach();
    }
}

#[test]
fn an_executor_that_is_dropped_with_its_tasks_aborts_their_flights() {
    watched("dropped executor", || {
        let undriven = Undriven(Arc::new(Executor::new()));
        let group = Group::<&str, usize>::new();
        let polled = group.entry("polled").spawn_on(&undriven, pending);
        assert!(undriven.0.try_tick());
        let unpolled = group.entry("unpolled").spawn_on(&undriven, || ready(0));
        let call = group.entry("call").spawn_blocking_on(&undriven, || 0);
        assert_eq!(group.len(), 3);
        drop(undriven);
        for lost in [polled, unpolled, call] {
            assert_eq!(cause_of(smol::block_on(lost)), Cause::Dropped);
        }
        assert!(group.is_empty());
    });
}
