//! `closure`: a closure call alone, whose operation is ready at its first poll, or pending once and then woken.

use std::hint::black_box;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Waker};

use super::{CALLS, Make, Scale, VALUE};
use crate::contenders::{self, Contender, Key, Visitor, Who};
use crate::meter::Meter;
use crate::op::{self, Op};
use crate::poll::{self, finish, park, ready_or_later};
use crate::rounds::{Case, Group, Heap};

struct Cases<K> {
    pending: bool,
    cases: Vec<Case>,
    key: PhantomData<K>,
}

impl<K: Key> Visitor<K, u64> for Cases<K> {
    fn visit<C: Contender<K, u64>>(&mut self, who: Who) {
        let contender = C::new();
        let keys: Vec<_> = (0..CALLS).map(K::nth).collect();
        // Made before: its allocation is none of a call's.
        let waker = poll::counted();
        let run: Box<dyn FnMut(&mut Meter)> = match self.pending {
            false => Box::new(move |meter| meter.of(CALLS, || ready(&contender, &keys, &waker))),
            true => Box::new(move |meter| meter.of(CALLS, || pending(&contender, &keys, &waker))),
        };
        self.cases.push(Case { who, run });
    }
}

fn ready<K: Key, C: Contender<K, u64>>(contender: &C, keys: &[K], waker: &Waker) {
    let mut cx = Context::from_waker(waker);
    for key in keys {
        // The housekeeping of a cache is behind an asynchronous lock.
        let call = contender.call(black_box(key), std::future::ready(VALUE));
        let out = ready_or_later(call, &mut cx);
        assert_eq!(*C::value(&out), VALUE);
    }
}

fn pending<K: Key, C: Contender<K, u64>>(contender: &C, keys: &[K], waker: &Waker) {
    let mut cx = Context::from_waker(waker);
    for key in keys {
        op::shut();
        let mut call = pin!(contender.call(black_box(key), Op::new(VALUE)));
        park(call.as_mut(), &mut cx);
        op::open();
        let out = finish(call.as_mut(), &mut cx);
        assert_eq!(*C::value(&out), VALUE);
    }
}

fn group<K: Key>(key: &str, pending: bool) -> Group {
    let mut cases = Cases::<K> {
        pending,
        cases: Vec::new(),
        key: PhantomData,
    };
    contenders::each_closure(&mut cases);
    contenders::each_variant(&mut cases);
    Group {
        workload: "closure",
        key: key.to_owned(),
        n: 1,
        limit: None,
        heap: Heap::Asked,
        cases: cases.cases,
    }
}

/// A small key, and one as long as a UUID in text.
pub fn groups(_: Scale) -> Vec<Make> {
    vec![
        Box::new(|| group::<u64>("u64", false)),
        Box::new(|| group::<String>("str36", false)),
        Box::new(|| group::<u64>("u64, pending once", true)),
        Box::new(|| group::<String>("str36, pending once", true)),
    ]
}
