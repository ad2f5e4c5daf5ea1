//! [`After`]: what a critical section leaves to be done when the shard's lock has been released.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::cell::Snapshot;
use crate::error::Cause;
use crate::flight::{FlightRef, Operation};
use crate::group::places::{Mark, Vacated};
use crate::group::shard::Shard;
use crate::group::shard::extras::Drain;
use crate::group::shard::in_hand::InHand;
use crate::group::shard::line::Waits;
use crate::sync::Arc;
use crate::unwind::{discard, for_each};

/// What is left to do when the shard's lock has been released. Its drop does it, also when that
/// happens by unwinding. Most of the time it is nothing.
#[must_use = "dropped after the lock is released, it tells and drops what it holds"]
pub(crate) struct After<K, T>(Option<Box<Pending<K, T>>>);

/// A flight that was ended under the lock: its waiters are to be woken, and its shared operation is
/// to be dropped.
pub(super) struct Superseded<K, T> {
    pub(super) shard: Arc<Shard<K, T>>,
    pub(super) flight: FlightRef<K, T>,
    /// The state that its end returned.
    pub(super) before: Snapshot,
    /// That operation, if it was taken out under the lock.
    pub(super) operation: Option<Operation<T>>,
}

pub(super) struct Pending<K, T> {
    pub(super) superseded: Vec<Superseded<K, T>>,
    /// Flights that do not wait for a gate any more: their callers are to be woken.
    pub(super) turns: Vec<Waits<K, T>>,
    /// A flight that does not wait any more since its caller has left.
    pub(super) left: Option<Waits<K, T>>,
    /// This shard is closed and has no flight left.
    pub(super) drain: Option<Arc<Drain>>,
    /// Flights that were removed. Their last handles can be here, and then their drop is the
    /// user's.
    removed: Vec<FlightRef<K, T>>,
    /// Flights that are not retained any more.
    not_retained: Vec<Vacated<K, T>>,
}

impl<K, T> Default for After<K, T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K, T> After<K, T> {
    pub(super) fn pending(&mut self) -> &mut Pending<K, T> {
        self.0.get_or_insert_with(|| {
            Box::new(Pending {
                superseded: Vec::new(),
                turns: Vec::new(),
                left: None,
                drain: None,
                removed: Vec::new(),
                not_retained: Vec::new(),
            })
        })
    }

    pub(super) fn drop_flight(&mut self, flight: FlightRef<K, T>) {
        self.pending().removed.push(flight);
    }

    /// A flight of the shard is not retained any more.
    pub(super) fn drop_retained(&mut self, shard: &Shard<K, T>, mark: Mark<K, T>) {
        if let Some(places) = &shard.places {
            let vacated = Vacated::new(places, mark);
            self.pending().not_retained.push(vacated);
        }
    }

    /// Does what is pending now.
    pub(super) fn run(&mut self) {
        drop(self.0.take());
    }
}

impl<K, T> Drop for Pending<K, T> {
    fn drop(&mut self) {
        let Self {
            superseded,
            turns,
            left,
            drain,
            removed,
            not_retained,
        } = self;
        // Each step can run wakers or drops of the user's. If one panics, the next ones are done
        // all the same.
        let steps: [&mut dyn FnMut(); 6] = [
            &mut || for_each(not_retained.drain(..), drop),
            &mut || for_each(superseded.drain(..), Superseded::tell),
            &mut || for_each(turns.drain(..), |waits| waits.call()),
            &mut || {
                if let Some(drain) = drain.take() {
                    drain.arrive();
                }
            },
            &mut || discard(left.take()),
            &mut || for_each(removed.drain(..), discard),
        ];
        for_each(steps.into_iter(), |step| step());
    }
}

impl<K, T> Superseded<K, T> {
    fn tell(self) {
        let Self {
            shard,
            flight,
            before,
            operation,
        } = self;
        let cause = Some(Cause::Superseded);
        let reruns = || flight.reruns();
        let _reported_last = flight.observed.report_end_on_drop(cause, before, reruns);
        let found = flight.end_attached();
        let _in_hand = InHand::new(&shard, &flight, operation.or(found.operation));
        flight.tell(before, found.parked);
    }
}
