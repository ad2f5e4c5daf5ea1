//! `solo`: begin, settle, gone, with nobody else about.

use std::hint::black_box;
use std::marker::PhantomData;

use super::{Make, Scale, VALUE};
use crate::contenders::limits::{FLOOR, Floor};
use crate::contenders::{self, Contender, Key, Kind, Visitor, Who};
use crate::rounds::{Case, Group, Heap};

/// Calls in one run of a case; each has a key of its own, from a set that stays in the cache.
const CALLS: u64 = 256;

struct Cases<K> {
    cases: Vec<Case>,
    key: PhantomData<K>,
}

impl<K: Key> Visitor<K, u64> for Cases<K> {
    fn visit<C: Contender<K, u64>>(&mut self, who: Who) {
        let contender = C::new();
        self.add(who, move |key| contender.solo(key, VALUE));
    }
}

impl<K: Key> Cases<K> {
    fn add(&mut self, who: Who, call: impl Fn(&K) -> u64 + 'static) {
        let keys: Vec<_> = (0..CALLS).map(K::nth).collect();
        let run = Box::new(move |meter: &mut crate::meter::Meter| {
            meter.of(CALLS, || {
                for key in &keys {
                    assert_eq!(call(black_box(key)), VALUE);
                }
            });
        });
        self.cases.push(Case { who, run });
    }
}

fn group<K: Key>(name: &str) -> Group {
    let mut cases = Cases::<K> {
        cases: Vec::new(),
        key: PhantomData,
    };
    contenders::each(&mut cases);
    contenders::each_that_spawns(&mut cases);
    let floor = Floor::new();
    let who = Who {
        name: FLOOR,
        kind: Kind::Limit,
    };
    cases.add(who, move |key: &K| floor.solo(key, VALUE));
    Group {
        workload: "solo",
        key: name.to_owned(),
        n: 1,
        limit: Some(FLOOR),
        heap: Heap::Asked,
        cases: cases.cases,
    }
}

/// A small key, and one as long as a UUID in text.
pub fn groups(_: Scale) -> Vec<Make> {
    vec![
        Box::new(|| group::<u64>("u64")),
        Box::new(|| group::<String>("str36")),
    ]
}
