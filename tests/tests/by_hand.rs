//! Every case on the executor that is none: `hand::a_waiter_may_be_dropped_at_any_point`, and so on.
//!
//! Apart from the other executors, since it compiles in a fraction of their time: whoever builds the core again and
//! again (the planted faults, the mutants) runs this.

#[macro_use]
mod list;

use oneflight_conformance::executors::Hand;
use oneflight_conformance::{cases, conform};

on!(hand, Hand, and_not_send);

/// A case that is written and not listed above would never run.
#[test]
fn every_case_is_listed() {
    let here = include_str!("list/mod.rs");
    let listed: Vec<&str> = here
        .lines()
        .map(|line| line.trim().trim_end_matches(';'))
        .collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cases");
    let mut cases = 0;
    for file in std::fs::read_dir(folder).expect("the cases are there") {
        let path = file.expect("readable").path();
        let source = std::fs::read_to_string(&path).expect("readable");
        for line in source.lines() {
            let Some(name) = line.strip_prefix("pub async fn ") else {
                continue;
            };
            let (name, _) = name.split_once('<').expect("generic over the executor");
            assert!(listed.contains(&name), "{name} is not listed");
            cases += 1;
        }
    }
    assert!(cases > 200, "only {cases} cases found");
}
