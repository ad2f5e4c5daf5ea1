//! Rounds: every contender once in each, in an order that turns, so that whatever disturbs the machine disturbs all of them.

use std::time::{Duration, Instant};

use crate::contenders::{Kind, SHIPPED, Who};
use crate::meter::{Ask, Meter};
use crate::row::Row;

/// One contender in one workload: runs once, and lets the meter see the part that counts.
pub struct Case {
    /// Who it is.
    pub who: Who,
    /// Once.
    pub run: Box<dyn FnMut(&mut Meter)>,
}

/// Which figure of the heap a group shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heap {
    /// Everything that was asked for.
    Asked,
    /// What was asked for and is still held.
    Live,
    /// What is held, and nothing else: there is no time to take.
    Only,
    /// None: the part that is measured is not the part that allocates.
    Hidden,
}

/// The contenders of one row of a table.
pub struct Group {
    /// As in the rows.
    pub workload: &'static str,
    /// As in the rows.
    pub key: String,
    /// As in the rows.
    pub n: u64,
    /// The limit that ratios refer to.
    pub limit: Option<&'static str>,
    /// The figure of the heap.
    pub heap: Heap,
    /// Who takes part.
    pub cases: Vec<Case>,
}

/// How long, how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// A sample measures for at least as long as this.
    pub sample: Duration,
    /// No more rounds than this,
    pub most: usize,
    /// and no fewer than this,
    pub least: usize,
    /// and none is begun when a group has taken this long.
    pub group: Duration,
}

impl Plan {
    /// Two minutes for everything.
    pub const QUICK: Self = Self {
        sample: Duration::from_micros(300),
        most: 15,
        least: 3,
        group: Duration::from_millis(900),
    };
    /// A quarter of an hour for everything.
    pub const FULL: Self = Self {
        sample: Duration::from_millis(2),
        most: 41,
        least: 4,
        group: Duration::from_secs(5),
    };
}

#[derive(Default)]
struct Samples {
    ns: Vec<f64>,
    polls: Vec<f64>,
}

impl Group {
    /// Measures it.
    pub fn measure(mut self, plan: &Plan) -> Vec<Row> {
        let heap: Vec<_> = match self.heap {
            Heap::Hidden => Vec::new(),
            _ => self
                .cases
                .iter_mut()
                .map(|case| {
                    if self.heap == Heap::Asked {
                        // Tables have grown before a call is asked what it allocates, as before it is timed.
                        once(case, Ask::Time);
                    }
                    once(case, Ask::Heap)
                })
                .collect(),
        };
        if self.heap == Heap::Only {
            let rows = heap.iter().enumerate();
            return rows.map(|(index, meter)| self.held(index, meter)).collect();
        }
        let mut samples: Vec<Samples> = Vec::new();
        samples.resize_with(self.cases.len(), Samples::default);
        let begun = Instant::now();
        let mut round = 0;
        // The first one warms up: tables grow, pages are mapped, the branch predictors learn.
        while round <= plan.least || (round <= plan.most && begun.elapsed() < plan.group) {
            for turn in 0..self.cases.len() {
                let index = (turn + round) % self.cases.len();
                let meter = sample(&mut self.cases[index], plan.sample);
                if round > 0 {
                    samples[index].add(&meter);
                }
            }
            round += 1;
        }
        let mut rows: Vec<_> = (0..self.cases.len())
            .map(|index| self.row(index, &mut samples[index], heap.get(index)))
            .collect();
        self.compare(&mut rows);
        rows
    }

    fn held(&self, index: usize, meter: &Meter) -> Row {
        Row {
            bytes: Some(round_to(meter.live / meter.ops as f64, 1)),
            ..self.blank(index)
        }
    }

    fn blank(&self, index: usize) -> Row {
        Row {
            workload: self.workload.to_owned(),
            key: self.key.clone(),
            n: self.n,
            contender: self.cases[index].who.name.to_owned(),
            ..Row::default()
        }
    }

    fn row(&self, index: usize, samples: &mut Samples, heap: Option<&Meter>) -> Row {
        let median = |all: &mut Vec<f64>| (!all.is_empty()).then(|| quantile(all, 0.5));
        let ns = quantile(&mut samples.ns, 0.5);
        let inner = quantile(&mut samples.ns, 0.75) - quantile(&mut samples.ns, 0.25);
        Row {
            ns: Some(round_to(ns, 2)),
            min_ns: Some(round_to(quantile(&mut samples.ns, 0.0), 2)),
            spread: Some(round_to(inner / ns, 3)),
            allocs: heap.map(|meter| round_to(meter.allocs / meter.ops as f64, 3)),
            bytes: heap.map(|meter| {
                let bytes = match self.heap {
                    Heap::Live => meter.live,
                    _ => meter.bytes,
                };
                round_to(bytes / meter.ops as f64, 1)
            }),
            polls: median(&mut samples.polls).map(|polls| round_to(polls, 3)),
            ..self.blank(index)
        }
    }

    /// Puts the ratios into the rows of ours.
    fn compare(&self, rows: &mut [Row]) {
        let kind = |index: usize| self.cases[index].who.kind;
        let best = (0..rows.len())
            .filter(|index| SHIPPED.contains(&kind(*index)))
            .filter_map(|index| rows[index].ns)
            .min_by(f64::total_cmp);
        let limit = self
            .limit
            .and_then(|limit| rows.iter().find(|row| row.contender == limit)?.ns);
        for (index, row) in rows.iter_mut().enumerate() {
            if matches!(kind(index), Kind::Ours | Kind::Variant) {
                let over = |other: Option<f64>| Some(round_to(row.ns? / other?, 3));
                (row.ratio_best_peer, row.ratio_limit) = (over(best), over(limit));
            }
        }
    }
}

impl Samples {
    fn add(&mut self, meter: &Meter) {
        let ops = meter.ops as f64;
        self.ns.push(match meter.worst {
            Some(worst) => worst.as_nanos() as f64,
            None => meter.elapsed.as_nanos() as f64 / ops,
        });
        self.polls.extend(meter.polls.map(|polls| polls / ops));
    }
}

fn once(case: &mut Case, ask: Ask) -> Meter {
    let mut meter = Meter::new(ask);
    (case.run)(&mut meter);
    meter
}

/// Runs the case until enough has been measured for the clock.
fn sample(case: &mut Case, enough: Duration) -> Meter {
    // A run that is short comes back to caches that the others have emptied, which would measure its place in the list.
    let mut meter = once(case, Ask::Time);
    if meter.elapsed < enough / 4 {
        meter = Meter::new(Ask::Time);
    }
    let begun = Instant::now();
    // What is measured may be a thousandth of what it takes to set it up, as the settle call of a chain is.
    while meter.ops == 0 || (meter.elapsed < enough && begun.elapsed() < 20 * enough) {
        (case.run)(&mut meter);
    }
    meter
}

/// The value below which this part of all lies.
pub fn quantile(all: &mut [f64], part: f64) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    let place = part * (all.len() - 1) as f64;
    let (low, high) = (all[place.floor() as usize], all[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

fn round_to(value: f64, digits: i32) -> f64 {
    let unit = 10f64.powi(digits);
    (value * unit).round() / unit
}
