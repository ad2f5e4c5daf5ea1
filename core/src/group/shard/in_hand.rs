//! [`InHand`]: who has a shared operation, and lets the flight be over when it is gone. And how a
//! part of an operation is run.

use core::mem;
use core::task::Waker;

use crate::error::Cause;
use crate::flight::reentry::Entered;
use crate::flight::{FlightRef, Operation, OwnWaker, Polled};
use crate::group::shard::Shard;
use crate::unwind::OnDrop;

/// A shared operation in the hand of one caller. If it is still here when this is dropped, its
/// flight has ended: it is dropped, and then the flight is over.
pub(crate) struct InHand<'a, K, T> {
    shard: &'a Shard<K, T>,
    flight: &'a FlightRef<K, T>,
    pub(crate) operation: Option<Operation<T>>,
}

impl<K, T> Shard<K, T> {
    /// Runs a part of the flight's operation. Its panic ends the flight as panicked, and a wait for
    /// the flight's own key is detected meanwhile. If the part is a poll, `wakers` are those of
    /// [`Entered::new`].
    pub(crate) fn guarded<R>(
        &self,
        flight: &FlightRef<K, T>,
        wakers: Option<[&Waker; 2]>,
        part: impl FnOnce() -> R,
    ) -> R {
        // It is forgotten when the part returns, so it works without `std` too: it does not have to
        // ask whether the thread unwinds.
        let panicked = OnDrop(|| {
            self.abort(flight, Cause::Panicked);
        });
        let entered = Entered::new(flight, wakers);
        let result = part();
        // Not at the end of a block: if a subscriber panicked there, the result would be leaked.
        drop(entered);
        mem::forget(panicked);
        result
    }
}

impl<'a, K, T> InHand<'a, K, T> {
    pub(crate) fn new(
        shard: &'a Shard<K, T>,
        flight: &'a FlightRef<K, T>,
        operation: Option<Operation<T>>,
    ) -> Self {
        Self {
            shard,
            flight,
            operation,
        }
    }
}

impl<K, T: 'static> InHand<'_, K, T> {
    /// The operation, which has not been put back, and the waker to poll it with.
    #[inline(always)]
    pub(crate) fn polled(&mut self) -> (Polled<'_, T>, OwnWaker<'_>) {
        match &mut self.operation {
            Some(operation) => operation.with_waker(),
            None => unreachable!("it is polled before it is put back"),
        }
    }
}

impl<K, T> Drop for InHand<'_, K, T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            let _then = OnDrop(|| self.shard.gone(self.flight));
            drop(operation);
        }
    }
}
