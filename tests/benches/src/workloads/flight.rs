//! Flights with waiters, polled by hand: what `join`, `settle_resume`, `cancel` and `value` are made of.

use std::pin::Pin;
use std::task::{Context, Waker};

use bumpalo::Bump;
use bumpalo::boxed::Box as Bumped;

use super::Scale;
use crate::contenders::limits;
use crate::contenders::{self, Contender, Key, Value, Visitor, Who};
use crate::meter::Meter;
use crate::op::Op;
use crate::poll::{counted, park};
use crate::rounds::Case;

/// A future that stays where it is, without an allocation of its own.
pub type Pinned<'b, F> = Pin<Bumped<'b, F>>;

/// What a contender has ready for one run: an arena that keeps its memory, and a waker.
pub struct Stage {
    arena: Bump,
    waker: Waker,
}

impl Stage {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            arena: Bump::new(),
            waker: counted(),
        }
    }

    /// Clears it: futures of the last run are gone.
    pub fn clear(&mut self) -> (&Bump, Context<'_>) {
        clear(&mut self.arena);
        (&self.arena, Context::from_waker(&self.waker))
    }
}

/// Clears an arena and keeps as much memory as it held, in one piece: it forgets all but its largest, and what it maps anew
/// would be in the time of whoever is measured.
pub fn clear(arena: &mut Bump) {
    let held = arena.allocated_bytes();
    arena.reset();
    if arena.allocated_bytes() < held {
        *arena = Bump::with_capacity(held);
    }
}

/// Begins a flight, which is pending behind the gate.
pub fn lead<'a, K: Key, V: Value, C: Contender<K, V>>(
    contender: &'a C,
    key: &'a K,
    value: V,
    arena: &'a Bump,
    cx: &mut Context<'_>,
) -> Pinned<'a, impl Future<Output = C::Out> + use<'a, K, V, C>> {
    let mut lead = Bumped::pin_in(contender.call(key, Op::new(value)), arena);
    park(lead.as_mut(), cx);
    lead
}

/// A maker of cases, one for each contender and limit.
pub trait Maker {
    /// The case of this one, for `n`.
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static;
}

struct Cases<M> {
    n: u64,
    cases: Vec<Case>,
    maker: std::marker::PhantomData<M>,
}

impl<M: Maker> Visitor<u64, u64> for Cases<M> {
    fn visit<C: Contender<u64, u64>>(&mut self, who: Who) {
        let run = Box::new(M::make::<C>(self.n));
        self.cases.push(Case { who, run });
    }
}

fn collect<M: Maker>(n: u64, visit: impl FnOnce(&mut Cases<M>)) -> Vec<Case> {
    let mut cases = Cases::<M> {
        n,
        cases: Vec::new(),
        maker: std::marker::PhantomData,
    };
    visit(&mut cases);
    cases.cases
}

/// The cases of everyone, limits last. Duplicates begin as those of a guard do.
pub fn cases<M: Maker>(n: u64) -> Vec<Case> {
    collect::<M>(n, |cases| {
        contenders::each(cases);
        limits::each(cases);
    })
}

/// The same without `work`, which is judged among the closures.
pub fn guards<M: Maker>(n: u64) -> Vec<Case> {
    let mut cases = cases::<M>(n);
    cases.retain(|case| case.who.name != contenders::WORK);
    cases
}

/// The cases of those that are called by a closure.
pub fn closures<M: Maker>(n: u64) -> Vec<Case> {
    collect::<M>(n, contenders::each_closure)
}

/// The cases of those that run operations as tasks of tokio.
pub fn cases_that_spawn<M: Maker>(n: u64) -> Vec<Case> {
    collect::<M>(n, contenders::each_that_spawns)
}

/// The sizes up to what the scale allows.
pub fn sizes(scale: Scale, quick: &[u64], full: &[u64]) -> Vec<u64> {
    match scale {
        Scale::Quick => quick.to_vec(),
        Scale::Full => full.to_vec(),
    }
}
