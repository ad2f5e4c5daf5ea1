//! Callers of `work` and `work_rerun`, and what is known of each.

use std::pin::Pin;
use std::task::{Context, Poll};

use oneflight_core::error::Rejected;
use oneflight_core::handle::{Rerun, Work};
use oneflight_core::{Error, Settled};

use crate::book::{Answer, Outcome};
use crate::ledger::{Key, Value};
use crate::operation::{Making, Operation};
use crate::wakers::Who;
use crate::world::outcome_of;

pub(crate) type Make = Box<dyn FnOnce() -> Operation>;

pub(crate) enum Task {
    Work(Work<Key, Value>),
    Rerun(Pin<Box<Rerun<Key, Value, Make, Operation>>>),
}

pub(crate) type Outcomes = Result<Settled<Key, Value>, Error>;

impl Task {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcomes> {
        match self {
            Task::Work(work) => Pin::new(work).poll(cx),
            Task::Rerun(rerun) => rerun.as_mut().poll(cx),
        }
    }

    pub(crate) fn get(&self) -> Option<Outcomes> {
        match self {
            Task::Work(work) => work.get(),
            Task::Rerun(rerun) => rerun.get(),
        }
    }

    pub(crate) fn id(&self) -> Option<u64> {
        let id = match self {
            Task::Work(work) => work.id(),
            Task::Rerun(rerun) => rerun.id(),
        };
        id.map(|id| id.get())
    }
}

/// One caller of `work` or `work_rerun`.
pub(crate) struct Call {
    pub(crate) who: Who,
    pub(crate) answer: Answer,
    /// It is at the desk of its flight.
    pub(crate) participates: bool,
    /// Its operation panicked.
    pub(crate) lost: bool,
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
