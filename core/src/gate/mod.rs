//! [`Gate`]: one resource, one invocation at a time.

// A gate is a registry of one shard with a line (`group/shard/line`): which flight holds the gate,
// and which ones wait for it. Taking the gate and registering the token are one critical section,
// so a refusal is an error of its own caller and never an outcome that a duplicate could get.
//
// # Invariants
// 1. The permit is the flight that holds the gate. Only the end of that flight lets the next one
//    in, so only its owner can release the gate. If something else has ended the flight, it holds
//    the gate until its owner is gone.
// 2. A token is registered when its caller queues, so its duplicates wait for that claim. If the
//    queued caller leaves, its flight ends and its place in the queue is given up with it.
// 3. No call but one that replaces the holder passes the queue: while a caller waits, the gate is
//    busy.
//
// The queue is our own and not `async-lock`'s semaphore. Claim and place must be taken in the
// critical section that registers the token, and a semaphore's list would be a second lock with an
// order of its own. One ordered map of flights is enough. A queued caller waits on a `SettleCell`,
// so the waker contract holds here too.
//
// | file | its job |
// |---|---|
// | `mod` | the gate; a caller that waits for its turn and has no operation yet |
// | `builder` | a gate that differs from the default |
// | `calls` | its calls: by an operation, by token, and those that stop it |

mod builder;
mod calls;

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use equivalent::Equivalent;

pub use crate::group::Mode;
pub use builder::GateBuilder;

use crate::flight::observe::Label;
use crate::group::entry::sealed::Sealed;
use crate::group::rules::Rules;
use crate::group::shard::{Drain, Later, Request, Shard, Ticket};
use crate::group::{
    Begin, Entry, Primary, RandomState, Registry, Stats, close_places, make_shards, read_stats,
};
use crate::sync::Arc;

/// One resource, one invocation at a time: an agent, a device, an account.
///
/// A caller whose token is in flight shares that invocation. The [`Mode`] of the gate, or of the
/// call, decides what happens to a caller with another token or without a token. No caller joins a
/// call without a token.
///
/// The gate is free when the invocation that holds it has ended **and** is gone: its operation is
/// ready or dropped, its blocking call has returned, or its [`Primary`] has settled or is dropped.
/// So two invocations never run at the same time, also if something else ended the first one.
///
/// # Choosing a mode
///
/// | at a gate that is held by another token | [`begin`](Self::begin) | every other call |
/// |---|---|---|
/// | [`Exclusive`](Mode::Exclusive) | `Busy` | `Busy` |
/// | [`Queue`](Mode::Queue) | `Busy` | waits for its turn; `Busy` if the queue is full |
/// | [`Replace`](Mode::Replace) | `Busy` | ends the holder, and is the next one |
/// | [`Open`](Mode::Open) | runs at once | runs at once, and is not shared |
///
/// `Busy` is [`Rejected::Busy`](crate::error::Rejected::Busy). A call that waits has claimed its
/// token. A duplicate shares that call, and takes no place of its own.
///
/// A caller that waits can be dropped at any time. Who loses a place by that depends on the call:
///
/// - A [`turn`](Self::turn) loses its place.
/// - A [`work`](Self::work) or [`try_work`](Self::try_work) keeps its place until its last
///   participant leaves, and a `spawn_while_wanted` until its last caller leaves.
/// - A `spawn` or `spawn_blocking` keeps its place, and runs when its turn comes.
///
/// If something else ends a call that waits, it gets that error. For every call except `work`,
/// [`has_begun`](crate::error::Aborted::has_begun) of the error is false, because none of its code
/// has run. A `work` makes its operation when it is called, and polls it when its turn comes. Every
/// other call makes its operation when its turn comes.
///
/// # When to use something else
///
/// - A `tokio::sync::Mutex` is enough if no caller has a token or replaces another one, and the
///   queue needs no bound.
/// - A semaphore lets several callers in and lets the rest wait. A gate lets one in.
/// - A [`Group`](crate::Group) with
///   [`max_flights(1)`](crate::GroupBuilder::max_flights) also runs one flight at a time. But it
///   rejects every other key: it has no queue and can't replace.
///
/// # Deadlocks
///
/// - A guard that is kept, an operation that is neither polled nor dropped, and a blocking call
///   that does not return hold the gate forever, also if something else has ended them:
///   [`supersede_after`](GateBuilder::supersede_after), [`abort`](Self::abort) and `Replace` can't
///   drop what another caller has.
/// - An invocation that waits for a turn at its own gate waits for itself. If it uses its own
///   token, the wait fails with [`Rejected::Reentrant`](crate::error::Rejected::Reentrant) if that
///   is detected. If it uses another token, it is not detected.
/// - When a turn comes, its caller holds the gate, even if nothing polls it. So a [`Turn`], a
///   `work` or a task that is kept and no longer polled holds the gate.
/// - A blocking call that is spawned (`spawn_blocking`) holds a thread of its pool while it waits
///   for its turn. Where that matters, `spawn` an operation that uses the pool.
///
/// # Examples
///
/// ```
/// use oneflight_core::gate::{Gate, Mode};
/// use oneflight_core::{Begin, error::Rejected};
/// # futures_lite::future::block_on(async {
/// let agent: Gate<&str, String> = Gate::new(Mode::Queue);
/// let Begin::Primary(first) = agent.begin(Some("question-1")) else { unreachable!() };
/// // A retry shares it. Another question waits for its turn, or is rejected.
/// let Begin::Waiter(retry) = agent.begin(Some("question-1")) else { unreachable!() };
/// let second = agent.work(Some("question-2"), || async { "43".to_string() });
/// assert!(matches!(agent.begin(Some("question-3")), Begin::Rejected(Rejected::Busy)));
/// first.settle("42".to_string()).unwrap();
/// assert_eq!(*retry.await.unwrap(), "42");
/// assert_eq!(*second.await.unwrap(), "43");
/// # });
/// ```
///
/// The newest question replaces the one that runs:
///
/// ```
/// use oneflight_core::error::Cause;
/// use oneflight_core::gate::{Gate, Mode};
/// use oneflight_core::{Begin, Error};
/// # futures_lite::future::block_on(async {
/// let agent: Gate<&str, String> = Gate::new(Mode::Replace);
/// let old = agent.work(Some("question-1"), || std::future::pending());
/// let new = agent.work(Some("question-2"), || async { "42".to_string() });
/// assert_eq!(*new.await.unwrap(), "42");
/// assert!(matches!(old.await, Err(Error::Aborted(why)) if why.cause() == Cause::Superseded));
/// # });
/// ```
#[doc(alias = "semaphore")]
#[doc(alias = "mutex")]
pub struct Gate<K, T> {
    inner: Arc<Inner<K, T>>,
}

struct Inner<K, T> {
    hasher: RandomState,
    /// There is one.
    shards: Box<[Arc<GateShard<K, T>>]>,
    drain: Arc<Drain>,
    mode: Mode,
}

type GateShard<K, T> = Shard<Option<K>, T>;

impl<K, T> Drop for Inner<K, T> {
    fn drop(&mut self) {
        close_places(&self.shards);
    }
}

impl<K, T> Gate<K, T> {
    /// Makes a gate that no caller holds.
    pub fn new(mode: Mode) -> Self {
        Self::builder(mode).build()
    }

    /// Returns a builder, for a gate that differs from the default.
    pub fn builder(mode: Mode) -> GateBuilder<K, T> {
        GateBuilder::new(mode)
    }

    fn from_parts(
        mode: Mode,
        max_queue: usize,
        rules: Option<Rules<T>>,
        label: &Label<Option<K>>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                hasher: RandomState::default(),
                shards: make_shards(1, rules, label, |shard| shard.with_line(max_queue)),
                drain: Arc::new(Drain::new(1)),
                mode,
            }),
        }
    }

    /// Returns the mode of calls that have none of their own.
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    /// Returns true if an invocation holds the gate, also if that invocation has ended and its
    /// operation still exists. Calls with [`Mode::Open`] do not hold the gate.
    pub fn is_busy(&self) -> bool {
        self.only_shard().is_busy()
    }

    /// Returns the number of invocations that wait for their turn. Duplicates are not counted.
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    ///
    /// let gate: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let holder = gate.begin(Some("a"));
    /// let _next = gate.turn(Some("b"));
    /// assert_eq!((gate.is_busy(), gate.queued()), (true, 1));
    /// drop(holder);
    /// assert_eq!((gate.is_busy(), gate.queued()), (true, 0));
    /// ```
    pub fn queued(&self) -> usize {
        self.only_shard().queued()
    }

    /// Returns the figures of the gate. A call that waits for its turn counts as a flight that has
    /// begun.
    pub fn stats(&self) -> Stats {
        read_stats(&self.inner.shards)
    }

    fn only_shard(&self) -> &Arc<GateShard<K, T>> {
        &self.inner.shards[0]
    }
}

impl<K: Hash + Eq, T> Entry<'_, Gate<K, T>> {
    /// Sets the mode of this call, instead of the gate's. The other calls keep theirs.
    ///
    /// With [`Mode::Open`] the call does not use the gate: it runs beside the invocation that holds
    /// it. At a gate whose mode is `Open`, the calls with another mode still run one at a time.
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    /// # futures_lite::future::block_on(async {
    /// let agent: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let slow = agent.work(Some("slow"), || std::future::pending());
    /// let urgent = agent.entry(Some("urgent")).mode(Mode::Replace).work(|| async { 7 });
    /// assert_eq!(*urgent.await.unwrap(), 7);
    /// assert!(slow.await.is_err());
    /// # });
    /// ```
    pub fn mode(self, mode: Mode) -> Self {
        self.with_mode(mode)
    }

    /// Takes the gate, or joins the invocation with this token. The call waits for its turn if its
    /// mode says so. See [`Gate::turn`].
    pub fn turn(self) -> Turn<K, T> {
        // Nothing of its caller's runs before it has the primary.
        let state = match self.begin_in_turn(&mut Later) {
            (Begin::Primary(primary), ticket) => TurnState::Waits(primary, ticket),
            (begin, _) => TurnState::Ready(begin),
        };
        Turn { state }
    }
}

impl<K, T> Sealed<Option<K>, T> for Gate<K, T> {
    const HAS_LINE: bool = true;

    fn hash<Q: Hash + ?Sized>(&self, token: &Q) -> u64 {
        self.inner.hasher.hash_one(token)
    }

    fn shard(&self, _hash: u64) -> &Arc<Shard<Option<K>, T>> {
        self.only_shard()
    }

    fn adapt<Q>(&self, request: Request, token: &Q, mode: Option<Mode>, waits: bool) -> Request
    where
        Q: Equivalent<Option<K>> + ?Sized,
    {
        let mode = mode.unwrap_or(self.inner.mode);
        let request = request.at_gate(mode, waits);
        if mode == Mode::Open || token.equivalent(&None) {
            request.alone()
        } else {
            request
        }
    }
}

impl<K: Hash + Eq, T> Registry for Gate<K, T> {
    type Key = Option<K>;
    type Value = T;
}

impl<K, T> Clone for Gate<K, T> {
    /// Returns another handle to the same gate.
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<K, T> UnwindSafe for Gate<K, T> {}
impl<K, T> RefUnwindSafe for Gate<K, T> {}

impl<K, T> fmt::Debug for Gate<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("mode", &self.mode())
            .field("busy", &self.is_busy())
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}

/// Waits for its turn at a [`Gate`]. Returned by [`Gate::turn`].
///
/// It is a future that yields [`Begin`]. If something else ends its flight before it is polled at
/// its turn, this future is woken. It yields a [`Begin::Waiter`] that is ready with the error.
/// [`has_begun`](crate::error::Aborted::has_begun) of that error is false.
///
/// # Cancel safety
///
/// Dropping it gives up the place, or the gate if its turn had come. Duplicates of its token get an
/// error whose [`has_begun`](crate::error::Aborted::has_begun) is false.
///
/// # Panics
///
/// Polling it again after it was ready panics.
#[must_use = "futures do nothing unless polled or awaited; dropping this one gives the place up"]
pub struct Turn<K, T> {
    state: TurnState<K, T>,
}

enum TurnState<K, T> {
    /// Without a ticket it has its turn.
    Waits(Primary<Option<K>, T>, Option<Ticket>),
    Ready(Begin<Option<K>, T>),
    Done,
}

impl<K, T> Turn<K, T> {
    /// Returns true if it still waits for its turn.
    pub fn is_queued(&self) -> bool {
        matches!(&self.state, TurnState::Waits(_, Some(ticket)) if !ticket.is_called())
    }
}

// Nothing in it is pinned.
impl<K, T> Unpin for Turn<K, T> {}

impl<K, T> Future for Turn<K, T> {
    type Output = Begin<Option<K>, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let TurnState::Waits(_, Some(ticket)) = &mut self.state {
            if ticket.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        match core::mem::replace(&mut self.state, TurnState::Done) {
            TurnState::Waits(primary, _) => Poll::Ready(primary.take_turn()),
            TurnState::Ready(begin) => Poll::Ready(begin),
            TurnState::Done => panic!("`Turn` polled after it was ready"),
        }
    }
}

impl<K, T> UnwindSafe for Turn<K, T> {}
impl<K, T> RefUnwindSafe for Turn<K, T> {}

impl<K, T> fmt::Debug for Turn<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("queued", &self.is_queued())
            .finish_non_exhaustive()
    }
}
