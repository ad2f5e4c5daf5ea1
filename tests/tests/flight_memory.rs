//! How many allocations a flight and its operation are, how long they stay, and that nothing is left. The allocator counts
//! for each thread.

use std::future::{Future, pending, poll_fn, ready};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use allocation_counter::{AllocationInfo, measure};

use oneflight_core::handle::Work;
use oneflight_core::{Begin, Error, Group, Settled};

fn poll_idly<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// How many of something are there.
#[derive(Clone, Default)]
struct Live(Arc<AtomicUsize>);

impl Live {
    fn one(&self) -> One {
        self.0.fetch_add(1, Ordering::Relaxed);
        One(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct One(Live);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where an operation leaves a waker. It is made before anything is measured.
type Kept = Arc<Mutex<Option<Waker>>>;

/// Pending until `value` is there to be had. Of this alignment and, with `PAD`, of this size.
struct Operation<T, const PAD: usize> {
    value: Option<T>,
    kept: Kept,
    _one: One,
    _pad: [u8; PAD],
}

impl<T: Unpin, const PAD: usize> Future for Operation<T, PAD> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        *self.kept.lock().unwrap() = Some(cx.waker().clone());
        self.value.take().map_or(Poll::Pending, Poll::Ready)
    }
}

#[repr(align(32))]
struct OverAligned(#[expect(dead_code, reason = "counted")] One);

impl Future for OverAligned {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
        assert!(std::ptr::from_ref(&*self).is_aligned());
        Poll::Ready(7)
    }
}

/// A group whose table is there, on a thread whose list of polls is there.
fn warm<T: Send + Sync + 'static>(value: T) -> Group<u64, T> {
    let group = Group::<u64, T>::builder().shards(1).build();
    assert!(poll_idly(&mut group.work(0, || ready(value))).is_ready());
    group
}

fn measured<R>(f: impl FnOnce() -> R) -> (AllocationInfo, R) {
    let mut result = None;
    let info = measure(|| result = Some(f()));
    (info, result.expect("it ran"))
}

/// Polls it, with a list of polls that is there.
fn settled<T: Send + Sync + 'static>(mut work: Work<u64, T>) -> Settled<u64, T> {
    match poll_idly(&mut work) {
        Poll::Ready(outcome) => outcome.expect("it settles"),
        Poll::Pending => panic!("it is ready"),
    }
}

#[test]
fn an_operation_that_is_larger_or_over_aligned_is_boxed() {
    let group = warm(0);
    let fits = measure(|| drop(settled(group.work(1, || ready(7)))));
    assert_eq!((fits.count_total, fits.count_current), (1, 0));

    let (live, kept) = (Live::default(), Kept::default());
    let large = || Operation::<u64, 1_000> {
        value: Some(7),
        kept: kept.clone(),
        _one: live.one(),
        _pad: [0; 1_000],
    };
    let (large, outcome) = measured(|| settled(group.work(1, large)));
    // It is dropped at its end, though the outcome and a waker keep the flight's memory.
    assert_eq!((*outcome, live.count()), (7, 0));
    assert_eq!((large.count_total, large.count_current), (2, 1));
    assert!(large.bytes_current < 1_000, "{large:?}");

    let one = live.one();
    let (aligned, outcome) = measured(|| settled(group.work(2, || OverAligned(one))));
    assert_eq!((*outcome, live.count()), (7, 0));
    assert_eq!((aligned.count_total, aligned.count_current), (2, 1));
}

#[test]
fn a_waker_that_is_kept_keeps_memory_and_neither_key_nor_value() {
    let (live, kept) = (Live::default(), Kept::default());
    struct Key(u8, #[expect(dead_code, reason = "counted")] One);
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    impl std::hash::Hash for Key {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    let group = Group::<Key, One>::builder().shards(1).build();
    let work = |value| {
        let operation = Operation::<One, 0> {
            value,
            kept: kept.clone(),
            _one: live.one(),
            _pad: [],
        };
        group.work(Key(1, live.one()), || operation)
    };
    // The tables, and this thread's list of polls.
    for value in [Some(live.one()), None] {
        drop(poll_idly(&mut work(value)));
        kept.lock().unwrap().take();
    }
    for settles in [false, true] {
        let held = measure(|| {
            let value = settles.then(|| live.one());
            assert_eq!(poll_idly(&mut work(value)).is_ready(), settles);
        });
        assert_eq!((live.count(), held.count_current), (0, 1));
        let waker = kept.lock().unwrap().take().expect("it was polled");
        let given_back = measure(|| {
            waker.wake_by_ref();
            drop(waker);
        });
        assert_eq!(given_back.count_current, -1);
    }
    assert_eq!(group.stats().ending, 0);
}

#[test]
fn nothing_is_kept_of_a_flight_that_is_unwrapped() {
    let group = warm(0);
    let unwrapped = measure(|| {
        let outcome = settled(group.work(1, || ready(7)));
        assert_eq!(outcome.try_unwrap().ok(), Some(7));
    });
    assert_eq!((unwrapped.count_total, unwrapped.count_current), (1, 0));
}

/// Panics when it is dropped, without a payload.
#[derive(PartialEq, Eq, Hash)]
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 {
            resume_unwind(Box::new(()));
        }
    }
}

#[test]
fn a_panic_in_the_drop_of_key_value_or_operation_leaks_no_memory() {
    struct Drops(Option<Bomb>, #[expect(dead_code, reason = "dropped")] Bomb);
    impl Future for Drops {
        type Output = Bomb;
        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Bomb> {
            self.0.take().map_or(Poll::Pending, Poll::Ready)
        }
    }
    let group = Group::<Bomb, Bomb>::builder().shards(1).build();
    let run = |key, value: Option<bool>, operation| {
        let operation = Drops(value.map(Bomb), Bomb(operation));
        let mut work = group.work(Bomb(key), || operation);
        let polled = poll_idly(&mut work);
        drop((polled, work));
    };
    let runs: [&dyn Fn(); 6] = [
        &|| run(false, Some(false), false),
        &|| run(true, Some(false), false),
        &|| run(true, None, false),
        &|| run(false, Some(true), false),
        &|| run(false, Some(false), true),
        &|| run(false, None, true),
    ];
    for (at, run) in runs.iter().enumerate() {
        let panics = || catch_unwind(AssertUnwindSafe(run)).is_err();
        assert_eq!(panics(), at > 0, "{at}");
        let again = measure(|| assert!(panics() == (at > 0)));
        assert_eq!(again.count_current, 0, "{at}");
    }
}

/// The whole of a call that meets nobody, with the operation and what it is pinned in. A runtime's own memory for a task is
/// not in it. The README names these figures.
#[test]
fn what_a_call_allocates() {
    /// Runs at once what it is given, in place.
    struct Inline;
    impl oneflight_core::rt::Spawn for Inline {
        fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
            assert!(poll_idly(&mut pin!(task)).is_ready());
        }
    }
    impl oneflight_core::rt::SpawnBlocking for Inline {
        fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
            call();
        }
    }
    let group = Group::<u64, u64>::builder().shards(1).build();
    let entry = || group.entry(1);
    let guard = || match group.begin(1) {
        Begin::Primary(primary) => primary,
        other => panic!("{other:?}"),
    };
    let operation = || ready(7);
    let run = |call: &dyn Fn()| {
        // The table, and this thread's list of what it is inside of.
        call();
        measure(call).count_total
    };
    // Pending once: its waker is parked in the flight.
    let once = || {
        let mut polled = false;
        poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            if mem::replace(&mut polled, true) {
                Poll::Ready(7)
            } else {
                Poll::Pending
            }
        })
    };
    // Woken each time that its driver has parked, and perhaps has been polled once more.
    let waker = Kept::default();
    let pending_often = |polls: usize| {
        let (kept, mut left) = (waker.clone(), 100);
        let mut work = group.work(1, || {
            poll_fn(move |cx| {
                *kept.lock().unwrap() = Some(cx.waker().clone());
                left -= 1;
                let ready = Poll::Ready(7);
                if left == 0 { ready } else { Poll::Pending }
            })
        });
        while (0..polls).all(|_| poll_idly(&mut work).is_pending()) {
            waker.lock().unwrap().take().unwrap().wake();
        }
    };
    let calls: [(&str, &dyn Fn()); 11] = [
        ("begin", &|| drop(guard().settle(7))),
        ("begin and run, pending once", &|| {
            let mut run = guard().run(once());
            assert!(poll_idly(&mut run).is_pending());
            assert!(poll_idly(&mut run).is_ready());
        }),
        ("work", &|| drop(poll_idly(&mut group.work(1, operation)))),
        ("work, pending once", &|| {
            let mut work = group.work(1, once);
            assert!(poll_idly(&mut work).is_pending());
            assert!(poll_idly(&mut work).is_ready());
        }),
        ("work, pending often", &|| pending_often(1)),
        ("work, pending often, polled twice", &|| pending_often(2)),
        ("try_work", &|| {
            let make = || ready(Ok::<_, Error>(7));
            drop(poll_idly(&mut pin!(group.try_work(1, make))));
        }),
        ("spawn", &|| drop(entry().spawn_on(&Inline, operation))),
        ("spawn_while_wanted", &|| {
            drop(entry().spawn_while_wanted_on(&Inline, operation));
        }),
        ("spawn_blocking", &|| {
            drop(entry().spawn_blocking_on(&Inline, || 7));
        }),
        ("work_blocking", &|| drop(group.work_blocking(1, || 7))),
    ];
    let counted = calls.map(|(name, call)| (name, run(call)));
    assert_eq!(
        counted,
        [
            ("begin", 1),
            ("begin and run, pending once", 2),
            ("work", 1),
            ("work, pending once", 1),
            ("work, pending often", 1),
            ("work, pending often, polled twice", 1),
            ("try_work", 1),
            ("spawn", 1),
            ("spawn_while_wanted", 3),
            ("spawn_blocking", 1),
            ("work_blocking", 1)
        ]
    );
}

#[test]
fn nothing_but_its_outcome_is_left_of_a_flight_whose_driver_has_left() {
    let values = Live::default();
    let group: Group<u8, One> = Group::new();
    let value = values.one();
    let mut work = group.work(1, || ready(value));
    let Poll::Ready(Ok(settled)) = poll_idly(&mut work) else {
        panic!("it is ready at once")
    };
    let settled = settled.try_unwrap().err().expect("its driver is here");
    drop(work);
    let value = settled.try_unwrap().ok().expect("the last handle");
    assert_eq!(values.count(), 1);
    drop(value);
    assert_eq!(values.count(), 0);
}

/// It was parked with that waker, and drives when it is polled with another one.
#[test]
fn a_driver_whose_old_waker_panics_in_its_drop_leaks_no_outcome() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a waker that panics in its drop");
        }
    }
    let values = Live::default();
    let group: Group<u8, One> = Group::new();
    let mut value = Some(values.one());
    let kept = Kept::default();
    let own = kept.clone();
    let mut first = group.work(1, || {
        poll_fn(
            move |cx| match own.lock().unwrap().replace(cx.waker().clone()) {
                None => Poll::Pending,
                Some(_) => Poll::Ready(value.take().expect("polled twice")),
            },
        )
    });
    assert!(poll_idly(&mut first).is_pending());
    let mut second = group.work(1, pending);
    let waker = Waker::from(Arc::new(Panics));
    let polled = Pin::new(&mut second).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    // The last one is that of the place.
    drop(waker);
    let wakes = kept.lock().unwrap().clone();
    wakes.expect("it was polled").wake();
    let polled = catch_unwind(AssertUnwindSafe(|| drop(poll_idly(&mut second))));
    assert!(polled.is_err());
    drop((first, second));
    assert_eq!(values.count(), 0);
}
