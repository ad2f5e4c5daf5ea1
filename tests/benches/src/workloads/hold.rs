//! `hold`: how long the settle call holds its thread, with everyone parked. The whole call, and not a waiter's part of it.

use bumpalo::boxed::Box as Bumped;

use super::executors::{AsyncStd, Executor, Smol, TokioCurrent, TokioTwo};
use super::fan::{fire, is_small};
use super::flight::{Maker, Stage, cases, lead, sizes};
use super::{KEY, Make, Scale, VALUE};
use crate::contenders::limits::WAKERS;
use crate::contenders::{Contender, Kind};
use crate::meter::Meter;
use crate::op;
use crate::poll::{finish, park};
use crate::rounds::{Group, Heap};

/// Polled by hand, with wakers that do nothing.
struct Library;

impl Maker for Library {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        let mut stage = Stage::new();
        move |meter| {
            op::shut();
            let (arena, mut cx) = stage.clear();
            let mut lead = lead(&contender, &KEY, VALUE, arena, &mut cx);
            let waiters: Vec<_> = (0..n)
                .map(|_| {
                    let mut waiter = Bumped::pin_in(contender.join(&KEY), arena);
                    park(waiter.as_mut(), &mut cx);
                    waiter
                })
                .collect();
            let out = meter.of(1, || {
                op::open();
                finish(lead.as_mut(), &mut cx)
            });
            drop(out);
            drop(waiters);
        }
    }
}

/// Tasks of an executor, whose wakers push to its queues.
struct Tasks<E>(E);

impl<E: Executor> Maker for Tasks<E> {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender: &'static C = Box::leak(Box::new(C::new()));
        let executor = E::new();
        move |meter| {
            let spawner = executor.spawner();
            let fired = executor.run(fire::<C, E, ()>(contender, n, spawner, meter.ask(), |_| ()));
            meter.ops += 1;
            meter.took(fired.settling);
        }
    }
}

/// Each of its resumed waiters wakes the next one.
const CHAIN: &str = "singleflight-async";

/// Ours, the best peer, a chain, and the limit.
const WHO: [&str; 4] = ["oneflight", "Shared", CHAIN, WAKERS];

fn group<M: Maker>(key: &str, n: u64) -> Group {
    let mut cases = cases::<M>(n);
    cases.retain(|case| WHO.contains(&case.who.name) && (n <= 100_000 || !is_small(case)));
    for case in cases.iter_mut().filter(|case| case.who.name == CHAIN) {
        // Its settle wakes one waiter, which is less than the call of the others does.
        case.who.kind = Kind::Limit;
    }
    Group {
        workload: "hold",
        key: key.to_owned(),
        n,
        limit: Some(WAKERS),
        heap: Heap::Hidden,
        cases,
    }
}

/// By hand and on each executor, up to a million.
pub fn groups(scale: Scale) -> Vec<Make> {
    let mut all: Vec<Make> = Vec::new();
    for n in sizes(scale, &[10_000, 100_000], &[10_000, 100_000, 1_000_000]) {
        all.push(Box::new(move || group::<Library>("library", n)));
        all.push(Box::new(move || {
            group::<Tasks<TokioCurrent>>("tokio-current", n)
        }));
        all.push(Box::new(move || group::<Tasks<TokioTwo>>("tokio-2", n)));
        all.push(Box::new(move || group::<Tasks<Smol>>("smol", n)));
        all.push(Box::new(move || group::<Tasks<AsyncStd>>("async-std", n)));
    }
    all
}
