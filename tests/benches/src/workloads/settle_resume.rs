//! `settle_resume`: the primary settles, and every waiter is polled once and has its value. No executor. For one waiter the
//! row is the whole cycle: begin, join, settle, resume.

use std::hint::black_box;

use bumpalo::boxed::Box as Bumped;

use super::flight::{Maker, Stage, cases, lead, sizes};
use super::{Make, Scale, VALUE};
use crate::contenders::limits::WAKERS;
use crate::contenders::{Contender, Key};
use crate::meter::Meter;
use crate::op;
use crate::poll::{finish, park};
use crate::rounds::{Group, Heap};

/// Waiters in one run, spread over as many flights as that takes: a single flight of ten is too short for the clock.
const WAITERS: u64 = 1_000;

struct Resume;

impl Maker for Resume {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        let mut stage = Stage::new();
        move |meter| run(&contender, &mut stage, n, meter)
    }
}

fn run<C: Contender<u64, u64>>(contender: &C, stage: &mut Stage, n: u64, meter: &mut Meter) {
    op::shut(C::WAKING);
    let (arena, mut cx) = stage.clear();
    let flights = WAITERS.div_ceil(n);
    let mut leads = Vec::with_capacity(flights as usize);
    let mut waiters = Vec::with_capacity((flights * n) as usize);
    for flight in 0..flights {
        leads.push(lead(contender, u64::nth(flight), VALUE, arena, &mut cx));
        for _ in 0..n {
            let mut waiter = Bumped::pin_in(contender.join(u64::nth(flight)), arena);
            park(waiter.as_mut(), &mut cx);
            waiters.push(waiter);
        }
    }
    let mut waiters = waiters.into_iter();
    op::open();
    meter.of(flights * n, || {
        for mut lead in leads {
            black_box(finish(lead.as_mut(), &mut cx));
            drop(lead);
            for mut waiter in waiters.by_ref().take(n as usize) {
                let out = finish(waiter.as_mut(), &mut cx);
                assert_eq!(*C::value(&out), VALUE);
            }
        }
    });
}

struct Cycle;

/// Cycles in one run.
const CYCLES: u64 = 128;

impl Maker for Cycle {
    fn make<C: Contender<u64, u64>>(_: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        let waker = crate::poll::counted();
        move |meter: &mut Meter| {
            let mut cx = std::task::Context::from_waker(&waker);
            meter.of(CYCLES, || {
                for key in 0..CYCLES {
                    op::shut(C::WAKING);
                    let mut lead =
                        std::pin::pin!(contender.call(black_box(key), op::Op::new(VALUE)));
                    park(lead.as_mut(), &mut cx);
                    let mut waiter = std::pin::pin!(contender.join(black_box(key)));
                    park(waiter.as_mut(), &mut cx);
                    op::open();
                    black_box(finish(lead.as_mut(), &mut cx));
                    let out = finish(waiter.as_mut(), &mut cx);
                    assert_eq!(*C::value(&out), VALUE);
                }
            });
        }
    }
}

/// From one waiter to a million.
pub fn groups(scale: Scale) -> Vec<Make> {
    let sizes = sizes(
        scale,
        &[1, 10, 1_000, 10_000, 100_000],
        &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
    );
    let group = |n| Group {
        workload: "settle_resume",
        key: "u64".to_owned(),
        n,
        limit: Some(WAKERS),
        heap: if n == 1 { Heap::Asked } else { Heap::Hidden },
        cases: if n == 1 {
            cases::<Cycle>(n)
        } else {
            cases::<Resume>(n)
        },
    };
    sizes
        .into_iter()
        .map(|n| Box::new(move || group(n)) as Make)
        .collect()
}
