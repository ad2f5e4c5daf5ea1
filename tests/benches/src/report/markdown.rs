//! `BENCHMARKS.md`: prose from a template, figures from the rows.

use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use minijinja::{Environment, context};

use super::figures::Figures;
use super::goals;
use crate::contenders::Kind;
use crate::row::Row;

const TEMPLATE: &str = include_str!("../../BENCHMARKS.md.jinja");
const LOCK: &str = include_str!("../../Cargo.lock");

/// The whole page.
pub fn render(figures: Figures) -> Result<String> {
    let figures = Arc::new(figures);
    let mut environment = Environment::new();
    environment.set_keep_trailing_newline(true);
    environment.set_trim_blocks(true);
    let of = figures.clone();
    let sizes = move |workload: String, key: String| by_size(&of, &workload, &key, |row| row.ns);
    environment.add_function("by_size", sizes);
    let of = figures.clone();
    let bytes = move |workload: String, key: String| by_size(&of, &workload, &key, |row| row.bytes);
    environment.add_function("bytes_by_size", bytes);
    let of = figures.clone();
    let detail = move |workload: String, key: String, n: u64| detail(&of, &workload, &key, n);
    environment.add_function("detail", detail);
    let of = figures.clone();
    let figure = move |workload: String, key: String, n: u64, contender: String| {
        number(of.ns(&workload, &key, n, &contender))
    };
    environment.add_function("ns", figure);
    environment.add_function("version", |package: String| version(&package));
    let goals = goals_table(&figures);
    environment
        .add_template("page", TEMPLATE)
        .context("the template")?;
    let page = environment.get_template("page")?;
    Ok(page.render(context! { goals })?)
}

fn goals_table(figures: &Figures) -> String {
    let mut text = String::from("| work | goal, at most | measured | met |\n|---|---|---|---|\n");
    let goals = goals::all(figures);
    for goal in &goals {
        let measured = goal.measured.as_deref().unwrap_or("not in this run");
        let met = match (goal.met, &goal.measured) {
            (true, _) => "yes",
            (false, Some(_)) => "**no**",
            (false, None) => "",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {measured} | {met} |",
            goal.work, goal.goal
        );
    }
    let met = goals.iter().filter(|goal| goal.met).count();
    let _ = write!(text, "\n{met} of {} met.", goals.len());
    text
}

/// Contenders down, sizes across.
fn by_size(
    figures: &Figures,
    workload: &str,
    key: &str,
    figure: fn(&Row) -> Option<f64>,
) -> String {
    let sizes = figures.sizes(workload, key);
    let mut text = String::from("| |");
    for size in &sizes {
        let _ = write!(text, " {} |", short(*size));
    }
    let _ = write!(text, "\n|---|{}\n", "---:|".repeat(sizes.len()));
    // By what they take at the largest size that nobody is left out of.
    let order = sizes.iter().copied().filter(|size| *size <= 10_000).max();
    let order = order.or(sizes.first().copied()).unwrap_or_default();
    for row in ordered(figures, workload, key, order, figure) {
        let name = &row.contender;
        let _ = write!(text, "| {} |", label(figures, name));
        for size in &sizes {
            let value = figures.row(workload, key, *size, name).and_then(figure);
            let _ = write!(text, " {} |", number(value));
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// Contenders down, all that is known about one size across.
fn detail(figures: &Figures, workload: &str, key: &str, n: u64) -> String {
    type Column = (&'static str, fn(&Row) -> Option<f64>);
    let all: [Column; 7] = [
        ("ns", |row| row.ns),
        ("best round", |row| row.min_ns),
        ("spread", |row| row.spread),
        ("allocations", |row| row.allocs),
        ("bytes", |row| row.bytes),
        ("polls", |row| row.polls),
        ("settle, µs", |row| row.settle_us),
    ];
    let rows = ordered(figures, workload, key, n, |row| row.ns.or(row.bytes));
    let used: Vec<_> = all
        .iter()
        .filter(|(_, of)| rows.iter().any(|row| of(row).is_some()))
        .collect();
    let ours = figures.ns(workload, key, n, "oneflight");
    let mut text = String::from("| |");
    for (name, _) in &used {
        let _ = write!(text, " {name} |");
    }
    let _ = write!(
        text,
        " oneflight takes |\n|---|{}---:|\n",
        "---:|".repeat(used.len())
    );
    for row in rows {
        let _ = write!(text, "| {} |", label(figures, &row.contender));
        for (_, of) in &used {
            let _ = write!(text, " {} |", number(of(row)));
        }
        let ratio = ours.and_then(|ours| Some(ours / row.ns?));
        let _ = writeln!(
            text,
            " {} |",
            ratio.map_or(String::new(), |ratio| format!("{ratio:.2}x"))
        );
    }
    text.trim_end().to_owned()
}

/// Ours, then peers, then limits, each by the figure.
fn ordered<'a>(
    figures: &'a Figures,
    workload: &'a str,
    key: &'a str,
    n: u64,
    figure: fn(&Row) -> Option<f64>,
) -> Vec<&'a Row> {
    let mut rows: Vec<_> = figures.of(workload, key).filter(|row| row.n == n).collect();
    let class = |row: &Row| match figures.kind(&row.contender) {
        Kind::Ours => 0,
        Kind::Variant => 1,
        Kind::Peer | Kind::Tuned => 2,
        Kind::Limit => 3,
    };
    rows.sort_by(|a, b| {
        let by_figure = figure(a)
            .unwrap_or(f64::MAX)
            .total_cmp(&figure(b).unwrap_or(f64::MAX));
        class(a).cmp(&class(b)).then(by_figure)
    });
    rows
}

fn label(figures: &Figures, name: &str) -> String {
    match figures.kind(name) {
        Kind::Ours => format!("**{name}**"),
        Kind::Limit => format!("*{}*", name.replace('<', "&lt;")),
        _ => name.to_owned(),
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
