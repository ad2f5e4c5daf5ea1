//! `fan`: from the settle to the last waiter resumed, each a task of an executor; its schedule and its free are part of it.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use futures_lite::future::yield_now;
use pin_project_lite::pin_project;
use stats_alloc::Stats;

use super::executors::{Executor, Smol, Spawner, TokioCurrent, TokioTwo};
use super::flight::{Maker, cases, cases_that_spawn, sizes};
use super::{KEY, Make, Scale, VALUE};
use crate::contenders::Contender;
use crate::contenders::limits::WAKERS;
use crate::counted;
use crate::meter::{Ask, Meter};
use crate::op::{TaskOp, open_for_all};
use crate::poll::park;
use crate::rounds::{Case, Group, Heap};

/// Tasks that were not resumed yet, tasks that have parked, and who waits for both.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static PARKED: AtomicUsize = AtomicUsize::new(0);
static MAIN: AtomicWaker = AtomicWaker::new();

/// What a task does when it runs after its await.
pub trait Note: Send + 'static {
    /// Once.
    fn resumed(&self);
}

/// Nothing.
impl Note for () {
    #[inline]
    fn resumed(&self) {}
}

pin_project! {
    /// A waiter as a task: what it counts lies outside, so that the task is as large as the waiter.
    struct Task<F, N> {
        #[pin]
        waiter: F,
        note: N,
    }
}

impl<F: Future, N: Note> Future for Task<F, N> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match this.waiter.poll(cx) {
            Poll::Ready(_) => {
                this.note.resumed();
                if LEFT.fetch_sub(1, Ordering::AcqRel) == 1 {
                    MAIN.wake();
                }
                Poll::Ready(())
            }
            Poll::Pending => {
                // Once for each task that is not resumed in a chain; those are polled again when the flight has been fired,
                // and then nobody looks at this count.
                PARKED.fetch_add(1, Ordering::AcqRel);
                Poll::Pending
            }
        }
    }
}

/// How long the settle took, and how long until the last one was resumed.
pub struct Fired {
    /// Just before the settle call.
    pub start: Instant,
    /// The settle call.
    pub settling: Duration,
    /// All of it.
    pub all: Duration,
    /// What the tasks held while they waited, where that was asked.
    pub heap: Option<Stats>,
}

/// Starts `n` waiters as tasks, each with its note, then settles and waits for the last one.
pub async fn fire<C: Contender<u64, u64>, E: Executor, N: Note>(
    contender: &'static C,
    n: u64,
    spawner: E::Spawner,
    ask: Ask,
    note: impl Fn(usize) -> N,
) -> Fired {
    let mut lead = pin!(contender.call(&KEY, TaskOp::shut(VALUE)));
    poll_fn(|cx| {
        park(lead.as_mut(), cx);
        Poll::Ready(())
    })
    .await;
    let n = n as usize;
    LEFT.store(n, Ordering::SeqCst);
    PARKED.store(0, Ordering::SeqCst);
    let region = (ask == Ask::Heap).then(counted::start);
    for started in 1..=n {
        spawner.spawn(Task {
            waiter: contender.join(&KEY),
            note: note(started - 1),
        });
        // Side by side, some would be pending for an asynchronous lock and not for the outcome: one at a time.
        while E::PARALLEL && PARKED.load(Ordering::Acquire) < started {
            yield_now().await;
        }
    }
    while PARKED.load(Ordering::Acquire) < n {
        yield_now().await;
    }
    let heap = region.map(|region| counted::stop(&region));
    let start = Instant::now();
    open_for_all();
    // At once, but for an operation that is a task, or that another worker polls for a clone.
    drop(lead.await);
    let settling = start.elapsed();
    poll_fn(|cx| {
        MAIN.register(cx.waker());
        match LEFT.load(Ordering::Acquire) {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
    Fired {
        start,
        settling,
        all: start.elapsed(),
        heap,
    }
}

struct Fan<E>(PhantomData<E>);

impl<E: Executor> Maker for Fan<E> {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        // Tasks must own all they use or have it for ever.
        let contender: &'static C = Box::leak(Box::new(C::new()));
        let executor = E::new();
        move |meter| {
            let spawner = executor.spawner();
            let fired = executor.run(fire::<C, E, ()>(contender, n, spawner, meter.ask(), |_| ()));
            meter.ops += n;
            if let Some(heap) = &fired.heap {
                meter.counted(heap);
            }
            meter.took(fired.all);
        }
    }
}

fn group<E: Executor>(n: u64) -> Group {
    let mut cases = cases::<Fan<E>>(n);
    if E::TOKIO {
        cases.extend(cases_that_spawn::<Fan<E>>(n));
    }
    if E::PARALLEL {
        cases.retain(|case| !RERUNS.contains(&case.who.name));
    }
    if n > 100_000 {
        cases.retain(|case| !is_small(case));
    }
    Group {
        workload: "fan",
        key: E::NAME.to_owned(),
        n,
        limit: Some(WAKERS),
        heap: Heap::Live,
        cases,
    }
}

/// Who is left out where waiters run beside the settle: a waiter that looks again while the entry is being removed finds nobody in
/// flight and takes the operation for itself.
pub const RERUNS: [&str; 2] = ["moka", "moka tuned"];

/// Who is left out at a million.
pub const SMALL: [&str; 7] = [
    "foyer",
    "moka",
    "async_singleflight",
    "asyncband",
    "rs-singleflight",
    "singleflight-async",
    "watch",
];

/// A million tasks of those take gigabytes or minutes and tell nothing new.
pub fn is_small(case: &Case) -> bool {
    SMALL.iter().any(|name| case.who.name.starts_with(name))
}

/// Three executors, to a million.
pub fn groups(scale: Scale) -> Vec<Make> {
    let mut all: Vec<Make> = Vec::new();
    for n in sizes(scale, &[10, 1_000], &[10, 1_000, 100_000, 1_000_000]) {
        all.push(Box::new(move || group::<TokioCurrent>(n)));
        all.push(Box::new(move || group::<Smol>(n)));
        if n <= 100_000 {
            all.push(Box::new(move || group::<TokioTwo>(n)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::contenders::{Visitor, Who};

    struct Fires(Vec<&'static str>);

    impl Visitor<u64, u64> for Fires {
        fn visit<C: Contender<u64, u64>>(&mut self, who: Who) {
            if RERUNS.contains(&who.name) {
                return;
            }
            let (done, is_done) = channel();
            thread::spawn(move || {
                let mut run = Fan::<TokioTwo>::make::<C>(10);
                for _ in 0..500 {
                    run(&mut Meter::new(Ask::Time));
                }
                done.send(()).expect("somebody waits");
            });
            // A limit for a hang, far above what it takes.
            if is_done.recv_timeout(Duration::from_secs(40)).is_err() {
                self.0.push(who.name);
            }
        }
    }

    #[test]
    fn everyone_is_resumed_on_two_workers() {
        let _alone = crate::op::alone();
        let mut fires = Fires(Vec::new());
        crate::contenders::each(&mut fires);
        crate::contenders::limits::each(&mut fires);
        assert!(fires.0.is_empty(), "hung: {:?}", fires.0);
    }
}
