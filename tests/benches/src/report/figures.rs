//! The rows, to be asked.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::contenders::{self, Contender, Kind, Visitor, Who, limits, who};
use crate::row::Row;
use crate::workloads::RUNTIME;

/// All rows of a run, and who is who in them.
#[derive(Debug)]
pub struct Figures {
    rows: Vec<Row>,
    who: Vec<Who>,
}

struct Names(Vec<Who>);

impl Visitor<u64, u64> for Names {
    fn visit<C: Contender<u64, u64>>(&mut self, who: Who) {
        self.0.push(who);
    }
}

impl Figures {
    /// Of these rows.
    #[must_use]
    pub fn new(rows: Vec<Row>) -> Self {
        let mut names = Names(vec![
            who(limits::FLOOR, Kind::Limit),
            who(RUNTIME, Kind::Limit),
            who(contenders::WORK, Kind::Ours),
            who("spawn", Kind::Ours),
            who("spawn_while_wanted", Kind::Variant),
            who("the first call", Kind::Ours),
            who("its replay", Kind::Variant),
        ]);
        contenders::each(&mut names);
        contenders::each_variant(&mut names);
        contenders::each_that_spawns(&mut names);
        limits::each(&mut names);
        Self { rows, who: names.0 }
    }

    /// From one JSON object a line.
    pub fn parse(text: &str) -> Result<Self> {
        let rows: Result<Vec<_>, _> = text.lines().map(serde_json::from_str).collect();
        Ok(Self::new(rows.context("a row")?))
    }

    /// What a contender is to the comparison.
    ///
    /// # Panics
    ///
    /// Panics if nobody has this name.
    #[must_use]
    pub fn kind(&self, contender: &str) -> Kind {
        let found = self.who.iter().find(|who| who.name == contender);
        found.unwrap_or_else(|| panic!("{contender}?")).kind
    }

    /// The rows of a workload's variant.
    pub fn of<'a>(&'a self, workload: &str, key: &str) -> std::vec::IntoIter<&'a Row> {
        let wanted = |row: &&Row| row.workload == workload && row.key == key;
        self.rows
            .iter()
            .filter(wanted)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// The sizes there are.
    #[must_use]
    pub fn sizes(&self, workload: &str, key: &str) -> BTreeSet<u64> {
        self.of(workload, key).map(|row| row.n).collect()
    }

    /// One row.
    #[must_use]
    pub fn row(&self, workload: &str, key: &str, n: u64, contender: &str) -> Option<&Row> {
        let mut rows = self.of(workload, key);
        rows.find(|row| row.n == n && row.contender == contender)
    }

    /// The time in it.
    #[must_use]
    pub fn ns(&self, workload: &str, key: &str, n: u64, contender: &str) -> Option<f64> {
        self.row(workload, key, n, contender)?.ns
    }

    /// Who has the least of a figure, of some kinds.
    #[must_use]
    pub fn best(&self, place: Place<'_>, kinds: &[Kind], figure: Figure) -> Option<(&str, f64)> {
        let rows = self.of(place.0, place.1).filter(|row| row.n == place.2);
        let rows = rows.filter(|row| kinds.contains(&self.kind(&row.contender)));
        let figures = rows.filter_map(|row| Some((row.contender.as_str(), figure(row)?)));
        figures.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Workload, variant and size.
pub type Place<'a> = (&'a str, &'a str, u64);

/// What is asked of a row.
pub type Figure = fn(&Row) -> Option<f64>;
