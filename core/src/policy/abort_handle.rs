//! [`AbortHandle`]: aborts a spawned operation on purpose.

use alloc::boxed::Box;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

use crate::error::Cause;
use crate::flight::{FlightId, FlightRef};
use crate::group::shard::Shard;
use crate::sync::Arc;

/// Aborts a spawned operation on purpose. Returned by
/// [`Spawned::abort_handle`](crate::handle::Spawned::abort_handle).
///
/// Dropping it does not abort the operation. Keeping it does not keep the operation of a
/// `spawn_while_wanted` running. It holds neither the key nor the value of the flight, because it
/// finds the flight by its id.
#[derive(Clone)]
pub struct AbortHandle {
    /// No pointer to an unsized `Arc` is relied on, so what is erased is in a box.
    shard: Arc<Box<dyn AbortById>>,
    hash: u64,
    id: FlightId,
}

/// A shard, whatever its keys and values are.
trait AbortById: Send + Sync {
    fn abort(&self, hash: u64, id: FlightId) -> bool;
}

impl<K: Send + Sync, T: Send + Sync> AbortById for Arc<Shard<K, T>> {
    fn abort(&self, hash: u64, id: FlightId) -> bool {
        self.find(hash, id)
            .is_some_and(|flight| Shard::abort(self, &flight, Cause::Cancelled))
    }
}

impl AbortHandle {
    pub(super) fn new<K, T>(shard: &Arc<Shard<K, T>>, flight: &FlightRef<K, T>) -> Self
    where
        K: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        Self {
            shard: Arc::new(Box::new(shard.clone())),
            hash: flight.hash,
            id: flight.id,
        }
    }

    /// Ends the flight if it is still in progress, also one that was forgotten. Its waiters get
    /// [`Cause::Cancelled`] at once, and its task is woken to drop the operation. A blocking call
    /// that runs can't be stopped, and its value is dropped. A task or a blocking call that has not
    /// begun never begins. Returns true if this call ended the flight.
    pub fn abort(&self) -> bool {
        self.shard.abort(self.hash, self.id)
    }
}

impl UnwindSafe for AbortHandle {}
impl RefUnwindSafe for AbortHandle {}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
