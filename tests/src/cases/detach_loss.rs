//! A spawned operation that is lost, by a panic or by its runtime: never silence.

use std::future::{Future, Ready, pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_lite::future::{block_on, yield_now};
use oneflight::Error;
use oneflight::error::Cause;
use oneflight::handle::Spawned;
use oneflight::rt::{Spawn, SpawnBlocking};

use super::Group;
use crate::{Counted, TestRuntime, elsewhere, primary, quiet_panic, until, waiter};

async fn cause(call: Spawned<&'static str, usize>) -> Cause {
    match call.await {
        Err(Error::Aborted(aborted)) => aborted.cause(),
        Err(other) => panic!("{other}"),
        Ok(settled) => panic!("settled with {}", *settled),
    }
}

/// In a poll, in the making, in a blocking call: everyone who waits is told, and the executor goes on.
pub async fn a_panic_ends_in_the_task<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let in_a_poll = rt.detach(&group, "poll", || async {
        yield_now().await;
        quiet_panic()
    });
    let in_the_making = rt.detach(&group, "make", || -> Ready<usize> { quiet_panic() });
    let in_a_call = rt.detach_blocking(&group, "call", || quiet_panic());
    for call in [in_a_poll, in_the_making, in_a_call] {
        assert_eq!(rt.task(cause(call)).await, Cause::Panicked);
    }
    assert!(group.is_empty());
    assert_eq!(group.stats().aborted_by(Cause::Panicked), 3);

    // Both pools are alive and well.
    let after = rt.detach(&group, "k", || ready(1));
    let blocking = rt.detach_blocking(&group, "b", || 2);
    assert_eq!(*after.await.unwrap() + *blocking.await.unwrap(), 3);
}

/// What a `Runtime` may do with what it is given, inline.
#[derive(Clone, Default)]
struct Odd {
    keeps: bool,
    runs: bool,
    kept: Arc<Mutex<Vec<Kept>>>,
}

type Kept = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Spawn for Odd {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        if self.runs {
            block_on(task);
        } else if self.keeps {
            self.kept.lock().unwrap().push(Box::pin(task));
        }
    }
}

impl SpawnBlocking for Odd {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        if self.runs {
            call();
        } else if self.keeps {
            let task = async move { call() };
            self.kept.lock().unwrap().push(Box::pin(task));
        }
    }
}

/// As a runtime does that has shut down.
pub async fn a_runtime_that_drops_the_task_inline_aborts_the_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let odd = Odd::default();
    let call = group.entry("k").spawn_on(&odd, || ready(0));
    assert!(call.is_primary() && !group.contains("k"));
    assert_eq!(rt.task(cause(call)).await, Cause::Dropped);
    let call = group.entry("k").spawn_blocking_on(&odd, || 0);
    assert_eq!(rt.task(cause(call)).await, Cause::Dropped);
    assert!(group.is_empty());
}

/// No lock is held across `spawn`: the operation may come back to the group.
pub async fn a_runtime_that_runs_the_task_inline_settles_the_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let odd = Odd {
        runs: true,
        ..Odd::default()
    };
    let inside = group.clone();
    let call = group.entry("k").spawn_on(&odd, move || async move {
        let _joined = elsewhere(|| waiter(inside.begin("k")));
        inside.len() + *primary(inside.begin("other")).settle(1).unwrap()
    });
    assert_eq!(*call.get().expect("at once").unwrap(), 2);
    assert_eq!(*rt.task(call).await.unwrap(), 2);
    let call = group.entry("k").spawn_blocking_on(&odd, || 7);
    assert_eq!(*call.await.unwrap(), 7);

    // A panic ends in the task, here too.
    let call = group.entry("k").spawn_on(&odd, || async { quiet_panic() });
    assert_eq!(cause(call).await, Cause::Panicked);
    let call = group.entry("k").spawn_blocking_on(&odd, || quiet_panic());
    assert_eq!(cause(call).await, Cause::Panicked);
    assert!(group.is_empty());
}

/// At its shutdown, with callers parked: before the task was polled, and in the middle of it.
pub async fn a_runtime_that_drops_the_task_later_aborts_the_flight<R: TestRuntime>(rt: R) {
    for polls in 0..2 {
        let group = Group::new();
        let odd = Odd {
            keeps: true,
            ..Odd::default()
        };
        let call = group.entry("k").spawn_on(&odd, pending::<usize>);
        let (call, counts) = Counted::new(cause(call));
        let call = rt.task(call);
        let other = rt.task(cause(group.entry("k").spawn_on(&odd, || ready(0))));
        until(|| counts.polls() == 1).await;
        let mut kept = odd.kept.lock().unwrap().pop().expect("one task");
        for _ in 0..polls {
            assert!(crate::poll(&mut kept, std::task::Waker::noop()).is_pending());
        }
        assert!(group.contains("k"));
        rt.task(async move { drop(kept) }).await;
        assert_eq!(call.await, Cause::Dropped);
        assert_eq!(other.await, Cause::Dropped);
        assert!(group.is_empty());
    }
}
