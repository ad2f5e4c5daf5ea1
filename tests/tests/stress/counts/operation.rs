//! Operations that take some polls, and the calls that bring them.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use oneflight::error::{Cause, Rejected};
use oneflight::handle::{TryWork, Work};
use oneflight::{Error, FlightId, Settled, Waiter};
use oneflight_conformance::{CountingWaker, poll, quiet_panic};

/// What became of the operations; counted by themselves.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) made: AtomicU64,
    dropped: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) lost: AtomicU64,
    /// Operations that wait for a wake from elsewhere.
    asleep: Mutex<Vec<Waker>>,
    /// What each flight settled with.
    outcomes: Mutex<HashMap<FlightId, u64>>,
}

impl Ledger {
    pub(crate) fn alive(&self) -> u64 {
        self.made.load(Ordering::SeqCst) - self.dropped.load(Ordering::SeqCst)
    }

    /// Wakes an operation, if one is asleep.
    pub(crate) fn wake_one(&self) {
        let waker = self.asleep.lock().unwrap().pop();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn check(&self, id: FlightId, value: u64) {
        let mut outcomes = self.outcomes.lock().unwrap();
        let known = *outcomes.entry(id).or_insert(value);
        assert_eq!(known, value, "two operations in one flight");
    }
}

/// How an operation ends, if it comes to that.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Finish,
    Panic,
    Fail,
}

/// Why a `try_work` has no value.
#[derive(Debug)]
pub(crate) enum Failure {
    Own,
    OfFlight(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::OfFlight(error)
    }
}

/// An operation that takes some polls, and then ends. In between it is awake at once, or asleep.
pub(crate) struct Steps {
    left: u8,
    sleeps: bool,
    end: End,
    over: bool,
    busy: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Steps {
    pub(crate) fn new(left: u8, sleeps: bool, end: End, ledger: Arc<Ledger>) -> Self {
        ledger.made.fetch_add(1, Ordering::SeqCst);
        Self {
            left,
            sleeps,
            end,
            over: false,
            busy: AtomicBool::new(false),
            ledger,
        }
    }
}

impl Future for Steps {
    type Output = Result<u64, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let busy = self.busy.swap(true, Ordering::SeqCst);
        assert!(!busy, "polled by two at once");
        if self.left > 0 {
            self.left -= 1;
            if self.sleeps {
                let mut asleep = self.ledger.asleep.lock().unwrap();
                asleep.push(cx.waker().clone());
            } else {
                cx.waker().wake_by_ref();
            }
            self.busy.store(false, Ordering::SeqCst);
            return Poll::Pending;
        }
        self.over = true;
        Poll::Ready(match self.end {
            End::Finish => Ok(self.ledger.finished.fetch_add(1, Ordering::SeqCst)),
            End::Fail => {
                self.ledger.failed.fetch_add(1, Ordering::SeqCst);
                Err(Failure::Own)
            }
            End::Panic => {
                self.ledger.panicked.fetch_add(1, Ordering::SeqCst);
                quiet_panic();
            }
        })
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.ledger.dropped.fetch_add(1, Ordering::SeqCst);
        if !self.over {
            self.ledger.lost.fetch_add(1, Ordering::SeqCst);
        }
    }
}

pub(crate) type Make = Box<dyn FnOnce() -> Steps + Send>;

/// How its flight ended: the cause, or nothing for a value.
pub(crate) type Outcome = Result<Option<Cause>, Rejected>;

pub(crate) enum Kind {
    Waiter(Waiter<u8, u64>),
    Work(Work<u8, u64>),
    /// With its outcome, once a poll has given that.
    TryWork(Pin<Box<TryWork<u8, u64, Make, Steps>>>, Option<Outcome>),
}

impl Kind {
    /// How its flight ended, if it has. Of a `try_work` only its polls say that.
    pub(crate) fn outcome(&self, ledger: &Ledger) -> Option<Outcome> {
        match self {
            Self::Waiter(waiter) => waiter.get().map(|outcome| judge(outcome, ledger)),
            Self::Work(work) => work.get().map(|outcome| judge(outcome, ledger)),
            Self::TryWork(_, outcome) => *outcome,
        }
    }

    /// What a poll has come to.
    pub(crate) fn poll(&mut self, waker: &Waker, ledger: &Ledger) -> Polled {
        let pending = |pending: bool| {
            if pending {
                Polled::Pending
            } else {
                Polled::Over
            }
        };
        let poll = AssertUnwindSafe(|| match self {
            Self::Waiter(waiter) => pending(poll(waiter, waker).is_pending()),
            Self::Work(work) => pending(poll(work, waker).is_pending()),
            Self::TryWork(_, Some(_)) => Polled::Over,
            Self::TryWork(call, outcome) => {
                let told = match poll(call, waker) {
                    Poll::Pending => return Polled::Pending,
                    Poll::Ready(Err(Failure::Own)) => return Polled::Gone,
                    Poll::Ready(Err(Failure::OfFlight(why))) => Err(why),
                    Poll::Ready(Ok(settled)) => Ok(settled),
                };
                *outcome = Some(judge(told, ledger));
                Polled::Over
            }
        });
        catch_unwind(poll).unwrap_or(match self {
            Self::TryWork(..) => Polled::Gone,
            _ => Polled::Over,
        })
    }
}

pub(crate) enum Polled {
    /// It is parked. By now its flight may have ended.
    Pending,
    Over,
    /// A `try_work` has left its flight: its operation has failed, or panicked.
    Gone,
}

fn judge(outcome: Result<Settled<u8, u64>, Error>, ledger: &Ledger) -> Outcome {
    match outcome {
        Ok(settled) => {
            ledger.check(settled.flight_id(), *settled);
            Ok(None)
        }
        Err(Error::Aborted(aborted)) => Ok(Some(aborted.cause())),
        Err(Error::Rejected(why)) => Err(why),
        Err(other) => panic!("{other}"),
    }
}

pub(crate) struct Call {
    pub(crate) future: Kind,
    pub(crate) id: FlightId,
    pub(crate) bell: CountingWaker,
    /// Its own operation was made.
    pub(crate) made: Arc<AtomicBool>,
    /// It has been polled and was not ready.
    pub(crate) parked: bool,
    /// Whether it began the flight. Of `try_work` on many threads nobody knows.
    pub(crate) first: Option<bool>,
    /// Its own operation failed or panicked: it has left the flight.
    pub(crate) gone: bool,
}

impl Call {
    pub(crate) fn poll(&mut self, ledger: &Ledger) {
        if !self.gone {
            match self.future.poll(self.bell.waker(), ledger) {
                Polled::Pending => self.parked = true,
                Polled::Over => {}
                Polled::Gone => self.gone = true,
            }
        }
    }

    /// Whether it has its outcome, or has left its flight.
    pub(crate) fn is_over(&self, ledger: &Ledger) -> bool {
        self.gone || self.future.outcome(ledger).is_some()
    }
}
