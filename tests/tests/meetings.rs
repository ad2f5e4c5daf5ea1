//! Two calls that meet on one key: who began the flight, who joined it, and what a caller that leaves means for the other one.
//! What is expected is read from the tables in the docs of `Group`, so the two can not differ.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};

use oneflight_conformance::watched;
use oneflight_core::error::{Cause, Error};
use oneflight_core::rt::{Spawn, SpawnBlocking};
use oneflight_core::{Begin, Group, Settled};

/// The section of the docs that holds the table.
const DOCS: &str = include_str!("../../core/src/group/mod.rs");
const SECTION: &str = "/// # When calls meet";

const KEY: &str = "k";

type Outcome = Result<u32, Cause>;

/// A call that can begin a flight, by its name in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Begin,
    Run,
    Work,
    TryWork,
    Spawn,
    SpawnWhileWanted,
    SpawnBlocking,
    WorkBlocking,
}

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

/// What the caller that has joined gets, when the one that began is lost.
fn outcome(cell: &str) -> Outcome {
    match cell {
        "continues it" | "its task continues it" | "the outcome" => Ok(1),
        "runs its own" => Ok(2),
        "`Dropped`" => Err(Cause::Dropped),
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
    same: Outcome,
    spawn: Outcome,
    other: Outcome,
}

/// The rows of the first table, each by the calls it is for.
fn outcomes() -> Vec<(Call, Row)> {
    let rows = table(0).into_iter().flat_map(|cells| {
        let [begun_by, same, spawn, other] = cells[..] else {
            panic!("four columns: {cells:?}");
        };
        let row = Row {
            same: outcome(same),
            spawn: outcome(spawn),
            other: outcome(other),
        };
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
    fn expected(&self, begun: Call, joined: Call) -> Outcome {
        if begun == joined {
            self.same
        } else if joined == Call::Spawn {
            self.spawn
        } else {
            self.other
        }
    }
}

/// What every operation of a scene is told through.
#[derive(Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    finish: bool,
    panic: bool,
    wakers: Vec<Waker>,
    made: Vec<u32>,
    finished: Vec<u32>,
}

impl Control {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, f: impl FnOnce(&mut State)) {
        let wakers = self.with(|state| {
            f(state);
            std::mem::take(&mut state.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
        self.changed.notify_all();
    }

    /// An operation that is pending until it is told to finish. Its value is its caller's number.
    async fn operation(self: Arc<Self>, number: u32) -> u32 {
        self.with(|state| state.made.push(number));
        poll_fn(|cx| {
            self.with(|state| {
                if state.finish {
                    state.finished.push(number);
                    return Poll::Ready(number);
                }
                state.wakers.push(cx.waker().clone());
                Poll::Pending
            })
        })
        .await
    }

    /// The same, as a call that blocks its thread.
    fn call(&self, number: u32) -> u32 {
        self.with(|state| state.made.push(number));
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |state: &mut State| !state.finish && !state.panic;
        let waited = self.changed.wait_while(state, waits);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.panic {
            drop(state);
            std::panic::resume_unwind(Box::new("as the scene wants"));
        }
        state.finished.push(number);
        number
    }
}

/// Polls its tasks when it is told to, and has a thread for each blocking call.
#[derive(Default)]
struct Runtime(Mutex<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Runtime {
    fn turn(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().expect("never poisoned"));
        let mut cx = Context::from_waker(Waker::noop());
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        self.0.lock().expect("never poisoned").append(&mut tasks);
    }
}

impl Spawn for Runtime {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.lock().expect("never poisoned").push(Box::pin(task));
    }
}

impl SpawnBlocking for Runtime {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        thread::spawn(call);
    }
}

/// One that has called.
enum Caller {
    Future(Pin<Box<dyn Future<Output = Outcome>>>),
    /// It can not leave.
    Thread(JoinHandle<Outcome>),
}

impl Caller {
    fn of<F>(call: F) -> Self
    where
        F: Future<Output = Result<Settled<&'static str, u32>, Error>> + 'static,
    {
        let mut future = Box::pin(async { said(call.await) });
        let _ = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        Self::Future(future)
    }

    /// Waits for what it gets.
    fn outcome(self, runtime: &Runtime) -> Outcome {
        match self {
            Caller::Future(mut future) => loop {
                runtime.turn();
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(outcome) = future.as_mut().poll(&mut cx) {
                    return outcome;
                }
                thread::yield_now();
            },
            Caller::Thread(thread) => {
                while !thread.is_finished() {
                    runtime.turn();
                    thread::yield_now();
                }
                thread.join().unwrap_or(Err(Cause::Panicked))
            }
        }
    }
}

fn said(outcome: Result<Settled<&'static str, u32>, Error>) -> Outcome {
    match outcome {
        Ok(settled) => Ok(*settled),
        Err(Error::Aborted(aborted)) => Err(aborted.cause()),
        Err(other) => panic!("{other}"),
    }
}

#[derive(Default)]
struct Scene {
    group: Group<&'static str, u32>,
    control: Arc<Control>,
    runtime: Runtime,
}

impl Scene {
    /// Makes the call, and polls it once.
    fn call(&self, call: Call, number: u32) -> Caller {
        let (group, runtime) = (&self.group, &self.runtime);
        let control = self.control.clone();
        let operation = move || control.clone().operation(number);
        let control = self.control.clone();
        let caller = match call {
            Call::Begin | Call::Run => match group.begin(KEY) {
                Begin::Primary(primary) if call == Call::Run => {
                    Caller::of(primary.run(operation()))
                }
                Begin::Primary(primary) => Caller::of(async move {
                    let value = operation().await;
                    Ok(primary.settle(value)?)
                }),
                Begin::Waiter(waiter) => Caller::of(waiter),
                Begin::Rejected(why) => panic!("{why}"),
            },
            Call::Work => Caller::of(group.work(KEY, operation)),
            Call::TryWork => Caller::of(group.try_work(KEY, move || {
                let operation = operation();
                async move { Ok::<_, Error>(operation.await) }
            })),
            Call::Spawn => Caller::of(group.entry(KEY).spawn_on(runtime, operation)),
            Call::SpawnWhileWanted => {
                Caller::of(group.entry(KEY).spawn_while_wanted_on(runtime, operation))
            }
            Call::SpawnBlocking => {
                let call = move || control.call(number);
                Caller::of(group.entry(KEY).spawn_blocking_on(runtime, call))
            }
            Call::WorkBlocking => {
                let group = group.clone();
                Caller::Thread(thread::spawn(move || {
                    said(group.work_blocking(KEY, || control.call(number)))
                }))
            }
        };
        self.runtime.turn();
        caller
    }

    /// The first call begins, and its operation has begun.
    fn first(&self, call: Call) -> Caller {
        let caller = self.call(call, 1);
        self.until(|scene| scene.control.with(|state| state.made == [1]));
        caller
    }

    /// The second call joins. All that wait are counted, and participants of `work` and `try_work` are.
    fn second(&self, call: Call) -> Caller {
        let caller = self.call(call, 2);
        self.until(|scene| scene.group.waiters(KEY) == 1);
        caller
    }

    fn until(&self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            thread::yield_now();
        }
    }

    /// The caller leaves: it is dropped or, if it runs a call on its own thread, panics.
    fn lose(&self, caller: Caller) {
        match caller {
            Caller::Future(future) => drop(future),
            Caller::Thread(thread) => {
                self.control.tell(|state| state.panic = true);
                assert!(thread.join().is_err(), "its panic is its own");
            }
        }
        self.runtime.turn();
    }

    fn finish(&self) {
        self.control.tell(|state| state.finish = true);
        self.runtime.turn();
    }

    /// The flight is over, and nothing is left of it.
    fn end(self) {
        self.group.close();
        let mut drained = self.group.drained();
        let mut cx = Context::from_waker(Waker::noop());
        while Pin::new(&mut drained).poll(&mut cx).is_pending() {
            self.runtime.turn();
            thread::yield_now();
        }
        let stats = self.group.stats();
        assert_eq!(
            (stats.in_flight, stats.waiting, stats.ending),
            (0, 0, 0),
            "{stats:?}"
        );
        assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
        assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats:?}");
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
        let outcome = second.outcome(&scene.runtime);
        assert_eq!(
            outcome,
            row.expected(begun, joined),
            "{begun:?}, {joined:?}"
        );
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
