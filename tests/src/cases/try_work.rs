//! `try_work`: a driver that is lost is followed by exactly one that runs its own.

use std::future::{pending, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_lite::FutureExt;
use futures_lite::future::yield_now;
use oneflight::Error;

use super::Group;
use crate::{
    Counted, CountingWaker, TestRuntime, fine, poll, quiet_panic, scripted, until, waiter,
};

type Sent = Pin<Box<dyn Future<Output = usize> + Send>>;

/// What happened to the operations, in this order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(usize, &'static str)>>>);

struct Noted(Log, usize);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.note(self.1, "dropped");
    }
}

impl Log {
    fn note(&self, who: usize, what: &'static str) {
        self.0.lock().unwrap().push((who, what));
    }

    fn read(&self) -> Vec<(usize, &'static str)> {
        self.0.lock().unwrap().clone()
    }

    /// An operation that says when it is made and when it is dropped.
    fn run(
        &self,
        who: usize,
        operation: impl Future<Output = usize> + Send + 'static,
    ) -> impl FnOnce() -> Sent + Send + 'static {
        let log = self.clone();
        move || {
            log.note(who, "made");
            let noted = Noted(log, who);
            async move {
                let _noted = noted;
                operation.await
            }
            .boxed()
        }
    }
}

/// Five are parked. The lost operation is gone before the next one is made, and nobody else's is ever made.
pub async fn a_lost_driver_is_followed_by_exactly_one_rerun<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let log = Log::default();
    let driver = group.try_work("k", fine(log.run(0, pending())));
    let id = driver.id();
    let (driver, cancel) = rt.cancellable(driver);
    until(|| log.read().len() == 1).await;
    let heirs = (1..=5).map(|who| {
        let run = log.run(who, async {
            yield_now().await;
            7
        });
        Counted::new(group.try_work("k", fine(run)))
    });
    let (heirs, counts): (Vec<_>, Vec<_>) = heirs.unzip();
    let heirs: Vec<_> = heirs.into_iter().map(|heir| rt.task(heir)).collect();
    until(|| counts.iter().all(|c| c.polls() == 1)).await;
    assert_eq!(log.read(), [(0, "made")]);

    cancel.cancel();
    assert!(driver.await.is_none());
    for heir in heirs {
        let settled = heir.await.unwrap();
        assert_eq!((*settled, Some(settled.flight_id())), (7, id));
    }
    let [first, lost, made, done] = log.read()[..] else {
        panic!("{:?}", log.read())
    };
    assert_eq!((first, lost), ((0, "made"), (0, "dropped")));
    assert_eq!((made.1, done), ("made", (made.0, "dropped")));
    let stats = group.stats();
    assert_eq!((stats.begun, stats.settled, stats.reruns), (1, 1, 1));
}

/// While one operation is dropped, before the next is made, and after: a newcomer always joins the same flight.
pub async fn the_flight_stays_registered_while_it_changes_hands<R: TestRuntime>(rt: R) {
    struct Looks(Group, Arc<Mutex<Vec<bool>>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0.contains("k"));
        }
    }
    let group = Group::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looks = Looks(group.clone(), seen.clone());
    let mut driver = Box::pin(group.try_work(
        "k",
        fine(|| async move {
            let _looks = looks;
            pending().await
        }),
    ));
    let bell = CountingWaker::new();
    assert!(poll(&mut driver, bell.waker()).is_pending());
    let id = driver.id();
    let heir = group.try_work("k", fine(|| ready(7)));
    drop(driver);
    assert_eq!(*seen.lock().unwrap(), [true]);
    let newcomer = waiter(group.begin("k"));
    assert_eq!(Some(newcomer.id()), id);
    assert_eq!(*rt.task(heir).await.unwrap(), 7);
    assert_eq!(*rt.task(newcomer).await.unwrap(), 7);
    assert!(group.is_empty());
}

/// In a poll or in the making: the panic goes on in that caller alone, and the others do not see it.
pub async fn a_driver_that_panics_counts_as_lost<R: TestRuntime>(rt: R) {
    for in_the_making in [false, true] {
        let group = Group::new();
        let log = Log::default();
        let driver = group.try_work(
            "k",
            fine(move || {
                if in_the_making {
                    quiet_panic()
                }
                async {
                    yield_now().await;
                    quiet_panic()
                }
            }),
        );
        let heirs: Vec<_> = (1..=3)
            .map(|who| group.try_work("k", fine(log.run(who, ready(7)))))
            .collect();
        let plain = rt.task(waiter(group.begin("k")));
        let driver = rt.task(AssertUnwindSafe(driver).catch_unwind());
        assert!(driver.await.is_err(), "the driver is not told");
        for heir in heirs {
            assert_eq!(*rt.task(heir).await.unwrap(), 7);
        }
        assert_eq!(*plain.await.unwrap(), 7);
        assert_eq!(log.read().len(), 2, "one was made");
        let stats = group.stats();
        assert_eq!((stats.settled, stats.aborted, stats.reruns), (1, 0, 1));
    }
}

/// After a loss or a failure all are woken. Only the last one is polled, and has its outcome in that poll.
pub async fn an_idle_heir_stalls_nobody<R: TestRuntime>(rt: R) {
    for fails in [false, true] {
        behind_idle_heirs(&rt, fails).await;
    }
}

async fn behind_idle_heirs<R: TestRuntime>(rt: &R, fails: bool) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut driver = Box::pin(group.try_work("k", || async {
        let polls = operation.await;
        if fails {
            Err(Error::TimedOut)
        } else {
            Ok(polls)
        }
    }));
    let bell = CountingWaker::new();
    assert!(poll(&mut driver, bell.waker()).is_pending());
    let mut heirs: Vec<_> = (0..5)
        .map(|nth| {
            let heir = Box::pin(group.try_work("k", fine(move || ready(nth))));
            (heir, CountingWaker::new())
        })
        .collect();
    for (heir, bell) in &mut heirs {
        assert!(poll(heir, bell.waker()).is_pending());
    }
    if fails {
        remote.finish();
        assert!(poll(&mut driver, bell.waker()).is_ready());
    } else {
        drop(driver);
    }
    assert!(heirs.iter().all(|(_, bell)| bell.wakes() == 1));
    let (mut last, bell) = heirs.pop().expect("five");
    assert!(poll(&mut last, bell.waker()).is_ready());
    assert_eq!(group.stats().reruns, 1, "it ended in its first poll");
    for (heir, _) in heirs {
        assert_eq!(*rt.task(heir).await.unwrap(), 4);
    }
}

/// It may be `!Send` and may borrow, and so may its heir.
pub async fn an_operation_of_try_work_may_borrow_and_be_not_send<R: TestRuntime>(_: R) {
    let group = Group::new();
    let text = String::from("borrowed");
    let polls = std::rc::Rc::new(std::cell::Cell::new(0));
    let run = || async {
        polls.set(polls.get() + 1);
        yield_now().await;
        polls.get() + text.len()
    };
    let mut first = Box::pin(group.try_work("k", fine(run)));
    let second = group.try_work("k", fine(run));
    let bell = CountingWaker::new();
    assert!(poll(&mut first, bell.waker()).is_pending());
    drop(first);
    assert_eq!(*second.await.unwrap(), 2 + text.len());
}
