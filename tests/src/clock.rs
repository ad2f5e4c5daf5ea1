//! A clock that stands still until the case turns it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oneflight::clock::Clock;

/// Turned by hand. A clone is the same clock.
#[derive(Clone, Debug, Default)]
pub struct HandClock(Arc<AtomicU64>);

impl HandClock {
    /// Turns it.
    pub fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}
