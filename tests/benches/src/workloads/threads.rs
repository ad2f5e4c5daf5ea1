//! `threads`: calls from two threads at once, each with keys of its own, and all with one key.

use std::future::ready;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::Instant;

use futures_lite::future::block_on;

use super::flight::{Maker, cases};
use super::{KEY, Make, Scale, VALUE};
use crate::contenders::limits::{FLOOR, Floor};
use crate::contenders::{Contender, Kind, who};
use crate::meter::Meter;
use crate::poll::ready_or_later;
use crate::rounds::{Case, Group, Heap};

/// Calls of each thread in a run.
const CALLS: u64 = 2_000;
/// Keys of each thread.
const KEYS: u64 = 256;

/// Runs `call` on so many threads at once; what passes until the last one is through.
fn together(threads: u64, meter: &mut Meter, call: impl Fn(u64, u64) + Sync) {
    let line = Barrier::new(threads as usize);
    let took = thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|thread| {
                let (line, call) = (&line, &call);
                scope.spawn(move || {
                    line.wait();
                    let start = Instant::now();
                    for turn in 0..CALLS {
                        call(thread, turn);
                    }
                    (start, Instant::now())
                })
            })
            .collect();
        let times: Vec<_> = all
            .into_iter()
            .map(|one| one.join().expect("no panic"))
            .collect();
        let start = times.iter().map(|(start, _)| *start).min().expect("some");
        let end = times.iter().map(|(_, end)| *end).max().expect("some");
        end - start
    });
    // Time for a call of each thread: with perfect scaling, what one thread alone takes.
    meter.ops += CALLS;
    meter.took(took);
}

struct Distinct;

impl Maker for Distinct {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        move |meter| {
            together(n, meter, |thread, turn| {
                let key = thread * KEYS + turn % KEYS;
                let call = contender.call(black_box(&key), ready(VALUE));
                let mut cx = Context::from_waker(Waker::noop());
                black_box(ready_or_later(call, &mut cx));
            });
        }
    }
}

static RUNS: AtomicU64 = AtomicU64::new(0);

struct Hot;

impl Maker for Hot {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        move |meter| {
            RUNS.store(0, Ordering::Relaxed);
            together(n, meter, |_, _| {
                let call = contender.call(&KEY, async {
                    RUNS.fetch_add(1, Ordering::Relaxed);
                    VALUE
                });
                assert_eq!(*C::value(&block_on(call)), VALUE);
            });
            let polls = meter.polls.unwrap_or(0.0);
            // `ops` counts the calls of one thread.
            meter.polls = Some(polls + RUNS.load(Ordering::Relaxed) as f64 / n as f64);
        }
    }
}

fn distinct(n: u64) -> Vec<Case> {
    let mut cases = cases::<Distinct>(n);
    cases.retain(|case| case.who.kind != Kind::Limit);
    // One table for all: what a single lock costs two threads. Shards are what the contenders have over it.
    let floor = Floor::new();
    let run = Box::new(move |meter: &mut Meter| {
        together(n, meter, |thread, turn| {
            let key = thread * KEYS + turn % KEYS;
            black_box(floor.guard(black_box(&key), VALUE));
        });
    });
    cases.push(Case {
        who: who(FLOOR, Kind::Limit),
        run,
    });
    cases
}

fn hot(n: u64) -> Vec<Case> {
    let mut cases = cases::<Hot>(n);
    cases.retain(|case| case.who.kind != Kind::Limit);
    cases
}

fn group(key: &str, n: u64, cases: Vec<Case>) -> Group {
    Group {
        workload: "threads",
        key: key.to_owned(),
        n,
        limit: (key == "distinct").then_some(FLOOR),
        heap: Heap::Hidden,
        cases,
    }
}

/// One thread for scale, and two: as many as the machine of the figures has cores.
pub fn groups(_: Scale) -> Vec<Make> {
    let mut all: Vec<Make> = Vec::new();
    for n in [1, 2] {
        all.push(Box::new(move || group("distinct", n, distinct(n))));
        all.push(Box::new(move || group("hot", n, hot(n))));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Ask;

    #[test]
    fn everyone_gets_through_on_two_threads() {
        let _alone = crate::op::alone();
        for mut case in distinct(2).into_iter().chain(hot(2)) {
            for _ in 0..20 {
                (case.run)(&mut Meter::new(Ask::Time));
            }
        }
    }
}
