//! Options and traces that are refused before anything runs.

use crate::{run, trace};

#[test]
fn bad_options_are_refused() {
    let cases = [
        ("--duplicates 0", "0 is not in 1..=10000000"),
        ("--duplicates 10000001", "10000001 is not in 1..=10000000"),
        ("--duplicates 99999999999999999999", "99999999999999999999"),
        ("--duplicates=-1", "-1 is not in"),
        ("--duplicates 1.5", "invalid value"),
        ("--duplicates many", "invalid value"),
        ("--duplicates", "a value is required"),
        (
            "--runtime glommio",
            "possible values: tokio, tokio-current, smol, async-std, all",
        ),
        ("--storm", "unexpected argument '--storm'"),
        ("trace.jsonl", "unexpected argument"),
        ("--trace - --duplicates 5", "cannot be used with"),
        ("--trace", "a value is required"),
        ("--policy retry", "possible values: continue, rerun, detach"),
        ("--policy rerun,detach", "invalid value"),
        (
            "--policy rerun --policy detach",
            "cannot be used multiple times",
        ),
        ("--policy", "a value is required"),
        ("--cancel=-1", "-1 is not in 0..=100"),
        ("--cancel 101", "101 is not in 0..=100"),
        ("--cancel 256", "256 is not in 0..=100"),
        ("--cancel 12.5", "invalid value"),
        ("--cancel 20%", "invalid value"),
        ("--cancel half", "invalid value"),
        ("--cancel", "a value is required"),
        ("--trace - --retain 0", "0 is not in 1..=86400000"),
        (
            "--trace - --retain 86400001",
            "86400001 is not in 1..=86400000",
        ),
        ("--trace - --retain=-1", "-1 is not in 1..=86400000"),
        ("--trace - --retain 1.5", "invalid value"),
        ("--trace - --retain 1s", "invalid value"),
        ("--trace - --retain", "a value is required"),
        ("--retain 500", "--trace <FILE>"),
        (
            "--retain 500 --policy continue --cancel 20",
            "--trace <FILE>",
        ),
    ];
    for (args, message) in cases {
        run(&args.split_whitespace().collect::<Vec<_>>()).refused(message);
    }
}

#[test]
fn a_trace_that_can_not_be_read_is_refused() {
    let missing = concat!(env!("CARGO_TARGET_TMPDIR"), "/none.jsonl");
    for path in [missing, env!("CARGO_TARGET_TMPDIR")] {
        run(&["--trace", path]).refused(&format!("can not read {path}: "));
    }
}

#[test]
fn a_trace_with_a_bad_line_is_refused_with_its_line_and_column() {
    const GOOD: &str = r#"{"at_ms":5,"token":"a","work_ms":10}"#;
    let in_between = |line: &str| format!("{GOOD}\n\n{line}\n{GOOD}").into_bytes();
    let not_utf8 = [GOOD.as_bytes(), b"\n{\"token\xff\":1}"].concat();
    let others: [(Vec<u8>, &str); 7] = [
        (b"".into(), "no request in it"),
        (b"\n\n".into(), "no request in it"),
        (b" \r\n \n".into(), "no request in it"),
        (
            in_between("{oops"),
            "line 3, column 2: key must be a string",
        ),
        (
            in_between(r#"{"at_ms":1,}"#),
            "line 3, column 12: trailing comma",
        ),
        (not_utf8, "line 2, column 8: not UTF-8"),
        (
            format!("{GOOD} {GOOD}").into(),
            "line 1, column 38: trailing characters",
        ),
    ];
    let lines = [
        ("hello", "1: not a JSON object"),
        (r#"[1,"a",1]"#, "1: not a JSON object"),
        (
            r#"{"at_ms":-1,"token":"a","work_ms":1}"#,
            "11: at_ms: invalid type: integer `-1`, expected a whole number of milliseconds from 0 \
             to 86400000",
        ),
        (
            r#"{"at_ms":1.5,"token":"a","work_ms":1}"#,
            "12: at_ms: invalid type: floating point `1.5`, expected a whole number",
        ),
        (
            r#"{"at_ms":86400001,"token":"a","work_ms":1}"#,
            "17: at_ms: invalid value: integer `86400001`, expected a whole number",
        ),
        (
            r#"{"at_ms":1,"token":"a","work_ms":99999999999999999999}"#,
            "53: work_ms: invalid type: floating point",
        ),
        (
            r#"{"at_ms":1,"token":"a","work_ms":"1"}"#,
            "36: work_ms: invalid type: string \"1\", expected a whole number",
        ),
        (
            r#"{"at_ms":1,"token":"a","work_ms":null}"#,
            "37: work_ms: invalid type: null, expected a whole number",
        ),
        (
            r#"{"at_ms":1,"token":7,"work_ms":1}"#,
            "20: token: invalid type: integer `7`, expected a string",
        ),
        (r#"{"at_ms":1,"token":"a"}"#, "23: missing field `work_ms`"),
        (r#"{"token":"a","work_ms":1}"#, "25: missing field `at_ms`"),
        (r#"{"at_ms":1,"work_ms":1}"#, "23: missing field `token`"),
        (
            r#"{"at_ms":1,"at_ms":1,"token":"a","work_ms":1}"#,
            "18: duplicate field `at_ms`",
        ),
        (
            r#"{"at_ms":1,"token":"a","work_ms":1,"x":1}"#,
            "38: unknown field `x`",
        ),
        (
            r#"{"at_ms":1,"token":"a","work_ms":1} x"#,
            "37: trailing characters",
        ),
        (r#"{"at_ms":1,"token":"a","work_ms":1"#, "34: EOF"),
    ];
    let lines = lines.map(|(line, why)| (line.into(), format!("line 1, column {why}")));
    let others = others.map(|(content, why)| (content, why.to_string()));
    for (content, message) in lines.into_iter().chain(others) {
        run(&["--trace", &trace("bad.jsonl", &content)]).refused(&message);
    }
}
