//! What a waiter costs, and what it can rely on.

use std::future::ready;
use std::ptr;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

use futures_lite::future::yield_now;
use oneflight::{Begin, SettleCell, Waiter};

use super::Group;
use crate::{Counted, CountingWaker, TestRuntime, poll, primary, scripted, until, waiter};

/// No window between the check and the registration.
pub async fn a_waiter_that_registers_after_the_settle_is_ready_at_its_first_poll<R: TestRuntime>(
    rt: R,
) {
    let group = Group::new();
    let primary = primary(group.begin("k"));
    let (early, late) = (waiter(group.begin("k")), waiter(group.begin("k")));
    primary.settle(7).unwrap();
    assert_eq!(*early.get().expect("without a poll").unwrap(), 7);

    let (late, counts) = Counted::new(late);
    assert_eq!(*rt.task(late).await.unwrap(), 7);
    assert_eq!((counts.polls(), counts.wakes()), (1, 0));
}

/// Registration races with the settle on another thread: ready or woken, never silent.
pub async fn a_settle_from_another_thread_reaches_a_waiter_that_is_registering<R: TestRuntime>(
    rt: R,
) {
    for value in 0..300 {
        let group = Group::new();
        let primary = primary(group.begin("k"));
        let task = rt.task(waiter(group.begin("k")));
        let thread = std::thread::spawn(move || primary.settle(value).map(drop).is_ok());
        assert_eq!(*task.await.unwrap(), value);
        assert!(thread.join().unwrap());
    }
}

/// Where in its life a waiter is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    Unpolled,
    Parked,
    Told,
    Ready,
}

/// Its count goes, its waker goes, and every other waiter is woken as if it had never been.
pub async fn a_waiter_may_be_dropped_at_any_point<R: TestRuntime>(rt: R) {
    for point in [Point::Unpolled, Point::Parked, Point::Told, Point::Ready] {
        for place in 0..5 {
            let group = Group::new();
            let primary = primary(group.begin("k"));
            let (others, counts): (Vec<_>, Vec<_>) = (0..4)
                .map(|_| Counted::new(waiter(group.begin("k"))))
                .unzip();
            let mut leaver = waiter(group.begin("k"));
            let bell = CountingWaker::new();
            let mut tasks = Vec::new();
            for (nth, other) in others.into_iter().enumerate() {
                if nth == place && point != Point::Unpolled {
                    assert!(poll(&mut leaver, bell.waker()).is_pending());
                }
                tasks.push(rt.task(other));
                until(|| counts[nth].polls() == 1).await;
            }
            if place == 4 && point != Point::Unpolled {
                assert!(poll(&mut leaver, bell.waker()).is_pending());
            }
            assert_eq!(group.waiters("k"), 5);

            match point {
                Point::Unpolled | Point::Parked => {
                    drop(leaver);
                    assert_eq!(group.waiters("k"), 4);
                    assert_eq!(primary.waiters(), 4);
                    assert_eq!(bell.kept(), 0, "its waker is kept");
                    assert_eq!(group.stats().cancelled, 1);
                    primary.settle(7).unwrap();
                    assert_eq!(bell.wakes(), 0);
                }
                Point::Told | Point::Ready => {
                    primary.settle(7).unwrap();
                    assert_eq!(bell.wakes(), 1);
                    if point == Point::Ready {
                        assert!(poll(&mut leaver, bell.waker()).is_ready());
                    }
                    drop(leaver);
                    assert_eq!(bell.kept(), 0, "its waker is kept");
                    assert_eq!(group.stats().cancelled, 0);
                }
            }
            for task in tasks {
                assert_eq!(*task.await.unwrap(), 7);
            }
            assert!(counts.iter().all(|c| (c.polls(), c.wakes()) == (2, 1)));
            assert!(group.is_empty());
        }
    }
}

/// Nothing is handed down a chain.
pub async fn the_last_waiter_is_ready_though_no_other_is_polled<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let primary = primary(group.begin("k"));
    let mut idle: Vec<_> = (0..200)
        .map(|_| (waiter(group.begin("k")), CountingWaker::new()))
        .collect();
    for (waiter, bell) in &mut idle {
        assert!(poll(waiter, bell.waker()).is_pending());
    }
    let (last, counts) = Counted::new(waiter(group.begin("k")));
    let task = rt.task(last);
    until(|| counts.polls() == 1).await;

    let settle = rt.task(async move { primary.settle(7).map(drop).is_ok() });
    assert_eq!(*task.await.unwrap(), 7);
    assert!(settle.await);
    assert!(idle.iter().all(|(_, bell)| bell.wakes() == 1));
}

/// Whatever progress the operation makes: one poll to park, one wake and one poll for the outcome.
pub async fn a_parked_waiter_is_left_alone_until_the_outcome<R: TestRuntime>(rt: R) {
    const EACH: usize = 20;
    const STEPS: usize = 100;
    let group = Group::new();
    let (remote, operation) = scripted();
    let (driver, driven) = Counted::new(group.work("k", || operation));
    let driver = rt.task(driver);
    until(|| remote.polls() == 1).await;

    let mut counts = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..EACH {
        let (plain, polls) = Counted::new(waiter(group.begin("k")));
        counts.push(polls);
        tasks.push(rt.task(async move { *plain.await.unwrap() }));
        let (participant, polls) = Counted::new(group.work("k", || ready(0)));
        counts.push(polls);
        tasks.push(rt.task(async move { *participant.await.unwrap() }));
    }
    until(|| counts.iter().all(|c| c.polls() == 1)).await;

    for step in 0..STEPS {
        remote.wake();
        until(|| remote.polls() == step + 2).await;
    }
    assert!(counts.iter().all(|c| (c.polls(), c.wakes()) == (1, 0)));
    remote.finish();
    for task in tasks {
        assert_eq!(task.await, STEPS + 2);
    }
    assert!(counts.iter().all(|c| (c.polls(), c.wakes()) == (2, 1)));
    assert_eq!(*driver.await.unwrap(), STEPS + 2);
    assert_eq!(driven.polls(), STEPS + 2, "the driver alone is polled");
}

/// The first one wins; the second gets its value back.
pub async fn a_second_settle_gets_its_value_back<R: TestRuntime>(rt: R) {
    let cell = Arc::new(SettleCell::new());
    let task = rt.task({
        let cell = cell.clone();
        async move { *cell.wait().await }
    });
    let other = rt.task({
        let cell = cell.clone();
        async move { cell.settle(1).copied() }
    });
    assert_eq!(other.await.unwrap(), 1);
    let refused = cell.settle(2).unwrap_err();
    assert_eq!(refused.value, 2);
    assert_eq!(task.await, 1);
    assert_eq!(cell.get(), Some(&1));
}

/// The key is free before anybody is woken: told first thing after it resumes.
pub async fn a_resumed_waiter_begins_a_new_flight<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let first = primary(group.begin("k"));
    let id = first.id();
    let again = rt.task({
        let (group, waiter) = (group.clone(), waiter(group.begin("k")));
        async move {
            let _outcome = waiter.await;
            primary(group.begin("k"))
        }
    });
    let settle = rt.task(async move { first.settle(1).map(drop).is_ok() });
    let again = again.await;
    assert!(again.id() > id);
    assert!(settle.await);
    assert!(group.contains("k"));
    again.settle(2).unwrap();
}

/// The same from within the wake, in the settling call itself.
pub async fn a_begin_from_inside_the_wake_starts_a_new_flight<R: TestRuntime>(rt: R) {
    type Found = (usize, Begin<&'static str, usize>);
    struct BeginsAgain(Group, Mutex<Option<Found>>);
    impl Wake for BeginsAgain {
        fn wake(self: Arc<Self>) {
            let found = (self.0.stats().in_flight, self.0.begin("k"));
            *self.1.lock().unwrap() = Some(found);
        }
    }
    for (by_work, ends_by_settle) in [(false, true), (false, false), (true, true), (true, false)] {
        let group = Group::new();
        let end: Box<dyn FnOnce() + Send> = if by_work {
            let mut first = group.work("k", || ready(1));
            Box::new(move || {
                if ends_by_settle {
                    assert!(poll(&mut first, Waker::noop()).is_ready());
                }
            })
        } else {
            let first = primary(group.begin("k"));
            Box::new(move || {
                if ends_by_settle {
                    first.settle(1).unwrap();
                }
            })
        };
        let mut parked = waiter(group.begin("k"));
        let bell = Arc::new(BeginsAgain(group.clone(), Mutex::default()));
        assert!(poll(&mut parked, &Waker::from(bell.clone())).is_pending());
        let ended = rt.task(async move { end() });
        ended.await;
        let (left, begun) = bell.1.lock().unwrap().take().expect("woken");
        assert_eq!(left, 0, "woken before it was taken out");
        primary(begun).settle(2).unwrap();
        assert_eq!(parked.get().unwrap().is_ok(), ends_by_settle);
    }
}

/// From `begin` on, polled or not, until it is dropped or the flight has ended.
pub async fn a_waiter_counts_until_it_is_dropped_or_resolved<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let primary = primary(group.begin("k"));
    assert_eq!(group.waiters("k"), 0);
    let unpolled = waiter(group.begin("k"));
    assert_eq!((group.waiters("k"), primary.waiters()), (1, 1));
    let (parked, counts) = Counted::new(waiter(group.begin("k")));
    let (parked, cancel) = rt.cancellable(parked);
    until(|| counts.polls() == 1).await;
    assert_eq!(group.stats().waiting, 2);
    cancel.cancel();
    assert!(parked.await.is_none());
    assert_eq!(group.waiters("k"), 1);
    primary.settle(7).unwrap();
    assert_eq!(group.waiters("k"), 0);
    drop(unpolled);
    let stats = group.stats();
    assert_eq!((stats.joined, stats.waited, stats.cancelled), (2, 1, 1));
    assert_eq!((stats.waiting, stats.largest_flight), (0, 2));
}

/// Ready is not an end: it is ready again, with the same value and no copy of it.
pub async fn a_ready_waiter_is_ready_again<R: TestRuntime>(rt: R) {
    /// Nothing but what is asked of a value: no `Clone`.
    struct Value([u8; 64]);
    let group = oneflight::Group::<&str, Value>::new();
    let primary = primary(group.begin("k"));
    let mut waiters: Vec<Waiter<_, _>> = (0..3).map(|_| waiter(group.begin("k"))).collect();
    let settled = primary.settle(Value([7; 64])).expect("the first");
    for waiter in &mut waiters {
        let first = (&mut *waiter).await.unwrap();
        yield_now().await;
        let Poll::Ready(Ok(second)) = poll(waiter, Waker::noop()) else {
            panic!("no longer ready")
        };
        assert!(ptr::eq(&*first, &*settled) && ptr::eq(&*second, &*settled));
    }
    let last = waiters.pop().unwrap();
    assert_eq!(rt.task(last).await.unwrap().0, [7; 64]);
}
