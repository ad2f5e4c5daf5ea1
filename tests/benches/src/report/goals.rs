//! The goals, and whether the rows meet them.

use super::figures::Figures;
use crate::contenders::{Kind, limits};

/// One goal of a row of the table.
#[derive(Debug)]
pub struct Goal {
    /// Which work.
    pub work: String,
    /// What is asked for, in words.
    pub goal: String,
    /// What was measured, in words; absent when the run has no such row.
    pub measured: Option<String>,
    /// Whether that is enough.
    pub met: bool,
}

const OURS: &str = "oneflight";
const PEERS: &[Kind] = &[Kind::Peer];
const TUNED: &[Kind] = &[Kind::Peer, Kind::Tuned];

struct Judge<'a> {
    figures: &'a Figures,
    goals: Vec<Goal>,
}

/// A figure, and a word about where it comes from.
type Measured = (f64, String);

impl<'a> Judge<'a> {
    /// Adds a goal that is an upper bound.
    fn at_most(
        &mut self,
        work: &str,
        goal: &str,
        bound: f64,
        unit: &str,
        measured: Option<Measured>,
    ) {
        self.goals.push(Goal {
            work: work.to_owned(),
            goal: goal.to_owned(),
            met: measured.as_ref().is_some_and(|(value, _)| *value <= bound),
            measured: measured.map(|(value, note)| match note.is_empty() {
                true => format!("{value:.2}{unit}"),
                false => format!("{value:.2}{unit} ({note})"),
            }),
        });
    }

    /// Ours over the best of some.
    fn over_best(&self, workload: &str, key: &str, n: u64, kinds: &[Kind]) -> Option<Measured> {
        let ours = self.figures.ns(workload, key, n, OURS)?;
        let (name, best) = self.figures.best(workload, key, n, kinds)?;
        Some((ours / best, format!("{ours:.0} ns, {name} {best:.0}")))
    }

    /// Ours over another.
    fn over(&self, workload: &str, key: &str, n: u64, other: &str) -> Option<Measured> {
        let ours = self.figures.ns(workload, key, n, OURS)?;
        let other = self.figures.ns(workload, key, n, other)?;
        Some((ours / other, format!("{ours:.1} ns, it {other:.1}")))
    }

    /// The worst of some sizes.
    fn worst(
        &self,
        workload: &str,
        keys: &[&str],
        from: u64,
        ratio: impl Fn(&Self, &str, u64) -> Option<Measured>,
    ) -> Option<Measured> {
        let cells = keys.iter().flat_map(|key| {
            let sizes = self.figures.sizes(workload, key);
            sizes
                .into_iter()
                .filter(move |n| *n >= from)
                .map(move |n| (*key, n))
        });
        let ratios = cells.filter_map(|(key, n)| {
            let (value, note) = ratio(self, key, n)?;
            let place = if keys.len() > 1 {
                format!("{key}, ")
            } else {
                String::new()
            };
            Some((value, format!("worst: {place}N = {n}, {note}")))
        });
        ratios.max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Every goal.
pub fn all(figures: &Figures) -> Vec<Goal> {
    let mut judge = Judge {
        figures,
        goals: Vec::new(),
    };
    alone(&mut judge);
    crowd(&mut judge);
    tasks(&mut judge);
    memory(&mut judge);
    rest(&mut judge);
    judge.goals
}

fn alone(judge: &mut Judge<'_>) {
    let work = "solo: begin, settle, gone; `u64` key";
    let allocs = judge.figures.row("solo", "u64", 1, OURS);
    let allocs = allocs.and_then(|row| Some((row.allocs?, String::new())));
    judge.at_most(work, "1 allocation", 1.0, " allocations", allocs);
    let shipped = judge.over_best("solo", "u64", 1, PEERS);
    judge.at_most(work, "0.50x the best peer as shipped", 0.50, "x", shipped);
    let tuned = judge.over_best("solo", "u64", 1, TUNED);
    judge.at_most(work, "0.70x the best peer with foldhash", 0.70, "x", tuned);
    let floor = judge.over("solo", "u64", 1, limits::FLOOR);
    judge.at_most(work, "1.35x the floor", 1.35, "x", floor);
    let long = judge.over_best("solo", "str36", 1, PEERS);
    judge.at_most(
        "solo, 36-byte key",
        "0.62x the best peer as shipped",
        0.62,
        "x",
        long,
    );
}

fn crowd(judge: &mut Judge<'_>) {
    let join = judge.over("join", "u64", 1_000, "Shared");
    judge.at_most(
        "begin as a waiter, N = 1k",
        "0.90x `Shared`",
        0.90,
        "x",
        join,
    );
    let work = "settle + resume, library alone, N = 1k to 1M";
    for (goal, bound, other) in [
        ("0.92x `Shared`", 0.92, "Shared"),
        ("0.5x a bare `Event`", 0.5, "Event on the stack"),
        ("2x a bare `Vec<Waker>`", 2.0, limits::WAKERS),
    ] {
        let worst = judge.worst("settle_resume", &["u64"], 1_000, |judge, key, n| {
            judge.over("settle_resume", key, n, other)
        });
        judge.at_most(work, goal, bound, "x", worst);
    }
    let at = |n| judge.figures.ns("settle_resume", "u64", n, OURS);
    let growth = at(1_000_000).and_then(|most| {
        let least = at(1_000)?;
        Some((most / least, format!("{most:.1} ns, at 1k {least:.1}")))
    });
    judge.at_most(work, "at 1M 1.1x of 1k", 1.1, "x", growth);
    let work = "N = 1, the whole cycle (begin, join, settle, resume)";
    let shared = judge.over("settle_resume", "u64", 1, "Shared");
    judge.at_most(work, "1.0x `Shared`", 1.0, "x", shared);
    let quick = judge.over("settle_resume", "u64", 1, "quick_cache");
    judge.at_most(work, "1.0x quick_cache", 1.0, "x", quick);
    let best = judge.over_best("settle_resume", "u64", 1, TUNED);
    judge.at_most(work, "stretch: 1.0x the best tuned peer", 1.0, "x", best);
}

fn tasks(judge: &mut Judge<'_>) {
    for key in ["tokio-current", "smol"] {
        let work = format!("fire to last waiter resumed, {key}, N = 10 to 1M");
        let worst = judge.worst("fan", &[key], 10, |judge, key, n| {
            judge.over_best("fan", key, n, PEERS)
        });
        judge.at_most(&work, "1.0x the best peer", 1.0, "x", worst);
        let worst = judge.worst("fan", &[key], 10, |judge, key, n| {
            judge.over("fan", key, n, limits::WAKERS)
        });
        judge.at_most(&work, "1.15x a bare `Vec<Waker>`", 1.15, "x", worst);
    }
    for key in ["library", "tokio-current"] {
        let settle = judge.over("settle_call", key, 100_000, limits::WAKERS);
        let work = format!("the settle call itself, 100,000 waiters, {key}");
        judge.at_most(&work, "1.2x walking a bare `Vec<Waker>`", 1.2, "x", settle);
    }
    let amplify = judge.figures.row("amplify", "wakes-100", 1_000, OURS);
    let polls = amplify.and_then(|row| Some((row.polls?, String::new())));
    let work = "amplification: the operation wakes 100 times";
    judge.at_most(work, "2 polls a waiter", 2.0, " polls", polls);
    let shared = judge.over("amplify", "wakes-100", 1_000, "Shared");
    judge.at_most(work, "1/20 of `Shared`'s time", 0.05, "x", shared);
}

fn memory(judge: &mut Judge<'_>) {
    let bytes = |workload, key, n| {
        let row = judge.figures.row(workload, key, n, OURS)?;
        Some((row.bytes?, String::new()))
    };
    let (waiter, key) = (
        bytes("join", "u64", 1_000),
        bytes("keys", "heap", 1_000_000),
    );
    let joined = judge.figures.row("join", "u64", 1_000, OURS);
    let allocs = joined.and_then(|row| Some((row.allocs?, "of 1,000 waiters".to_owned())));
    judge.at_most(
        "memory of a waiter, all told",
        "40 bytes",
        40.0,
        " bytes",
        waiter,
    );
    judge.at_most(
        "allocations for a waiter",
        "none, amortised",
        0.05,
        "",
        allocs,
    );
    let work = "heap for a key in flight, averaged over a doubling of the table";
    judge.at_most(work, "100 bytes", 100.0, " bytes", key);
}

fn rest(judge: &mut Judge<'_>) {
    let orders = ["in-order", "reverse", "random"];
    let worst = judge.worst("cancel", &orders, 0, |judge, key, n| {
        judge.over_best("cancel", key, n, PEERS)
    });
    judge.at_most("cancel", "1.2x the best peer", 1.2, "x", worst);
    let growth = |key: &str, who: &str| {
        let small = judge.figures.ns("cancel", key, 1_000, who)?;
        let large = judge.figures.ns("cancel", key, 100_000, who)?;
        Some((large / small, small, large))
    };
    let grown = ["in-order", "reverse"].iter().filter_map(|key| {
        let (ratio, small, large) = growth(key, OURS)?;
        Some((
            ratio,
            format!("{key}: {small:.1} ns at 1k, {large:.1} at 100k"),
        ))
    });
    let grown = grown.max_by(|a, b| a.0.total_cmp(&b.0));
    // At random each drop is a miss or two in memory that is then larger than the caches: for everybody.
    let random = growth("random", OURS).zip(growth("random", "Shared"));
    let random = random.map(|(ours, shared)| {
        (
            ours.0 / shared.0,
            format!("it grows {:.1}x, `Shared` {:.1}x", ours.0, shared.0),
        )
    });
    judge.at_most(
        "cancel, in order and in reverse",
        "a drop at 100k 1.2x of one at 1k",
        1.2,
        "x",
        grown,
    );
    judge.at_most(
        "cancel at random",
        "grows as `Shared` grows, from 1k to 100k",
        1.0,
        "x",
        random,
    );
    let worst = judge.figures.row("keys", "worst-begin", 1_000_000, OURS);
    let worst = worst.and_then(|row| Some((row.min_ns? / 1e6, "best round".to_owned())));
    let work = "1M keys in flight";
    judge.at_most(work, "worst single begin 0.5 ms", 0.5, " ms", worst);
    let begin = judge.over_best("keys", "begin", 1_000_000, PEERS);
    judge.at_most(work, "begin 0.65x the best peer", 0.65, "x", begin);
    let threads = judge.over_best("threads", "distinct", 2, PEERS);
    judge.at_most(
        "2 threads, distinct keys",
        "0.60x the best peer",
        0.60,
        "x",
        threads,
    );
    let at = |n| judge.figures.ns("value", "u64", n, OURS);
    let value = at(1 << 20).and_then(|large| {
        let small = at(8)?;
        Some((
            large / small,
            format!("{large:.0} ns, at 8 bytes {small:.0}"),
        ))
    });
    judge.at_most(
        "1 MiB value to a waiter",
        "a count, not a copy (2x of 8 bytes)",
        2.0,
        "x",
        value,
    );
}
