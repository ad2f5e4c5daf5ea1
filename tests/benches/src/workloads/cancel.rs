//! `cancel`: parked waiters are dropped, in order, in reverse, at random.

use bumpalo::boxed::Box as Bumped;

use super::flight::{Maker, Stage, closures, guards, lead, sizes};
use super::{KEY, Make, Scale, VALUE};
use crate::contenders::Contender;
use crate::contenders::limits::WAKERS;
use crate::meter::Meter;
use crate::op;
use crate::poll::{finish, park};
use crate::rounds::{Case, Group, Heap};

trait Order {
    fn order(n: u64) -> Vec<u32>;
}

struct InOrder;
struct Reverse;
struct Random;
struct EverySecond;

impl Order for InOrder {
    fn order(n: u64) -> Vec<u32> {
        (0..n as u32).collect()
    }
}

impl Order for Reverse {
    fn order(n: u64) -> Vec<u32> {
        (0..n as u32).rev().collect()
    }
}

impl Order for Random {
    fn order(n: u64) -> Vec<u32> {
        let mut order: Vec<_> = (0..n as u32).collect();
        fastrand::Rng::with_seed(1).shuffle(&mut order);
        order
    }
}

impl Order for EverySecond {
    fn order(n: u64) -> Vec<u32> {
        (0..n as u32).step_by(2).collect()
    }
}

struct Cancel<O>(std::marker::PhantomData<O>);

impl<O: Order> Maker for Cancel<O> {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let contender = C::new();
        let mut stage = Stage::new();
        let order = O::order(n);
        move |meter| {
            op::shut();
            let (arena, mut cx) = stage.clear();
            let mut lead = lead(&contender, &KEY, VALUE, arena, &mut cx);
            let mut waiters: Vec<_> = (0..n)
                .map(|_| {
                    let mut waiter = Bumped::pin_in(contender.join(&KEY), arena);
                    park(waiter.as_mut(), &mut cx);
                    Some(waiter)
                })
                .collect();
            meter.of(order.len() as u64, || {
                for place in &order {
                    waiters[*place as usize] = None;
                }
            });
            op::open();
            drop(finish(lead.as_mut(), &mut cx));
        }
    }
}

/// A drop that costs more the more others wait takes minutes at 100,000: who is slower than this a drop at 1,000 is left out
/// above 10,000.
pub const LINEAR: [&str; 2] = ["quick_cache", "quick_cache tuned"];

fn group(key: &str, n: u64, mut cases: Vec<Case>) -> Group {
    // A vector of wakers can not forget one.
    cases.retain(|case| case.who.name != WAKERS);
    if n > 10_000 {
        cases.retain(|case| !LINEAR.contains(&case.who.name));
    }
    Group {
        workload: "cancel",
        key: key.to_owned(),
        n,
        limit: None,
        heap: Heap::Hidden,
        cases,
    }
}

/// Three orders by a guard; every second one of whole calls.
pub fn groups(scale: Scale) -> Vec<Make> {
    let mut all: Vec<Make> = Vec::new();
    for n in sizes(scale, &[1_000], &[1_000, 100_000]) {
        all.push(Box::new(move || {
            group("in-order", n, guards::<Cancel<InOrder>>(n))
        }));
        all.push(Box::new(move || {
            group("reverse", n, guards::<Cancel<Reverse>>(n))
        }));
        all.push(Box::new(move || {
            group("random", n, guards::<Cancel<Random>>(n))
        }));
    }
    all.push(Box::new(|| {
        group("closure", 1_000, closures::<Cancel<EverySecond>>(1_000))
    }));
    all
}
