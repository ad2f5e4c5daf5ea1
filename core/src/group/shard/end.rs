//! How a flight ends. There is one order, and it is the promise "a woken waiter that begins the
//! same key again starts a new flight":
//!
//! 1. **record**: the outcome is published in the flight's cell. The read-modify-write of the
//!    cell's state decides which call ends the flight; only that call does the rest.
//! 2. **free the key**: under the lock, the flight is removed by identity and its end is counted.
//! 3. **tell**: under no lock, participants and waiters are woken, the end is reported, and what
//!    else this end brings about is done ([`After`]).
//!
//! A flight that is too old is ended in the middle of a search ([`Table::supersede`]): recorded and
//! freed in one critical section, and told after it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::task::Waker;

use crate::cell::Snapshot;
use crate::error::{Cause, SettleError};
use crate::flight::Flight;
use crate::flight::operation::Operation;
use crate::flight::reentry::Entered;
use crate::group::places::{Mark, Vacated};
use crate::group::shard::Shard;
use crate::group::shard::extras::Drain;
use crate::group::shard::line::Signal;
use crate::group::shard::retained::Place;
use crate::group::shard::table::{RemoveSettled, Removed, Table};
use crate::sync::Arc;
use crate::unwind::{discard, for_each};

impl<K, T> Shard<K, T> {
    /// Settles the flight, unless it has ended before. Returns whether it had its key still when
    /// the key was freed.
    #[inline(always)]
    pub(crate) fn settle(
        &self,
        flight: &Arc<Flight<K, T>>,
        value: T,
    ) -> Result<bool, SettleError<T>> {
        if self.rules().is_some() {
            return self.settle_by_rules(flight, value);
        }
        match flight.cell.record(value) {
            Ok(before) => {
                if self.remove_settled(flight, before) {
                    let _reported_last = flight.observed.report_end_on_drop(None);
                    flight.tell(before);
                    Ok(true)
                } else {
                    Ok(self.free_and_tell(flight, before, None, Place::NotWanted))
                }
            }
            Err(value) => Err(too_late(flight, value)),
        }
    }

    /// Settles a flight that can be retained.
    fn settle_by_rules(
        &self,
        flight: &Arc<Flight<K, T>>,
        value: T,
    ) -> Result<bool, SettleError<T>> {
        if flight.cell.snapshot().ended() {
            return Err(too_late(flight, value));
        }
        // The user's code decides whether the outcome is retained. Its panic ends the flight.
        let guard = AbortOnUnwind {
            flight,
            shard: self,
        };
        let stay = self.rules().and_then(|rules| rules.stay(&value));
        mem::forget(guard);
        match flight.cell.record(value) {
            Ok(before) => Ok(self.with_place(flight, stay, |place| {
                self.free_and_tell(flight, before, None, place)
            })),
            Err(value) => Err(too_late(flight, value)),
        }
    }

    /// Ends the flight without a value. Returns false if it has ended before.
    pub(crate) fn abort(&self, flight: &Arc<Flight<K, T>>, cause: Cause) -> bool {
        let Some(before) = flight.cell.abort(cause) else {
            return false;
        };
        self.free_and_tell(flight, before, Some(cause), Place::NotWanted);
        true
    }

    /// As [`abort`](Self::abort), for a flight that has its key still. A flight that was forgotten
    /// is left alone: that, too, is decided by the lock.
    pub(crate) fn abort_registered(&self, flight: &Arc<Flight<K, T>>, cause: Cause) -> bool {
        let before = self.table.with(|table| {
            let registered = table.is_registered(flight);
            registered.then(|| flight.cell.abort(cause)).flatten()
        });
        let Some(before) = before else {
            return false;
        };
        self.free_and_tell(flight, before, Some(cause), Place::NotWanted);
        true
    }

    /// The steps after the outcome is recorded. `before` is the state that the end returned. A
    /// flight with a cause was aborted; one with a place is retained. Returns whether the flight
    /// had its key still when the key was freed.
    fn free_and_tell(
        &self,
        flight: &Arc<Flight<K, T>>,
        before: Snapshot,
        cause: Option<Cause>,
        place: Place,
    ) -> bool {
        // Both are dropped last, also if a waker panics.
        let (had_key, _after) = self.free_key(flight, before, cause, place);
        let _reported = flight.observed.report_end_on_drop(cause);
        flight.tell(before);
        had_key
    }

    /// Removes a settled flight and counts it, if nothing else is to be done.
    #[inline(always)]
    fn remove_settled(&self, flight: &Arc<Flight<K, T>>, before: Snapshot) -> bool {
        if flight.cell.has_attached(before) {
            return false;
        }
        // The caller holds the flight too, so dropping the table's handle drops nothing of the
        // user's.
        let section = RemoveSettled { flight, before };
        self.table.enter(section).is_some()
    }

    /// Removes an ended flight, or retains it, and counts its end.
    fn free_key(
        &self,
        flight: &Arc<Flight<K, T>>,
        before: Snapshot,
        cause: Option<Cause>,
        place: Place,
    ) -> (bool, After<K, T>) {
        let reruns = flight.reruns(before);
        let mut after = After::default();
        let Removed {
            had_key,
            flight: _dropped_under_no_lock,
        } = self.table.with(|table| {
            table.counts.end(cause, before.duplicates(), reruns);
            if table.extras.is_none() {
                return table.remove(flight);
            }
            let removed = table.retain_or_remove(self, flight, place, &mut after);
            table.finish(self, flight, &mut after);
            removed
        });
        (had_key, after)
    }

    /// Runs a part of the flight's operation. Its panic ends the flight as panicked, and a wait for
    /// the flight's own key is detected meanwhile. If the part is a poll, `wakers` are those of
    /// [`Entered::new`].
    pub(crate) fn guarded<R>(
        &self,
        flight: &Arc<Flight<K, T>>,
        wakers: Option<[&Waker; 2]>,
        part: impl FnOnce() -> R,
    ) -> R {
        let guard = AbortOnUnwind {
            flight,
            shard: self,
        };
        let result = {
            let _entered = Entered::new(flight, wakers);
            part()
        };
        mem::forget(guard);
        result
    }

    /// The primary is lost: ends the flight, unless it was ended from outside.
    pub(crate) fn lose(&self, flight: &Arc<Flight<K, T>>, cause: Cause) {
        if !self.abort(flight, cause) {
            self.primary_is_done(flight);
        }
    }

    /// The primary of a flight that was ended from outside is done with it. Only a superseded
    /// flight is still here for that.
    #[cold]
    pub(crate) fn primary_is_done(&self, flight: &Arc<Flight<K, T>>) {
        if flight.cell.snapshot().cause() != Some(Cause::Superseded) {
            return;
        }
        let mut after = After::default();
        self.table.with(|table| {
            if table.remove_unregistered(flight).is_some() {
                table.extras_mut().drop_note(flight.id);
                table.finish(self, flight, &mut after);
            }
        });
    }

    /// No new flight begins after this. Duplicates still join.
    pub(crate) fn close(&self, drain: &Arc<Drain>) {
        let mut after = After::default();
        self.table.with(|table| {
            let extras = table.extras_mut();
            if !extras.closed {
                extras.closed = true;
                extras.drain = Some(drain.clone());
                table.drain_if_idle(&mut after);
            }
        });
    }
}

impl<K, T> Table<K, T> {
    /// The flight counts for no limit any more, holds no gate, and does not keep the group from
    /// draining. Called once for each flight: by its ender, or, if it was superseded, when its
    /// primary is done with it.
    pub(super) fn finish(
        &mut self,
        shard: &Shard<K, T>,
        flight: &Arc<Flight<K, T>>,
        after: &mut After<K, T>,
    ) {
        shard.count_out();
        if let Some(line) = self.line_mut() {
            if let Some(signal) = line.release(flight) {
                after.pending().turn = Some(signal);
            }
        }
        self.drain_if_idle(after);
    }

    /// Ends a flight that is too old. Returns false if it has ended before. A flight with a shared
    /// operation is finished with that; any other one stays until its primary is done with it.
    pub(super) fn supersede(
        &mut self,
        shard: &Shard<K, T>,
        flight: &Arc<Flight<K, T>>,
        after: &mut After<K, T>,
    ) -> bool {
        let cause = Cause::Superseded;
        let Some(before) = flight.cell.abort(cause) else {
            return false;
        };
        self.counts
            .end(Some(cause), before.duplicates(), flight.reruns(before));
        if flight.cell.has_attached(before) {
            // The caller holds the flight too, so this drops nothing of the user's.
            let _removed = self.remove(flight);
            self.extras_mut().drop_note(flight.id);
            self.finish(shard, flight, after);
        } else {
            self.unregister(shard, flight, after);
        }
        after.pending().superseded = Some((flight.clone(), before));
        true
    }

    /// Ends a flight that is too old, if its operation can be dropped at once. The flight is not
    /// counted out: the caller takes over its place. Returns false if it has not ended the flight.
    pub(super) fn supersede_idle(
        &mut self,
        flight: &Arc<Flight<K, T>>,
        after: &mut After<K, T>,
    ) -> bool {
        let cause = Cause::Superseded;
        let state = flight.cell.snapshot();
        let ended = flight.cell.with_attached(state, |shared| {
            shared.end_if_idle(|| flight.cell.abort(cause))
        });
        let Some((before, operation)) = ended.flatten() else {
            return false;
        };
        self.counts
            .end(Some(cause), before.duplicates(), flight.reruns(before));
        // The caller holds the flight too, so this drops nothing of the user's.
        let _removed = self.remove(flight);
        self.extras_mut().drop_note(flight.id);
        let pending = after.pending();
        pending.superseded = Some((flight.clone(), before));
        pending.operation = Some(operation);
        true
    }

    fn drain_if_idle(&mut self, after: &mut After<K, T>) {
        if self.is_idle() {
            if let Some(drain) = self.extras_mut().drain.take() {
                after.pending().drain = Some(drain);
            }
        }
    }
}

#[cold]
fn too_late<K, T>(flight: &Flight<K, T>, value: T) -> SettleError<T> {
    SettleError {
        value,
        aborted: flight.aborted(),
    }
}

/// What is left to do when the shard's lock has been released. Its drop does it, also when that
/// happens by unwinding. Most of the time it is nothing.
#[must_use = "dropped after the lock is released, it tells and drops what it holds"]
pub(crate) struct After<K, T>(Option<Box<Pending<K, T>>>);

struct Pending<K, T> {
    /// A flight that was ended under the lock: its waiters are to be woken.
    superseded: Option<(Arc<Flight<K, T>>, Snapshot)>,
    /// Its operation, if that was taken out under the lock.
    operation: Option<Operation<T>>,
    /// The next flight has the gate: its caller is to be woken.
    turn: Option<Signal>,
    /// This shard is closed and has no flight left.
    drain: Option<Arc<Drain>>,
    /// Flights that were removed. Their last handles can be here, and then their drop is the
    /// user's.
    removed: Vec<Arc<Flight<K, T>>>,
    /// Flights that are not retained any more.
    not_retained: Vec<Vacated<K, T>>,
}

impl<K, T> Default for After<K, T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K, T> After<K, T> {
    fn pending(&mut self) -> &mut Pending<K, T> {
        self.0.get_or_insert_with(|| {
            Box::new(Pending {
                superseded: None,
                operation: None,
                turn: None,
                drain: None,
                removed: Vec::new(),
                not_retained: Vec::new(),
            })
        })
    }

    pub(super) fn drop_flight(&mut self, flight: Arc<Flight<K, T>>) {
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
            operation,
            turn,
            drain,
            removed,
            not_retained,
        } = self;
        // Each step can run wakers or drops of the user's. If one panics, the next ones are done
        // all the same.
        let steps: [&mut dyn FnMut(); 6] = [
            &mut || for_each(not_retained.drain(..), drop),
            &mut || {
                if let Some((flight, before)) = superseded.take() {
                    let _reported_last =
                        flight.observed.report_end_on_drop(Some(Cause::Superseded));
                    flight.tell(before);
                }
            },
            &mut || drop(operation.take()),
            &mut || {
                if let Some(signal) = turn.take() {
                    let _ = signal.settle(());
                }
            },
            &mut || {
                if let Some(drain) = drain.take() {
                    drain.arrive();
                }
            },
            &mut || for_each(removed.drain(..), discard),
        ];
        for_each(steps.into_iter(), |step| step());
    }
}

/// Ends the flight as panicked when its scope is left by unwinding. It is forgotten when the scope
/// is left in the ordinary way, so it works without `std` too: it does not have to ask whether the
/// thread unwinds.
struct AbortOnUnwind<'a, K, T> {
    flight: &'a Arc<Flight<K, T>>,
    shard: &'a Shard<K, T>,
}

impl<K, T> Drop for AbortOnUnwind<'_, K, T> {
    fn drop(&mut self) {
        self.shard.lose(self.flight, Cause::Panicked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::begin::Begin;

    #[test]
    fn leaving_after_the_end_is_not_counted_as_cancelled() {
        let shard = Arc::new(Shard::<u8, u8>::new(0, 1, None));
        let begin = || Shard::begin(&shard, 1, 1);
        let (Begin::Primary(primary), Begin::Waiter(counted)) = (begin(), begin()) else {
            unreachable!("the first call and its duplicate")
        };
        // The ender is held up between the record and the shard's lock.
        let recorded = primary.flight().cell.record(7);
        drop(counted);
        let left = shard.figures().waiting;
        let Begin::Waiter(uncounted) = begin() else {
            unreachable!("the flight is registered still")
        };
        drop(uncounted);
        assert_eq!((left, shard.figures().waiting), (1, 1));
        let Ok(before) = recorded else {
            unreachable!("no other call has settled it")
        };
        drop(shard.free_key(primary.flight(), before, None, Place::NotWanted));
        assert_eq!(shard.figures().waiting, 0);
    }
}
