//! The case that this project started from: an agent, which serves one request at a time. While it runs, it refuses
//! another request, queues it, or lets the newest one replace it. Retries of one token share its outcome.

use oneflight::error::{Cause, Rejected};
use oneflight::gate::{Gate, Mode};
use oneflight::{Error, Settled};

use crate::{Remote, Task, TestRuntime, cause_of, scripted, until};

type Answer = Result<Settled<Option<&'static str>, usize>, Error>;

struct Agent<R> {
    rt: R,
    gate: Gate<&'static str, usize>,
}

impl<R: TestRuntime> Agent<R> {
    fn new(rt: R, mode: Mode) -> Self {
        let gate = Gate::builder(mode).max_queue(2).build();
        Self { rt, gate }
    }

    /// A request and two retries of it. Only one operation is made.
    fn ask(&self, token: &'static str) -> (Remote, [Task<Answer>; 3]) {
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

async fn all_get(answers: [Task<Answer>; 3], value: usize) {
    for answer in answers {
        assert_eq!(*answer.await.unwrap(), value);
    }
}

async fn all_are_told(answers: [Task<Answer>; 3], cause: Cause) {
    for answer in answers {
        assert_eq!(cause_of(answer.await), cause);
    }
}

async fn all_are_refused(answers: [Task<Answer>; 3]) {
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
