//! [`Tokio`]: a tokio runtime, as the core sees it. [`TokioClock`]: its time.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use oneflight_core::clock::Clock;
use oneflight_core::rt::{Spawn, SpawnBlocking, Timer};
use pin_project_lite::pin_project;
use tokio::runtime::{Handle, TryCurrentError};
use tokio::time::Instant;

/// A tokio runtime and its blocking pool.
///
/// ```
/// use oneflight_core::Group;
/// use oneflight_tokio::Tokio;
///
/// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
/// let tokio = Tokio::from(runtime.handle().clone());
/// let group: Group<&str, u64> = Group::new();
/// // From a thread outside every runtime:
/// let charge = group.entry("charge:42").spawn_on(&tokio, || async { 1999 });
/// assert_eq!(*runtime.block_on(charge).unwrap(), 1999);
/// ```
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
}

impl Tokio {
    /// Returns the runtime that this is called in.
    ///
    /// # Panics
    ///
    /// Panics if the thread is not inside a tokio runtime, like `tokio::spawn`.
    #[track_caller]
    pub fn current() -> Self {
        Self {
            handle: Handle::current(),
        }
    }

    /// Returns the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// Returns an error if the thread is not inside a tokio runtime.
    pub fn try_current() -> Result<Self, TryCurrentError> {
        Ok(Self {
            handle: Handle::try_current()?,
        })
    }

    /// Lets any executor poll and drop an operation that needs tokio. The returned future enters
    /// this runtime for each poll, and for the drop of the operation.
    ///
    /// An operation of `Group::work` is polled and dropped wherever one of its callers is, which
    /// can be another executor.
    ///
    /// ```
    /// use oneflight_core::Group;
    /// use oneflight_tokio::Tokio;
    /// use std::time::Duration;
    ///
    /// let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    /// let tokio = Tokio::from(runtime.handle().clone());
    /// let group: Group<&str, u64> = Group::new();
    /// let outcome = group.work("k", || {
    ///     tokio.in_context(async {
    ///         tokio::time::sleep(Duration::from_millis(1)).await;
    ///         7
    ///     })
    /// });
    /// // Polled by an executor that is not tokio.
    /// assert_eq!(*futures_lite::future::block_on(outcome).unwrap(), 7);
    /// ```
    pub fn in_context<F: Future>(&self, operation: F) -> InContext<F> {
        InContext {
            handle: self.handle.clone(),
            operation: Some(operation),
        }
    }
}

impl From<Handle> for Tokio {
    fn from(handle: Handle) -> Self {
        Self { handle }
    }
}

impl Spawn for Tokio {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        drop(self.handle.spawn(task));
    }
}

impl SpawnBlocking for Tokio {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        drop(self.handle.spawn_blocking(call));
    }
}

impl Timer for Tokio {
    type Sleep = tokio::time::Sleep;

    #[track_caller]
    fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        let _entered = self.handle.enter();
        tokio::time::sleep(duration)
    }
}

pin_project! {
    /// A future that enters a tokio runtime while it is polled or dropped. Returned by
    /// [`Tokio::in_context`].
    ///
    /// # Cancel safety
    ///
    /// It has the cancel safety of the future inside.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct InContext<F> {
        handle: Handle,
        // Taken out by the drop alone.
        #[pin]
        operation: Option<F>,
    }

    impl<F> PinnedDrop for InContext<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.handle.enter();
            this.operation.set(None);
        }
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.handle.enter();
        match this.operation.as_pin_mut() {
            Some(operation) => operation.poll(cx),
            None => unreachable!("only the drop takes it"),
        }
    }
}

/// A clock for groups and gates that follows tokio's.
///
/// Use it in tests. If [`pause`] has stopped the time of a runtime and [`advance`] moves it, replay
/// windows and ages follow. Elsewhere it shows the same time as the default clock, so a group can
/// have it in production too. It needs tokio's feature `time` only; `pause` and `advance` need
/// `test-util`.
///
/// [`pause`]: https://docs.rs/tokio/latest/tokio/time/fn.pause.html
/// [`advance`]: https://docs.rs/tokio/latest/tokio/time/fn.advance.html
///
/// Its zero is the moment when it is made. You can make it outside every runtime. Clones have the
/// same zero.
///
/// It reads the time of the runtime of the calling thread. A thread outside every runtime reads the
/// real time. So in a test with a paused runtime, call the group from inside that runtime only.
/// Otherwise the group gets two different times.
///
/// # Examples
///
/// ```
/// use oneflight_core::{Begin, Group};
/// use oneflight_tokio::TokioClock;
/// use std::time::Duration;
///
/// let runtime = tokio::runtime::Builder::new_current_thread()
///     .enable_time()
///     .start_paused(true)
///     .build()
///     .unwrap();
/// runtime.block_on(async {
///     let group: Group<&str, u64> = Group::builder()
///         .retain_for(Duration::from_secs(60))
///         .clock(TokioClock::default())
///         .build();
///     let Begin::Primary(primary) = group.begin("charge:42") else { unreachable!() };
///     primary.settle(1999).unwrap();
///     tokio::time::advance(Duration::from_secs(59)).await;
///     assert!(group.peek("charge:42").is_some());
///     tokio::time::advance(Duration::from_secs(1)).await;
///     assert!(group.peek("charge:42").is_none());
/// });
/// ```
#[derive(Clone, Debug)]
pub struct TokioClock {
    zero: Instant,
}

impl Default for TokioClock {
    /// Makes a clock whose zero is now.
    fn default() -> Self {
        Self {
            zero: Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        // A thread outside the runtime can be behind a time that was advanced.
        Instant::now().saturating_duration_since(self.zero)
    }
}
