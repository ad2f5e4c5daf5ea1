//! [`Gate`]: one resource, one invocation at a time.
//!
//! A gate is a registry of one shard with a line (`group/shard/line`): which flight holds the gate,
//! and which ones wait for it. Taking the gate and registering the token are one critical section,
//! so a refusal is an error of its own caller and never an outcome that a duplicate could get.
//!
//! # Invariants
//! 1. The permit is the flight that holds the gate. Only the end of that flight lets the next one
//!    in, so only its owner can release the gate.
//! 2. A token is registered when its caller queues, so its duplicates wait for that claim. If the
//!    queued caller leaves, its flight ends and its place in the queue is given up with it.
//! 3. No call passes the queue: while a caller waits, the gate is busy.
//!
//! The queue is our own and not `async-lock`'s semaphore. Claim and place must be taken in the
//! critical section that registers the token, and a semaphore's list would be a second lock with an
//! order of its own. One ordered map of flights is enough. A queued caller waits on a `SettleCell`,
//! so the waker contract holds here too.

use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use equivalent::Equivalent;

use crate::group::entry::sealed::Sealed;
use crate::group::shard::{Plain, Request, Shard, Ticket, random_id};
use crate::group::stats::gather;
use crate::group::{Begin, Entry, Primary, RandomState, Registry, Stats};
use crate::sync::Arc;

/// What happens to a caller that finds the gate held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Another token is rejected: [`Rejected::Busy`](crate::error::Rejected::Busy). The same token
    /// waits and shares.
    Exclusive,
    /// As `Exclusive`, but [`Gate::turn`] waits for its turn, first come first served.
    Queue,
    /// No gate and no sharing: every caller is primary.
    Open,
}

/// One resource, one invocation at a time: an agent, a device, an account.
///
/// A caller with a token that is in flight shares that invocation. A caller with another token
/// finds the gate busy. A caller without a token takes the gate and cannot be joined. The
/// [`Primary`] is the permit: its settle, its abort or its drop lets the next caller in. The
/// operation of a `work` or `spawn` at the gate's [`entry`](Self::entry) holds it too, until the
/// operation is gone, however its flight has ended.
///
/// # Deadlocks
///
/// An invocation that waits for a turn at its own gate waits for itself. If it uses its own token,
/// the wait fails with [`Rejected::Reentrant`](crate::error::Rejected::Reentrant) where that is
/// detected.
///
/// When a turn comes, its caller holds the gate, even if nothing polls the [`Turn`]. So a `Turn`
/// that is kept and no longer polled holds the gate.
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
/// let turn = agent.turn(Some("question-2"));
/// assert!(matches!(agent.begin(Some("question-3")), Begin::Rejected(Rejected::Busy)));
/// first.settle("42".to_string()).unwrap();
/// assert_eq!(*retry.await.unwrap(), "42");
/// let Begin::Primary(second) = turn.await else { unreachable!() };
/// drop(second);
/// # });
/// ```
#[doc(alias = "semaphore")]
#[doc(alias = "mutex")]
pub struct Gate<K, T> {
    inner: Arc<Inner<K, T>>,
}

struct Inner<K, T> {
    hasher: RandomState,
    shard: Arc<Shard<Option<K>, T>>,
    mode: Mode,
}

impl<K, T> Gate<K, T> {
    /// Makes a gate that no caller holds.
    pub fn new(mode: Mode) -> Self {
        let shard = if mode == Mode::Open {
            Shard::new(random_id(), 1, None)
        } else {
            Shard::with_line()
        };
        Self {
            inner: Arc::new(Inner {
                hasher: RandomState::default(),
                shard: Arc::new(shard),
                mode,
            }),
        }
    }

    /// Returns what happens to a caller that finds the gate held.
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    /// Returns true if a caller holds the gate or waits for a turn. With [`Mode::Open`] it is
    /// always false.
    pub fn is_busy(&self) -> bool {
        self.inner.shard.is_busy()
    }

    /// Returns the number of callers that wait for their turn.
    pub fn queued(&self) -> usize {
        self.inner.shard.queued()
    }

    /// Returns what the gate has done and holds. A caller that waits for its turn counts as a
    /// flight that has begun.
    pub fn stats(&self) -> Stats {
        gather([self.inner.shard.figures()])
    }
}

impl<K: Hash + Eq, T> Gate<K, T> {
    /// Returns the entry of this token: the token of one call, to which a fingerprint can be added.
    ///
    /// Every call of the entry that finds another token in flight is rejected as
    /// [`Rejected::Busy`](crate::error::Rejected::Busy); only [`turn`](Entry::turn) waits.
    pub fn entry(&self, token: Option<K>) -> Entry<'_, Self> {
        Entry::owned(self, token)
    }

    /// Takes the gate, or joins the invocation with this token. Never waits.
    ///
    /// In every mode a caller that finds another token in flight is rejected as
    /// [`Rejected::Busy`](crate::error::Rejected::Busy), except with [`Mode::Open`], where no
    /// caller is.
    pub fn begin(&self, token: Option<K>) -> Begin<Option<K>, T> {
        self.entry(token).begin()
    }

    /// Takes the gate, waiting for its turn with [`Mode::Queue`], or joins the invocation with this
    /// token.
    ///
    /// The call takes a place in the queue and claims the token with it, so duplicates of a token
    /// that is queued wait for the same claim. In the other modes this is [`begin`](Self::begin).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place up. Duplicates of its token get
    /// [`Cause::Dropped`](crate::error::Cause::Dropped), and no other caller is affected.
    pub fn turn(&self, token: Option<K>) -> Turn<K, T> {
        self.entry(token).turn()
    }

    /// Returns the number of duplicates that wait for the token.
    pub fn waiters<Q: Hash + Equivalent<K> + ?Sized>(&self, token: &Q) -> usize {
        let same = |other: &Option<K>| other.as_ref().is_some_and(|other| token.equivalent(other));
        let hash = self.inner.hasher.hash_one(Some(token));
        let found = self.inner.shard.lookup(hash, same);
        found.map_or(0, |flight| flight.waiting())
    }
}

impl<K: Hash + Eq, T> Entry<'_, Gate<K, T>> {
    /// Takes the gate, waiting for its turn with [`Mode::Queue`], or joins the invocation with this
    /// token. See [`Gate::turn`].
    pub fn turn(self) -> Turn<K, T> {
        let inner = &self.registry().inner;
        if inner.mode != Mode::Queue {
            return Turn {
                state: TurnState::Ready(self.begin()),
            };
        }
        let shard = inner.shard.clone();
        let ticket = Ticket::new();
        let state = match self.begin_with(&mut Plain, |request| request.queued(&ticket)) {
            Begin::Primary(primary) if !shard.holds(primary.flight()) => {
                // Nothing of its caller's runs before it has the primary.
                primary.flight().cell.set_unbegun();
                TurnState::Queued(primary, ticket)
            }
            begin => TurnState::Ready(begin),
        };
        Turn { state }
    }
}

impl<K, T> Sealed<Option<K>, T> for Gate<K, T> {
    const HAS_SHORT_WAY: bool = false;

    fn hash<Q: Hash + ?Sized>(&self, token: &Q) -> u64 {
        self.inner.hasher.hash_one(token)
    }

    fn shard(&self, _hash: u64) -> &Arc<Shard<Option<K>, T>> {
        &self.inner.shard
    }

    fn adapt<Q: Equivalent<Option<K>> + ?Sized>(&self, request: Request, token: &Q) -> Request {
        if self.inner.mode == Mode::Open || token.equivalent(&None) {
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
    /// Another handle to the same gate.
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

/// Waits for its turn at a [`Gate`]. From [`Gate::turn`].
///
/// It is a future that yields [`Begin`].
///
/// # Cancel safety
///
/// Dropping it gives the place up, and the gate with it if its turn had come. Duplicates of its
/// token get an error that says that nothing
/// [has begun](crate::error::Aborted::has_begun).
///
/// # Panics
///
/// Polling it again after it was ready panics.
#[must_use = "futures do nothing unless polled or awaited; dropping this one gives the place up"]
pub struct Turn<K, T> {
    state: TurnState<K, T>,
}

enum TurnState<K, T> {
    Queued(Primary<Option<K>, T>, Ticket),
    Ready(Begin<Option<K>, T>),
    Done,
}

impl<K, T> Turn<K, T> {
    /// Returns true if it still waits for its turn.
    pub fn is_queued(&self) -> bool {
        matches!(&self.state, TurnState::Queued(_, ticket) if !ticket.is_called())
    }
}

// Nothing in it is pinned.
impl<K, T> Unpin for Turn<K, T> {}

impl<K, T> Future for Turn<K, T> {
    type Output = Begin<Option<K>, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let TurnState::Queued(primary, ticket) = &mut self.state {
            // A flight that was ended from outside gets no turn. Its caller learns that from the
            // primary.
            let ended = primary.flight().cell.snapshot().ended();
            if !ended && ticket.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        match core::mem::replace(&mut self.state, TurnState::Done) {
            TurnState::Queued(primary, _) => {
                primary.flight().cell.begin();
                Poll::Ready(Begin::Primary(primary))
            }
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
