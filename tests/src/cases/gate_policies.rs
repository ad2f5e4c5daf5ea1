//! Every call at a gate that is held: it waits for its turn, it is ended while it waits, it replaces the holder.

use futures_lite::future::block_on;
use oneflight::error::{Aborted, Cause};
use oneflight::gate::Mode;
use oneflight::{Begin, Error, Settled};

use crate::scripted::Scripted;
use crate::{Remote, Task, TestRuntime, primary, scripted, until};

pub(super) type Gate = oneflight::gate::Gate<&'static str, usize>;
pub(super) type Outcome = Result<Settled<Option<&'static str>, usize>, Error>;

/// The calls that wait for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Turn,
    Work,
    TryWork,
    Spawn,
    SpawnBlocking,
    WorkBlocking,
}

pub(super) const ALL: [By; 6] = [
    By::Turn,
    By::Work,
    By::TryWork,
    By::Spawn,
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
                assert_eq!(crate::cause_of(outcome.await), Cause::Cancelled);
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
    const TOKENS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(None));
    let mut calls = Vec::new();
    for (by, token) in ALL.into_iter().zip(TOKENS) {
        let (remote, operation) = scripted();
        let outcome = by.call(&rt, &gate, (token, Mode::Queue), operation).await;
        calls.push((by, remote, outcome));
    }
    assert_eq!(gate.queued(), 6);
    drop(holder);
    for at in 0..calls.len() {
        until(|| calls[at].1.polls() > 0).await;
        assert_eq!(gate.queued(), 5 - at);
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
            let old_outcome = crate::cause_of(old_outcome.await);
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
