//! [`Primary`]: the caller that executes.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::task::Waker;

use crate::error::{Cause, SettleError};
use crate::flight::reentry::Entered;
use crate::flight::{FlightId, FlightRef, Settled, Settler, Watch, loss};
use crate::group::begin::Begin;
use crate::group::run::Run;
use crate::group::shard::Shard;
use crate::group::waiter::Waiter;
use crate::sync::Arc;
use crate::unwind::OnDrop;

/// The caller that executes. It must end the flight: by [`settle`](Self::settle),
/// [`run`](Self::run) or [`abort`](Self::abort).
///
/// If the guard is dropped without a settle, for any reason, the flight ends. Its waiters get
/// [`Aborted`](crate::error::Aborted) at once, the key is free, and nothing is left in the
/// registry.
///
/// It refers to the key's shard and not to the whole group, so it can outlive every
/// [`Group`](crate::Group) handle.
///
/// # Cancel safety
///
/// If a future is dropped while it holds the guard across an `await`, the guard is dropped too, and
/// the waiters get [`Cause::Dropped`]. If the operation must outlive its caller, use an adapter's
/// `spawn`. If another caller has to continue it, use [`Group::work`](crate::Group::work).
///
/// # Deadlocks
///
/// If it is leaked (`mem::forget`), the flight stays open.
///
/// A guard that is kept counts for [`max_flights`](crate::GroupBuilder::max_flights) and keeps
/// [`Group::drained`](crate::Group::drained) waiting, also if something else has ended its flight.
///
/// # Examples
///
/// ```
/// use oneflight_core::{Begin, Group};
///
/// let group: Group<&str, Result<u32, String>> = Group::new();
/// match group.begin("invoice-7") {
///     Begin::Primary(primary) => {
///         let settled = primary.settle(Ok(42)).unwrap();
///         assert_eq!(*settled, Ok(42));
///     }
///     Begin::Waiter(waiter) => drop(waiter),
///     Begin::Rejected(why) => panic!("{why}"),
/// }
/// assert!(group.is_empty());
/// ```
#[doc(alias = "leader")]
#[must_use = "dropping the primary aborts its flight; settle it, or run an operation"]
pub struct Primary<K, T> {
    /// Taken out by `settle_registered`, `into_settler`, `lose` and `abort`, so that the drop after
    /// them has nothing to do.
    settler: Option<Settler<K, T>>,
    shard: Arc<Shard<K, T>>,
}

impl<K, T> Primary<K, T> {
    #[inline]
    pub(crate) fn new(settler: Settler<K, T>, shard: Arc<Shard<K, T>>) -> Self {
        Self {
            settler: Some(settler),
            shard,
        }
    }

    #[inline(always)]
    pub(crate) fn flight(&self) -> &FlightRef<K, T> {
        self.settler
            .as_deref()
            .unwrap_or_else(|| unreachable!("whatever takes it consumes the primary"))
    }

    /// Gives up the guard: from here on the caller has to end the flight.
    pub(crate) fn into_flight(self) -> FlightRef<K, T> {
        self.into_settler().into_handle()
    }

    #[inline(always)]
    pub(super) fn into_settler(mut self) -> Settler<K, T> {
        self.settler
            .take()
            .unwrap_or_else(|| unreachable!("whatever takes it consumes the primary"))
    }

    fn settler(&mut self) -> &mut Settler<K, T> {
        self.settler
            .as_mut()
            .unwrap_or_else(|| unreachable!("whatever takes it consumes the primary"))
    }

    /// Parks the caller until something else ends the flight. Returns the waker if that has
    /// happened already.
    pub(crate) fn park(&mut self, waker: Box<Waker>) -> Result<(), Box<Waker>> {
        self.settler().park(waker)
    }

    /// Takes its waker back, unless it is woken.
    pub(crate) fn unpark(&mut self) -> Option<Box<Waker>> {
        self.settler().unpark()
    }

    /// Its turn at a gate has come. If the flight was ended while it waited, this call gets that
    /// end as a waiter does.
    pub(crate) fn take_turn(self) -> Begin<K, T> {
        if self.flight().cell.begin() {
            return Begin::Primary(self);
        }
        let waiter = Waiter::uncounted(self.flight().clone_two());
        drop(self);
        Begin::Waiter(waiter)
    }

    pub(crate) fn shard(&self) -> &Arc<Shard<K, T>> {
        &self.shard
    }

    /// Calls a part of the operation. A panic ends the flight as panicked, and a wait for its own
    /// key is detected.
    pub(crate) fn guarded<R>(&self, part: impl FnOnce() -> R) -> R {
        self.shard.guarded(self.flight(), None, part)
    }

    /// The operation is lost. It is dropped first, and then the flight ends, also if that drop
    /// panics: a caller that is woken, or that begins the key again, never meets a lock or a
    /// connection that the operation still holds. Meanwhile this thread counts as inside of the
    /// flight, since a drop that waits for its own key would wait for itself.
    pub(crate) fn lose<O>(mut self, cause: Cause, operation: O) {
        let Some(flight) = self.settler.take() else {
            unreachable!("whatever takes it consumes the primary")
        };
        let _then = OnDrop(|| self.shard.lose(&flight, cause));
        // A local, so that it is dropped before that, also if a subscriber panics.
        let operation = operation;
        let _entered = Entered::new(&flight, None);
        drop(operation);
    }

    /// A watch on the flight's end that is not counted as a waiter.
    pub(crate) fn watch(&self) -> Watch<K, T> {
        Watch::uncounted(self.flight().clone_two())
    }

    /// Records the outcome and wakes every waiter.
    ///
    /// The value is published, then the key is freed (or the outcome retained), and then the wakers
    /// run: in this call, in batches, under no lock.
    ///
    /// # How long it takes
    ///
    /// This call wakes every waiter before it returns, and its thread runs nothing else meanwhile.
    /// An abort, or a drop of the guard, does the same. The time depends on the number of waiters
    /// and on the executor. For waiters that are tasks, on two cores, in milliseconds:
    ///
    /// | waiters | 10,000 | 100,000 | 1,000,000 |
    /// |---|---|---|---|
    /// | tokio, one thread | 0.14 | 1.8 | 18 |
    /// | tokio, two workers | 0.3 | 4.5 | 45 |
    /// | smol | 0.3 | 3.5 | 35 |
    /// | async-std | 0.5 | 9.7 | 100 |
    /// | wakers that do nothing | 0.06 | 0.6 | 6 |
    ///
    /// These are figures of `BENCHMARKS.md`. It takes several times as long if the tasks are not in
    /// the processor's caches, for example if they lie scattered in memory. After this call the
    /// executor has to run the tasks, too. If the call is too long for your service:
    ///
    /// - Set [`max_waiters`](crate::GroupBuilder::max_waiters), which bounds it. In a group that
    ///   retains outcomes, a caller that was rejected can come back and get the outcome.
    /// - Settle in a task of its own, and answer your own caller at once with a copy of the value.
    ///   On tokio this caller continues after some microseconds, however many waiters there are. If
    ///   it waits for the outcome instead, it can wait as long as the call takes.
    /// - In a runtime with one thread, that task still delays all others. tokio's `spawn_blocking`
    ///   takes the call off that thread. But then the call takes longer and the last waiter resumes
    ///   later, because the wakes come from outside of the runtime.
    ///
    /// A channel for each key is not faster: `send` of tokio's `watch` and `broadcast` wakes the
    /// receivers in the call, too.
    ///
    /// # Errors
    ///
    /// If something else has ended the flight before, the error returns the value and the cause.
    ///
    /// # Panics
    ///
    /// If a waker panics, the other waiters are woken first. Then the panic propagates from this
    /// call. If a closure of [`retain_by`](crate::GroupBuilder::retain_by) or
    /// [`max_retained_weight`](crate::GroupBuilder::max_retained_weight) panics, the flight ends as
    /// [`Cause::Panicked`] and the panic propagates from this call.
    #[inline(always)]
    pub fn settle(self, value: T) -> Result<Settled<K, T>, SettleError<T>> {
        self.settle_registered(value).map(|(settled, _)| settled)
    }

    /// Records the outcome like [`settle`](Self::settle), and returns whether the flight still had
    /// its key.
    ///
    /// The second part of the result is false if the flight was forgotten before its key was freed.
    /// That is read in the critical section that frees the key (or keeps it, for an outcome that is
    /// retained), so it is exact. If a forget came first, this is false. If it comes later, it
    /// cannot take the key from this flight any more.
    ///
    /// Use it to fill a cache. Fill the cache first, and settle then. So every caller finds the
    /// flight or the value. If the result is false or an error, the value can be old: remove it
    /// from the cache again.
    ///
    /// # Errors
    ///
    /// Returns the same error as [`settle`](Self::settle).
    ///
    /// # Panics
    ///
    /// Panics when [`settle`](Self::settle) does.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// use std::collections::HashMap;
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let mut cache = HashMap::new();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// cache.insert("k", 7);
    /// // The data behind the value changes, and another caller invalidates the key.
    /// group.forget("k");
    /// let (settled, registered) = primary.settle_registered(7).unwrap();
    /// if !registered {
    ///     cache.remove("k");
    /// }
    /// assert_eq!((*settled, cache.len()), (7, 0));
    /// ```
    #[inline(always)]
    pub fn settle_registered(mut self, value: T) -> Result<(Settled<K, T>, bool), SettleError<T>> {
        let Some(mut settler) = self.settler.take() else {
            unreachable!("a primary settles once")
        };
        match self.shard.settle(&mut settler, value) {
            Ok(registered) => Ok((Settled::new(settler.into_handle()), registered)),
            Err(late) => {
                // This can be the last handle. A panic of its key drops the value, too.
                drop(settler);
                Err(late)
            }
        }
    }

    /// Ends the flight without a value: its waiters get [`Cause::Cancelled`].
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<&str, u32> = Group::new();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// primary.abort();
    /// assert!(!group.contains("k"));
    /// ```
    pub fn abort(mut self) {
        if let Some(flight) = self.settler.take() {
            self.shard.lose(&flight, Cause::Cancelled);
        }
    }

    /// Runs `operation` and settles with its output.
    ///
    /// The future is `Send` if the operation is `Send` and the key and value are `Send + Sync`. On
    /// a single-threaded executor the operation does not have to be `Send`. If something else ends
    /// the flight, this future is woken. When it is polled then, it drops the operation.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Aborted`] if something else has ended the flight before. If the operation
    /// finishes too late, its value is dropped. A caller that needs it settles by hand, because the
    /// error of [`settle`](Self::settle) returns the value.
    ///
    /// # Panics
    ///
    /// If the operation panics, the flight ends as [`Cause::Panicked`], and the panic propagates to
    /// this caller only. A later poll yields [`Error::Aborted`] with that cause.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the operation and ends the flight as [`Cause::Dropped`]. The
    /// operation is dropped first, then the key is free, and then the waiters are woken, also if
    /// that drop panics. So a caller that begins the key again never meets a lock or a connection
    /// that the lost operation still holds. The same holds if the operation panics.
    ///
    /// If something else ends the flight, its waiters are woken at once. The operation is dropped
    /// when this future is polled next, or dropped.
    ///
    /// # Deadlocks
    ///
    /// If something else ends the flight and this future is kept and not polled, the operation
    /// stays: [`Group::drained`](crate::Group::drained) waits for it, and it counts for
    /// [`max_flights`](crate::GroupBuilder::max_flights).
    ///
    /// [`Error::Aborted`]: crate::Error::Aborted
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    /// # futures_lite::future::block_on(async {
    /// let group: Group<&str, u32> = Group::new();
    /// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
    /// let local = std::rc::Rc::new(41);
    /// assert_eq!(*primary.run(async { *local + 1 }).await.unwrap(), 42);
    /// # });
    /// ```
    pub fn run<F: Future<Output = T>>(self, operation: F) -> Run<K, T, F> {
        Run::new(self, operation)
    }

    /// Renews the age of the flight, which [`supersede_after`] limits: the age starts again from
    /// now. Use it as a heartbeat of an operation that takes long and makes progress.
    ///
    /// It has no effect if the flight has ended or was forgotten, or if the group has no such
    /// limit. An operation that does not own the guard (of `run`, `work` or `spawn`) calls
    /// [`Group::touch`](crate::Group::touch) with its key.
    ///
    /// [`supersede_after`]: crate::GroupBuilder::supersede_after
    pub fn touch(&self) {
        self.shard.touch(self.flight(), self.shard.now());
    }

    /// Returns the key.
    pub fn key(&self) -> &K {
        &self.flight().key
    }

    /// Returns the identity of this flight. Write it into the log beside an effect.
    pub fn id(&self) -> FlightId {
        self.flight().id
    }

    /// Returns the number of duplicates that have joined and are neither dropped nor resolved.
    pub fn waiters(&self) -> usize {
        self.flight().waiting()
    }
}

impl<K, T> Drop for Primary<K, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(flight) = &self.settler {
            self.shard.lose(flight, loss());
        }
    }
}

impl<K, T> UnwindSafe for Primary<K, T> {}
impl<K, T> RefUnwindSafe for Primary<K, T> {}

impl<K, T> fmt::Debug for Primary<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Primary")
            .field("id", &self.id())
            .field("waiters", &self.waiters())
            .finish_non_exhaustive()
    }
}
