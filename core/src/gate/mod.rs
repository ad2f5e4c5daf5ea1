//! [`Gate`]: one resource, one invocation at a time.
//!
//! A gate is a registry of one shard with a line (`group/shard/line`): which flight holds the gate,
//! and which ones wait for it. Taking the gate and registering the token are one critical section,
//! so a refusal is an error of its own caller and never an outcome that a duplicate could get.
//!
//! # Invariants
//! 1. The permit is the flight that holds the gate. Only the end of that flight lets the next one
//!    in, so only its owner can release the gate. If something else has ended the flight, it holds
//!    the gate until its owner is gone.
//! 2. A token is registered when its caller queues, so its duplicates wait for that claim. If the
//!    queued caller leaves, its flight ends and its place in the queue is given up with it.
//! 3. No call but one that replaces the holder passes the queue: while a caller waits, the gate is
//!    busy.
//!
//! The queue is our own and not `async-lock`'s semaphore. Claim and place must be taken in the
//! critical section that registers the token, and a semaphore's list would be a second lock with an
//! order of its own. One ordered map of flights is enough. A queued caller waits on a `SettleCell`,
//! so the waker contract holds here too.
//!
//! | file | its job |
//! |---|---|
//! | `mod` | the gate and its calls |
//! | `builder` | a gate that differs from the default |
//! | `stop`, `tokens` | closing it, and ending what it has; what can be done by token |
//! | `turn` | a caller that waits for its turn and has no operation yet |

mod builder;
mod stop;
mod tokens;
mod turn;

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::panic::{RefUnwindSafe, UnwindSafe};

use equivalent::Equivalent;

pub use crate::group::Mode;
pub use builder::GateBuilder;
pub use turn::Turn;

use crate::error::Error;
#[cfg(doc)]
use crate::error::{Cause, Rejected};
#[cfg(all(feature = "std", not(target_family = "wasm")))]
use crate::flight::Settled;
use crate::flight::observe::Label;
use crate::group::entry::sealed::Sealed;
use crate::group::rules::Rules;
use crate::group::shard::{Drain, Request, Shard};
use crate::group::{
    Begin, Entry, RandomState, Registry, Stats, close_places, make_shards, read_stats,
};
use crate::policy::{TryWork, Work};
use crate::sync::Arc;

/// One resource, one invocation at a time: an agent, a device, an account.
///
/// A caller with a token that is in flight shares that invocation. What happens to a caller with
/// another token, or without one, is the [`Mode`] of the gate, or of the call. A caller without a
/// token is never joined.
///
/// The gate is free when the invocation that holds it has ended **and** is gone: its operation is
/// ready or dropped, its blocking call has returned, its [`Primary`](crate::Primary) has settled or
/// is dropped. So two invocations never run at once, however the first one was ended.
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
/// `Busy` is [`Rejected::Busy`]. In each mode, a call that waits has claimed its token: a duplicate
/// shares that call, and takes no place of its own. A caller that waits can leave at any time, and
/// its place is given up. A [`work`](Self::work) keeps its place until its last participant leaves.
///
/// If something else ends a call that waits, it gets that error. For every call but `work`
/// [`has_begun`](crate::error::Aborted::has_begun) of the error is false: nothing of it has run. A
/// `work` makes its operation when it is called and polls it when its turn comes. Every other call
/// makes its operation when its turn comes.
///
/// # Deadlocks
///
/// - A guard that is kept, an operation that is neither polled nor dropped, and a blocking call
///   that does not return hold the gate forever, also if something else has ended them:
///   [`supersede_after`](GateBuilder::supersede_after), [`abort`](Self::abort) and `Replace` can't
///   drop what another caller has.
/// - An invocation that waits for a turn at its own gate waits for itself. If it uses its own
///   token, the wait fails with [`Rejected::Reentrant`] where that is detected. If it uses another
///   token, that is not detected.
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
    shards: Box<[Arc<Shard<Option<K>, T>>]>,
    drain: Arc<Drain>,
    mode: Mode,
}

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

    /// Returns true if an invocation holds the gate, also if it has ended and is not gone. Calls
    /// with [`Mode::Open`] do not hold it.
    pub fn is_busy(&self) -> bool {
        self.only_shard().is_busy()
    }

    /// Returns the number of invocations that wait for their turn. Duplicates are not counted.
    pub fn queued(&self) -> usize {
        self.only_shard().queued()
    }

    /// Returns what the gate has done and holds. A call that waits for its turn counts as a flight
    /// that has begun.
    pub fn stats(&self) -> Stats {
        read_stats(&self.inner.shards)
    }

    fn only_shard(&self) -> &Arc<Shard<Option<K>, T>> {
        &self.inner.shards[0]
    }
}

impl<K: Hash + Eq, T> Gate<K, T> {
    /// Returns the entry of this token: the token of one call, to which a fingerprint and a mode of
    /// its own can be added.
    pub fn entry(&self, token: Option<K>) -> Entry<'_, Self> {
        Entry::owned(self, token)
    }

    /// Takes the gate, or joins the invocation with this token. Never waits.
    ///
    /// A caller that finds the gate held by another token is rejected as [`Rejected::Busy`] in each
    /// mode, except with [`Mode::Open`], where no caller is. This call ends no invocation, except
    /// one that is older than [`supersede_after`](GateBuilder::supersede_after).
    pub fn begin(&self, token: Option<K>) -> Begin<Option<K>, T> {
        self.entry(token).begin()
    }

    /// Takes the gate, waiting for its turn if the mode says so, or joins the invocation with this
    /// token.
    ///
    /// The call takes a place in the queue and claims the token with it, so duplicates of a token
    /// that is queued wait for the same claim. With [`Mode::Exclusive`] and [`Mode::Open`] this is
    /// [`begin`](Self::begin).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the place up. Duplicates of its token get [`Cause::Dropped`], and
    /// no other caller is affected.
    pub fn turn(&self, token: Option<K>) -> Turn<K, T> {
        self.entry(token).turn()
    }

    /// Runs the operation when its turn comes, or takes part in the invocation with this token. See
    /// [`Group::work`](crate::Group::work), and [`Gate`] for what happens at a gate that is held.
    ///
    /// The operation is made in this call, and polled for the first time when its turn has come.
    pub fn work<M, F>(&self, token: Option<K>, make: M) -> Work<Option<K>, T>
    where
        M: FnOnce() -> F,
        F: Future<Output = T> + Send + 'static,
        K: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        self.entry(token).work(make)
    }

    /// Runs the operation when its turn comes, or waits for the invocation with this token. If that
    /// one fails or is lost, this caller can run its own. See
    /// [`Group::try_work`](crate::Group::try_work), and [`Gate`] for what happens at a gate that is
    /// held.
    ///
    /// The participants of one token have one place in the queue. They keep the gate while one runs
    /// after the other.
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    /// use std::io;
    /// # futures_lite::future::block_on(async {
    /// let device: Gate<&str, u32> = Gate::new(Mode::Queue);
    /// let read = || device.try_work(Some("read"), || async { io::Result::Ok(7) });
    /// let fails = device.try_work(Some("read"), || async { Err(io::Error::other("no answer")) });
    /// let (fails, read) = futures_lite::future::zip(fails, read()).await;
    /// assert_eq!((fails.unwrap_err().to_string(), *read.unwrap()), ("no answer".to_string(), 7));
    /// # });
    /// ```
    pub fn try_work<M, F, E>(&self, token: Option<K>, make: M) -> TryWork<Option<K>, T, M, F>
    where
        M: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        self.entry(token).try_work(make)
    }

    /// Runs the call on this thread when its turn comes, or parks this thread until the invocation
    /// with this token has ended. While it waits for its turn, the thread is parked. See
    /// [`Group::work_blocking`](crate::Group::work_blocking).
    ///
    /// # Errors
    ///
    /// As [`Group::work_blocking`](crate::Group::work_blocking), and [`Rejected::Busy`]. If
    /// something else ends the call while it waits, it gets that error, and does not run.
    ///
    /// # Panics
    ///
    /// As [`Group::work_blocking`](crate::Group::work_blocking).
    ///
    /// # Deadlocks
    ///
    /// As [`Group::work_blocking`](crate::Group::work_blocking), and those of [`Gate`]. Do not call
    /// it on a thread that the holder of the gate needs.
    ///
    /// ```
    /// use oneflight_core::gate::{Gate, Mode};
    ///
    /// let device: Gate<u32, u32> = Gate::new(Mode::Queue);
    /// std::thread::scope(|scope| {
    ///     for token in 0..4 {
    ///         let device = &device;
    ///         scope.spawn(move || {
    ///             let used = device.work_blocking(Some(token), || 10 * token);
    ///             assert_eq!(*used.unwrap(), 10 * token);
    ///         });
    ///     }
    /// });
    /// ```
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub fn work_blocking<F>(
        &self,
        token: Option<K>,
        call: F,
    ) -> Result<Settled<Option<K>, T>, Error>
    where
        F: FnOnce() -> T,
    {
        self.entry(token).work_blocking(call)
    }
}

impl<K: Hash + Eq, T> Entry<'_, Gate<K, T>> {
    /// Sets the mode of this call, instead of the gate's. The other calls keep theirs.
    ///
    /// With [`Mode::Open`] the call does not use the gate: it runs beside the invocation that holds
    /// it. At a gate whose mode is `Open`, calls with another mode are one at a time among
    /// themselves.
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
}

impl<K, T> Sealed<Option<K>, T> for Gate<K, T> {
    const HAS_LINE: bool = true;

    fn hash<Q: Hash + ?Sized>(&self, token: &Q) -> u64 {
        self.inner.hasher.hash_one(token)
    }

    fn shard(&self, _hash: u64) -> &Arc<Shard<Option<K>, T>> {
        self.only_shard()
    }

    fn adapt<Q>(&self, request: Request, token: &Q, mode: Option<Mode>) -> Request
    where
        Q: Equivalent<Option<K>> + ?Sized,
    {
        let mode = mode.unwrap_or(self.inner.mode);
        let request = request.at_gate(mode);
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
