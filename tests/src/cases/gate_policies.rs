//! Every call at a gate that is held: it waits for its turn, it is ended while it waits, it replaces the holder. And the
//! agent that this project started from.

use futures_lite::future::block_on;
use oneflight::error::{Aborted, Cause, Rejected};
use oneflight::gate::Mode;
use oneflight::{Begin, Error, Settled};

use crate::scripted::Scripted;
use crate::{Remote, Task, TestRuntime, cause_of, primary, scripted, until};

pub(super) type Gate = oneflight::gate::Gate<&'static str, usize>;
pub(super) type Outcome = Result<Settled<Option<&'static str>, usize>, Error>;

/// The calls that wait for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Turn,
    Work,
    TryWork,
    Spawn,
    WhileWanted,
    SpawnBlocking,
    WorkBlocking,
}

pub(super) const ALL: [By; 7] = [
    By::Turn,
    By::Work,
    By::TryWork,
    By::Spawn,
    By::WhileWanted,
    By::SpawnBlocking,
    By::WorkBlocking,
];

impl By {
    /// Whether its operation can be dropped by an end from outside.
    fn can_be_dropped(self) -> bool {
        !matches!(self, By::SpawnBlocking | By::WorkBlocking)
    }

    /// Makes the call with this operation, and returns when the gate has heard of it.
    pub(super) async fn call<R: TestRuntime>(
        self,
        rt: &R,
        gate: &Gate,
        (token, mode): (&'static str, Mode),
        operation: Scripted,
    ) -> Task<Outcome> {
        let heard = |gate: &Gate| {
            let stats = gate.stats();
            stats.begun + stats.joined + stats.rejected
        };
        let (before, entry) = (heard(gate), gate.entry(Some(token)).mode(mode));
        let outcome = match self {
            By::Turn => {
                let turn = entry.turn();
                rt.task(async move {
                    match turn.await {
                        Begin::Primary(primary) => primary.run(operation).await,
                        Begin::Waiter(waiter) => waiter.await,
                        Begin::Rejected(why) => Err(why.into()),
                    }
                })
            }
            By::Work => rt.task(entry.work(|| operation)),
            By::TryWork => rt.task(entry.try_work(|| async { Ok::<_, Error>(operation.await) })),
            By::Spawn => rt.task(entry.spawn_on(&rt.adapter(), || operation)),
            By::WhileWanted => rt.task(entry.spawn_while_wanted_on(&rt.adapter(), || operation)),
            By::SpawnBlocking => {
                rt.task(entry.spawn_blocking_on(&rt.adapter(), || block_on(operation)))
            }
            By::WorkBlocking => {
                let gate = gate.clone();
                rt.unblock(move || {
                    let entry = gate.entry(Some(token)).mode(mode);
                    entry.work_blocking(|| block_on(operation))
                })
            }
        };
        until(|| heard(gate) == before + 1).await;
        outcome
    }
}

/// A call that runs by now, and what it is told through.
async fn running<R: TestRuntime>(rt: &R, gate: &Gate, by: By) -> (Remote, Task<Outcome>) {
    let (remote, operation) = scripted();
    let outcome = by.call(rt, gate, ("old", Mode::Queue), operation).await;
    until(|| remote.polls() == 1).await;
    (remote, outcome)
}

/// Whatever it is: its operation is polled when its turn has come, and its duplicates by every call share it.
pub async fn every_call_waits_for_its_turn_in_a_queue<R: TestRuntime>(rt: R) {
    for by in ALL {
        let gate = Gate::new(Mode::Queue);
        let holder = primary(gate.begin(None));
        let (remote, operation) = scripted();
        let first = by.call(&rt, &gate, ("a", Mode::Queue), operation).await;
        let mut duplicates = Vec::new();
        for by in ALL {
            let call = by.call(&rt, &gate, ("a", Mode::Queue), scripted().1);
            duplicates.push(call.await);
        }
        assert_eq!((gate.queued(), remote.polls()), (1, 0), "{by:?}");
        holder.settle(0).unwrap();
        // Any participant of a `try_work` can be the first one to run its own.
        if by == By::TryWork {
            assert!(gate.abort("a"));
            for outcome in duplicates.into_iter().chain([first]) {
                assert_eq!(cause_of(outcome.await), Cause::Cancelled);
            }
        } else {
            until(|| remote.polls() > 0).await;
            remote.finish();
            let polls = *first.await.unwrap();
            for outcome in duplicates {
                assert_eq!(*outcome.await.unwrap(), polls, "{by:?}");
            }
        }
        until(|| !gate.is_busy()).await;
    }
}

/// Of each call, with others before and after it: first come, first served.
pub async fn calls_of_every_kind_come_in_their_order<R: TestRuntime>(rt: R) {
    const TOKENS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(None));
    let mut calls = Vec::new();
    for (by, token) in ALL.into_iter().zip(TOKENS) {
        let (remote, operation) = scripted();
        let outcome = by.call(&rt, &gate, (token, Mode::Queue), operation).await;
        calls.push((by, remote, outcome));
    }
    assert_eq!(gate.queued(), 7);
    drop(holder);
    for at in 0..calls.len() {
        until(|| calls[at].1.polls() > 0).await;
        assert_eq!(gate.queued(), 6 - at);
        let later = &calls[at + 1..];
        assert!(later.iter().all(|(_, remote, _)| remote.polls() == 0));
        calls[at].1.finish();
    }
    for (by, _, outcome) in calls {
        assert!(outcome.await.is_ok(), "{by:?}");
    }
    until(|| !gate.is_busy()).await;
}

/// It gets the error at once, nothing of it has run, and the one behind it moves up.
pub async fn a_call_that_is_ended_in_the_queue_never_runs<R: TestRuntime>(rt: R) {
    for by in ALL {
        for all in [false, true] {
            let gate = Gate::new(Mode::Queue);
            let holder = primary(gate.begin(None));
            let (remote, operation) = scripted();
            let ended = by.call(&rt, &gate, ("a", Mode::Queue), operation).await;
            let duplicate = By::Turn
                .call(&rt, &gate, ("a", Mode::Queue), scripted().1)
                .await;
            let cause = if all {
                gate.abort_all();
                Cause::AbortedAll
            } else {
                assert!(gate.abort("a"));
                Cause::Cancelled
            };
            // A `work` has made its operation.
            let error = if by == By::Work {
                Aborted::new(cause)
            } else {
                Aborted::never_begun(cause)
            };
            assert_eq!(ended.await.unwrap_err(), error.into(), "{by:?}");
            assert_eq!(duplicate.await.unwrap_err(), error.into());
            assert_eq!((gate.queued(), remote.polls()), (0, 0));
            assert!(gate.is_busy(), "the holder is here");
            let behind = gate.turn(Some("b"));
            drop(holder);
            drop(primary(rt.task(behind).await));
            until(|| !gate.is_busy()).await;
            until(|| remote.dropped()).await;
        }
    }
}

/// Each call replaces each: the old one gets `Superseded`, and is gone before the new one runs.
pub async fn every_call_replaces_every_call<R: TestRuntime>(rt: R) {
    for old in ALL {
        for new in ALL {
            let gate = Gate::new(Mode::Queue);
            let (was, old_outcome) = running(&rt, &gate, old).await;
            let (remote, operation) = scripted();
            let replaces = ("new", Mode::Replace);
            let outcome = new.call(&rt, &gate, replaces, operation).await;
            if !old.can_be_dropped() {
                // It is not stopped, and holds the gate until it has returned.
                assert!(gate.is_busy() && gate.queued() == 1 && remote.polls() == 0);
                was.finish();
            }
            until(|| remote.polls() > 0).await;
            assert!(was.dropped(), "{old:?} and {new:?} ran at once");
            remote.finish();
            assert!(outcome.await.is_ok(), "{new:?}");
            let old_outcome = cause_of(old_outcome.await);
            assert_eq!(old_outcome, Cause::Superseded, "{old:?} by {new:?}");
            until(|| !gate.is_busy()).await;
        }
    }
}

/// It had the gate and nobody had polled it: it is over at once.
pub async fn a_call_with_its_turn_that_has_not_begun_is_replaced_at_once<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Replace);
    let old = gate.turn(Some("old"));
    let (remote, operation) = scripted();
    let outcome = rt.task(gate.work(Some("new"), || operation));
    until(|| remote.polls() == 1).await;
    let told = match rt.task(old).await {
        Begin::Waiter(told) => told.await.unwrap_err(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told, Aborted::never_begun(Cause::Superseded).into());
    remote.finish();
    assert!(outcome.await.is_ok());
}

/// The case that this project started from. It serves one request at a time: while it runs, it refuses another request,
/// queues it, or lets the newest one replace it. Retries of one token share its outcome.
struct Agent<R> {
    rt: R,
    gate: Gate,
}

impl<R: TestRuntime> Agent<R> {
    fn new(rt: R, mode: Mode) -> Self {
        let gate = Gate::builder(mode).max_queue(2).build();
        Self { rt, gate }
    }

    /// A request and two retries of it. Only one operation is made.
    fn ask(&self, token: &'static str) -> (Remote, [Task<Outcome>; 3]) {
        let (remote, operation) = scripted();
        let spawn = self.rt.adapter();
        let first = self
            .gate
            .entry(Some(token))
            .spawn_on(&spawn, move || operation);
        let retry = || {
            self.gate
                .entry(Some(token))
                .spawn_on(&spawn, || scripted().1)
        };
        let answers = [first, retry(), retry()].map(|answer| self.rt.task(answer));
        (remote, answers)
    }
}

async fn all_get(answers: [Task<Outcome>; 3], value: usize) {
    for answer in answers {
        assert_eq!(*answer.await.unwrap(), value);
    }
}

async fn all_are_told(answers: [Task<Outcome>; 3], cause: Cause) {
    for answer in answers {
        assert_eq!(cause_of(answer.await), cause);
    }
}

async fn all_are_refused(answers: [Task<Outcome>; 3]) {
    for answer in answers {
        let busy = Error::Rejected(Rejected::Busy);
        assert_eq!(answer.await.unwrap_err(), busy);
    }
}

/// The other request can come again when the agent is free.
pub async fn an_agent_refuses_another_request_while_it_runs<R: TestRuntime>(rt: R) {
    let agent = Agent::new(rt, Mode::Exclusive);
    let (first, first_answers) = agent.ask("first");
    until(|| first.polls() == 1).await;
    let (second, second_answers) = agent.ask("second");
    all_are_refused(second_answers).await;
    assert!(second.dropped() && second.polls() == 0);
    first.finish();
    all_get(first_answers, 2).await;
    until(|| !agent.gate.is_busy()).await;
    let (again, again_answers) = agent.ask("second");
    until(|| again.polls() == 1).await;
    again.finish();
    all_get(again_answers, 2).await;
}

/// In their order, and not more than it has places for.
pub async fn an_agent_queues_another_request_while_it_runs<R: TestRuntime>(rt: R) {
    let agent = Agent::new(rt, Mode::Queue);
    let (first, first_answers) = agent.ask("first");
    let (second, second_answers) = agent.ask("second");
    let (third, third_answers) = agent.ask("third");
    let (_, fourth_answers) = agent.ask("fourth");
    all_are_refused(fourth_answers).await;
    assert_eq!(agent.gate.waiters("third"), 2);
    until(|| first.polls() == 1).await;
    first.finish();
    all_get(first_answers, 2).await;
    until(|| second.polls() == 1).await;
    assert_eq!(third.polls(), 0);
    second.finish();
    all_get(second_answers, 2).await;
    until(|| third.polls() == 1).await;
    third.finish();
    all_get(third_answers, 2).await;
    until(|| !agent.gate.is_busy()).await;
}

/// What runs is stopped, and what waits to replace it; then the newest one runs, alone.
pub async fn an_agent_lets_the_newest_request_replace_the_one_that_runs<R: TestRuntime>(rt: R) {
    let agent = Agent::new(rt, Mode::Replace);
    let (first, first_answers) = agent.ask("first");
    until(|| first.polls() == 1).await;
    let (second, second_answers) = agent.ask("second");
    let (third, third_answers) = agent.ask("third");
    all_are_told(first_answers, Cause::Superseded).await;
    until(|| third.polls() == 1).await;
    assert!(first.dropped());
    all_are_told(second_answers, Cause::Superseded).await;
    until(|| second.dropped()).await;
    // A retry of what runs replaces nothing.
    let (_, retries) = agent.ask("third");
    third.finish();
    all_get(third_answers, 2).await;
    all_get(retries, 2).await;
    until(|| !agent.gate.is_busy()).await;
    let stats = agent.gate.stats();
    assert_eq!((stats.settled, stats.aborted), (1, 2));
}
