//! [`Tally`]: a count that a thread can wait for, so that nothing here waits for time to pass.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts arrivals up to a target.
pub(crate) struct Tally {
    target: usize,
    count: Mutex<usize>,
    reached: Condvar,
}

impl Tally {
    pub(crate) fn new(target: usize) -> Self {
        Self {
            target,
            count: Mutex::new(0),
            reached: Condvar::new(),
        }
    }

    pub(crate) fn add(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        if *count >= self.target {
            self.reached.notify_all();
        }
    }

    /// Parks the calling thread until the target is reached, for `limit` at the most. Says how many have arrived.
    pub(crate) fn wait(&self, limit: Duration) -> usize {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = self
            .reached
            .wait_timeout_while(count, limit, |count| *count < self.target)
            .unwrap_or_else(PoisonError::into_inner);
        *count
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
            assert_eq!(tally.wait(Duration::from_secs(30)), 3);
        });
    }
}
