//! One value without a key, which is settled once, and what tells those who wait for it.
//!
//! | file | its job |
//! |---|---|
//! | `settle_cell` | the value, the settler, how long what hangs on it lives; with `unsafe` |
//! | `settle_cell/waits` | who waits at a cell, and how they are told |
//! | `standalone` | [`SettleCell`]: a cell on its own, without a flight |
//! | `state` | the states of a cell, as one atomic word |
//! | `state/wanted`, `state/apart` | who leaves it as the last one; who has a place of its own |
//! | `waiting_room` | the tasks that wait for one cell, and a pool of rooms that are used again |
//! | `slab`, `wake` | wakers in compact memory; firing them in batches, under no lock |
//! | `blocking` | threads that park until the cell has ended |

#[cfg(all(feature = "std", not(target_family = "wasm")))]
mod blocking;
#[allow(
    unsafe_code,
    reason = "with `flight::memory`, the one place that argues for it"
)]
mod settle_cell;
mod slab;
mod standalone;
mod state;
mod waiting_room;
mod wake;

pub use standalone::{SettleCell, Wait};

pub(crate) use settle_cell::RawCell;
pub(crate) use slab::{Few, MarkedPlace, Place, Slab, Slot};
pub(crate) use state::{Join, Left, Snapshot};
pub(crate) use wake::{TakenWaker, fire, fire_one};

use state::Apart;

impl<T, B> RawCell<T, B> {
    /// The operation begins. Returns false if the cell has ended: then it must not begin.
    pub(crate) fn begin(&self) -> bool {
        self.state.begin()
    }

    /// See [`State::leave_wanted`](state::State::leave_wanted).
    pub(crate) fn leave_wanted(&self) -> Left {
        self.state.leave_wanted()
    }

    /// See [`State::disown`](state::State::disown).
    pub(crate) fn disown(&self) -> Left {
        self.state.disown()
    }

    /// The owner's waker is in its place. Returns false if the cell has ended.
    #[inline(always)]
    pub(crate) fn set_owner_parked(&self) -> bool {
        self.state.set_parked(Apart::Owner)
    }

    /// Takes the right to the owner's waker, if it is in its place. For the owner and the ender.
    #[inline(always)]
    pub(crate) fn unset_owner_parked(&self) -> bool {
        self.state.unset_parked(Apart::Owner)
    }

    /// See [`State::keep`](state::State::keep).
    pub(crate) fn keep(&self) {
        self.state.keep();
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use core::task::{Context, Poll, Waker};

    use super::*;
    use crate::error::Cause;

    /// A cell with something attached, and a second handle on that.
    fn cell(sheds: bool) -> (RawCell<u8, Arc<()>>, Arc<()>) {
        let attached = Arc::new(());
        (
            RawCell::new(Some(attached.clone()), Snapshot::open(sheds)),
            attached,
        )
    }

    fn park(cell: &RawCell<u8, Arc<()>>, place: &mut Place) -> Poll<bool> {
        let polled = cell.poll_end(place, &mut Context::from_waker(Waker::noop()));
        polled.map(Snapshot::settled)
    }

    #[test]
    fn a_cell_that_sheds_keeps_only_its_value_when_all_have_been_told() {
        for (sheds, handles) in [(true, 1), (false, 2)] {
            let (cell, attached) = cell(sheds);
            let mut place = Place::NONE;
            assert!(park(&cell, &mut place).is_pending());
            let Ok(before) = cell.record(7) else {
                unreachable!("the first one")
            };
            assert_eq!(Arc::strong_count(&attached), 2);
            cell.tell(before);
            assert_eq!(Arc::strong_count(&attached), handles);
            assert_eq!(cell.has_room(), !sheds);
            assert_eq!(cell.has_attached(), !sheds);
            // One who was parked, and one who comes late.
            assert_eq!(park(&cell, &mut place), Poll::Ready(true));
            cell.vacate(&mut place);
            assert_eq!(park(&cell, &mut Place::NONE.clone()), Poll::Ready(true));
            assert_eq!((cell.has_room(), cell.get()), (!sheds, Some(&7)));
        }
    }

    #[test]
    fn an_abort_that_tells_nobody_sheds_too() {
        let (cell, attached) = cell(true);
        let before = cell.abort(Cause::Dropped);
        cell.tell(before.unwrap_or_else(|| unreachable!("the first end")));
        assert_eq!(Arc::strong_count(&attached), 1);
    }

    #[test]
    fn the_last_call_inside_sheds() {
        let (cell, attached) = cell(true);
        let inside = cell.with_attached(|_| {
            cell.with_attached(|_| {
                let before = cell.abort(Cause::Dropped);
                cell.tell(before.unwrap_or_else(|| unreachable!("the first end")));
            });
            assert!(!cell.has_attached(), "entered after all were told");
            Arc::strong_count(&attached)
        });
        assert_eq!((inside, Arc::strong_count(&attached)), (Some(2), 1));
    }
}
