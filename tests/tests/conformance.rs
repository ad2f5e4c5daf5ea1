//! Every case on every executor: `tokio_multi::a_waiter_may_be_dropped_at_any_point`, and so on. The executor that is
//! none has a file of its own, `by_hand`: it compiles fast, and shows most of what the others show.

#[macro_use]
mod list;

use oneflight_conformance::executors::{
    AsyncStd, SmolGlobal, SmolLocal, TokioCurrent, TokioLocal, TokioMulti,
};
use oneflight_conformance::{cases, conform};

on!(tokio_multi, TokioMulti,);
on!(tokio_current, TokioCurrent,);
on!(tokio_local, TokioLocal, and_not_send);
on!(smol_global, SmolGlobal,);
on!(smol_local, SmolLocal, and_not_send);
on!(async_std, AsyncStd,);

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
    assert!(cases > 110, "only {cases} cases found");
}
