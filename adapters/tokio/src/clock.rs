//! [`TokioClock`]: the time of tokio, for replay windows and ages.

use core::time::Duration;

use oneflight_core::clock::Clock;
use tokio::time::Instant;

/// A clock for groups and gates that follows tokio's.
///
/// Use it in tests: where [`tokio::time::pause`] has stopped the time of a runtime and
/// [`tokio::time::advance`] moves it, replay windows and ages follow. Elsewhere it shows the same
/// time as the default clock, so a group can have it in production too. It needs tokio's feature
/// `time` only; `pause` and `advance` need `test-util`.
///
/// Its zero is the moment when it is made, also outside every runtime. Clones have the same zero.
///
/// It asks the runtime of the thread that reads it, which is the thread that calls the group. A
/// thread outside every runtime reads the real time. So in a test with a paused runtime call the
/// group from inside that runtime only, or it sees two times.
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
///         .retain(Duration::from_secs(60))
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
