//! The pieces of work of the ready-made calls.

use std::cell::Cell;
use std::future::{Future, ready};
use std::hash::BuildHasher;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use foldhash::fast::FixedState;
use oneflight::rt::Spawn;
use oneflight::{Error, Group, RandomState};

use crate::{CALLS, VALUE, WAITERS, begin, cycle, ruled, solo, waker, warm};

type Work = oneflight::handle::Work<u64, u64>;

/// A piece of work of which each call has a key of its own.
pub type Piece = fn(&Group<u64, u64>);

/// Each of them with its name.
pub const PIECES: [(&str, Piece); 11] = [
    ("solo", solo),
    ("work", work),
    ("work_once", work_once),
    ("try_work", try_work),
    ("try_work_once", try_work_once),
    ("run", run),
    ("run_once", run_once),
    ("spawn", spawn),
    ("spawn_while_wanted", spawn_while_wanted),
    ("cycle", cycle),
    ("work_cycle", work_cycle),
];

thread_local! {
    static WAKER: Cell<Option<Waker>> = const { Cell::new(None) };
}

/// Pending once: it leaves its waker, and is ready when it is polled after that.
#[derive(Debug)]
struct Once {
    polled: bool,
}

fn once() -> Once {
    Once { polled: false }
}

impl Future for Once {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        if self.polled {
            return Poll::Ready(VALUE);
        }
        self.polled = true;
        WAKER.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// Wakes the operation that has left its waker.
fn wake() {
    WAKER.take().expect("an operation was polled").wake();
}

/// Polls what is ready at once.
fn expect_ready<T, E>(future: Pin<&mut impl Future<Output = Result<T, E>>>, cx: &mut Context<'_>)
where
    T: std::ops::Deref<Target = u64>,
{
    match future.poll(cx) {
        Poll::Ready(Ok(settled)) => assert_eq!(*settled, VALUE),
        _ => unreachable!("its operation is ready"),
    }
}

/// Polls a call whose operation is pending once, and wakes that in between.
fn expect_once<T, E>(mut future: Pin<&mut impl Future<Output = Result<T, E>>>, cx: &mut Context<'_>)
where
    T: std::ops::Deref<Target = u64>,
{
    assert!(future.as_mut().poll(cx).is_pending());
    wake();
    expect_ready(future, cx);
}

/// A call by `work`, alone, whose operation is ready at once.
pub fn work<S: BuildHasher>(group: &Group<u64, u64, S>) {
    let mut cx = Context::from_waker(Waker::noop());
    for key in 0..CALLS {
        let work = group.work(black_box(key), || ready(VALUE));
        expect_ready(pin!(work), &mut cx);
    }
}

/// The same, with an operation that is pending once.
pub fn work_once<S: BuildHasher>(group: &Group<u64, u64, S>) {
    let waker = waker();
    let mut cx = Context::from_waker(&waker);
    for key in 0..CALLS {
        expect_once(pin!(group.work(black_box(key), once)), &mut cx);
    }
}

/// By `try_work`.
pub fn try_work(group: &Group<u64, u64>) {
    let mut cx = Context::from_waker(Waker::noop());
    for key in 0..CALLS {
        let call = group.try_work(black_box(key), || ready(Ok::<_, Error>(VALUE)));
        expect_ready(pin!(call), &mut cx);
    }
}

/// The same, pending once.
pub fn try_work_once(group: &Group<u64, u64>) {
    let waker = waker();
    let mut cx = Context::from_waker(&waker);
    for key in 0..CALLS {
        let call = group.try_work(black_box(key), || async { Ok::<_, Error>(once().await) });
        expect_once(pin!(call), &mut cx);
    }
}

/// By the guard, whose operation is run.
pub fn run(group: &Group<u64, u64>) {
    let mut cx = Context::from_waker(Waker::noop());
    for key in 0..CALLS {
        expect_ready(
            pin!(begin(group, black_box(key)).run(ready(VALUE))),
            &mut cx,
        );
    }
}

/// The same, pending once.
pub fn run_once(group: &Group<u64, u64>) {
    let waker = waker();
    let mut cx = Context::from_waker(&waker);
    for key in 0..CALLS {
        expect_once(pin!(begin(group, black_box(key)).run(once())), &mut cx);
    }
}

/// Runs a task where it is spawned: it is polled once, and must be ready then.
#[derive(Debug)]
struct Inline;

impl Spawn for Inline {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pin!(task).poll(&mut cx).is_ready());
    }
}

/// By `spawn`, on a runtime that costs nothing.
pub fn spawn(group: &Group<u64, u64>) {
    let mut cx = Context::from_waker(Waker::noop());
    for key in 0..CALLS {
        let call = group
            .entry(black_box(key))
            .spawn_on(&Inline, || ready(VALUE));
        expect_ready(pin!(call), &mut cx);
    }
}

/// By `spawn_while_wanted`, on that runtime.
pub fn spawn_while_wanted(group: &Group<u64, u64>) {
    let mut cx = Context::from_waker(Waker::noop());
    for key in 0..CALLS {
        let entry = group.entry(black_box(key));
        let call = entry.spawn_while_wanted_on(&Inline, || ready(VALUE));
        expect_ready(pin!(call), &mut cx);
    }
}

/// By `work`: the operation is pending, one duplicate parks, the driver settles, both resume.
pub fn work_cycle(group: &Group<u64, u64>) {
    let waker = waker();
    let mut cx = Context::from_waker(&waker);
    for key in 0..CALLS {
        let mut first = group.work(black_box(key), once);
        assert!(Pin::new(&mut first).poll(&mut cx).is_pending());
        let mut second = group.work(black_box(key), || ready(VALUE));
        assert!(Pin::new(&mut second).poll(&mut cx).is_pending());
        wake();
        expect_ready(Pin::new(&mut first), &mut cx);
        expect_ready(Pin::new(&mut second), &mut cx);
    }
}

/// A flight of `work`, whose operation is pending, perhaps with everyone parked.
#[derive(Debug)]
pub struct Crowd<S = RandomState> {
    group: Group<u64, u64, S>,
    driver: Work,
    others: Vec<Work>,
    waker: Waker,
}

/// One that nobody has joined yet.
#[must_use]
pub fn work_begun() -> Crowd {
    begun_in(warm())
}

/// The same in a group with every rule.
#[must_use]
pub fn ruled_work_begun() -> Crowd<FixedState> {
    begun_in(ruled())
}

fn begun_in<S: BuildHasher>(group: Group<u64, u64, S>) -> Crowd<S> {
    let waker = waker();
    let mut driver = group.work(7, once);
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut driver).poll(&mut cx).is_pending());
    Crowd {
        group,
        driver,
        others: Vec::with_capacity(WAITERS),
        waker,
    }
}

/// One with everyone parked.
#[must_use]
pub fn work_parked() -> Crowd {
    work_joined(work_begun())
}

/// Everyone joins and parks.
#[must_use]
pub fn work_joined<S: BuildHasher>(mut crowd: Crowd<S>) -> Crowd<S> {
    let mut cx = Context::from_waker(&crowd.waker);
    for _ in 0..WAITERS {
        let mut other = crowd.group.work(black_box(7), once);
        assert!(Pin::new(&mut other).poll(&mut cx).is_pending());
        crowd.others.push(other);
    }
    crowd
}

/// The operation is woken, its driver settles, and everyone is resumed.
#[must_use]
pub fn work_settled(mut crowd: Crowd) -> Crowd {
    let mut cx = Context::from_waker(&crowd.waker);
    wake();
    expect_ready(Pin::new(&mut crowd.driver), &mut cx);
    for other in &mut crowd.others {
        expect_ready(Pin::new(other), &mut cx);
    }
    crowd
}

/// Everyone but the driver leaves.
#[must_use]
pub fn work_cancelled(mut crowd: Crowd) -> Crowd {
    crowd.others.clear();
    crowd
}
