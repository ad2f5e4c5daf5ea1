//! `amplify`: the operation wakes its caller a hundred times before it is done; how often is a waiter polled for that?

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use futures_lite::future::yield_now;
use pin_project_lite::pin_project;

use super::executors::{Executor, Spawner, TokioCurrent};
use super::flight::{Maker, cases};
use super::{KEY, Make, Scale, VALUE};
use crate::contenders::limits::WAKERS;
use crate::contenders::{Contender, Kind};
use crate::meter::Meter;
use crate::op::{self, Op};
use crate::rounds::{Group, Heap};

/// How often the operation wakes.
const WAKES: usize = 100;
/// How many wait for it.
const WAITERS: u64 = 1_000;

static POLLS: AtomicUsize = AtomicUsize::new(0);
static LEFT: AtomicUsize = AtomicUsize::new(0);
static MAIN: AtomicWaker = AtomicWaker::new();

/// Ready after so many polls, each of which wakes; not before the gate is open.
struct Progress {
    left: usize,
    gate: Op<u64>,
}

impl Future for Progress {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        let gate = Pin::new(&mut self.gate).poll(cx);
        if gate.is_pending() || self.left == 0 {
            return gate;
        }
        self.left -= 1;
        self.gate = Op::new(VALUE);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

pin_project! {
    struct Polled<F> {
        #[pin]
        waiter: F,
    }
}

impl<F: Future> Future for Polled<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        POLLS.fetch_add(1, Ordering::Relaxed);
        self.project().waiter.poll(cx).map(|_| {
            if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
                MAIN.wake();
            }
        })
    }
}

struct Amplify;

impl Maker for Amplify {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender: &'static C = Box::leak(Box::new(C::new()));
        let executor = TokioCurrent::new();
        let spawner = executor.spawner();
        move |meter| {
            let took = executor.run(run(contender, n, spawner));
            meter.ops += n;
            meter.took(took);
            let polls = meter.polls.unwrap_or(0.0);
            meter.polls = Some(polls + POLLS.load(Ordering::Relaxed) as f64);
        }
    }
}

async fn run<C: Contender<u64, u64>>(
    contender: &'static C,
    n: u64,
    spawner: impl Spawner,
) -> Duration {
    op::shut();
    POLLS.store(0, Ordering::Relaxed);
    LEFT.store(n as usize, Ordering::Relaxed);
    let gate = Op::new(VALUE);
    let lead = contender.call(&KEY, Progress { left: WAKES, gate });
    // The primary is a task as well, and is not counted.
    spawner.spawn(async move { drop(lead.await) });
    yield_now().await;
    for _ in 0..n {
        spawner.spawn(Polled {
            waiter: contender.join(&KEY),
        });
    }
    while POLLS.load(Ordering::Relaxed) < n as usize {
        yield_now().await;
    }
    let start = Instant::now();
    op::open();
    poll_fn(|cx| {
        MAIN.register(cx.waker());
        match LEFT.load(Ordering::Relaxed) {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
    start.elapsed()
}

/// A thousand waiters, a hundred wakes.
pub fn groups(_: Scale) -> Vec<Make> {
    let group = || {
        let mut cases = cases::<Amplify>(WAITERS);
        // One primary of a limit is like the next.
        cases.retain(|case| case.who.kind != Kind::Limit || case.who.name == WAKERS);
        Group {
            workload: "amplify",
            key: format!("wakes-{WAKES}"),
            n: WAITERS,
            limit: Some(WAKERS),
            heap: Heap::Hidden,
            cases,
        }
    };
    vec![Box::new(group)]
}
