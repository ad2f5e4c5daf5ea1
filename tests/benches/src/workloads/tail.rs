//! `tail`: from just before the settle call to the moment when a task runs after its await, on two workers of tokio: how long
//! half of the waiters wait at most, 99 of 100, and the last one.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::executors::{Executor, TokioTwo};
use super::fan::{Note, fire};
use super::flight::{Maker, cases, sizes};
use super::{Make, Scale};
use crate::contenders::Contender;
use crate::contenders::limits::WAKERS;
use crate::meter::Meter;
use crate::rounds::{Group, Heap, quantile};

/// What the notes count from.
static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Notes when its task was resumed, in nanoseconds. A word in the task.
struct Stamp(&'static AtomicU64);

impl Note for Stamp {
    #[inline]
    fn resumed(&self) {
        let now = BASE.elapsed().as_nanos() as u64;
        self.0.store(now, Ordering::Relaxed);
    }
}

/// One percentile of the waiters. A run is an operation, so the row is the median over the rounds.
struct Tail<const PERCENT: u8>;

impl<const PERCENT: u8> Maker for Tail<PERCENT> {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender: &'static C = Box::leak(Box::new(C::new()));
        let stamps: &'static [AtomicU64] =
            (0..n).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak();
        let executor = TokioTwo::new();
        LazyLock::force(&BASE);
        move |meter| {
            let note = |place: usize| Stamp(&stamps[place]);
            let spawner = executor.spawner();
            let fired = executor.run(fire::<C, TokioTwo, _>(
                contender,
                n,
                spawner,
                meter.ask(),
                note,
            ));
            let start = (fired.start - *BASE).as_nanos() as u64;
            let waits = stamps
                .iter()
                .map(|stamp| (stamp.load(Ordering::Relaxed) - start) as f64);
            let wait = quantile(&mut waits.collect::<Vec<_>>(), f64::from(PERCENT) / 100.0);
            meter.ops += 1;
            meter.took(Duration::from_nanos(wait as u64));
        }
    }
}

/// Ours, the best peer, and the limit.
const WHO: [&str; 3] = ["oneflight", "Shared", WAKERS];

fn group<const PERCENT: u8>(key: &str, n: u64) -> Group {
    let mut cases = cases::<Tail<PERCENT>>(n);
    cases.retain(|case| WHO.contains(&case.who.name));
    Group {
        workload: "tail",
        key: key.to_owned(),
        n,
        limit: Some(WAKERS),
        heap: Heap::Hidden,
        cases,
    }
}

/// Each percentile, for a thousand and for ten thousand.
pub fn groups(scale: Scale) -> Vec<Make> {
    let mut all: Vec<Make> = Vec::new();
    for n in sizes(scale, &[1_000], &[1_000, 10_000]) {
        all.push(Box::new(move || group::<50>("p50", n)));
        all.push(Box::new(move || group::<99>("p99", n)));
        all.push(Box::new(move || group::<100>("max", n)));
    }
    all
}
