//! Which flights this thread is inside of: an operation that begins its own key would wait for
//! itself.
//!
//! While an operation is polled or made, its flight is on a stack of this thread. A begin that
//! finds itself joining a flight on that stack is rejected. Calls from elsewhere (a task that the
//! operation spawned and waits for) are not detected, and without `std` none is.

use alloc::vec::Vec;
use core::cell::RefCell;

use crate::flight::Flight;
use crate::flight::observe::EnteredSpan;
use crate::sync::{Arc, thread_local};

thread_local! {
    static STACK: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// This thread polls or makes the operation of a flight, until this is dropped.
pub(crate) struct Entered<'a, K, T> {
    /// Keeps the flight alive, so that no other flight has its address.
    flight: &'a Arc<Flight<K, T>>,
    pushed: bool,
    _span: EnteredSpan,
}

impl<'a, K, T> Entered<'a, K, T> {
    pub(crate) fn new(flight: &'a Arc<Flight<K, T>>) -> Self {
        // Before the flight is on the stack: a subscriber can panic, and then nothing would remove
        // the flight.
        let span = flight.observed.enter();
        // Fails while the thread is torn down.
        let pushed = STACK.try_with(|stack| stack.borrow_mut().push(address(flight)));
        Self {
            flight,
            pushed: pushed.is_ok(),
            _span: span,
        }
    }
}

impl<K, T> Drop for Entered<'_, K, T> {
    #[inline]
    fn drop(&mut self) {
        if self.pushed {
            leave(address(self.flight));
        }
    }
}

/// Takes down one entry of this flight, by identity: with stackful coroutines polls can end in any
/// order. Nearly always it is the last one.
fn leave(address: usize) {
    let _ = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        if stack.last() == Some(&address) {
            stack.pop();
        } else if let Some(at) = stack.iter().rposition(|other| *other == address) {
            stack.remove(at);
        }
    });
}

/// Whether this thread is inside the operation of this flight.
#[inline]
pub(crate) fn is_inside<K, T>(flight: &Arc<Flight<K, T>>) -> bool {
    // Nearly always the stack is empty, and this is all that a duplicate asks.
    let empty = STACK.try_with(|stack| stack.borrow().is_empty());
    !empty.unwrap_or(true) && contains(address(flight))
}

fn contains(address: usize) -> bool {
    STACK
        .try_with(|stack| stack.borrow().contains(&address))
        .unwrap_or(false)
}

fn address<K, T>(flight: &Arc<Flight<K, T>>) -> usize {
    core::ptr::from_ref::<Flight<K, T>>(flight).addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::RawCell;
    use crate::flight::FlightId;
    use crate::flight::observe::Observed;

    #[test]
    fn polls_can_end_in_any_order() {
        let [one, other] = [1, 2].map(|count| {
            Arc::new(Flight::<_, u8> {
                cell: RawCell::new(None, false),
                key: count,
                hash: 0,
                id: FlightId::new(0, count, 1),
                observed: Observed::new(),
            })
        });
        let first = Entered::new(&one);
        let second = Entered::new(&other);
        let again = Entered::new(&other);
        drop(first);
        assert!(!is_inside(&one) && is_inside(&other));
        drop(second);
        assert!(is_inside(&other));
        drop(again);
        assert!(!is_inside(&other));
    }
}
