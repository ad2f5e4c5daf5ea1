//! The command as its users run it: rows, tables, messages and exit statuses.
//!
//! Each check is a process of its own, because rows hold figures of the whole process.

mod refusals;
mod replays;
mod storms;

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

/// What ended with which status, and said what.
struct Ran {
    what: String,
    status: Option<i32>,
    out: String,
    err: String,
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retry_storm"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Ran {
    finish(command(args))
}

fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        what: format!("{command:?}"),
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    /// What it printed, if it ended with status 0.
    fn succeeded(&self) -> &str {
        assert_eq!(self.status, Some(0), "{}: {}", self.what, self.err);
        &self.out
    }

    fn rows(&self) -> Vec<Row> {
        self.succeeded().lines().map(Row::parse).collect()
    }

    /// Status 2, nothing on standard output, and the message on standard error.
    fn refused(&self, message: &str) {
        assert_eq!(self.status, Some(2), "{}: {}", self.what, self.err);
        assert_eq!(self.out, "", "{}", self.what);
        assert!(self.err.contains(message), "{}: {}", self.what, self.err);
    }
}

/// A line of `--json`.
struct Row {
    /// Its keys in their order, a blank behind each.
    keys: String,
    values: Value,
}

impl Row {
    fn parse(line: &str) -> Self {
        // No value in it is a text with a colon behind it.
        let texts: Vec<&str> = line.split('"').collect();
        let keys = texts.windows(2).filter(|pair| pair[1].starts_with(':'));
        Self {
            keys: keys.map(|pair| format!("{} ", pair[0])).collect(),
            values: serde_json::from_str(line).unwrap(),
        }
    }

    fn begins_with(&self, keys: &str) {
        assert!(self.keys.starts_with(keys), "{}", self.keys);
    }

    fn ends_with(&self, keys: &str) {
        assert!(self.keys.ends_with(keys), "{}", self.keys);
    }

    /// All values of `wanted` are in it.
    fn has(&self, wanted: Value) {
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(self.values[key], *value, "{key} of {}", self.values);
        }
    }
}

/// Checks some cases at a time: each spends most of its time waiting.
fn each<C: Sync>(cases: &[C], check: impl Fn(&C) + Sync) {
    for some in cases.chunks(4) {
        thread::scope(|scope| {
            for case in some {
                scope.spawn(|| check(case));
            }
        });
    }
}

/// Writes a trace. Returns its path.
fn trace(name: &str, content: &[u8]) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// The lines of so many requests, which are all alike.
fn requests(times: usize, at: u64, token: &str, work: u64) -> String {
    format!("{{\"at_ms\":{at},\"token\":\"{token}\",\"work_ms\":{work}}}\n").repeat(times)
}

#[test]
fn the_help_names_every_option_and_exit_status() {
    let ran = run(&["--help"]);
    let options = "--duplicates --runtime --trace --policy --cancel --retain --json tokio-current";
    for part in options.split(' ').chain(["Examples:", "Exit status:"]) {
        assert!(ran.succeeded().contains(part), "{part} is not in the help");
    }
}

#[test]
fn a_pipe_that_is_closed_early_is_no_error() {
    let mut command = command(&["--json", "--duplicates", "10"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut line, mut err) = (String::new(), String::new());
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    drop(out);
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert!(line.starts_with(r#"{"kind":"storm""#), "{line}");
    assert_eq!(err, "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_output_that_takes_nothing_is_status_one() {
    // Not every system has it.
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return;
    };
    let mut command = command(&["--json", "--duplicates", "10"]);
    command.stdout(full);
    let ran = finish(command);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert!(
        ran.err.contains("can not write to standard output"),
        "{}",
        ran.err
    );
}
