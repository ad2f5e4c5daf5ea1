//! What can go wrong, typed. Every message says what to do next.

use core::error::Error;
use core::fmt;

/// Why a flight ended without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The [`Primary`](crate::Primary), its run future or its spawned task was dropped before it
    /// settled, or the last participant of a `work` left.
    Dropped,
    /// A poll of the operation was left by unwinding, or the guard was dropped while its thread
    /// unwinds (seen with `std` only; without it that counts as [`Dropped`](Cause::Dropped)).
    Panicked,
    /// Ended on purpose: [`Primary::abort`](crate::Primary::abort),
    /// [`AbortHandle::abort`](crate::AbortHandle::abort).
    Cancelled,
    /// [`Group::abort_all`](crate::Group::abort_all).
    Closed,
    /// Older than the group's `max_age`: it gave way to a newer flight of the same key.
    Superseded,
    /// The driver of a [`work_rerun`](crate::Group::work_rerun) was lost once more than its budget
    /// allows.
    Exhausted,
}

impl Cause {
    const ALL: [Cause; 6] = [
        Cause::Dropped,
        Cause::Panicked,
        Cause::Cancelled,
        Cause::Closed,
        Cause::Superseded,
        Cause::Exhausted,
    ];
    /// How many causes there are: the length of a table indexed by `cause as usize`.
    pub(crate) const COUNT: usize = Self::ALL.len();

    pub(crate) fn from_bits(bits: usize) -> Self {
        Self::ALL[bits]
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Dropped => "the primary was dropped before it settled",
            Cause::Panicked => "the operation panicked",
            Cause::Cancelled => "it was aborted on purpose",
            Cause::Closed => "the group aborted all flights",
            Cause::Superseded => "it was too old and a newer flight took its place",
            Cause::Exhausted => "its operation was lost and the budget of re-runs is used up",
        })
    }
}

/// The flight ended without a value.
///
/// This is the outcome of the *flight*, not of the caller: a duplicate that sees it may simply
/// begin again. An operation that fails with an error of its own settles with that error instead
/// (`T = Result<_, _>`), and every duplicate gets the same one.
///
/// ```
/// use oneflight_core::{Begin, Cause, Group};
///
/// let group: Group<&str, u32> = Group::new();
/// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
/// let Begin::Waiter(waiter) = group.begin("k") else { unreachable!() };
/// drop(primary);
/// assert_eq!(waiter.get().unwrap().unwrap_err().cause(), Cause::Dropped);
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
    /// spawned task or its blocking call started. A client can then retry with a new key.
    ///
    /// A guard has begun at [`begin`](crate::Group::begin), and a `work` when its closure is called.
    pub const fn has_begun(&self) -> bool {
        self.begun
    }
}

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "flight aborted ({}); begin again to run it anew",
            self.cause
        )
    }
}

impl Error for Aborted {}

/// A settle came too late. The value comes back.
///
/// `T` needs no `Debug`: the message never prints it.
pub struct SettleError<T> {
    /// What was to be recorded.
    pub value: T,
    cause: Option<Cause>,
}

impl<T> SettleError<T> {
    pub(crate) const fn new(value: T, cause: Option<Cause>) -> Self {
        Self { value, cause }
    }

    /// What ended the flight before, or `None` when another settle was first.
    pub const fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// The value that was not recorded.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> fmt::Debug for SettleError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleError")
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SettleError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Some(cause) => write!(
                f,
                "settled too late ({cause}); take the value back out of this error"
            ),
            None => f.write_str("settled already; take the value back out of this error"),
        }
    }
}

impl<T> Error for SettleError<T> {}

/// Why a caller was rejected: neither primary nor waiter. It holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejected {
    /// The gate is held for another token.
    Busy,
    /// The key is in flight, or its outcome retained, for another payload.
    Mismatch,
    /// The flight holds as many waiters as it may, or the group as many flights.
    Full,
    /// The group is closed, and the key is not in flight.
    Closed,
    /// The operation of this key began its own key from within itself: it would wait for itself.
    Reentrant,
}

impl Rejected {
    /// How many reasons there are: the length of a table indexed by `why as usize`.
    pub(crate) const COUNT: usize = 5;
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
            Rejected::Full => {
                "at the limit of waiters or flights; shed the load or try again later"
            }
            Rejected::Closed => "the group is closed; begin nothing more on it",
            Rejected::Reentrant => {
                "the operation began its own key and would wait for itself; use another key"
            }
        })
    }
}

impl Error for Rejected {}

/// [`Primary::run`](crate::Primary::run) did not settle: something else ended the flight.
///
/// Holds the operation's value if it had finished. Otherwise the operation was dropped.
pub struct RunError<T> {
    value: Option<T>,
    aborted: Aborted,
}

impl<T> RunError<T> {
    pub(crate) const fn new(value: Option<T>, cause: Cause) -> Self {
        Self {
            value,
            aborted: Aborted::new(cause),
        }
    }

    /// What ended the flight.
    pub const fn cause(&self) -> Cause {
        self.aborted.cause()
    }

    /// The value that was not recorded, if the operation had finished.
    pub fn into_value(self) -> Option<T> {
        self.value
    }
}

impl<T> fmt::Debug for RunError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunError")
            .field("cause", &self.cause())
            .field("finished", &self.value.is_some())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for RunError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(_) => write!(
                f,
                "settled too late ({}); take the value back out of this error",
                self.cause()
            ),
            None => self.aborted.fmt(f),
        }
    }
}

impl<T> Error for RunError<T> {}

impl<T> From<SettleError<T>> for RunError<T> {
    fn from(late: SettleError<T>) -> Self {
        // A flight's primary settles once, so it was too late for another reason: an abort.
        let cause = late.cause.unwrap_or(Cause::Cancelled);
        Self::new(Some(late.value), cause)
    }
}

impl<T> From<RunError<T>> for Aborted {
    fn from(error: RunError<T>) -> Self {
        error.aborted
    }
}

/// A wait with a deadline ended without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitError {
    /// The time was up. The flight goes on, and the waiter may wait again.
    TimedOut,
    /// The flight ended without a value.
    Aborted(Aborted),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::TimedOut => {
                f.write_str("timed out; the flight goes on, wait again or give up")
            }
            WaitError::Aborted(aborted) => aborted.fmt(f),
        }
    }
}

/// It has no source: its message is that of the error it holds, which would be printed twice.
impl Error for WaitError {}

impl From<Aborted> for WaitError {
    fn from(aborted: Aborted) -> Self {
        WaitError::Aborted(aborted)
    }
}

/// Why a ready-made call (`work`, `spawn`) has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkError {
    /// The flight ended without a value.
    Aborted(Aborted),
    /// The call was rejected before it began.
    Rejected(Rejected),
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkError::Aborted(aborted) => aborted.fmt(f),
            WorkError::Rejected(rejected) => rejected.fmt(f),
        }
    }
}

/// It has no source: its message is that of the error it holds, which would be printed twice.
impl Error for WorkError {}

impl From<Aborted> for WorkError {
    fn from(aborted: Aborted) -> Self {
        WorkError::Aborted(aborted)
    }
}

impl From<Rejected> for WorkError {
    fn from(rejected: Rejected) -> Self {
        WorkError::Rejected(rejected)
    }
}

#[cfg(test)]
mod tests {
    use core::error::Error;

    use super::*;

    /// What a reporter prints: each error of the chain.
    fn chain(error: &dyn Error) -> usize {
        1 + error.source().map_or(0, chain)
    }

    #[test]
    fn a_message_is_once_in_its_chain() {
        let aborted = Aborted::new(Cause::Cancelled);
        let errors: [&dyn Error; 4] = [
            &WaitError::Aborted(aborted),
            &WaitError::TimedOut,
            &WorkError::Aborted(aborted),
            &WorkError::Rejected(Rejected::Full),
        ];
        assert_eq!(errors.map(chain), [1; 4]);
    }

    #[test]
    fn an_error_of_a_settle_says_what_came_before() {
        assert_eq!(SettleError::new(1, None).cause(), None);
        let cause = Some(Cause::Cancelled);
        assert_eq!(SettleError::new(1, cause).cause(), cause);
    }
}
