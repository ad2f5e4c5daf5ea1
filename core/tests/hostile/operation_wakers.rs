//! What an operation may do with its waker: keep it, wake it too often, too late, from everywhere
//! at once. And what is left if a waker or an operation panics when a driver that has just settled
//! drops it: its caller gets the panic, and the outcome that it would have got is dropped.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use futures_lite::future::block_on;
#[cfg(feature = "std")]
use oneflight_core::Begin;
use oneflight_core::handle::Work;
use oneflight_core::{Error, Group};

use crate::limit::{alone, lock, panics, quiet_panic};
use crate::wakers::hooked::{Hooks, hooked};

type Registry = Group<&'static str, u32>;

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn poll_idly<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll(future, Waker::noop())
}

fn assert_idle(group: &Registry) {
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
    assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
    assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats:?}");
}

/// Counts its wakes.
#[derive(Default)]
struct Spy(AtomicUsize);

impl Spy {
    fn wakes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Spy {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Keeps the waker of its operation where the test can wake it.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Option<Waker>>>);

impl Keeper {
    fn keep(&self, waker: &Waker) {
        *lock(&self.0) = Some(waker.clone());
    }

    fn waker(&self) -> Waker {
        let kept = lock(&self.0).clone();
        kept.expect("the operation was polled")
    }
}

#[test]
fn the_waker_of_an_operation_is_the_same_at_every_poll_and_driver() {
    let group = Registry::builder().build();
    let seen = Arc::new(Mutex::new(Vec::<Waker>::new()));
    let inner = seen.clone();
    let mut works: Vec<_> = (0..3)
        .map(|_| {
            let inner = inner.clone();
            group.work("k", move || {
                poll_fn(move |cx| {
                    lock(&inner).push(cx.waker().clone());
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
            })
        })
        .collect();
    for work in &mut works {
        assert!(poll_idly(work).is_pending());
        assert!(poll_idly(work).is_pending());
    }
    let seen = lock(&seen);
    assert_eq!(seen.len(), 6);
    assert!(seen.windows(2).all(|pair| pair[0].will_wake(&pair[1])));
}

#[test]
fn a_wake_after_the_end_wakes_nobody() {
    let group = Registry::builder().build();
    let keeper = Keeper::default();
    let inner = keeper.clone();
    let mut work = group.work("k", move || {
        poll_fn(move |cx| {
            inner.keep(cx.waker());
            Poll::Ready(7)
        })
    });
    let spy = Arc::new(Spy::default());
    assert!(poll(&mut work, &spy.clone().into()).is_ready());
    let woken = spy.wakes();
    let waker = keeper.waker();
    waker.wake_by_ref();
    drop(work);
    waker.wake_by_ref();
    let mut next = group.work("k", pending);
    let next_spy = Arc::new(Spy::default());
    assert!(poll(&mut next, &next_spy.clone().into()).is_pending());
    waker.wake();
    assert_eq!((spy.wakes(), next_spy.wakes()), (woken, 0));
    drop(next);
    assert_idle(&group);
}

#[test]
fn a_waker_kept_over_the_end_of_its_group_is_harmless() {
    let group = Registry::builder().build();
    let keeper = Keeper::default();
    let inner = keeper.clone();
    let mut work = group.work("k", move || {
        poll_fn(move |cx| {
            inner.keep(cx.waker());
            Poll::Pending
        })
    });
    assert!(poll_idly(&mut work).is_pending());
    drop((work, group));
    keeper.waker().wake();
}

#[test]
fn many_wakes_at_once_wake_the_driver_once_for_each_poll() {
    alone(|| {
        let group = Registry::builder().build();
        let keeper = Keeper::default();
        let inner = keeper.clone();
        let mut driver = group.work("k", move || {
            poll_fn(move |cx| {
                inner.keep(cx.waker());
                Poll::Pending
            })
        });
        let mut other = group.work("k", pending);
        let (spy, idle) = (Arc::new(Spy::default()), Arc::new(Spy::default()));
        let waker = Waker::from(spy.clone());
        assert!(poll(&mut driver, &waker).is_pending());
        assert!(poll(&mut other, &idle.clone().into()).is_pending());
        for round in 1..=20 {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let waker = keeper.waker();
                        (0..50).for_each(|_| waker.wake_by_ref());
                    });
                }
            });
            assert_eq!((spy.wakes(), idle.wakes()), (round, 0));
            assert!(poll(&mut driver, &waker).is_pending());
        }
        drop((driver, other));
        assert_idle(&group);
    });
}

#[test]
fn no_wake_is_lost_between_threads_that_wake_and_a_driver_that_polls() {
    const THREADS: usize = 4;
    const WAKES: usize = 2_000;
    alone(|| {
        let group = Registry::builder().build();
        let left = Arc::new(AtomicUsize::new(THREADS * WAKES));
        let keeper = Keeper::default();
        let (inner, remaining) = (keeper.clone(), left.clone());
        let mut driver = group.work("k", move || {
            poll_fn(move |cx| {
                inner.keep(cx.waker());
                match remaining.load(Ordering::SeqCst) {
                    0 => Poll::Ready(7),
                    _ => Poll::Pending,
                }
            })
        });
        assert!(poll_idly(&mut driver).is_pending());
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..WAKES {
                        left.fetch_sub(1, Ordering::SeqCst);
                        keeper.waker().wake();
                    }
                });
            }
            assert_eq!(*block_on(&mut driver).expect("settled"), 7);
        });
        drop(driver);
        assert_idle(&group);
    });
}

#[test]
fn no_wake_is_lost_while_drivers_come_and_go() {
    const ROUNDS: usize = 300;
    alone(|| {
        for _ in 0..ROUNDS {
            let group = Registry::builder().build();
            let left = Arc::new(AtomicUsize::new(40));
            let keeper = Keeper::default();
            let (inner, remaining) = (keeper.clone(), left.clone());
            let mut first = group.work("k", move || {
                poll_fn(move |cx| {
                    inner.keep(cx.waker());
                    match remaining.load(Ordering::SeqCst) {
                        0 => Poll::Ready(7),
                        _ => Poll::Pending,
                    }
                })
            });
            assert!(poll_idly(&mut first).is_pending());
            let last = group.work("k", pending);
            thread::scope(|scope| {
                let (group, left, keeper) = (&group, &left, &keeper);
                scope.spawn(move || {
                    for _ in 0..40 {
                        left.fetch_sub(1, Ordering::SeqCst);
                        keeper.waker().wake();
                    }
                });
                scope.spawn(move || {
                    drop(first);
                    for _ in 0..20 {
                        // Each may become the driver, and leaves at once.
                        let mut passing = group.work("k", || std::future::ready(7));
                        let _outcome = poll_idly(&mut passing).is_ready();
                    }
                });
                assert_eq!(*block_on(last).expect("settled"), 7);
            });
            assert_idle(&group);
        }
    });
}

/// When it is woken it lets one more caller park, as an executor can that runs a task at once.
struct Multiplies {
    group: Registry,
    wakes: AtomicUsize,
    callers: Mutex<Vec<Work<&'static str, u32>>>,
}

impl Multiplies {
    const AT_MOST: usize = 2_000;

    fn park(self: &Arc<Self>) {
        let mut caller = self.group.work("k", pending);
        let waker = Waker::from(self.clone());
        let polled = Pin::new(&mut caller).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        self.callers.lock().unwrap().push(caller);
    }
}

impl Wake for Multiplies {
    fn wake(self: Arc<Self>) {
        if self.wakes.fetch_add(1, Ordering::SeqCst) < Self::AT_MOST {
            self.park();
        }
    }
}

#[test]
fn those_who_park_while_all_are_woken_are_not_woken_in_the_same_call() {
    const PARKED: usize = 200;
    alone(|| {
        let task = Arc::new(Multiplies {
            group: Registry::builder().build(),
            wakes: AtomicUsize::new(0),
            callers: Mutex::default(),
        });
        let keeper = Keeper::default();
        let inner = keeper.clone();
        let mut driver = task.group.work("k", move || {
            poll_fn(move |cx| {
                inner.keep(cx.waker());
                Poll::Pending
            })
        });
        assert!(poll_idly(&mut driver).is_pending());
        (0..PARKED).for_each(|_| task.park());
        // Without a driver, progress of the operation wakes everybody.
        drop(driver);
        keeper.waker().wake();
        assert_eq!(task.wakes.load(Ordering::SeqCst), PARKED);
        task.callers.lock().unwrap().clear();
    });
}

/// How often it is referred to tells what is left of a flight.
type Value = Arc<()>;

/// A waker whose clones panic when they are dropped.
fn bomb() -> Waker {
    hooked(Hooks {
        on_drop: Some(Box::new(|| quiet_panic())),
        ..Hooks::default()
    })
}

/// A `work` that is ready at this poll, and what wakes its operation.
fn ready_at(poll: usize, group: &Group<u8, Value>, value: &Value) -> (Work<u8, Value>, impl Fn()) {
    let kept = Arc::new(Mutex::new(None::<Waker>));
    let (keep, value, mut polls) = (kept.clone(), value.clone(), 0);
    let operation = poll_fn(move |cx| {
        *lock(&keep) = Some(cx.waker().clone());
        polls += 1;
        if polls == poll {
            Poll::Ready(value.clone())
        } else {
            Poll::Pending
        }
    });
    let wake = move || {
        let waker = lock(&kept).take();
        waker.expect("it has been polled").wake();
    };
    (group.work(1, || operation), wake)
}

fn never_made() -> std::future::Ready<Value> {
    unreachable!("never made")
}

#[test]
fn a_clone_that_was_of_no_use_panics_and_nothing_is_kept() {
    alone(|| {
        let (group, value) = (Group::<u8, Value>::builder().build(), Value::default());
        let (mut first, wake) = ready_at(2, &group, &value);
        let mut second = group.work(1, never_made);
        assert!(!poll(&mut first, Waker::noop()).is_ready());
        wake();
        let waker = bomb();
        assert!(panics(|| _ = poll(&mut second, &waker).is_ready()));
        assert!(
            poll(&mut first, Waker::noop()).is_ready()
                && poll(&mut second, Waker::noop()).is_ready()
        );
        drop((first, second, wake));
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn a_waker_that_was_parked_panics_and_nothing_is_kept() {
    alone(|| {
        let (group, value) = (Group::<u8, Value>::builder().build(), Value::default());
        let (mut first, wake) = ready_at(3, &group, &value);
        let mut second = group.work(1, never_made);
        assert!(!poll(&mut first, Waker::noop()).is_ready());
        wake();
        // Drives from here on.
        assert!(!poll(&mut second, Waker::noop()).is_ready());
        assert!(!poll(&mut first, &bomb()).is_ready());
        wake();
        assert!(panics(|| _ = poll(&mut first, Waker::noop()).is_ready()));
        assert!(
            poll(&mut first, Waker::noop()).is_ready()
                && poll(&mut second, Waker::noop()).is_ready()
        );
        drop((first, second, wake));
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn an_operation_of_try_work_panics_and_nothing_is_kept() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            quiet_panic();
        }
    }
    alone(|| {
        let (group, value) = (Group::<u8, Value>::builder().build(), Value::default());
        let (inner, bomb) = (value.clone(), Bomb);
        let operation = || {
            poll_fn(move |_| {
                let _in_it = &bomb;
                Poll::Ready(Ok::<_, Error>(inner.clone()))
            })
        };
        assert!(panics(|| {
            let call = pin!(group.try_work(1, operation));
            let _ready = call.poll(&mut Context::from_waker(Waker::noop()));
        }));
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// A value whose drop panics is given up for another one, which a waker drops meanwhile. A second panic that gets out aborts
/// the process.
#[test]
#[cfg(feature = "std")]
fn two_values_that_panic_in_one_settle_do_not_meet() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            quiet_panic();
        }
    }
    alone(|| {
        let day = std::time::Duration::from_secs(86_400);
        let group: Group<u8, Bomb> = Group::builder().retain_for(day).max_retained(1).build();
        let begin = |key| match group.begin(key) {
            Begin::Primary(primary) => primary,
            begun => panic!("{begun:?}"),
        };
        drop(begin(1).settle(Bomb));
        let primary = begin(2);
        let Begin::Waiter(waiter) = group.begin(2) else {
            panic!("it is in flight")
        };
        let waiter = Arc::new(Mutex::new(Some(waiter)));
        let (inner, kept) = (group.clone(), waiter.clone());
        let waker = hooked(Hooks {
            on_wake: Some(Box::new(move || {
                drop(lock(&kept).take());
                inner.clear_retained();
            })),
            ..Hooks::default()
        });
        let mut own = lock(&waiter).take();
        assert!(own.as_mut().is_some_and(|it| poll(it, &waker).is_pending()));
        *lock(&waiter) = own;
        assert!(panics(|| drop(primary.settle(Bomb))));
        assert_eq!((group.stats().retained, group.stats().in_flight), (0, 0));
    });
}
