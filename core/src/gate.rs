//! [`Gate`]: one resource, one invocation at a time.
//!
//! A gate is a registry of one shard with a line: who holds the gate, and who waits for it. Taking
//! the gate and registering the token are one lock hold, so a refusal is told to its caller and
//! never becomes an outcome that a duplicate could inherit.
//!
//! # Invariants
//! 1. The holder is the flight that was let in last, if it has not ended. Only its end lets the
//!    next one in: the permit is the flight, so nobody but its owner can release it.
//! 2. A token is registered when its caller queues, so its duplicates wait for that claim. If the
//!    queued caller leaves, its flight ends and takes its place in the queue with it.
//! 3. The queue is in the order of flight ids, which is the order of coming. Nobody passes it:
//!    while somebody waits, the gate is busy.
//!
//! The queue is our own and not `async-lock`'s semaphore: claim and place must be taken in one lock
//! hold with the token's registration, a semaphore's list would be a second lock with an order of
//! its own, and one ordered map of flights is all there is to it. Each who waits for a turn waits
//! on a `SettleCell`, so the waker contract holds as everywhere.

use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::cell::SettleCell;
use crate::fingerprint::{Fingerprint, Fingerprinted};
use crate::group::Begin;
use crate::group::extras::Ticket;
use crate::group::search::Search;
use crate::group::shard::{Request, Shard};
use crate::hash::RandomState;
use crate::primary::Primary;
use crate::slab::Seat;
use crate::stats::{Stats, gather};
use crate::sync::Arc;

/// What happens to a caller that finds the gate held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Another token is turned away: [`Rejected::Busy`](crate::Rejected::Busy). The same token
    /// waits and shares.
    Exclusive,
    /// As `Exclusive`, but [`Gate::turn`] waits for its turn, first come first served.
    Queue,
    /// No gate and no sharing: every caller is primary.
    Reentrant,
}

/// One resource, one invocation at a time: an agent, a device, an account.
///
/// A caller with a token that is in flight shares that invocation; one with another token finds the
/// gate busy; one without a token takes the gate and can not be joined. The [`Primary`] is the
/// permit: its settle, its abort or its drop lets the next one in, and nothing else does.
///
/// # Deadlocks
///
/// An invocation that waits for a turn at its own gate waits for itself, unless it uses its own
/// token, which is [`Rejected::Reentrant`](crate::Rejected::Reentrant) where that is seen.
///
/// The gate is handed over when a turn comes, polled or not: a [`Turn`] that is kept and no longer
/// polled holds it.
///
/// # Examples
///
/// ```
/// use oneflight_core::{Begin, Gate, Mode, Rejected};
/// # futures_lite::future::block_on(async {
/// let agent: Gate<&str, String> = Gate::new(Mode::Queue);
/// let Begin::Primary(first) = agent.begin(Some("question-1")) else { unreachable!() };
/// // A retry shares it. Another question waits for its turn, or is turned away.
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
    /// A gate that nobody holds.
    pub fn new(mode: Mode) -> Self {
        let shard = if mode == Mode::Reentrant {
            Shard::new(0, 1, None)
        } else {
            Shard::gate()
        };
        Self {
            inner: Arc::new(Inner {
                hasher: RandomState::default(),
                shard: Arc::new(shard),
                mode,
            }),
        }
    }

    /// What happens to a caller that finds it held.
    pub fn mode(&self) -> Mode {
        self.inner.mode
    }

    /// Whether somebody holds it, or waits for a turn. Never with [`Mode::Reentrant`].
    pub fn is_busy(&self) -> bool {
        self.inner.shard.is_busy()
    }

    /// How many callers wait for their turn.
    pub fn queued(&self) -> usize {
        self.inner.shard.queued()
    }

    /// What the gate has done and holds. Those who wait for a turn are flights that have begun.
    pub fn stats(&self) -> Stats {
        gather([&*self.inner.shard])
    }

    /// The same calls, for a payload with this fingerprint. See [`Fingerprint`].
    pub fn fingerprinted(&self, fingerprint: Fingerprint) -> Fingerprinted<'_, Self> {
        Fingerprinted {
            of: self,
            fingerprint,
        }
    }
}

impl<K: Hash + Eq, T> Gate<K, T> {
    /// Takes the gate, or joins the invocation with this token. Never waits.
    ///
    /// In every mode a caller that finds another token in flight is
    /// [`Rejected::Busy`](crate::Rejected::Busy), except with [`Mode::Reentrant`], where nobody is.
    pub fn begin(&self, token: Option<K>) -> Begin<Option<K>, T> {
        self.begin_with(token, None)
    }

    /// Takes the gate, waiting for its turn with [`Mode::Queue`], or joins the invocation with this
    /// token.
    ///
    /// The place in the queue is taken by the call, and the token is claimed with it: duplicates of
    /// a token that is queued wait for the same claim. In the other modes this is
    /// [`begin`](Self::begin).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place up: duplicates of its token get
    /// [`Cause::Dropped`](crate::Cause::Dropped), and nobody else notices.
    pub fn turn(&self, token: Option<K>) -> Turn<K, T> {
        self.turn_with(token, None)
    }

    /// How many duplicates wait for the token.
    pub fn waiters(&self, token: &K) -> usize {
        let hash = self.inner.hasher.hash_one(Some(token));
        let found = self
            .inner
            .shard
            .lookup(hash, |other| other.as_ref() == Some(token));
        found.map_or(0, |flight| flight.waiting())
    }

    pub(crate) fn begin_with(
        &self,
        token: Option<K>,
        fingerprint: Option<Fingerprint>,
    ) -> Begin<Option<K>, T> {
        let request = self.request(&token, fingerprint);
        let (begin, token) = Shard::search(
            &self.inner.shard,
            &request,
            Search::new(request.hash),
            token,
            |_, _| true,
            || None,
        );
        drop(token);
        begin
    }

    pub(crate) fn turn_with(
        &self,
        token: Option<K>,
        fingerprint: Option<Fingerprint>,
    ) -> Turn<K, T> {
        if self.inner.mode != Mode::Queue {
            return Turn {
                state: State::Ready(self.begin_with(token, fingerprint)),
            };
        }
        let mut request = self.request(&token, fingerprint);
        let ticket = Arc::new(SettleCell::new());
        request.ticket = Some(ticket.clone());
        let (begin, token) = Shard::search(
            &self.inner.shard,
            &request,
            Search::new(request.hash),
            token,
            |_, _| true,
            || None,
        );
        let state = match begin {
            Begin::Primary(primary) if !self.inner.shard.holds(primary.flight()) => State::Queued(
                primary,
                Place {
                    ticket,
                    seat: Seat::NONE,
                },
            ),
            begin => State::Ready(begin),
        };
        drop(token);
        Turn { state }
    }

    fn request(&self, token: &Option<K>, fingerprint: Option<Fingerprint>) -> Request {
        let hash = self.inner.hasher.hash_one(token.as_ref());
        let alone = token.is_none() || self.inner.mode == Mode::Reentrant;
        Request {
            hash,
            fingerprint,
            alone,
            ..Request::default()
        }
    }
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
/// A future of [`Begin`].
///
/// # Cancel safety
///
/// Dropping it gives the place up, and the gate with it if its turn had come.
///
/// # Panics
///
/// Polling it again after it was ready panics.
#[must_use = "futures do nothing unless polled or awaited; dropping this one gives the place up"]
pub struct Turn<K, T> {
    state: State<K, T>,
}

enum State<K, T> {
    Queued(Primary<Option<K>, T>, Place),
    Ready(Begin<Option<K>, T>),
    Done,
}

struct Place {
    ticket: Arc<Ticket>,
    seat: Seat,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ticket.unseat(&mut self.seat);
    }
}

impl<K, T> Turn<K, T> {
    /// Whether it still waits for its turn.
    pub fn is_queued(&self) -> bool {
        matches!(&self.state, State::Queued(_, place) if place.ticket.get().is_none())
    }
}

// Nothing in it is pinned.
impl<K, T> Unpin for Turn<K, T> {}

impl<K, T> Future for Turn<K, T> {
    type Output = Begin<Option<K>, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Queued(primary, place) = &mut self.state {
            // Ended from outside, it will have no turn: its caller learns that from the primary.
            let ended = primary.flight().cell.snapshot().ended();
            if !ended && place.ticket.poll_end(&mut place.seat, cx).is_pending() {
                return Poll::Pending;
            }
        }
        match core::mem::replace(&mut self.state, State::Done) {
            State::Queued(primary, _) => Poll::Ready(Begin::Primary(primary)),
            State::Ready(begin) => Poll::Ready(begin),
            State::Done => panic!("`Turn` polled after it was ready"),
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
