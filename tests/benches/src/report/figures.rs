//! The rows, to be asked.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::contenders::{self, Contender, Kind, Visitor, Who, limits};
use crate::row::Row;

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
        let mut names = Names(Vec::new());
        contenders::each(&mut names);
        contenders::each_that_spawns(&mut names);
        limits::each(&mut names);
        let kind = Kind::Limit;
        names.0.push(Who {
            name: limits::FLOOR,
            kind,
        });
        Self { rows, who: names.0 }
    }

    /// From one JSON object a line.
    pub fn parse(text: &str) -> Result<Self> {
        let rows: Result<Vec<_>, _> = text.lines().map(serde_json::from_str).collect();
        Ok(Self::new(rows.context("a row")?))
    }

    /// What a contender is to the comparison.
    #[must_use]
    pub fn kind(&self, contender: &str) -> Kind {
        let found = self.who.iter().find(|who| who.name == contender);
        found.map_or(Kind::Peer, |who| who.kind)
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

    /// The fastest of a kind.
    #[must_use]
    pub fn best(&self, workload: &str, key: &str, n: u64, kinds: &[Kind]) -> Option<(&str, f64)> {
        let rows = self.of(workload, key).filter(|row| row.n == n);
        let rows = rows.filter(|row| kinds.contains(&self.kind(&row.contender)));
        let timed = rows.filter_map(|row| Some((row.contender.as_str(), row.ns?)));
        timed.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}
