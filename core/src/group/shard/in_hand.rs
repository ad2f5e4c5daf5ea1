//! [`InHand`]: who has a shared operation, and lets the flight be over when it is gone.

use core::task::{Context, Poll};

use crate::flight::Flight;
use crate::flight::operation::Operation;
use crate::group::shard::Shard;
use crate::sync::Arc;
use crate::unwind::OnDrop;

/// A shared operation in the hand of one caller. If it is still here when this is dropped, its
/// flight has ended: it is dropped, and then the flight is over.
pub(crate) struct InHand<'a, K, T> {
    shard: &'a Shard<K, T>,
    flight: &'a Arc<Flight<K, T>>,
    pub(crate) operation: Option<Operation<T>>,
}

impl<'a, K, T> InHand<'a, K, T> {
    pub(crate) fn new(
        shard: &'a Shard<K, T>,
        flight: &'a Arc<Flight<K, T>>,
        operation: Option<Operation<T>>,
    ) -> Self {
        Self {
            shard,
            flight,
            operation,
        }
    }
}

impl<K, T> InHand<'_, K, T> {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.operation {
            Some(operation) => operation.poll(cx),
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
