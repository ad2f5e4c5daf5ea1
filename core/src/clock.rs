//! [`Clock`]: where time comes from, for what needs it: the replay window and the age of a flight.

use core::time::Duration;

/// A source of time.
///
/// It never runs backwards, and its zero may be anywhere. Read before any lock is taken; nothing
/// else is asked of it, and no timer and no thread stand behind what uses it.
///
/// ```
/// use core::sync::atomic::{AtomicU64, Ordering};
/// use core::time::Duration;
/// use oneflight_core::Clock;
///
/// /// A clock that a test turns by hand, or that a timer interrupt does.
/// #[derive(Default)]
/// struct Ticks(AtomicU64);
///
/// impl Clock for Ticks {
///     fn now(&self) -> Duration {
///         Duration::from_millis(self.0.load(Ordering::Relaxed))
///     }
/// }
/// # assert_eq!(Ticks::default().now(), Duration::ZERO);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The time since this clock's zero.
    fn now(&self) -> Duration;
}

impl<C: Clock + ?Sized> Clock for alloc::sync::Arc<C> {
    fn now(&self) -> Duration {
        (**self).now()
    }
}

/// The monotonic clock of `std`. The default.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(std::time::Instant);

#[cfg(feature = "std")]
impl Default for Monotonic {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

#[cfg(feature = "std")]
impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
