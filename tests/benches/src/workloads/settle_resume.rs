//! `settle_resume`: the primary settles, and every waiter is polled once and has its value. No executor. For one waiter the
//! row is the whole cycle: begin, join, settle, resume.

use std::hint::black_box;
use std::pin::pin;
use std::task::Context;

use bumpalo::boxed::Box as Bumped;

use super::flight::{Maker, Stage, closures, guards, lead, sizes};
use super::{CALLS, KEY, Make, Scale, VALUE};
use crate::contenders::Contender;
use crate::contenders::limits::WAKERS;
use crate::meter::Meter;
use crate::op::{self, Op};
use crate::poll::{counted, finish, park};
use crate::rounds::{Group, Heap};

struct Resume;

impl Maker for Resume {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        let mut stage = Stage::new();
        move |meter| run(&contender, &mut stage, n, meter)
    }
}

fn run<C: Contender<u64, u64>>(contender: &C, stage: &mut Stage, n: u64, meter: &mut Meter) {
    op::shut();
    let (arena, mut cx) = stage.clear();
    let mut lead = lead(contender, &KEY, VALUE, arena, &mut cx);
    let waiters: Vec<_> = (0..n)
        .map(|_| {
            let mut waiter = Bumped::pin_in(contender.join(&KEY), arena);
            park(waiter.as_mut(), &mut cx);
            waiter
        })
        .collect();
    meter.of(n, || {
        op::open();
        black_box(finish(lead.as_mut(), &mut cx));
        drop(lead);
        for mut waiter in waiters {
            let out = finish(waiter.as_mut(), &mut cx);
            assert_eq!(*C::value(&out), VALUE);
        }
    });
}

struct Cycle;

impl Maker for Cycle {
    fn make<C: Contender<u64, u64>>(_: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        let waker = counted();
        let keys: Vec<_> = (0..CALLS).collect();
        move |meter: &mut Meter| {
            let mut cx = Context::from_waker(&waker);
            meter.of(CALLS, || {
                for key in &keys {
                    op::shut();
                    let mut lead = pin!(contender.call(black_box(key), Op::new(VALUE)));
                    park(lead.as_mut(), &mut cx);
                    let mut waiter = pin!(contender.join(black_box(key)));
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
    let guard = sizes(
        scale,
        &[1, 1_000, 100_000],
        &[1, 1_000, 10_000, 100_000, 1_000_000],
    );
    let closure = [1, 1_000, 100_000];
    let group = |key: &str, n, cases| Group {
        workload: "settle_resume",
        key: key.to_owned(),
        n,
        limit: Some(WAKERS),
        heap: if n == 1 { Heap::Asked } else { Heap::Hidden },
        cases,
    };
    let mut all: Vec<Make> = Vec::new();
    for n in guard {
        all.push(Box::new(move || match n {
            1 => group("guard", n, guards::<Cycle>(n)),
            _ => group("guard", n, guards::<Resume>(n)),
        }));
    }
    for n in closure {
        all.push(Box::new(move || match n {
            1 => group("closure", n, closures::<Cycle>(n)),
            _ => group("closure", n, closures::<Resume>(n)),
        }));
    }
    all
}
