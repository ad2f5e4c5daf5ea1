//! The goals, and whether the rows meet them.

use super::figures::{Figure, Figures, Place};
use crate::contenders::{GUARD, Kind, SHIPPED, WORK, limits};
use crate::workloads::RUNTIME;

/// One goal of a row of the table.
#[derive(Debug)]
pub struct Goal {
    /// Which work.
    pub work: String,
    /// The bound, in words.
    pub goal: String,
    /// What was measured, in words.
    pub measured: String,
    /// Whether that is enough.
    pub met: bool,
}

/// What ours is compared with.
#[derive(Clone, Copy)]
enum Than {
    /// The best of all as shipped.
    Hand,
    /// The best crate as shipped.
    Crate,
    /// The best of all, those with foldhash among them.
    Tuned,
    /// This one.
    It(&'static str),
}

use Than::{Crate, Hand, It, Tuned};

impl Than {
    fn name(self) -> &'static str {
        match self {
            Hand => "the best as shipped",
            Crate => "the best crate",
            Tuned => "the best tuned",
            It(name) => name,
        }
    }
}

type Bounds = &'static [(f64, Than)];

/// What, whose, in which workload, variants and sizes, and at most so many times of whom. The worst of them is judged.
type Times = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    (u64, u64),
    Bounds,
);

/// What, whose, where, and at most so much.
type Most = (
    &'static str,
    &'static str,
    Place<'static>,
    f64,
    &'static str,
    Figure,
);

/// What grows of ours, in which workload and variant, between which sizes, and at most so many times.
type Growth = (&'static str, &'static str, &'static str, (u64, u64), f64);

const ALONE: (u64, u64) = (1, 1);
const AT_1K: (u64, u64) = (1_000, 1_000);
const CROWD: (u64, u64) = (1_000, 1_000_000);
const SHARED: Than = It("Shared");
const EVENT: Than = It("Event on the stack");
const WAKERS: Than = It(limits::WAKERS);
const FLOOR: Than = It(limits::FLOOR);
const PENDING: &str = "u64, pending once";
const TOKIO: &str = "tokio-current";
const ORDERS: &[&str] = &["in-order", "reverse", "random"];

// A table is read by its columns.
#[rustfmt::skip]
const TIMES: &[Times] = &[
    ("`work` alone", WORK, "closure", &["u64"], ALONE, &[(0.85, Hand), (0.80, Crate), (1.05, Tuned)]),
    ("`work` alone, 36-byte key", WORK, "closure", &["str36"], ALONE, &[(0.80, Hand), (1.0, Tuned)]),
    ("`work` alone, pending once", WORK, "closure", &[PENDING], ALONE, &[(1.25, Hand)]),
    ("`work` alone, pending once (stretch)", WORK, "closure", &[PENDING], ALONE, &[(1.0, Hand)]),
    ("`work` joins, 1k", WORK, "join", &["closure"], AT_1K, &[(1.0, SHARED)]),
    ("`work` settle + resume, 1k and 100k", WORK, "settle_resume", &["closure"], CROWD, &[(1.05, SHARED)]),
    ("`work`, one waiter, the whole cycle", WORK, "settle_resume", &["closure"], ALONE, &[(1.20, Hand)]),
    ("`work`, one waiter, the whole cycle (stretch)", WORK, "settle_resume", &["closure"], ALONE, &[(1.0, Hand)]),
    ("`work` cancel, every second of 1k", WORK, "cancel", &["closure"], AT_1K, &[(2.3, SHARED)]),
    ("`work` cancel, every second of 1k (stretch)", WORK, "cancel", &["closure"], AT_1K, &[(1.6, SHARED)]),
    ("`try_work` alone", "try_work", "closure", &["u64"], ALONE, &[(0.95, Hand)]),
    ("`begin` + `run` alone", "begin + run", "closure", &["u64"], ALONE, &[(0.75, Hand), (0.90, Tuned)]),
    ("`begin` + `run`, pending once", "begin + run", "closure", &[PENDING], ALONE, &[(2.0, It("guard in async"))]),
    ("guard alone", GUARD, "guard", &["u64"], ALONE, &[(0.50, Hand), (0.70, Tuned), (1.35, FLOOR)]),
    ("guard alone, 36-byte key", GUARD, "guard", &["str36"], ALONE, &[(0.62, Hand)]),
    ("guard joins, 1k", GUARD, "join", &["guard"], AT_1K, &[(0.90, SHARED)]),
    ("guard settle + resume, 1k to 1M", GUARD, "settle_resume", &["guard"], CROWD, &[(0.92, SHARED), (0.5, EVENT)]),
    ("guard, one waiter, the whole cycle", GUARD, "settle_resume", &["guard"], ALONE, &[(0.85, SHARED), (0.85, It("quick_cache"))]),
    ("settle to last resumed, tokio, 10 to 1M", GUARD, "fan", &[TOKIO], (10, 1_000_000), &[(1.0, Hand), (1.15, WAKERS)]),
    ("settle to last resumed, smol, 10 to 1M", GUARD, "fan", &["smol"], (10, 1_000_000), &[(1.0, Hand), (1.15, WAKERS)]),
    ("the settle call, 100k waiters", GUARD, "hold", &["library", TOKIO], (100_000, 100_000), &[(1.2, WAKERS)]),
    ("guard cancel, 1k and 100k", GUARD, "cancel", ORDERS, (1_000, 100_000), &[(1.2, Hand)]),
    ("1M keys in flight: a begin", GUARD, "keys", &["begin"], (1_000_000, 1_000_000), &[(0.65, Hand)]),
    ("2 threads, distinct keys", GUARD, "threads", &["distinct"], (2, 2), &[(0.60, Hand)]),
];

#[rustfmt::skip]
const MOST: &[Most] = &[
    ("`work` alone", WORK, ("closure", "u64", 1), 1.0, "allocations", ALLOCS),
    ("`work` alone, 36-byte key", WORK, ("closure", "str36", 1), 2.0, "allocations", ALLOCS),
    ("`work` alone, pending once", WORK, ("closure", PENDING, 1), 1.0, "allocations", ALLOCS),
    ("`work`, heap of a key in flight (stretch)", WORK, ("keys", "heap", 1_000_000), 200.0, "bytes", BYTES),
    ("guard alone", GUARD, ("guard", "u64", 1), 1.0, "allocations", ALLOCS),
    ("memory of a waiter, all told", GUARD, ("join", "guard", 1_000), 40.0, "bytes", BYTES),
    ("heap of a key in flight", GUARD, ("keys", "heap", 1_000_000), 100.0, "bytes", BYTES),
    ("the operation wakes 100 times", GUARD, ("amplify", "wakes-100", 1_000), 2.0, "polls a waiter", |row| row.polls),
    ("1M keys in flight: the worst begin", GUARD, ("keys", "worst-begin", 1_000_000), 0.5e6, "ns, best round", |row| row.min_ns),
];

#[rustfmt::skip]
const GROWTH: &[Growth] = &[
    ("guard settle + resume", "settle_resume", "guard", (1_000, 1_000_000), 1.1),
    ("guard cancel in order", "cancel", "in-order", (1_000, 100_000), 1.2),
    ("guard cancel in reverse", "cancel", "reverse", (1_000, 100_000), 1.2),
    ("a value of 1 MiB to a waiter", "value", "u64", (8, 1 << 20), 2.0),
];

/// What `spawn` added, in parts of the runtime's own spawn and join, when a flight, its desk and its operation were three
/// allocations: measured with this harness at version 5d65737.
const ADDED: [(&str, f64); 2] = [("ready", 1.09), ("pending once", 1.16)];

/// A figure, and a word about where it comes from.
type Measured = (f64, String);

const NS: Figure = |row| row.ns;
const BYTES: Figure = |row| row.bytes;
const ALLOCS: Figure = |row| row.allocs;

/// Every goal that there are rows for.
#[must_use]
pub fn all(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut judge = |work: &str, goal: String, bound: f64, is: Option<Measured>| {
        goals.extend(is.map(|(value, note)| Goal {
            work: work.to_owned(),
            goal,
            measured: format!("{value:.2} ({note})"),
            met: value <= bound,
        }));
    };
    for (work, ours, workload, keys, sizes, bounds) in TIMES {
        for (bound, than) in *bounds {
            let ratio = |place| over(figures, place, ours, *than, NS);
            let is = worst(figures, workload, keys, *sizes, ratio);
            judge(work, format!("{bound:.2}x {}", than.name()), *bound, is);
        }
    }
    let held = ("keys", "heap and future", 1_000_000);
    let is = over(figures, held, WORK, Hand, BYTES);
    let work = "`work`, a key in flight: heap and future";
    judge(work, format!("0.95x {}", Hand.name()), 0.95, is);
    for (work, ours, (workload, key, n), bound, unit, figure) in MOST {
        let is = figures.row(workload, key, *n, ours).and_then(figure);
        let is = is.map(|is| (is, (*unit).to_owned()));
        judge(work, format!("{bound} {unit}"), *bound, is);
    }
    for (work, workload, key, (from, to), bound) in GROWTH {
        let at = |n| figures.ns(workload, key, n, GUARD);
        let is = at(*to).zip(at(*from)).map(|(large, small)| {
            let note = format!("{small:.1} at {from}, {large:.1} at {to}");
            (large / small, note)
        });
        judge(work, format!("{bound}x from {from} to {to}"), *bound, is);
    }
    for ours in ["spawn", "spawn_while_wanted"] {
        for (key, before) in ADDED {
            let all = over(figures, ("spawn", key, 1), ours, It(RUNTIME), NS);
            let is = all.map(|(ratio, note)| (ratio - 1.0, note));
            let bound = 0.65 * before;
            let goal = format!("{bound:.2}x of that, which is 0.65x of before");
            let work = format!("`{ours}` adds to spawn + join, {key}");
            judge(&work, goal, bound, is);
        }
    }
    goals
}

/// Ours over another, at one place.
fn over(
    figures: &Figures,
    place: Place<'_>,
    ours: &str,
    than: Than,
    figure: Figure,
) -> Option<Measured> {
    let (workload, key, n) = place;
    let ours = figure(figures.row(workload, key, n, ours)?)?;
    let best = |kinds: &[Kind]| figures.best(place, kinds, figure);
    let (name, other) = match than {
        Hand => best(SHIPPED)?,
        Crate => best(&[Kind::Crate])?,
        Tuned => best(&[Kind::Crate, Kind::Hand, Kind::Tuned])?,
        It(name) => (name, figure(figures.row(workload, key, n, name)?)?),
    };
    Some((ours / other, format!("{ours:.1}, {name} {other:.1}")))
}

/// The worst of the variants and sizes.
fn worst(
    figures: &Figures,
    workload: &'static str,
    keys: &'static [&'static str],
    (from, to): (u64, u64),
    ratio: impl Fn(Place<'static>) -> Option<Measured>,
) -> Option<Measured> {
    let mut all = Vec::new();
    for key in keys {
        for n in figures.sizes(workload, key).range(from..=to) {
            let is = ratio((workload, key, *n));
            all.extend(is.map(|(is, note)| match from == to {
                true => (is, note),
                false => (is, format!("{key}, N = {n}: {note}")),
            }));
        }
    }
    all.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))
}
