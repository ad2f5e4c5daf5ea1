//! Replays of traces.

use std::fs::File;

use serde_json::json;

use crate::{Ran, command, each, finish, requests, run, trace};

/// Out of order, so that a replay in the order of the lines would not pass. 20 requests of token
/// `hot` come while the first runs, and one after it.
fn good_trace(name: &str) -> String {
    let lines = [
        requests(1, 1600, "hot", 10),
        requests(20, 20, "hot", 1000),
        "\n".to_string(),
        requests(1, 0, "cold", 10),
    ];
    trace(name, lines.concat().as_bytes())
}

fn check_good_trace(ran: &Ran, runtime: &str) {
    let [row] = &ran.rows()[..] else {
        panic!("not one row: {}", ran.out);
    };
    row.begins_with(
        "kind runtime requests tokens executions joined aborted largest_flight \
threads_peak ",
    );
    row.has(json!({
        "kind": "trace", "runtime": runtime, "requests": 22, "tokens": 2, "executions": 3,
        "joined": 19, "aborted": 0, "largest_flight": 19, "policy": "continue", "cancel": 0,
        "retain_ms": null, "cancelled": 0, "reruns": 0, "retained": 0, "settled": 3,
    }));
    row.ends_with("policy cancel retain_ms cancelled reruns retained settled ");
    let longest = row.values["waited_max_ms"].as_f64();
    assert!(
        longest >= Some(100.0),
        "duplicates did not wait: {longest:?}"
    );
}

#[test]
fn a_trace_is_replayed_on_each_runtime() {
    let good = good_trace("each.jsonl");
    each(
        &["tokio", "tokio-current", "smol", "async-std"],
        |runtime| {
            let ran = run(&["--json", "--trace", &good, "--runtime", runtime]);
            check_good_trace(&ran, runtime);
        },
    );
}

#[test]
fn a_trace_comes_from_standard_input() {
    let mut command = command(&["--json", "--trace", "-"]);
    command.stdin(File::open(good_trace("input.jsonl")).unwrap());
    check_good_trace(&finish(command), "tokio");
}

#[test]
fn a_replay_ends_with_a_verdict_and_has_no_progress_bar_without_a_terminal() {
    let ran = run(&["--trace", &good_trace("verdict.jsonl")]);
    let verdict = ran.succeeded().lines().last().unwrap();
    assert!(
        verdict.starts_with("Verdict: tokio: 22 of 22 requests answered"),
        "{verdict}"
    );
    assert_eq!(ran.err, "");
}

/// The duplicates come long after the first request, and those that leave do so long before the first
/// one leaves: a busy machine changes no count.
#[test]
fn a_replay_whose_callers_leave_does_what_its_policy_says() {
    let lines = requests(1, 0, "hot", 3000) + &requests(19, 500, "hot", 400);
    let lost = trace("lost.jsonl", lines.as_bytes());
    // Runtime, percent, policy; executions, re-runs, aborted, left.
    let cases = [
        ("tokio", "40", "continue", 1, 0, 0, 9),
        ("smol", "40", "rerun", 2, 1, 0, 9),
        ("async-std", "40", "detach", 1, 0, 0, 9),
        ("tokio-current", "100", "continue", 1, 0, 1, 20),
        ("tokio", "100", "rerun", 1, 0, 1, 20),
        ("smol", "100", "detach", 1, 0, 0, 20),
    ];
    each(&cases, |case| {
        let (runtime, percent, policy, executions, reruns, aborted, left) = *case;
        let args = ["--json", "--trace", &lost, "--runtime", runtime];
        let told = ["--policy", policy, "--cancel", percent];
        let rows = run(&[&args[..], &told].concat()).rows();
        assert_eq!(rows.len(), 1);
        rows[0].has(json!({
            "policy": policy, "requests": 20, "tokens": 1, "executions": executions, "joined": 19,
            "reruns": reruns, "aborted": aborted, "cancelled": left, "resumed": 20 - left,
            "settled": 1 - aborted,
        }));
    });
}

/// Ten requests come while the first runs, and ten when it has ended.
fn late_trace(name: &str) -> String {
    let lines = requests(10, 0, "hot", 300) + &requests(10, 1500, "hot", 300);
    trace(name, lines.as_bytes())
}

#[test]
fn late_duplicates_get_the_outcome_as_long_as_it_is_retained() {
    let late = late_trace("late.jsonl");
    // Policy, window; retained, executions, joined.
    let cases = [
        ("continue", "60000", 10, 1, 9),
        ("rerun", "60000", 10, 1, 9),
        ("detach", "60000", 10, 1, 9),
        ("continue", "1", 0, 2, 18),
    ];
    each(&cases, |(policy, window, retained, executions, joined)| {
        let args = [
            "--json", "--trace", &late, "--policy", policy, "--retain", window,
        ];
        let rows = run(&args).rows();
        assert_eq!(rows.len(), 1);
        rows[0].has(json!({
            "policy": policy, "requests": 20, "resumed": 20, "cancelled": 0, "aborted": 0,
            "retained": retained, "executions": executions, "joined": joined,
        }));
    });
}

#[test]
fn the_table_of_a_replay_shows_what_callers_were_told() {
    let late = late_trace("table.jsonl");
    let told = ["--retain", "60000", "--policy", "detach", "--cancel", "0"];
    let ran = run(&[&["--trace", &late], &told[..]].concat());
    for part in [
        "retained",
        "re-runs",
        "aborted",
        "Outcomes are retained for 60,000 ms",
        "Policy detach",
    ] {
        assert!(ran.succeeded().contains(part), "{part}: {}", ran.out);
    }
}
