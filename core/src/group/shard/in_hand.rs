//! [`InHand`]: who has a shared operation, and lets the flight be over when it is gone.

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
