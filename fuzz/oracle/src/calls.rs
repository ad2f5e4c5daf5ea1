//! Callers of `work` and `try_work`, and what is known of each.

use std::pin::Pin;
use std::task::{Context, Poll};

use oneflight_core::error::Rejected;
use oneflight_core::handle::{TryWork, Work};
use oneflight_core::{Error, Settled};

use crate::book::{Answer, Outcome};
use crate::ledger::{Key, Value};
use crate::operation::{Making, Mine, Trying};
use crate::wakers::Who;
use crate::world::outcome_of;

pub(crate) type Make = Box<dyn FnOnce() -> Trying>;

pub(crate) enum Task {
    Work(Work<Key, Value>),
    TryWork(Pin<Box<TryWork<Key, Value, Make, Trying>>>),
}

pub(crate) type Outcomes = Result<Settled<Key, Value>, Error>;

impl Task {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Settled<Key, Value>, Mine>> {
        match self {
            Task::Work(work) => Pin::new(work).poll(cx).map_err(Mine::OfFlight),
            Task::TryWork(call) => call.as_mut().poll(cx),
        }
    }

    /// Of a `try_work` only a poll says it.
    pub(crate) fn get(&self) -> Option<Outcomes> {
        match self {
            Task::Work(work) => work.get(),
            Task::TryWork(_) => None,
        }
    }

    /// Whether its operation is its own.
    pub(crate) fn has_own(&self) -> bool {
        matches!(self, Task::TryWork(_))
    }

    pub(crate) fn id(&self) -> Option<u64> {
        let id = match self {
            Task::Work(work) => work.id(),
            Task::TryWork(call) => call.id(),
        };
        id.map(|id| id.get())
    }
}

/// One caller of `work` or `try_work`.
pub(crate) struct Call {
    pub(crate) who: Who,
    pub(crate) answer: Answer,
    /// It is at the desk of its flight.
    pub(crate) participates: bool,
    /// Its operation panicked or failed, so it has left.
    pub(crate) lost: bool,
    /// It was ready, and is not to be polled again.
    pub(crate) done: bool,
    /// It holds an operation of its own.
    pub(crate) runs: bool,
    /// It holds what would make its operation, and how that would go.
    pub(crate) making: Option<Making>,
    pub(crate) task: Task,
}

impl Call {
    pub(crate) fn flight(&self) -> Option<usize> {
        match self.answer {
            Answer::Primary(flight) | Answer::Waiter(flight) => Some(flight),
            Answer::Inside(_) | Answer::Rejected(_) => None,
        }
    }

    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self.answer, Answer::Waiter(_))
    }
}

pub(crate) fn numbers(outcome: &Outcomes) -> Outcome {
    match rejected_or_numbers(outcome) {
        Ok(outcome) => outcome,
        Err(why) => panic!("turned away late: {why}"),
    }
}

pub(crate) fn rejected_or_numbers(outcome: &Outcomes) -> Result<Outcome, Rejected> {
    match outcome {
        Ok(settled) => Ok(outcome_of(&Ok(settled.clone()))),
        Err(Error::Aborted(aborted)) => Ok(Outcome::Aborted(aborted.cause())),
        Err(Error::Rejected(why)) => Err(*why),
        Err(other) => panic!("an error that nobody promised: {other}"),
    }
}
