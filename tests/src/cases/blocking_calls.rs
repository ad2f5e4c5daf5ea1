//! Threads that park until a ready-made call has its outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use oneflight::Error;
use oneflight::error::{Cause, Rejected};

use super::Group;
use crate::{TestRuntime, cause_of, fine, quiet_panic, scripted, until, waiter};

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// It drives, so the operation's waker unparks it. A task that takes part gets the same outcome.
pub async fn a_thread_that_waits_by_work_drives_it<R: TestRuntime>(rt: R) {
    let group = Group::new();
    for deadline in [None, Some(far())] {
        let (remote, operation) = scripted();
        let mut work = group.work("k", || operation);
        assert!(work.is_primary());
        let thread = thread::spawn(move || match deadline {
            None => *work.wait_blocking().unwrap(),
            Some(deadline) => *work.wait_deadline(deadline).unwrap(),
        });
        until(|| remote.polls() == 1).await;
        let other = group.work("k", || async { unreachable!("never made") });
        assert!(!other.is_primary());
        let other = rt.task(other);
        remote.wake();
        until(|| remote.polls() == 2).await;
        remote.finish();
        assert_eq!(*other.await.unwrap(), 3);
        assert_eq!(thread.join().unwrap(), 3);
    }
}

/// It stays a participant. When it leaves, another one goes on with the same operation.
pub async fn a_thread_whose_time_is_up_has_polled_once_and_keeps_its_part<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut work = group.work("k", || operation);
    assert_eq!(
        work.wait_deadline(Instant::now()).unwrap_err(),
        Error::TimedOut
    );
    assert_eq!((remote.polls(), group.waiters("k")), (1, 0));
    let heir = group.work("k", || async { unreachable!("never made") });
    drop(work);
    assert!(!remote.dropped());
    let heir = rt.task(heir);
    remote.finish();
    assert_eq!(*heir.await.unwrap(), 2);
}

/// Behind a driver that is lost it runs its own operation, on its own thread.
pub async fn a_thread_that_waits_by_try_work_runs_its_own<R: TestRuntime>(_: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut first = Box::pin(group.try_work("k", fine(|| operation)));
    assert!(crate::poll(&mut first, std::task::Waker::noop()).is_pending());
    assert!(first.is_primary());
    let second = group.try_work("k", fine(|| async { 8 }));
    assert!(!second.is_primary());
    let thread = thread::spawn(move || *second.wait_blocking().unwrap());
    drop(first);
    assert_eq!(thread.join().unwrap(), 8);
    assert!(remote.dropped());
}

/// The caller that started the operation, a duplicate, and one that was rejected.
pub async fn threads_wait_for_a_spawned_operation<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut owner = rt.detach(&group, "k", || operation);
    let mut duplicate = rt.detach(&group, "k", || async { unreachable!("never made") });
    for call in [&mut owner, &mut duplicate] {
        assert_eq!(
            call.wait_deadline(Instant::now()).unwrap_err(),
            Error::TimedOut
        );
    }
    let threads =
        [owner, duplicate].map(|call| thread::spawn(move || *call.wait_blocking().unwrap()));
    until(|| remote.polls() == 1).await;
    remote.finish();
    // The executor may have one thread, and that has to poll the operation.
    for thread in threads {
        assert_eq!(rt.unblock(move || thread.join().unwrap()).await, 2);
    }

    let (_remote, operation) = scripted();
    let lost = rt.detach(&group, "k", || operation);
    let aborts = lost.abort_handle().expect("it started the operation");
    let thread = thread::spawn(move || cause_of(lost.wait_blocking()));
    assert!(aborts.abort());
    assert_eq!(thread.join().unwrap(), Cause::Cancelled);

    group.close();
    let closed = Error::Rejected(Rejected::Closed);
    let mut rejected = rt.detach(&group, "k", || async { unreachable!("never made") });
    assert_eq!(rejected.wait_deadline(far()).unwrap_err(), closed);
    assert_eq!(rejected.wait_blocking().unwrap_err(), closed);
    let mut work = group.work("k", || async { unreachable!("never made") });
    assert_eq!(work.wait_deadline(far()).unwrap_err(), closed);
    assert!(!work.is_primary());
}

/// Behind a guard they wait as a plain waiter does.
pub async fn threads_wait_behind_a_guard<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = crate::primary(group.begin("k"));
    let never = || async { unreachable!("never made") };
    let (mut work, rerun) = (group.work("k", never), group.try_work("k", fine(never)));
    assert_eq!(
        work.wait_deadline(Instant::now()).unwrap_err(),
        Error::TimedOut
    );
    let plain = waiter(group.begin("k"));
    let threads = [
        thread::spawn(move || *work.wait_blocking().unwrap()),
        thread::spawn(move || *rerun.wait_blocking().unwrap()),
        thread::spawn(move || *plain.wait_blocking().unwrap()),
    ];
    rt.task(async move { drop(guard.settle(7)) }).await;
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 7);
    }
}

/// One of them runs its call; nobody else's is run. The others park.
pub async fn threads_that_share_a_blocking_call_run_it_once<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (begun, runs) = (channel(), channel());
    let (start, go) = (begun.0, runs.1);
    let first = {
        let group = group.clone();
        let run = move || {
            start.send(thread::current().id()).unwrap();
            go.recv().unwrap()
        };
        thread::spawn(move || *group.work_blocking("k", run).unwrap())
    };
    assert_eq!(begun.1.recv().unwrap(), first.thread().id());
    let others = [0; 3].map(|_| {
        let group = group.clone();
        let never = || unreachable!("never run");
        thread::spawn(move || *group.entry_ref(&"k").work_blocking(never).unwrap())
    });
    let task = rt.task(waiter(group.begin("k")));
    until(|| group.waiters("k") == 4).await;
    runs.0.send(7).unwrap();
    assert_eq!(*task.await.unwrap(), 7);
    assert_eq!(first.join().unwrap(), 7);
    for other in others {
        assert_eq!(other.join().unwrap(), 7);
    }
    group.close();
    let closed = group.work_blocking("k", || unreachable!("never run"));
    assert_eq!(closed.unwrap_err(), Error::Rejected(Rejected::Closed));
}

/// What the call holds is dropped before anybody is told.
pub async fn a_blocking_call_that_panics_is_told_after_its_drop<R: TestRuntime>(rt: R) {
    struct Holds(oneflight::Waiter<&'static str, usize>);
    impl Drop for Holds {
        fn drop(&mut self) {
            assert!(self.0.get().is_none(), "told before the drop");
        }
    }
    let group = Group::new();
    let (inner, told) = (group.clone(), channel());
    let tell = told.0;
    let call = move || -> usize {
        // Made outside of it, so it is a duplicate as any other.
        let look = inner.clone();
        let plain = thread::spawn(move || waiter(look.begin("k")))
            .join()
            .unwrap();
        let _held = Holds(plain);
        let look = inner.clone();
        let other = thread::spawn(move || waiter(look.begin("k")))
            .join()
            .unwrap();
        tell.send(other).unwrap();
        quiet_panic()
    };
    let outer = group.clone();
    let panicked = catch_unwind(AssertUnwindSafe(|| outer.work_blocking("k", call)));
    assert!(panicked.is_err());
    assert_eq!(
        cause_of(rt.task(told.1.recv().unwrap()).await),
        Cause::Panicked
    );
    assert_eq!((group.stats().in_flight, group.stats().ending), (0, 0));
}

/// As a pool does that runs another job on the thread of one that waits.
pub async fn a_blocking_call_that_waits_for_itself_is_told<R: TestRuntime>(_: R) {
    let group = Group::new();
    let inner = group.clone();
    let outcome = group.work_blocking("k", move || {
        let never = || unreachable!("never run");
        let nested = inner.work_blocking("k", never).unwrap_err();
        assert_eq!(nested, Error::Rejected(Rejected::Reentrant));
        // Another key is another call.
        *inner.work_blocking("other", || 7).unwrap()
    });
    assert_eq!(*outcome.unwrap(), 7);
}

/// It can't be stopped: it runs to its end, and counts until then.
pub async fn a_blocking_call_that_is_aborted_keeps_its_place<R: TestRuntime>(rt: R) {
    let group = oneflight::Group::builder().max_flights(1).build();
    let inner = group.clone();
    let outcome = group.work_blocking("k", move || {
        assert!(inner.abort("k"));
        let stats = inner.stats();
        assert_eq!((stats.in_flight, stats.ending), (0, 1));
        assert_eq!(
            crate::rejected(inner.begin("other")),
            Rejected::TooManyFlights
        );
        7
    });
    assert_eq!(cause_of(outcome), Cause::Cancelled);
    group.close();
    rt.task(group.drained()).await;
}
