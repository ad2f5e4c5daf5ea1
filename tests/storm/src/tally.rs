//! [`Tally`]: a count that can be waited for, so that nothing here waits for time to pass.

use std::time::Duration;

use oneflight::SettleCell;
use parking_lot::{Condvar, Mutex};

/// Counts arrivals up to a target.
#[derive(Debug)]
pub(crate) struct Tally {
    target: usize,
    count: Mutex<usize>,
    /// For threads that wait.
    changed: Condvar,
    /// For tasks that wait.
    reached: SettleCell<()>,
}

impl Tally {
    pub(crate) fn new(target: usize) -> Self {
        Self {
            target,
            count: Mutex::new(0),
            changed: Condvar::new(),
            reached: SettleCell::new(),
        }
    }

    pub(crate) fn add(&self) {
        let mut count = self.count.lock();
        *count += 1;
        if *count == self.target {
            self.changed.notify_all();
            drop(count);
            drop(self.reached.settle(()));
        }
    }

    pub(crate) fn count(&self) -> usize {
        *self.count.lock()
    }

    /// Parks the calling thread until the target is reached, for `limit` at the most. Returns the
    /// count.
    pub(crate) fn wait(&self, limit: Duration) -> usize {
        let mut count = self.count.lock();
        let short = |count: &mut usize| *count < self.target;
        self.changed.wait_while_for(&mut count, short, limit);
        *count
    }

    /// Waits until the target, which is not 0, is reached.
    pub(crate) async fn reached(&self) {
        self.reached.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_is_never_reached_ends_at_the_limit() {
        let tally = Tally::new(2);
        tally.add();
        assert_eq!(tally.wait(Duration::ZERO), 1);
    }

    #[test]
    fn arrivals_on_other_threads_are_waited_for() {
        let tally = Tally::new(3);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| tally.add());
            }
            futures_lite::future::block_on(tally.reached());
            assert_eq!(tally.wait(Duration::from_secs(30)), 3);
        });
    }
}
