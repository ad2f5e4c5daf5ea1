//! `settle_call`: the settle alone, with everyone parked; the waiters' own resumption is not in it.

use std::time::Instant;

use bumpalo::boxed::Box as Bumped;

use super::executors::TokioCurrent;
use super::fan::Settling;
use super::flight::{Maker, Stage, cases, lead, sizes};
use super::{Make, Scale, VALUE};
use crate::contenders::limits::WAKERS;
use crate::contenders::{Contender, Key};
use crate::meter::Meter;
use crate::op;
use crate::poll::{finish, park};
use crate::rounds::{Group, Heap};

struct Library;

impl Maker for Library {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        let mut stage = Stage::new();
        move |meter| {
            op::shut(C::WAKING);
            let (arena, mut cx) = stage.clear();
            let mut lead = lead(&contender, u64::nth(7), VALUE, arena, &mut cx);
            let waiters: Vec<_> = (0..n)
                .map(|_| {
                    let mut waiter = Bumped::pin_in(contender.join(u64::nth(7)), arena);
                    park(waiter.as_mut(), &mut cx);
                    waiter
                })
                .collect();
            op::open();
            let start = Instant::now();
            drop(meter.of(n, || finish(lead.as_mut(), &mut cx)));
            meter.settled_in(start.elapsed());
            drop(waiters);
        }
    }
}

fn group<M: Maker>(key: &str, n: u64) -> Group {
    Group {
        workload: "settle_call",
        key: key.to_owned(),
        n,
        limit: Some(WAKERS),
        heap: Heap::Hidden,
        cases: cases::<M>(n),
    }
}

/// By hand with wakers that do nothing, and with tasks of tokio, whose wakers push to a queue.
pub fn groups(scale: Scale) -> Vec<Make> {
    let mut all: Vec<Make> = Vec::new();
    for n in sizes(scale, &[100_000], &[1_000, 100_000]) {
        all.push(Box::new(move || group::<Library>("library", n)));
        all.push(Box::new(move || {
            group::<Settling<TokioCurrent>>("tokio-current", n)
        }));
    }
    all
}
