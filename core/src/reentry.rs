//! Seeing an operation that begins its own key from within itself: it would wait for itself.
//!
//! While an operation is polled or made, its flight stands on a stack of this thread. A begin that
//! finds itself joining a flight on that stack is turned away. What runs elsewhere (a task that the
//! operation spawned and waits for) is not seen. Without `std` nothing is.

use crate::flight::Flight;
use crate::observe::Inside;
use crate::sync::Arc;

#[cfg(feature = "std")]
mod stack {
    use alloc::vec::Vec;
    use core::cell::RefCell;

    crate::sync::thread_local! {
        static STACK: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    /// The closure runs nothing of the user's. `None` while the thread is being torn down.
    pub(super) fn with<R>(f: impl FnOnce(&mut Vec<usize>) -> R) -> Option<R> {
        STACK.try_with(|stack| f(&mut stack.borrow_mut())).ok()
    }

    /// What every duplicate asks first, and nearly always all that it asks.
    #[inline(always)]
    pub(super) fn is_empty() -> bool {
        STACK
            .try_with(|stack| stack.borrow().is_empty())
            .unwrap_or(true)
    }
}

/// This thread polls or makes the operation of a flight, until this is dropped.
pub(crate) struct Entered<'a, K, T> {
    /// Keeps the flight alive, so that its address means it and no other.
    _flight: &'a Arc<Flight<K, T>>,
    #[cfg(feature = "std")]
    pushed: bool,
    _inside: Inside,
}

impl<'a, K, T> Entered<'a, K, T> {
    #[inline]
    pub(crate) fn new(flight: &'a Arc<Flight<K, T>>) -> Self {
        // Before the flight stands on the stack: a subscriber may panic, and then nothing would take it down.
        let inside = flight.observed.enter();
        Self {
            _flight: flight,
            #[cfg(feature = "std")]
            pushed: stack::with(|stack| stack.push(address(flight))).is_some(),
            _inside: inside,
        }
    }
}

#[cfg(feature = "std")]
impl<K, T> Drop for Entered<'_, K, T> {
    #[inline]
    fn drop(&mut self) {
        if self.pushed {
            stack::with(|stack| stack.pop());
        }
    }
}

/// Whether this thread is inside the operation of this flight.
#[inline]
pub(crate) fn is_inside<K, T>(flight: &Arc<Flight<K, T>>) -> bool {
    #[cfg(feature = "std")]
    return !stack::is_empty()
        && stack::with(|stack| stack.contains(&address(flight))).unwrap_or(false);
    #[cfg(not(feature = "std"))]
    {
        let _ = flight;
        false
    }
}

#[cfg(feature = "std")]
fn address<K, T>(flight: &Arc<Flight<K, T>>) -> usize {
    core::ptr::from_ref::<Flight<K, T>>(flight).addr()
}
