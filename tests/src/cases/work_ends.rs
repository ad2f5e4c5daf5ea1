//! `work`: how a flight ends when nobody wants it any more.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use oneflight::Waiter;
use oneflight::error::Cause;

use super::Group;
use crate::{
    Counted, CountingWaker, TestRuntime, cause_of, elsewhere, poll, primary, scripted, until,
    waiter,
};

/// What an operation sees when it is dropped.
type Seen = Arc<Mutex<Option<(bool, Option<Cause>, usize)>>>;

/// Pending for ever; notes in its drop whether its key is free, what a plain waiter has and how often that was woken.
struct Watches {
    group: Group,
    plain: Waiter<&'static str, usize>,
    bell: Arc<CountingWaker>,
    seen: Seen,
}

impl Future for Watches {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<usize> {
        Poll::Pending
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        let cause = self.plain.get().map(cause_of);
        let seen = (!self.group.contains("k"), cause, self.bell.wakes());
        *self.seen.lock().unwrap() = Some(seen);
    }
}

/// Key free, waiters told, operation dropped: in this order, and in that drop.
pub async fn the_last_participant_to_leave_ends_the_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let seen = Seen::default();
    let (watcher, seen_by) = (group.clone(), seen.clone());
    let work = group.work("k", move || {
        let mut plain = elsewhere(|| waiter(watcher.begin("k")));
        let bell = Arc::new(CountingWaker::new());
        assert!(poll(&mut plain, bell.waker()).is_pending());
        Watches {
            group: watcher,
            plain,
            bell,
            seen: seen_by,
        }
    });
    let (second, counts) = Counted::new(group.work("k", || ready(0)));
    let (second, cancel_second) = rt.cancellable(second);
    let (first, cancel_first) = rt.cancellable(work);
    until(|| counts.polls() > 0).await;
    let plain = rt.task(waiter(group.begin("k")));

    cancel_first.cancel();
    assert!(first.await.is_none());
    assert!(group.contains("k") && seen.lock().unwrap().is_none());
    cancel_second.cancel();
    assert!(second.await.is_none());

    assert_eq!(cause_of(plain.await), Cause::Dropped);
    let seen = seen.lock().unwrap().take().expect("dropped");
    assert_eq!(seen, (true, Some(Cause::Dropped), 1));
    assert!(group.is_empty());
    assert_eq!(group.stats().aborted_by(Cause::Dropped), 1);
}

/// It has nothing of the one before, its cancellation least of all.
pub async fn a_newcomer_after_the_end_starts_its_own<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (old, operation) = scripted();
    let (first, cancel) = rt.cancellable(group.work("k", || operation));
    until(|| old.polls() == 1).await;
    cancel.cancel();
    assert!(first.await.is_none());
    assert!(old.dropped());

    let (new, operation) = scripted();
    let second = rt.task(group.work("k", || operation));
    until(|| new.polls() == 1).await;
    new.finish();
    assert_eq!(*second.await.unwrap(), 2);
    assert_eq!(old.polls(), 1);
}

/// It goes on with what the first one began.
pub async fn a_newcomer_before_the_end_continues_the_operation<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let (first, cancel) = rt.cancellable(group.work("k", || operation));
    until(|| remote.polls() == 1).await;
    let newcomer = group.work("k", || ready(0));
    cancel.cancel();
    assert!(first.await.is_none());
    remote.wake();
    let newcomer = rt.task(newcomer);
    until(|| remote.polls() == 2).await;
    remote.finish();
    assert_eq!(*newcomer.await.unwrap(), 3);
}

/// From within the drop of the operation that nobody wants: the key is free already.
pub async fn a_call_from_within_the_drop_starts_its_own<R: TestRuntime>(rt: R) {
    struct CallsBack(Group, Arc<Mutex<Option<usize>>>);
    impl Drop for CallsBack {
        fn drop(&mut self) {
            let settled = primary(self.0.begin("k")).settle(7).unwrap();
            *self.1.lock().unwrap() = Some(*settled);
        }
    }
    let group = Group::new();
    let seen = Arc::new(Mutex::new(None));
    let calls_back = CallsBack(group.clone(), seen.clone());
    let (work, counts) = Counted::new(group.work("k", move || async move {
        let _calls_back = calls_back;
        std::future::pending().await
    }));
    let (task, cancel) = rt.cancellable(work);
    until(|| counts.polls() == 1).await;
    cancel.cancel();
    assert!(task.await.is_none());
    assert_eq!(*seen.lock().unwrap(), Some(7));
    assert!(group.is_empty());
}

/// Those that were not polled are participants too.
pub async fn participants_that_were_never_polled_keep_the_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut callers = vec![group.work("k", || operation)];
    callers.extend((0..3).map(|_| group.work("k", || ready(0))));
    let last = callers.pop().unwrap();
    drop(callers);
    assert!(group.contains("k") && !remote.dropped());
    let last = rt.task(last);
    until(|| remote.polls() == 1).await;
    remote.finish();
    assert_eq!(*last.await.unwrap(), 2);

    let (remote, operation) = scripted();
    drop(group.work("k", || operation));
    assert!(remote.dropped() && group.is_empty());
    assert_eq!(remote.polls(), 0);
}

/// Ready again, with the same outcome.
pub async fn a_ready_call_is_ready_again<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let mut work = group.work("k", || ready(7));
    let mut duplicate = group.work("k", || ready(0));
    assert_eq!(work.id(), duplicate.id());
    for _ in 0..2 {
        assert_eq!(*(&mut work).await.unwrap(), 7);
        assert_eq!(*(&mut duplicate).await.unwrap(), 7);
    }
    assert_eq!(*work.get().unwrap().unwrap(), 7);

    let (remote, operation) = scripted();
    let mut other = group.work("k", || operation);
    assert!(poll(&mut other, CountingWaker::new().waker()).is_pending());
    let mut plain = waiter(group.begin("k"));
    drop(other);
    assert!(remote.dropped());
    for _ in 0..2 {
        assert_eq!(cause_of((&mut plain).await), Cause::Dropped);
    }
    assert_eq!(*rt.task(work).await.unwrap(), 7);
}
