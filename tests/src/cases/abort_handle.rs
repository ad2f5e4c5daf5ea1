//! Aborting a detached operation on purpose.

use std::future::ready;
use std::sync::mpsc::channel;
use std::task::Waker;

use oneflight::Error;
use oneflight::error::{Aborted, Cause};
use oneflight::handle::Spawned;

use super::Group;
use crate::{TestRuntime, cause_of, poll, scripted, until, waiter};

async fn cause(call: Spawned<&'static str, usize>) -> Cause {
    match call.await {
        Err(Error::Aborted(aborted)) => aborted.cause(),
        Err(other) => panic!("{other}"),
        Ok(settled) => panic!("settled with {}", *settled),
    }
}

/// Nothing else wakes the task: the abort does, and it drops its operation.
pub async fn an_abort_handle_ends_the_flight_and_drops_the_operation<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let starter = rt.detach(&group, "k", || operation);
    let duplicate = rt.detach(&group, "k", || ready(0));
    let plain = rt.task(waiter(group.begin("k")));
    assert!(duplicate.abort_handle().is_none(), "it started nothing");
    let handle = starter.abort_handle().expect("it started the operation");
    until(|| remote.polls() == 1).await;
    let duplicate = rt.task(cause(duplicate));
    let starter = rt.task(cause(starter));

    assert!(handle.abort());
    assert!(!group.contains("k"));
    assert!(!handle.abort(), "it had ended already");
    assert_eq!(starter.await, Cause::Cancelled);
    assert_eq!(duplicate.await, Cause::Cancelled);
    assert_eq!(cause_of(plain.await), Cause::Cancelled);
    until(|| remote.dropped()).await;
    assert_eq!(remote.polls(), 1, "polled after its end");
    assert_eq!(group.stats().aborted_by(Cause::Cancelled), 1);
}

/// It is the flight's and not the key's; and dropping it aborts nothing.
pub async fn an_abort_handle_touches_no_newer_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let old = rt.detach(&group, "k", || ready(1));
    let handle = old.abort_handle().expect("it started the operation");
    assert_eq!(*old.await.unwrap(), 1);
    until(|| group.is_empty()).await;

    let (remote, operation) = scripted();
    let new = rt.detach(&group, "k", || operation);
    drop(new.abort_handle());
    assert!(!handle.abort());
    assert!(group.contains("k"));
    remote.finish();
    assert!(new.await.is_ok());
}

/// It can not be stopped any more: its callers are told at once, its value goes nowhere, and the group is drained when it
/// has returned.
pub async fn a_running_blocking_call_that_is_aborted_keeps_nobody_waiting<R: TestRuntime>(rt: R) {
    struct Value(std::sync::mpsc::Sender<()>);
    impl Drop for Value {
        fn drop(&mut self) {
            self.0.send(()).ok();
        }
    }
    let group = oneflight::Group::<&str, Value>::new();
    let (go, wait) = channel::<()>();
    let (start, started) = channel::<()>();
    let (freed, dropped) = channel();
    let call = rt.detach_blocking(&group, "k", move || {
        start.send(()).expect("the test waits for it");
        wait.recv().expect("told to go on");
        Value(freed)
    });
    until(|| started.try_recv().is_ok()).await;
    call.abort_handle().expect("it started the call").abort();
    let told = call.await.map(drop);
    assert_eq!(told, Err(Error::Aborted(Aborted::new(Cause::Cancelled))));
    group.close();
    let mut drained = group.drained();
    assert!(group.is_empty() && group.stats().ending == 1);
    assert!(poll(&mut drained, Waker::noop()).is_pending(), "it runs");
    go.send(()).unwrap();
    drained.await;
    assert_eq!(group.stats().ending, 0);
    until(|| dropped.try_recv().is_ok()).await;
}
