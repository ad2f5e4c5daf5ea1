//! [`Drained`]: waiting until a closed group has no flight left.

use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::cell::SettleCell;
use crate::slab::Seat;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Settled when every shard of a group is closed and has no flight left. That happens once: a
/// closed shard begins nothing more.
pub(crate) struct Drain {
    cell: SettleCell<()>,
    /// Shards that are not closed and empty yet.
    shards: AtomicUsize,
}

impl Drain {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            cell: SettleCell::new(),
            shards: AtomicUsize::new(shards),
        }
    }

    /// A shard is closed and empty; called once for each, under no lock.
    pub(crate) fn arrive(&self) {
        if self.shards.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.cell.settle(());
        }
    }
}

/// Resolves when a closed group has no flight left. From [`Group::drained`](crate::Group::drained).
///
/// # Cancel safety
///
/// Dropping it loses nothing; call [`Group::drained`](crate::Group::drained) again.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Drained {
    drain: Arc<Drain>,
    seat: Seat,
}

impl Drained {
    pub(crate) fn new(drain: Arc<Drain>) -> Self {
        Self {
            drain,
            seat: Seat::NONE,
        }
    }
}

impl Future for Drained {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.drain.cell.poll_end(&mut this.seat, cx).map(|_| ())
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        self.drain.cell.unseat(&mut self.seat);
    }
}

impl UnwindSafe for Drained {}
impl RefUnwindSafe for Drained {}

impl fmt::Debug for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drained")
            .field("drained", &self.drain.cell.get().is_some())
            .finish_non_exhaustive()
    }
}
