//! Rows for a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::report::Goal;
use crate::row::Row;

/// The goals and whether they are met.
pub fn verdicts(goals: &[Goal]) -> String {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_header(["work", "at most", "measured", "met"]);
    for goal in goals {
        let met = if goal.met { "yes" } else { "NO" };
        table.add_row([&goal.work, &goal.goal, &goal.measured, met]);
    }
    let met = goals.iter().filter(|goal| goal.met).count();
    format!("{table}\n{met} of {} goals met", goals.len())
}

/// The rows of one group, the fastest first.
pub fn of(rows: &[Row]) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by(|a, b| a.ns.unwrap_or(0.0).total_cmp(&b.ns.unwrap_or(0.0)));
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header([
        "contender",
        "ns",
        "min",
        "spread",
        "allocs",
        "bytes",
        "polls",
        "/ best peer",
        "/ limit",
    ]);
    for row in rows {
        let text = |value: Option<f64>, digits: usize| {
            value.map_or(String::new(), |value| format!("{value:.digits$}"))
        };
        table.add_row([
            row.contender.clone(),
            text(row.ns, 1),
            text(row.min_ns, 1),
            text(row.spread, 2),
            text(row.allocs, 2),
            text(row.bytes, 1),
            text(row.polls, 2),
            text(row.ratio_best_peer, 2),
            text(row.ratio_limit, 2),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{} {} n={}\n{table}", first.workload, first.key, first.n)
}
