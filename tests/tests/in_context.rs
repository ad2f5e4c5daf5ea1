//! An operation in `Tokio::in_context` is inside that runtime whenever any of it runs, also when it
//! is dropped: what it holds can need the runtime then.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use oneflight::Group;
use oneflight::rt::tokio::Tokio;
use oneflight_conformance::poll;
use tokio::runtime::{Builder, Handle};

#[derive(Clone, Default)]
struct Drops(Arc<Mutex<Vec<(&'static str, bool)>>>);

/// Notes whether it is dropped inside a runtime.
struct Guard(&'static str, Drops);

impl Drop for Guard {
    fn drop(&mut self) {
        let inside = Handle::try_current().is_ok();
        self.1.0.lock().unwrap().push((self.0, inside));
    }
}

#[test]
fn an_operation_is_dropped_inside_its_runtime_too() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build();
    let tokio = Tokio::from(runtime.unwrap().handle().clone());
    let drops = Drops::default();
    let operation = |name, ready| {
        let guard = Guard(name, drops.clone());
        poll_fn(move |_| {
            let _kept = &guard;
            if ready { Poll::Ready(7) } else { Poll::Pending }
        })
    };
    drop(tokio.in_context(operation("never polled", false)));
    {
        let mut pending = pin!(tokio.in_context(operation("pending", false)));
        assert!(poll(&mut pending, Waker::noop()).is_pending());
        let mut ready = pin!(tokio.in_context(operation("ready", true)));
        assert!(poll(&mut ready, Waker::noop()).is_ready());
    }
    let group: Group<&str, u64> = Group::new();
    let mut lost = group.work("k", || tokio.in_context(operation("lost work", false)));
    assert!(poll(&mut lost, Waker::noop()).is_pending());
    drop(lost);
    let drops = drops.0.lock().unwrap();
    assert_eq!(drops.len(), 4);
    assert!(drops.iter().all(|(_, inside)| *inside), "{drops:?}");
}
