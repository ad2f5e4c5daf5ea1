//! One suite, every executor.
//!
//! Each case is written once, as an async function over [`TestRuntime`], and the files `tests/on_*.rs` make one test of
//! it for each executor.
//!
//! | module | what it holds |
//! |---|---|
//! | `runtime` | [`TestRuntime`]: what a case may ask of an executor; [`conform`], which runs one |
//! | `executors` | its implementations, [`executors::Hand`] among them: an executor that is none |
//! | `cases` | the cases, a file for each theme |
//! | `clock` | [`HandClock`], which stands still until it is turned |
//! | `counting` | [`CountingWaker`] and [`Counted`]: who was polled, woken, kept |
//! | `fine` | operations that cannot fail, for `try_work` |
//! | `figures` | settings from the environment, and the memory of the process |
//! | `scripted` | an operation that does what the case tells it |
//! | `task` | [`until`], and tasks that give their output back or are dropped on demand |
//! | `watchdog` | nothing hangs for ever |
//!
//! A case waits for counts and states, never for time.

#![forbid(unsafe_code)]

pub mod cases;
pub mod clock;
pub mod counting;
pub mod executors;
pub mod figures;
pub mod fine;
pub mod runtime;
pub mod scripted;
pub mod task;
pub mod watchdog;

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;

use oneflight::error::{Cause, Rejected};
use oneflight::{Begin, Error, Primary, Waiter};

pub use clock::HandClock;
pub use counting::{Counted, CountingWaker, Counts};
pub use fine::fine;
pub use runtime::{LocalRuntime, TestRuntime, conform};
pub use scripted::{Remote, scripted};
pub use task::{Cancel, Task, until};
pub use watchdog::watched;

/// The primary, where the case knows that it is one.
#[track_caller]
pub fn primary<K, T>(begin: Begin<K, T>) -> Primary<K, T> {
    match begin {
        Begin::Primary(primary) => primary,
        other => panic!("expected the primary, got {}", role(&other)),
    }
}

/// The waiter, where the case knows that it is one.
#[track_caller]
pub fn waiter<K, T>(begin: Begin<K, T>) -> Waiter<K, T> {
    match begin {
        Begin::Waiter(waiter) => waiter,
        other => panic!("expected a waiter, got {}", role(&other)),
    }
}

/// Why it was turned away, where the case knows that it is.
#[track_caller]
pub fn rejected<K, T>(begin: Begin<K, T>) -> Rejected {
    match begin {
        Begin::Rejected(why) => why,
        other => panic!("expected a rejection, got {}", role(&other)),
    }
}

/// Why the flight was aborted, where the test knows that it was.
#[track_caller]
pub fn cause_of<R>(outcome: Result<R, Error>) -> Cause {
    match outcome {
        Err(Error::Aborted(aborted)) => aborted.cause(),
        Err(other) => panic!("expected an abort, got {other}"),
        Ok(_) => panic!("expected an abort, got an outcome"),
    }
}

/// The outcome of a `try_work` that has one, at its next poll. `None`: it is pending.
pub fn polled<F: Future>(call: F) -> Option<F::Output> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn role<K, T>(begin: &Begin<K, T>) -> &'static str {
    match begin {
        Begin::Primary(_) => "the primary",
        Begin::Waiter(_) => "a waiter",
        Begin::Rejected(_) => "a rejection",
    }
}

/// Calls it on another thread, and waits for that. The operation of a key may not join its own flight from its own
/// thread.
pub fn elsewhere<R: Send>(call: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(call).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// Polls once, by hand.
pub fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Panics without the hook: a panic that a case wants makes no noise.
pub fn quiet_panic() -> ! {
    resume_unwind(Box::new("on purpose"))
}
