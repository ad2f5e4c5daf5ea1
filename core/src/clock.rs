//! [`Clock`]: where time comes from, for what needs it: the replay window and the age of a flight.

use core::time::Duration;

/// A source of time.
///
/// It must never run backwards. Its zero can be anywhere. A group reads it under no lock. It needs
/// no timer and no thread.
///
/// # The default clock
///
/// With `std` the default is the clock of `std::time::Instant`. `std` does not specify whether that
/// clock runs while the machine is suspended: it depends on the platform, and can change. Today the
/// clock stops on Linux (`CLOCK_MONOTONIC`) and on macOS, and runs on Windows. So on a machine that
/// sleeps, a replay window, or the age that `supersede_after` allows, can be longer by the wall
/// clock than the time that was set. It is never shorter. If that matters to you, give the builder
/// a clock of your own. Without `std`, and on `wasm32-unknown-unknown`, there is no default.
///
/// # Examples
///
/// ```
/// use core::sync::atomic::{AtomicU64, Ordering};
/// use core::time::Duration;
/// use oneflight_core::clock::Clock;
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
    /// Returns the time since this clock's zero.
    fn now(&self) -> Duration;
}

// Where there is one: on a target without compare-and-swap `alloc` has none.
#[cfg(target_has_atomic = "ptr")]
impl<C: Clock + ?Sized> Clock for alloc::sync::Arc<C> {
    fn now(&self) -> Duration {
        (**self).now()
    }
}

#[cfg(all(
    feature = "std",
    not(all(target_family = "wasm", target_os = "unknown"))
))]
mod monotonic {
    use alloc::boxed::Box;
    use core::time::Duration;
    use std::time::Instant;

    use super::Clock;

    /// The monotonic clock of `std`. The default.
    ///
    /// Not on `wasm32-unknown-unknown`, where `std` has no clock.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Monotonic(Instant);

    impl Default for Monotonic {
        fn default() -> Self {
            Self(Instant::now())
        }
    }

    impl Clock for Monotonic {
        fn now(&self) -> Duration {
            self.0.elapsed()
        }
    }

    pub(crate) fn default() -> Option<Box<dyn Clock>> {
        Some(Box::new(Monotonic::default()))
    }
}

#[cfg(not(all(
    feature = "std",
    not(all(target_family = "wasm", target_os = "unknown"))
)))]
mod monotonic {
    use alloc::boxed::Box;

    use super::Clock;

    pub(crate) fn default() -> Option<Box<dyn Clock>> {
        None
    }
}

/// The clock of a group that is given none, where there is one.
pub(crate) use monotonic::default;

/// Now, where `std` can tell.
#[cfg(feature = "metrics")]
pub(crate) fn instant() -> Option<std::time::Instant> {
    let can = !cfg!(all(target_family = "wasm", target_os = "unknown"));
    can.then(std::time::Instant::now)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::time::Instant;

    use super::monotonic::Monotonic;
    use super::*;

    #[test]
    fn the_clock_of_std_goes_on() {
        let clock = Monotonic::default();
        let begun = Instant::now();
        while begun.elapsed().is_zero() {}
        assert!(clock.now() > Duration::ZERO);
    }
}
