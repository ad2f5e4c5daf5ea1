//! `BENCHMARKS.md`: prose from a template, figures from the rows.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use minijinja::value::ViaDeserialize;
use minijinja::{Environment, context};

use super::figures::{Figure, Figures, Place};
use crate::contenders::{GUARD, Kind, limits};

const TEMPLATE: &str = include_str!("../../BENCHMARKS.md.jinja");
const LOCK: &str = include_str!("../../Cargo.lock");

const NS: Figure = |row| row.ns;
const BYTES: Figure = |row| row.bytes;

/// A row of a table of calls: its name, where it was measured, and which of ours it is.
type Call = (String, String, String, u64, String);

/// A row of a table of sizes: its name, its workload and its variant.
type Series = (String, String, String);

/// The whole page.
pub fn render(figures: Figures) -> Result<String> {
    let figures = Arc::new(figures);
    let mut environment = Environment::new();
    environment.set_keep_trailing_newline(true);
    environment.set_trim_blocks(true);
    let of = figures.clone();
    let table = move |calls: ViaDeserialize<Vec<Call>>| versus(&of, &calls, NS);
    environment.add_function("versus", table);
    let of = figures.clone();
    let table = move |calls: ViaDeserialize<Vec<Call>>| versus(&of, &calls, BYTES);
    environment.add_function("bytes_versus", table);
    let of = figures.clone();
    let table = move |calls: ViaDeserialize<Vec<Call>>| adds(&of, &calls);
    environment.add_function("adds", table);
    let of = figures.clone();
    let table = move |series: ViaDeserialize<Vec<Series>>| by_size(&of, &series);
    environment.add_function("by_size", table);
    let of = figures.clone();
    let figure = move |workload: String, key: String, n: u64, contender: String| {
        number(of.ns(&workload, &key, n, &contender))
    };
    environment.add_function("ns", figure);
    let of = figures.clone();
    let figure = move |workload: String, key: String, n: u64, contender: String| {
        time(of.ns(&workload, &key, n, &contender))
    };
    environment.add_function("time", figure);
    environment.add_function("version", |package: String| version(&package));
    environment
        .add_template("page", TEMPLATE)
        .context("the template")?;
    let page = environment.get_template("page")?;
    Ok(page.render(context! {})?)
}

/// Calls down; across ours, the best of each kind with ours over it, and the limit where there is one.
fn versus(figures: &Figures, calls: &[Call], figure: Figure) -> String {
    let limit = |(_, workload, key, n, _): &Call| {
        let named = |name| figure(figures.row(workload, key, *n, name)?);
        named(limits::FLOOR).or(named(limits::WAKERS))
    };
    let limits = calls.iter().any(|call| limit(call).is_some());
    let allocs = |(_, workload, key, n, ours): &Call| figures.row(workload, key, *n, ours)?.allocs;
    let counted = calls
        .iter()
        .any(|call| call.3 == 1 && allocs(call).is_some());
    let mut text = String::from("| | oneflight | best crate | best by hand | best tuned |");
    text += if limits { " limit |" } else { "" };
    text += if counted { " allocations |" } else { "" };
    text += "\n|---|---:|---:|---:|---:|";
    text += &"---:|".repeat(usize::from(limits) + usize::from(counted));
    for call in calls {
        let (name, workload, key, n, ours) = call;
        let row = figures.row(workload, key, *n, ours);
        let Some(ours) = row.and_then(figure) else {
            // Not in this run.
            continue;
        };
        let _ = write!(text, "\n| {name} | **{}** |", number(Some(ours)));
        for kind in [Kind::Crate, Kind::Hand, Kind::Tuned] {
            let place = (workload.as_str(), key.as_str(), *n);
            let _ = write!(text, " {} |", best(figures, place, kind, ours, figure));
        }
        if limits {
            let _ = write!(text, " {} |", number(limit(call)));
        }
        if counted {
            let _ = write!(text, " {} |", number(allocs(call)));
        }
    }
    text
}

fn best(figures: &Figures, place: Place<'_>, kind: Kind, ours: f64, figure: Figure) -> String {
    let Some((name, best)) = figures.best(place, &[kind], figure) else {
        return String::new();
    };
    let name = name.trim_end_matches(" tuned");
    format!("{name} {} ({:.2}x)", number(Some(best)), ours / best)
}

/// Calls down; across ours, what the runtime takes by itself, and what ours adds.
fn adds(figures: &Figures, calls: &[Call]) -> String {
    let mut text = String::from("| | in all | the runtime's own | added | allocations |\n");
    text += "|---|---:|---:|---:|---:|";
    for (name, workload, key, n, ours) in calls {
        let row = figures.row(workload, key, *n, ours);
        let all = row.and_then(NS);
        let own = figures.ns(workload, key, *n, crate::workloads::RUNTIME);
        let added = all.zip(own).map(|(all, own)| all - own);
        let [all, own, added] = [all, own, added].map(number);
        let allocs = number(row.and_then(|row| row.allocs));
        let _ = write!(
            text,
            "\n| {name} | {all} | {own} | **{added}** | {allocs} |"
        );
    }
    text
}

/// Series of ours down, sizes across, as times and over the limit.
fn by_size(figures: &Figures, series: &[Series]) -> String {
    let sizes: BTreeSet<_> = series
        .iter()
        .flat_map(|(_, workload, key)| figures.sizes(workload, key))
        .collect();
    let mut text = String::from("| |");
    for size in &sizes {
        let _ = write!(text, " {} |", short(*size));
    }
    let _ = write!(text, "\n|---|{}", "---:|".repeat(sizes.len()));
    for (name, workload, key) in series {
        let _ = write!(text, "\n| {name} |");
        for n in &sizes {
            let row = figures.row(workload, key, *n, GUARD);
            let _ = write!(text, " {}", time(row.and_then(NS)));
            if let Some(ratio) = row.and_then(|row| row.ratio_limit) {
                let _ = write!(text, " ({ratio:.2}x)");
            }
            text += " |";
        }
    }
    text
}

fn time(ns: Option<f64>) -> String {
    match ns {
        Some(ns) if ns >= 1e6 => format!("{} ms", number(Some(ns / 1e6))),
        Some(ns) if ns >= 1e3 => format!("{} µs", number(Some(ns / 1e3))),
        Some(ns) => format!("{} ns", number(Some(ns))),
        None => String::new(),
    }
}

fn short(size: u64) -> String {
    match size {
        1_000_000.. if size.is_multiple_of(1_000_000) => format!("{}M", size / 1_000_000),
        1_000.. if size.is_multiple_of(1_000) => format!("{}k", size / 1_000),
        1_048_576.. => format!("{} Mi", size >> 20),
        1_024.. => format!("{} Ki", size >> 10),
        _ => size.to_string(),
    }
}

fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value >= 1e6 => format!("{:.2} M", value / 1e6),
        Some(value) if value >= 1_000.0 => {
            let whole = value.round() as u64;
            format!("{},{:03}", whole / 1_000, whole % 1_000)
        }
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => {
            let text = format!("{value:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

/// The version that the lock file names.
fn version(package: &str) -> String {
    let wanted = format!("name = \"{package}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != wanted);
    let line = lines.nth(1).unwrap_or_default();
    line.trim_start_matches("version = ")
        .trim_matches('"')
        .to_owned()
}
