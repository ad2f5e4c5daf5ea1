//! The error types. Every message says what to do next.
//!
//! Each future and each blocking wait yields [`Error`]. The other types describe one case of it, or
//! return a value.

mod shared;

use core::error::Error as StdError;
use core::fmt;

pub(crate) use shared::Held;
pub use shared::{Report, SharedError};

/// The reason why a call has no outcome. Every future and every blocking wait of this crate yields
/// it.
///
/// It describes the *call* and not the operation. An operation that fails with an error of its own
/// settles with that error (`T = Result<_, _>`), and every duplicate gets the same one.
///
/// ```
/// use oneflight_core::{Error, Group, error::Cause};
/// # futures_lite::future::block_on(async {
/// let group: Group<&str, u32> = Group::new();
/// let call = group.work("k", || std::future::pending());
/// group.abort_all();
/// match call.await {
///     Ok(value) => println!("{}", *value),
///     Err(Error::Aborted(aborted)) => assert_eq!(aborted.cause(), Cause::AbortedAll),
///     Err(Error::Rejected(why)) => println!("{why}"),
///     Err(Error::TimedOut) => println!("wait again, or give up"),
/// }
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// The call was rejected. It has joined no flight, or has left it ([`Rejected::Reentrant`]).
    Rejected(Rejected),
    /// The flight ended without a value.
    Aborted(Aborted),
    /// The time was up. The call has not left its flight, and its handle can wait again.
    ///
    /// The flight continues, unless this call is the one that drives it: a `work`, a `try_work` or
    /// a [`run`](crate::Primary::run) whose handle is kept and not polled delays the others. Drop
    /// the handle if you do not wait again, or use an adapter's `spawn`.
    TimedOut,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Rejected(why) => why.fmt(f),
            Error::Aborted(aborted) => aborted.fmt(f),
            Error::TimedOut => f.write_str("timed out; wait again, or drop the handle to give up"),
        }
    }
}

/// It has no source: its message is that of the error it holds, which would be printed twice.
impl StdError for Error {}

impl From<Rejected> for Error {
    fn from(why: Rejected) -> Self {
        Error::Rejected(why)
    }
}

impl From<Aborted> for Error {
    fn from(aborted: Aborted) -> Self {
        Error::Aborted(aborted)
    }
}

/// Keeps the cause and drops the value.
impl<T> From<SettleError<T>> for Error {
    fn from(late: SettleError<T>) -> Self {
        Error::Aborted(late.aborted)
    }
}

#[cfg(feature = "std")]
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::TimedOut => std::io::ErrorKind::TimedOut,
            Error::Rejected(_) | Error::Aborted(_) => std::io::ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}

/// The reason why a flight ended without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The [`Primary`](crate::Primary), its run future, its [`Turn`](crate::gate::Turn) or its
    /// spawned task was dropped before it settled. Or the last caller that the operation needs has
    /// left: the last participant of a `work` or `try_work`, the last caller of a
    /// `spawn_while_wanted`.
    Dropped,
    /// The operation panicked, or a closure that the settle calls
    /// ([`retain_by`](crate::GroupBuilder::retain_by)). It is also the cause if the guard is
    /// dropped, or the last participant leaves, while its thread unwinds. (That is detected with
    /// `std` only. Without `std` the cause is [`Dropped`](Cause::Dropped).)
    Panicked,
    /// The flight was ended on purpose, by [`Primary::abort`](crate::Primary::abort),
    /// [`AbortHandle::abort`](crate::handle::AbortHandle::abort),
    /// [`Group::abort`](crate::Group::abort), [`Group::abort_if`](crate::Group::abort_if) or
    /// [`Gate::abort`](crate::gate::Gate::abort).
    Cancelled,
    /// [`Group::abort_all`](crate::Group::abort_all) ended all flights.
    AbortedAll,
    /// A newer call superseded the flight, because it was older than `supersede_after`. At a gate,
    /// also a call with [`Mode::Replace`](crate::gate::Mode::Replace) supersedes it.
    Superseded,
    /// All operations of a [`try_work`](crate::Group::try_work) that
    /// [`max_reruns`](crate::GroupBuilder::max_reruns) allows have failed or were lost.
    Exhausted,
    /// The last operation of a [`try_work`](crate::Group::try_work) failed, and no participant is
    /// left to run another one. The caller of that operation got its error.
    Failed,
}

impl Cause {
    pub(crate) const ALL: [Cause; 7] = [
        Cause::Dropped,
        Cause::Panicked,
        Cause::Cancelled,
        Cause::AbortedAll,
        Cause::Superseded,
        Cause::Exhausted,
        Cause::Failed,
    ];
    /// How many causes there are: the length of a table indexed by `cause as usize`.
    pub(crate) const COUNT: usize = Self::ALL.len();

    pub(crate) fn from_bits(bits: usize) -> Self {
        Self::ALL[bits]
    }

    /// Its name in figures and metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Cause::Dropped => "dropped",
            Cause::Panicked => "panicked",
            Cause::Cancelled => "cancelled",
            Cause::AbortedAll => "aborted_all",
            Cause::Superseded => "superseded",
            Cause::Exhausted => "exhausted",
            Cause::Failed => "failed",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Dropped => "the operation was dropped before it settled",
            Cause::Panicked => "a panic ended it",
            Cause::Cancelled => "it was aborted on purpose",
            Cause::AbortedAll => "the group aborted all flights",
            Cause::Superseded => "a newer call superseded it",
            Cause::Exhausted => "all runs that `max_reruns` allows have failed or were lost",
            Cause::Failed => "its operation failed and no other caller can run one",
        })
    }
}

/// The flight ended without a value.
///
/// This is the outcome of the *flight* and not of the caller. A duplicate that gets it can call
/// again. The operation might have run, at least in part (see [`has_begun`](Self::has_begun)). An
/// operation that fails with an error of its own settles with that error instead (`T = Result<_,
/// _>`), and every duplicate gets the same one.
///
/// ```
/// use oneflight_core::error::{Aborted, Cause};
/// use oneflight_core::{Begin, Error, Group};
///
/// let group: Group<&str, u32> = Group::new();
/// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
/// let Begin::Waiter(waiter) = group.begin("k") else { unreachable!() };
/// drop(primary);
/// let aborted = Aborted::new(Cause::Dropped);
/// assert_eq!(waiter.get().unwrap().unwrap_err(), Error::Aborted(aborted));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aborted {
    cause: Cause,
    begun: bool,
}

impl Aborted {
    /// Makes the error of a flight whose operation might have run. Tests of your own code can use
    /// it.
    pub const fn new(cause: Cause) -> Self {
        Self { cause, begun: true }
    }

    /// Makes the error of a flight whose operation has not begun and never will.
    pub const fn never_begun(cause: Cause) -> Self {
        Self {
            cause,
            begun: false,
        }
    }

    /// Returns the cause.
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Returns false only if none of the operation's code can have run: the flight ended before its
    /// spawned task or its blocking call started, or while its caller was queued at a gate. Then a
    /// retry cannot repeat an effect. If it is true, the operation might have run in part. Then
    /// retry only what can be repeated, with the same key: for example a charge, if the bank
    /// recognises its token.
    ///
    /// A guard has begun at [`begin`](crate::Group::begin), a `work` when its closure is called,
    /// and a `try_work` with the call, even if nothing has run yet. Calls that are queued at a gate
    /// begin later: a [`Turn`](crate::gate::Turn) when it yields its guard, and a `try_work` with
    /// its first run.
    pub const fn has_begun(&self) -> bool {
        self.begun
    }
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ran = match self.begun {
            true => "it might have run in part",
            false => "none of it has run",
        };
        let advice = match self.cause {
            Cause::Dropped | Cause::Panicked if self.begun => "call again if that does no harm",
            Cause::Dropped | Cause::Panicked => "call again",
            Cause::Cancelled | Cause::AbortedAll => "call again only if it is wanted after all",
            Cause::Superseded => "call again unless that call replaced it on purpose",
            Cause::Exhausted | Cause::Failed => "call again after a pause",
        };
        write!(f, "flight aborted ({}); {ran}, {advice}", self.cause)
    }
}

impl StdError for Aborted {}

/// A settle came too late, because something else had ended the flight. This error returns the
/// value.
///
/// `T` needs no `Debug`, because the message never prints it. `?` and `map_err(Error::from)` turn
/// it into an [`Error`], which drops the value.
pub struct SettleError<T> {
    /// The value that was not recorded.
    pub value: T,
    /// The cause for which the flight had ended.
    pub aborted: Aborted,
}

impl<T> fmt::Debug for SettleError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleError")
            .field("aborted", &self.aborted)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SettleError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "settled too late ({}); take the value back out of this error",
            self.aborted.cause
        )
    }
}

impl<T> StdError for SettleError<T> {}

/// The cell already has a value. This error returns the second value.
///
/// Returned by [`SettleCell::settle`](crate::SettleCell::settle). `T` needs no `Debug`, because the
/// message never prints it.
pub struct AlreadySettled<T> {
    /// The value that was not recorded.
    pub value: T,
}

impl<T> fmt::Debug for AlreadySettled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlreadySettled").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for AlreadySettled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settled already; take the value back out of this error")
    }
}

impl<T> StdError for AlreadySettled<T> {}

/// The reason why a call was rejected. Its caller is neither primary nor waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejected {
    /// The gate is held by a call with another token or without one, or another call waits for its
    /// turn.
    Busy,
    /// The key is in flight, or its outcome is retained, with another
    /// [`Fingerprint`](crate::Fingerprint).
    Mismatch,
    /// The flight has reached [`max_waiters`](crate::GroupBuilder::max_waiters).
    TooManyWaiters,
    /// The group has reached [`max_flights`](crate::GroupBuilder::max_flights).
    TooManyFlights,
    /// The group or gate is closed, the key is not in flight, and its outcome is not retained.
    Closed,
    /// The call waits for an operation that it is a part of, so it would wait for itself.
    ///
    /// These waits are not detected, and never end: a wait through an executor inside of the
    /// operation (`join_all`, `FuturesUnordered`, `block_on`), through a task that the operation
    /// spawned, or on another thread. Without `std` no wait is detected.
    ///
    /// [`begin`](crate::Group::begin) never returns this error, because a call from inside of an
    /// operation can belong to another task that an executor runs there. A wait returns it, and
    /// only if the wait is certain not to end:
    ///
    /// - The future is polled inside of a poll of its own flight's operation, with the waker of
    ///   that poll, or of an operation of this crate that is polled further inside. So a cycle
    ///   through several keys is detected within one chain of calls.
    /// - A thread calls a `wait_blocking` or `wait_deadline` of this crate while it is inside of
    ///   the flight: it polls, makes, calls or drops the flight's operation.
    ///
    /// After that the caller has left the flight, and gets this error from every later wait.
    /// [`Stats`](crate::Stats) does not count it as rejected: a call that had been counted as
    /// joined is counted as cancelled. The metrics count it as rejected.
    Reentrant,
}

impl Rejected {
    pub(crate) const ALL: [Rejected; 6] = [
        Rejected::Busy,
        Rejected::Mismatch,
        Rejected::TooManyWaiters,
        Rejected::TooManyFlights,
        Rejected::Closed,
        Rejected::Reentrant,
    ];
    /// How many reasons there are: the length of a table indexed by `why as usize`.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Its name in figures and metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Rejected::Busy => "busy",
            Rejected::Mismatch => "mismatch",
            Rejected::TooManyWaiters => "too_many_waiters",
            Rejected::TooManyFlights => "too_many_flights",
            Rejected::Closed => "closed",
            Rejected::Reentrant => "reentrant",
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rejected::Busy => {
                "the gate is busy with another token; try again later or wait for a turn"
            }
            Rejected::Mismatch => {
                "the same key is in use for another payload; send it under a key of its own"
            }
            Rejected::TooManyWaiters => "too many callers wait for this key; try again later",
            Rejected::TooManyFlights => {
                "too many keys are in flight; reduce the load or try again later"
            }
            Rejected::Closed => "the group or gate is closed; send the call to another instance",
            Rejected::Reentrant => {
                "the call waits for the operation that it is a part of; use another key there"
            }
        })
    }
}

impl StdError for Rejected {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// What a reporter prints: each error of the chain.
    fn chain(error: &dyn StdError) -> usize {
        1 + error.source().map_or(0, chain)
    }

    #[test]
    fn a_message_is_once_in_its_chain() {
        let errors = [
            Error::Aborted(Aborted::new(Cause::Cancelled)),
            Error::Rejected(Rejected::TooManyWaiters),
            Error::TimedOut,
        ];
        assert_eq!(errors.each_ref().map(|error| chain(error)), [1; 3]);
    }

    #[test]
    fn an_error_of_a_settle_says_what_came_before() {
        let aborted = Aborted::new(Cause::Cancelled);
        let late = SettleError { value: 1, aborted };
        assert!(late.to_string().contains(&Cause::Cancelled.to_string()));
        assert_eq!(Error::from(late), Error::Aborted(aborted));
    }
}
