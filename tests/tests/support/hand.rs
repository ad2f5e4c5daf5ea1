//! A clock that is turned by hand, and keys that do as they are told when they are compared or dropped.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneflight_core::Clock;

use super::Act;

#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn turn(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// Equal to any other with its number.
pub(crate) struct Key {
    number: u32,
    on_eq: Mutex<Option<Act>>,
    on_drop: Option<Mutex<Act>>,
}

impl Key {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            on_eq: Mutex::default(),
            on_drop: None,
        }
    }

    /// At the first comparison.
    pub(crate) fn on_eq(mut self, act: impl FnOnce() + Send + 'static) -> Self {
        self.on_eq = Mutex::new(Some(Box::new(act)));
        self
    }

    pub(crate) fn on_drop(number: u32, act: impl FnOnce() + Send + 'static) -> Self {
        Self {
            number,
            on_eq: Mutex::default(),
            on_drop: Some(Mutex::new(Box::new(act))),
        }
    }

    fn compared(&self) {
        let act = self.on_eq.lock().expect("never held over user code").take();
        if let Some(act) = act {
            act();
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.compared();
        other.compared();
        self.number == other.number
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if let Some(act) = self.on_drop.take() {
            act.into_inner().expect("never held over user code")();
        }
    }
}
