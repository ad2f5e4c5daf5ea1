//! Two calls that meet on one key: who began the flight, who joined it, and what a caller that leaves means for the other one.
//! What is expected is read from the tables in the docs of `Group`, so the two can not differ.

mod scene;

use oneflight_conformance::watched;
use oneflight_core::error::Cause;
use scene::{Call, KEY, Outcome, Scene};

/// The section of the docs that holds the table.
const DOCS: &str = include_str!("../../../core/src/group/mod.rs");
const SECTION: &str = "/// # When calls meet";

const CALLS: [(&str, Call); 8] = [
    ("begin", Call::Begin),
    ("run", Call::Run),
    ("work", Call::Work),
    ("try_work", Call::TryWork),
    ("spawn", Call::Spawn),
    ("spawn_while_wanted", Call::SpawnWhileWanted),
    ("spawn_blocking", Call::SpawnBlocking),
    ("work_blocking", Call::WorkBlocking),
];

/// The call can't go on with the operation itself.
const IF_ANOTHER: &str = "the outcome if another is left";

/// What the caller that has joined gets, when the one that began is lost. It is the only one that has joined.
fn outcome(cell: &str) -> Outcome {
    match cell {
        "continues it" | "its task continues it" | "the outcome" => Ok(1),
        "runs its own" => Ok(2),
        "`Dropped`" | IF_ANOTHER => Err(Cause::Dropped),
        "`Panicked`" => Err(Cause::Panicked),
        other => panic!("no such outcome: {other}"),
    }
}

/// Whether the operation is finished though all have left, given whether a `spawn` has joined.
fn is_finished(cell: &str, spawned: bool) -> bool {
    match cell {
        "is dropped" => false,
        "runs to its end" => true,
        "is dropped, unless a `spawn` joined" => spawned,
        other => panic!("no such end: {other}"),
    }
}

#[derive(Clone, Copy)]
struct Row {
    same: &'static str,
    spawn: &'static str,
    other: &'static str,
}

/// The rows of the first table, each by the calls it is for.
fn outcomes() -> Vec<(Call, Row)> {
    let rows = table(0).into_iter().flat_map(|cells| {
        let [begun_by, same, spawn, other] = cells[..] else {
            panic!("four columns: {cells:?}");
        };
        let row = Row { same, spawn, other };
        begun_by.split(',').map(move |name| (call(name), row))
    });
    rows.collect()
}

/// What the second table says of an operation that this call has begun, if all callers have left.
fn end(begun: Call) -> &'static str {
    let mut rows = table(1).into_iter();
    let row = rows.find(|cells| cells[0].split(',').any(|name| call(name) == begun));
    row.expect("a row for each call that can be left")[1]
}

/// The cells of a table of the section, without its head.
fn table(number: usize) -> Vec<Vec<&'static str>> {
    let (_, section) = DOCS.split_once(SECTION).expect("the section is there");
    let lines = section
        .lines()
        .map(|line| line.trim_start_matches("///").trim());
    let lines: Vec<_> = lines.take_while(|line| !line.starts_with('#')).collect();
    let tables = lines.split(|line| !line.starts_with('|'));
    let table = tables.filter(|table| !table.is_empty()).nth(number);
    let rows = table.expect("it is there").iter().skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn call(name: &str) -> Call {
    let name = name.trim_matches(|c| c == '`' || c == ' ');
    let found = CALLS.iter().find(|(its, _)| *its == name);
    found.unwrap_or_else(|| panic!("no such call: {name}")).1
}

impl Row {
    fn cell(&self, begun: Call, joined: Call) -> &'static str {
        if begun == joined {
            self.same
        } else if joined == Call::Spawn {
            self.spawn
        } else {
            self.other
        }
    }
}

/// Plays a scene for every pair of calls: one that begins, one that joins. A guard's duplicate and that of `run` are the same.
fn for_each_pair(play: fn(Row, Call, Call)) {
    let rows = outcomes();
    assert_eq!(rows.len(), CALLS.len(), "a row for each call");
    for (begun, row) in rows {
        for (_, joined) in CALLS {
            if joined != Call::Run {
                watched(&format!("{begun:?}, joined by {joined:?}"), move || {
                    play(row, begun, joined);
                });
            }
        }
    }
}

#[test]
fn a_caller_that_has_joined_gets_what_the_table_says_when_the_first_one_is_lost() {
    for_each_pair(|row, begun, joined| {
        let scene = Scene::default();
        let first = scene.first(begun);
        let second = scene.second(joined);
        scene.lose(first);
        scene.finish();
        let expected = outcome(row.cell(begun, joined));
        assert_eq!(
            second.outcome(&scene.runtime),
            expected,
            "{begun:?}, {joined:?}"
        );
        scene.end();
    });
}

#[test]
fn a_caller_that_can_not_go_on_itself_gets_the_outcome_if_another_is_left() {
    for_each_pair(|row, begun, joined| {
        if row.cell(begun, joined) != IF_ANOTHER {
            return;
        }
        let scene = Scene::default();
        let first = scene.first(begun);
        let second = scene.second(joined);
        let another = scene.third(begun);
        scene.lose(first);
        scene.finish();
        // The same operation, or the other caller's own.
        let expected = Ok(if begun == Call::Work { 1 } else { 3 });
        for caller in [another, second] {
            assert_eq!(
                caller.outcome(&scene.runtime),
                expected,
                "{begun:?}, {joined:?}"
            );
        }
        scene.end();
    });
}

#[test]
fn a_caller_that_has_joined_and_leaves_is_not_noticed() {
    for_each_pair(|_, begun, joined| {
        // A thread can not leave.
        if joined == Call::WorkBlocking {
            return;
        }
        let scene = Scene::default();
        let first = scene.first(begun);
        let second = scene.second(joined);
        scene.lose(second);
        assert_eq!(scene.group.waiters(KEY), 0, "{begun:?}, {joined:?}");
        scene.finish();
        assert_eq!(
            first.outcome(&scene.runtime),
            Ok(1),
            "{begun:?}, {joined:?}"
        );
        scene.end();
    });
}

#[test]
fn the_operation_ends_as_the_table_says_when_all_have_left() {
    for_each_pair(|_, begun, joined| {
        if [begun, joined].contains(&Call::WorkBlocking) {
            return;
        }
        for first_leaves_first in [true, false] {
            let scene = Scene::default();
            let mut callers = [scene.first(begun), scene.second(joined)];
            if !first_leaves_first {
                callers.reverse();
            }
            callers.into_iter().for_each(|caller| scene.lose(caller));
            scene.finish();
            scene.runtime.turn();
            let finished = is_finished(end(begun), joined == Call::Spawn);
            let expected: &[u32] = if finished { &[1] } else { &[] };
            let control = scene.control.clone();
            scene.end();
            control.with(|state| {
                assert_eq!(state.finished, expected, "{begun:?}, {joined:?}");
                assert_eq!(state.made, [1], "{begun:?}, {joined:?}");
            });
        }
    });
}
