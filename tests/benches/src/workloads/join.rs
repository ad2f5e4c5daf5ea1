//! `join`: a duplicate begins and is parked at its first poll.

use bumpalo::boxed::Box as Bumped;

use super::flight::{Maker, Stage, closures, guards, lead, sizes};
use super::{KEY, Make, Scale, VALUE};
use crate::contenders::Contender;
use crate::contenders::limits::WAKERS;
use crate::meter::Meter;
use crate::op;
use crate::poll::{finish, park};
use crate::rounds::{Group, Heap};

struct Join;

impl Maker for Join {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        let mut stage = Stage::new();
        move |meter| run(&contender, &mut stage, n, meter)
    }
}

fn run<C: Contender<u64, u64>>(contender: &C, stage: &mut Stage, n: u64, meter: &mut Meter) {
    op::shut();
    let (arena, mut cx) = stage.clear();
    let mut waiters = Vec::with_capacity(n as usize);
    let mut lead = lead(contender, &KEY, VALUE, arena, &mut cx);
    let had = arena.allocated_bytes();
    meter.of(n, || {
        for _ in 0..n {
            let mut waiter = Bumped::pin_in(contender.join(&KEY), arena);
            park(waiter.as_mut(), &mut cx);
            waiters.push(waiter);
        }
    });
    // All told: the waiter itself and what it has on the heap, without the arena it lies in.
    let inline: usize = waiters.iter().map(|waiter| size_of_val(&**waiter)).sum();
    meter.correct(arena.allocated_bytes() - had, inline);
    // Settled, not dropped: most of those made by hand leave a lost primary's entry behind.
    op::open();
    drop(finish(lead.as_mut(), &mut cx));
    drop(waiters);
}

/// One flight, `n` waiters: those of a guard, and those that make whole calls.
pub fn groups(scale: Scale) -> Vec<Make> {
    let group = |key: &str, n, cases| Group {
        workload: "join",
        key: key.to_owned(),
        n,
        limit: Some(WAKERS),
        heap: Heap::Live,
        cases,
    };
    let mut all: Vec<Make> = Vec::new();
    for n in sizes(scale, &[1_000], &[1_000, 100_000]) {
        all.push(Box::new(move || group("guard", n, guards::<Join>(n))));
    }
    all.push(Box::new(move || {
        group("closure", 1_000, closures::<Join>(1_000))
    }));
    all
}
