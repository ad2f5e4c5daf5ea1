//! The table of all names that are reported, as it is in the documentation of the facade.

use std::collections::BTreeSet;

pub(crate) const DOCS: &str = include_str!("../../../adapters/facade/src/lib.rs");

/// A name, and its labels or fields in the order of the alphabet.
pub(crate) type Row = (String, Vec<String>);

/// The rows of this kind.
pub(crate) fn rows(kind: &str) -> BTreeSet<Row> {
    let words = |cell: &str| {
        let words = cell
            .split(',')
            .map(|word| word.trim().trim_matches('`').to_string());
        let mut words: Vec<_> = words.collect();
        words.sort_unstable();
        words
    };
    let rows = DOCS.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("//! | ")?.split(" | ");
        let (name, its_kind, labels) = (cells.next()?, cells.next()?, cells.next()?);
        (its_kind == kind).then(|| (words(name).remove(0), words(labels)))
    });
    rows.collect()
}
