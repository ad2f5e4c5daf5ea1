//! Storms, and the contrast that follows them.

use serde_json::json;

use crate::{each, run};

/// What the rows of `--duplicates` are, if callers do what they are told.
fn check_storm(duplicates: usize, policy: Option<&str>, percent: Option<usize>) {
    let numbers = [duplicates, percent.unwrap_or(0)].map(|number| number.to_string());
    let mut args = vec!["--json", "--duplicates", &numbers[0]];
    if let Some(policy) = policy {
        args.extend(["--policy", policy]);
    }
    if percent.is_some() {
        args.extend(["--cancel", &numbers[1]]);
    }
    let rows = run(&args).rows();

    let (policy, percent) = (policy.unwrap_or("detach"), percent.unwrap_or(0));
    // The rule that `callers.rs` states. The first caller has index 0.
    let leaves: Vec<bool> = (0..=duplicates)
        .map(|index| (index % 100 * 37 + index / 100 % 100 * 61) % 100 < percent)
        .collect();
    let cancelled = leaves.iter().filter(|leaves| **leaves).count();
    let stay = leaves[1..].iter().filter(|leaves| !**leaves).count();
    let reruns = usize::from(policy == "rerun" && leaves[0] && stay > 0);
    let aborted = usize::from(policy != "detach" && cancelled == leaves.len());

    assert_eq!(rows.len(), 6);
    for (row, runtime) in rows
        .iter()
        .zip(["tokio", "tokio-current", "smol", "async-std"])
    {
        row.begins_with(
            "kind runtime duplicates executions resumed threads_before threads_waiting \
settle_to_last_us bytes_per_waiter ",
        );
        row.ends_with("policy cancel cancelled reruns aborted ");
        row.has(json!({
            "kind": "storm", "runtime": runtime, "duplicates": duplicates,
            "executions": 1 + reruns, "resumed": stay, "policy": policy, "cancel": percent,
            "cancelled": cancelled, "reruns": reruns, "aborted": aborted,
        }));
        let values = &row.values;
        assert!(values["bytes_per_waiter"].as_f64() > Some(0.0), "{values}");
        let [before, waiting] =
            ["threads_before", "threads_waiting"].map(|key| values[key].as_u64());
        assert!(waiting <= before, "threads for waiting: {values}");
        assert!(waiting > Some(0) || !cfg!(target_os = "linux"), "{values}");
    }
    for row in &rows[4..] {
        row.begins_with("kind pool duplicates outcome ");
    }
    let pool = rows[4].values["pool"].as_u64().unwrap();
    rows[4].has(json!({ "kind": "parked", "duplicates": pool - 1, "outcome": "ok" }));
    rows[5].has(json!({
        "kind": "parked", "pool": pool, "duplicates": pool, "outcome": "deadlock",
    }));
}

#[test]
fn a_storm_has_one_execution_and_no_thread_for_waiting() {
    each(&[500, 1], |duplicates| check_storm(*duplicates, None, None));
}

/// The call of a caller that leaves goes on, is made again, or runs on; also if nobody stays.
#[test]
fn a_storm_whose_callers_leave_does_what_its_policy_says() {
    let cases = [
        (Some("continue"), Some(20)),
        (Some("continue"), Some(100)),
        (Some("rerun"), Some(20)),
        (Some("rerun"), Some(100)),
        (Some("detach"), Some(20)),
        (Some("detach"), Some(100)),
        (Some("rerun"), None),
        (None, Some(30)),
    ];
    each(&cases, |(policy, percent)| {
        check_storm(500, *policy, *percent)
    });
}

#[test]
fn a_table_ends_with_a_verdict_and_tells_of_leaving_only_if_callers_were_told_to() {
    let smol = ["--duplicates", "500", "--runtime", "smol"];
    let ran = run(&smol);
    let plain = ran.succeeded();
    let verdict = plain.lines().last().unwrap();
    assert!(
        verdict.starts_with("Verdict: 1 execution, 500 of 500 resumed; "),
        "{verdict}"
    );
    assert!(!plain.contains("re-runs"), "{plain}");

    let told = [&smol[..], &["--policy", "rerun", "--cancel", "20"]].concat();
    let ran = run(&told);
    let table = ran.succeeded();
    let verdict = table.lines().last().unwrap();
    assert!(
        verdict.starts_with("Verdict: 2 executions, 400 of 500 resumed; 101 callers left early; "),
        "{verdict}"
    );
    let heading = |line: &str| line.contains("re-runs") && line.contains("aborted");
    assert!(table.lines().any(heading), "{table}");
}
