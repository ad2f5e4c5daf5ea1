//! [`Primary`]: the caller that executes; and [`Run`], which executes for it.

use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::{Cause, Error, SettleError};
use crate::flight::reentry::Entered;
use crate::flight::{Flight, FlightId, Settled, Watch, loss};
use crate::group::begin::Begin;
use crate::group::shard::Shard;
use crate::group::waiter::Waiter;
use crate::sync::Arc;
use crate::unwind::{FragilePin, OnDrop};

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
    /// Taken out by `settle` and `into_flight`, so that the drop after them has nothing to do.
    flight: Option<Arc<Flight<K, T>>>,
    shard: Arc<Shard<K, T>>,
}

impl<K, T> Primary<K, T> {
    #[inline]
    pub(crate) fn new(flight: Arc<Flight<K, T>>, shard: Arc<Shard<K, T>>) -> Self {
        Self {
            flight: Some(flight),
            shard,
        }
    }

    #[inline(always)]
    pub(crate) fn flight(&self) -> &Arc<Flight<K, T>> {
        self.flight
            .as_ref()
            .unwrap_or_else(|| unreachable!("whatever takes it consumes the primary"))
    }

    /// Gives up the guard: from here on the caller has to end the flight.
    pub(crate) fn into_flight(mut self) -> Arc<Flight<K, T>> {
        self.flight
            .take()
            .unwrap_or_else(|| unreachable!("whatever takes it consumes the primary"))
    }

    /// Its turn at a gate has come. If the flight was ended while it waited, this call gets that
    /// end as a waiter does.
    pub(crate) fn take_turn(self) -> Begin<K, T> {
        if self.flight().cell.begin() {
            return Begin::Primary(self);
        }
        let waiter = Waiter::uncounted(self.flight().clone());
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
        let Some(flight) = self.flight.take() else {
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
        Watch::new(self.flight().clone(), false)
    }

    /// Records the outcome and wakes every waiter.
    ///
    /// The value is published, then the key is freed (or the outcome retained), and then the wakers
    /// run: in this call, in batches, under no lock.
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
        let Some(flight) = self.flight.take() else {
            unreachable!("a primary settles once")
        };
        match self.shard.settle(&flight, value) {
            Ok(registered) => Ok((Settled::new(flight), registered)),
            Err(late) => {
                // This can be the last handle. A panic of its key drops the value, too.
                drop(flight);
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
        if let Some(flight) = self.flight.take() {
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
        Run {
            primary: Some(self),
            watch: None,
            operation: Some(operation),
        }
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
        if let Some(flight) = &self.flight {
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

pin_project! {
    /// Runs an operation and settles its flight. Returned by [`Primary::run`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the operation and then ends the flight as [`Cause::Dropped`].
    ///
    /// # Deadlocks
    ///
    /// If it is kept, unfinished and not polled, [`Group::drained`](crate::Group::drained) waits
    /// for it.
    ///
    /// # Panics
    ///
    /// Polling it again after it was ready panics, as it does for an `async` block.
    #[must_use = "futures do nothing unless polled or awaited; dropping this one aborts the flight"]
    pub struct Run<K, T, F> {
        // None when it is ready, or when its operation has panicked.
        primary: Option<Primary<K, T>>,
        // Watches the flight's end, which can come from outside. Made when the operation is pending
        // for the first time. After a panic of the operation a later poll gets the outcome from it.
        watch: Option<Watch<K, T>>,
        #[pin]
        operation: Option<F>,
    }

    impl<K, T, F> PinnedDrop for Run<K, T, F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let operation = FragilePin(this.operation);
            if let Some(primary) = this.primary.take() {
                primary.lose(loss(), operation);
            }
        }
    }
}

impl<K, T, F: Future<Output = T>> Future for Run<K, T, F> {
    type Output = Result<Settled<K, T>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(primary) = this.primary.as_ref() else {
            // Its operation has panicked in an earlier poll, or it was ready.
            return match this.watch.take().and_then(|watch| watch.get()) {
                Some(Err(error)) => Poll::Ready(Err(error)),
                _ => panic!("`Run` polled after it was ready"),
            };
        };
        let mut value = None;
        if !primary.flight().cell.snapshot().ended() {
            let polling = Polling {
                primary: this.primary,
                watch: this.watch,
                operation: this.operation.as_mut(),
            };
            match (polling.poll(cx), this.primary.as_ref()) {
                (Poll::Pending, Some(primary)) => {
                    let watch = this.watch.get_or_insert_with(|| primary.watch());
                    if watch.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                (Poll::Ready(ready), _) => value = Some(ready),
                (Poll::Pending, None) => {}
            }
        }
        // Dropped before the settle, which would wake it.
        *this.watch = None;
        let Some(primary) = this.primary.take() else {
            unreachable!("looked at above")
        };
        Poll::Ready(match value {
            Some(value) => primary.settle(value).map_err(Error::from),
            None => {
                // It was ended from outside.
                let aborted = primary.flight().aborted();
                primary.lose(loss(), FragilePin(this.operation));
                Err(Error::Aborted(aborted))
            }
        })
    }
}

/// One poll of the operation. If it is left by unwinding, the operation is lost.
struct Polling<'a, K, T, F> {
    primary: &'a mut Option<Primary<K, T>>,
    watch: &'a mut Option<Watch<K, T>>,
    operation: Pin<&'a mut Option<F>>,
}

impl<K, T, F: Future<Output = T>> Polling<'_, K, T, F> {
    fn poll(mut self, cx: &mut Context<'_>) -> Poll<T> {
        let operation = self.operation.as_mut().as_pin_mut();
        let (Some(primary), Some(operation)) = (self.primary.as_ref(), operation) else {
            unreachable!("it has a primary until its operation is ready or lost")
        };
        let entered = Entered::new(primary.flight(), Some([cx.waker(); 2]));
        let poll = operation.poll(cx);
        // Not at the end of a block: if a subscriber panicked there, the value would be leaked.
        drop(entered);
        core::mem::forget(self);
        poll
    }
}

impl<K, T, F> Drop for Polling<'_, K, T, F> {
    fn drop(&mut self) {
        if let Some(primary) = self.primary.take() {
            self.watch.get_or_insert_with(|| primary.watch());
            primary.lose(Cause::Panicked, FragilePin(self.operation.as_mut()));
        }
    }
}

impl<K, T, F: UnwindSafe> UnwindSafe for Run<K, T, F> {}
impl<K, T, F: RefUnwindSafe> RefUnwindSafe for Run<K, T, F> {}

impl<K, T, F> fmt::Debug for Run<K, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("primary", &self.primary)
            .finish_non_exhaustive()
    }
}
