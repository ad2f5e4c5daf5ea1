//! `value`: a settled value reaches the hands of waiters, by its size. By reference it costs a count; those that clone it copy.

use std::hint::black_box;

use bumpalo::boxed::Box as Bumped;

use super::flight::{Stage, lead, sizes};
use super::{KEY, Make, Scale};
use crate::contenders::{self, Contender, Visitor, Who};
use crate::meter::Meter;
use crate::op;
use crate::poll::{finish, park};
use crate::rounds::{Case, Group, Heap};

/// Waiters in a run.
const WAITERS: u64 = 64;

struct Cases {
    size: u64,
    cases: Vec<Case>,
}

impl Visitor<u64, Vec<u8>> for Cases {
    fn visit<C: Contender<u64, Vec<u8>>>(&mut self, who: Who) {
        let contender = C::new();
        let mut stage = Stage::new();
        let size = self.size as usize;
        let run = Box::new(move |meter: &mut Meter| {
            op::shut();
            let (arena, mut cx) = stage.clear();
            let mut lead = lead(&contender, &KEY, vec![7; size], arena, &mut cx);
            let waiters: Vec<_> = (0..WAITERS)
                .map(|_| {
                    let mut waiter = Bumped::pin_in(contender.join(&KEY), arena);
                    park(waiter.as_mut(), &mut cx);
                    waiter
                })
                .collect();
            op::open();
            drop(finish(lead.as_mut(), &mut cx));
            meter.of(WAITERS, || {
                for mut waiter in waiters {
                    let out = finish(waiter.as_mut(), &mut cx);
                    assert_eq!(black_box(C::value(&out)).len(), size);
                }
            });
        });
        self.cases.push(Case { who, run });
    }
}

/// From a word to a mebibyte.
pub fn groups(scale: Scale) -> Vec<Make> {
    let group = |size| {
        let mut cases = Cases {
            size,
            cases: Vec::new(),
        };
        contenders::each(&mut cases);
        Group {
            workload: "value",
            key: "u64".to_owned(),
            n: size,
            limit: None,
            heap: Heap::Asked,
            cases: cases.cases,
        }
    };
    let sizes = sizes(scale, &[8, 1 << 20], &[8, 512, 32_768, 1 << 20]);
    sizes
        .into_iter()
        .map(|size| Box::new(move || group(size)) as Make)
        .collect()
}
