//! `keys`: very many flights at once. What a key holds, what a begin costs while the table grows, and the worst of them.

use std::marker::PhantomData;
use std::task::Context;
use std::time::{Duration, Instant};

use bumpalo::Bump;

use super::flight::{Maker, cases, clear, lead, sizes};
use super::{Make, Scale, VALUE};
use crate::contenders::{Contender, Key, Kind, WORK};
use crate::counted;
use crate::meter::Meter;
use crate::op;
use crate::poll;
use crate::rounds::{Group, Heap};

/// One question; each is asked of a fresh contender that gets `n` keys.
trait Question {
    fn ask<C: Contender<u64, u64>>(contender: &C, keys: &[u64], arena: &Bump, meter: &mut Meter);
}

struct Keys<Q>(PhantomData<Q>);

impl<Q: Question> Maker for Keys<Q> {
    fn make<C: Contender<u64, u64>>(n: u64) -> impl FnMut(&mut Meter) + 'static {
        let mut arena = Bump::new();
        let keys: Vec<_> = (0..n).map(spread).collect();
        move |meter| {
            op::shut();
            clear(&mut arena);
            let contender = C::new();
            Q::ask(&contender, &keys, &arena, meter);
        }
    }
}

/// What a begin costs while the table grows tenfold.
struct Begin;

impl Question for Begin {
    fn ask<C: Contender<u64, u64>>(contender: &C, keys: &[u64], arena: &Bump, meter: &mut Meter) {
        let waker = poll::counted();
        let mut cx = Context::from_waker(&waker);
        let mut leads = Vec::with_capacity(keys.len());
        let (there, more) = keys.split_at(keys.len() / 10);
        for key in there {
            leads.push(lead(contender, key, VALUE, arena, &mut cx));
        }
        meter.of(more.len() as u64, || {
            for key in more {
                leads.push(lead(contender, key, VALUE, arena, &mut cx));
            }
        });
    }
}

/// The longest single begin on the way.
struct Worst;

impl Question for Worst {
    fn ask<C: Contender<u64, u64>>(contender: &C, keys: &[u64], arena: &Bump, meter: &mut Meter) {
        let waker = poll::counted();
        let mut cx = Context::from_waker(&waker);
        let mut leads = Vec::with_capacity(keys.len());
        let mut worst = Duration::ZERO;
        meter.of(keys.len() as u64, || {
            for key in keys {
                let start = Instant::now();
                leads.push(lead(contender, key, VALUE, arena, &mut cx));
                worst = worst.max(start.elapsed());
            }
        });
        // The least of the runs of a sample: what the machine does in between is not the contender's.
        meter.worst = Some(meter.worst.map_or(worst, |before| before.min(worst)));
    }
}

/// What is held for a key, averaged over a doubling of the number of keys: a table is at times nearly empty and at times nearly
/// full. The heap alone, or with the future that the caller holds.
struct Held<const FUTURE: bool>;

/// Where the heap is looked at on the way.
const LOOKS: usize = 64;

impl<const FUTURE: bool> Question for Held<FUTURE> {
    fn ask<C: Contender<u64, u64>>(contender: &C, keys: &[u64], arena: &Bump, meter: &mut Meter) {
        let waker = poll::counted();
        let mut cx = Context::from_waker(&waker);
        let mut leads = Vec::with_capacity(keys.len());
        // The callers' own futures lie in the arena.
        let had = arena.allocated_bytes();
        let region = counted::start();
        let mut sum = 0.0;
        for (before, key) in keys.iter().enumerate() {
            leads.push(lead(contender, key, VALUE, arena, &mut cx));
            let count = before + 1;
            if count > keys.len() / 2 && count % (keys.len() / 2 / LOOKS) == 0 {
                let arena = (arena.allocated_bytes() - had) as f64;
                sum += (counted::live(&region.change()) - arena) / count as f64;
            }
        }
        counted::stop(&region);
        meter.ops += 1;
        meter.live += sum / LOOKS as f64;
        if FUTURE {
            meter.live += size_of_val(&*leads[0]) as f64;
        }
        // Nobody asks how long this took.
        meter.took(Duration::from_secs(1));
    }
}

/// Keys as they come, not in a row: neighbours would be neighbours in some tables.
fn spread(number: u64) -> u64 {
    u64::nth(number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// A cache keeps gigabytes for a million keys in flight.
pub const LARGE: [&str; 2] = ["moka", "moka tuned"];

fn group<Q: Question + 'static>(key: &str, n: u64, heap: Heap) -> Group {
    let mut cases = cases::<Keys<Q>>(n);
    cases.retain(|case| case.who.kind != Kind::Limit);
    if heap != Heap::Only {
        // A begin is judged by the guard.
        cases.retain(|case| case.who.name != WORK);
    }
    if n > 100_000 {
        cases.retain(|case| !LARGE.contains(&case.who.name));
    }
    Group {
        workload: "keys",
        key: key.to_owned(),
        n,
        limit: None,
        heap,
        cases,
    }
}

/// Up to a million.
pub fn groups(scale: Scale) -> Vec<Make> {
    let mut all: Vec<Make> = Vec::new();
    for n in sizes(scale, &[100_000], &[1_000, 10_000, 100_000, 1_000_000]) {
        all.push(Box::new(move || group::<Begin>("begin", n, Heap::Hidden)));
    }
    for n in sizes(scale, &[100_000], &[1_000_000]) {
        all.push(Box::new(move || {
            group::<Worst>("worst-begin", n, Heap::Hidden)
        }));
        all.push(Box::new(move || {
            group::<Held<false>>("heap", n, Heap::Only)
        }));
        all.push(Box::new(move || {
            group::<Held<true>>("heap and future", n, Heap::Only)
        }));
    }
    all
}
