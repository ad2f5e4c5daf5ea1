//! Operations that take some polls, and the calls that bring them.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use oneflight::error::{Cause, Rejected};
use oneflight::handle::{Rerun, Work};
use oneflight::{Error, FlightId, Waiter};
use oneflight_conformance::{CountingWaker, poll, quiet_panic};

/// What became of the operations; counted by themselves.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) made: AtomicU64,
    dropped: AtomicU64,
    pub(crate) finished: AtomicU64,
    pub(crate) panicked: AtomicU64,
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

/// An operation that takes some polls, and panics or finishes. In between it is awake at once, or
/// asleep.
pub(crate) struct Steps {
    left: u8,
    sleeps: bool,
    panics: bool,
    over: bool,
    busy: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Steps {
    pub(crate) fn new(left: u8, sleeps: bool, panics: bool, ledger: Arc<Ledger>) -> Self {
        ledger.made.fetch_add(1, Ordering::SeqCst);
        Self {
            left,
            sleeps,
            panics,
            over: false,
            busy: AtomicBool::new(false),
            ledger,
        }
    }
}

impl Future for Steps {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
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
        if self.panics {
            self.ledger.panicked.fetch_add(1, Ordering::SeqCst);
            quiet_panic();
        }
        Poll::Ready(self.ledger.finished.fetch_add(1, Ordering::SeqCst))
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

pub(crate) enum Kind {
    Waiter(Waiter<u8, u64>),
    Work(Work<u8, u64>),
    Rerun(Pin<Box<Rerun<u8, u64, Make, Steps>>>),
}

impl Kind {
    /// How its flight ended, if it has: the cause, or nothing for a value.
    pub(crate) fn outcome(&self, ledger: &Ledger) -> Option<Result<Option<Cause>, Rejected>> {
        let outcome = match self {
            Self::Waiter(waiter) => waiter.get(),
            Self::Work(work) => work.get(),
            Self::Rerun(rerun) => rerun.get(),
        };
        outcome.map(|outcome| match outcome {
            Ok(settled) => {
                ledger.check(settled.flight_id(), *settled);
                Ok(None)
            }
            Err(Error::Aborted(aborted)) => Ok(Some(aborted.cause())),
            Err(Error::Rejected(why)) => Err(why),
            Err(other) => panic!("{other}"),
        })
    }

    /// True if the operation panicked in this poll.
    pub(crate) fn poll(&mut self, waker: &Waker) -> bool {
        let poll = AssertUnwindSafe(|| match self {
            Self::Waiter(waiter) => drop(poll(waiter, waker)),
            Self::Work(work) => drop(poll(work, waker)),
            Self::Rerun(rerun) => drop(poll(rerun, waker)),
        });
        catch_unwind(poll).is_err()
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
    /// Whether it began the flight. Of `work_rerun` on many threads nobody knows.
    pub(crate) first: Option<bool>,
    /// Its own operation panicked: it has left the flight.
    pub(crate) gone: bool,
}
