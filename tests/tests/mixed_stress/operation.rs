//! Operations that take some polls, and the calls that bring them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use oneflight::{Cause, FlightId, Rejected, Rerun, Waiter, Work, WorkError};
use oneflight_conformance::{poll, quiet_panic};

/// What became of the operations; counted by themselves.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) finished: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) lost: AtomicU64,
}

/// An operation that takes some polls, and panics or finishes.
pub(crate) struct Steps {
    pub(crate) left: u8,
    pub(crate) panics: bool,
    pub(crate) over: bool,
    pub(crate) ledger: Arc<Ledger>,
}

impl Future for Steps {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        if self.left > 0 {
            self.left -= 1;
            cx.waker().wake_by_ref();
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
    pub(crate) fn outcome(&self) -> Option<Result<Option<Cause>, Rejected>> {
        let outcome = match self {
            Self::Waiter(waiter) => waiter.get().map(|it| it.map_err(WorkError::Aborted)),
            Self::Work(work) => work.get(),
            Self::Rerun(rerun) => rerun.get(),
        };
        outcome.map(|outcome| match outcome {
            Ok(_) => Ok(None),
            Err(WorkError::Aborted(aborted)) => Ok(Some(aborted.cause())),
            Err(WorkError::Rejected(why)) => Err(why),
            Err(other) => panic!("{other}"),
        })
    }

    /// True if the operation panicked in this poll.
    pub(crate) fn poll(&mut self) -> bool {
        let poll = AssertUnwindSafe(|| match self {
            Self::Waiter(waiter) => drop(poll(waiter, Waker::noop())),
            Self::Work(work) => drop(poll(work, Waker::noop())),
            Self::Rerun(rerun) => drop(poll(rerun, Waker::noop())),
        });
        catch_unwind(poll).is_err()
    }
}

pub(crate) struct Call {
    pub(crate) future: Kind,
    pub(crate) id: FlightId,
    /// Whether it began the flight. Of `work_rerun` on many threads nobody knows.
    pub(crate) first: Option<bool>,
    pub(crate) made: Arc<AtomicBool>,
    /// Its own operation panicked: it has left the flight.
    pub(crate) gone: bool,
}
