//! Threads that park until a ready-made call has its outcome.

use std::thread;
use std::time::{Duration, Instant};

use oneflight::Error;
use oneflight::error::{Cause, Rejected};
use oneflight::handle::Budget;

use super::Group;
use crate::{TestRuntime, cause_of, scripted, until, waiter};

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
pub async fn a_thread_that_waits_by_work_rerun_runs_its_own<R: TestRuntime>(_: R) {
    let group = Group::new();
    let budget = Budget::times(1);
    let (remote, operation) = scripted();
    let mut first = Box::pin(group.work_rerun("k", budget, || operation));
    assert!(crate::poll(&mut first, std::task::Waker::noop()).is_pending());
    assert!(first.is_primary());
    let second = group.work_rerun("k", budget, || async { 8 });
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
    let (mut work, rerun) = (
        group.work("k", never),
        group.work_rerun("k", Budget::times(1), never),
    );
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
