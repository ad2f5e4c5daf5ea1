//! How a flight ends. There is one order, and it is the promise "a woken waiter that begins the
//! same key again starts a new flight":
//!
//! 1. **record**: the outcome is published in the flight's cell. The read-modify-write of the
//!    cell's state decides which call ends the flight; only that call does the rest.
//! 2. **free the key**: under the lock, the flight is removed by identity and its end is counted.
//! 3. **tell**: under no lock, participants and waiters are woken, the end is reported, and what
//!    else this end brings about is done ([`After`]).
//!
//! A flight that is too old, or that a call at a gate replaces, is ended in the middle of a search
//! ([`Table::supersede`]): recorded and freed in one critical section, and told after it.
//!
//! # When a flight is over
//! A flight that has ended is over when its operation, or its guard, is gone too. Until then it
//! counts for `max_flights`, keeps the group from draining, and holds a gate; `Stats::ending` shows
//! it. One caller has the operation or guard: the owner of a [`Primary`](crate::Primary), the
//! caller that polls or makes a shared operation, or, while nobody polls that, the ender.
//!
//! | ended by             | who calls that                     | over                         |
//! |----------------------|------------------------------------|------------------------------|
//! | `settle`, `lose`     | who has it, and gives it up        | at once                      |
//! | `abort`, `supersede`, the last who wants it | another caller | when who has it calls `gone` |
//! | any of these, before its task or call has begun | anybody | at once: it has no operation |
//!
//! `abort` and `gone` can meet, when `abort` has recorded the end and not freed the key yet. Both
//! take the shard's lock. The first one puts the flight among those that are ending, and the second
//! one finds it there and removes it. So `gone` is called once for each flight that another caller
//! has ended, and for no other.

use core::mem;

use crate::cell::Snapshot;
use crate::error::{Cause, SettleError};
use crate::flight::operation::Found;
use crate::flight::{Driver, EndUnwanted, FlightId, FlightRef, Records, Settled, Settler};
use crate::group::shard::Shard;
use crate::group::shard::after::After;
use crate::group::shard::in_hand::InHand;
use crate::group::shard::retained::Retain;
use crate::group::shard::table::{RemoveSettled, Removed, Table};
use crate::sync::Arc;
use crate::unwind::{Fragile, OnDrop};

/// By whom a flight was ended, and how.
enum End {
    /// By the caller that had its operation or guard, which is gone with that.
    Settled(Retain),
    /// By that caller too, without a value.
    Lost(Cause),
    /// By another caller: its operation or guard can still be here.
    Aborted(Cause),
}

impl End {
    fn cause(&self) -> Option<Cause> {
        match self {
            End::Settled(_) => None,
            End::Lost(cause) | End::Aborted(cause) => Some(*cause),
        }
    }
}

impl<K, T> Shard<K, T> {
    /// Settles the flight, unless it has ended before. In either case its operation or guard is
    /// gone. Returns whether it had its key still when the key was freed.
    #[inline(always)]
    pub(crate) fn settle(
        &self,
        settler: &mut Settler<K, T>,
        value: T,
    ) -> Result<bool, SettleError<T>> {
        let mut removed = None;
        let registered = self.settle_with(&mut *settler, value, |handle| removed = Some(handle))?;
        if let Some(handle) = removed {
            settler.take_in(handle);
        }
        Ok(registered)
    }

    /// The same, for a participant that drives the flight. It makes the outcome of the handle
    /// that the table had, and keeps its own, so that none has to be counted.
    #[inline(always)]
    pub(crate) fn settle_for_outcome(
        &self,
        driver: Driver<'_, K, T>,
        value: T,
    ) -> Option<Settled<K, T>> {
        let (flight, mut removed) = (driver.flight, None);
        self.settle_with(driver, value, |handle| removed = Some(handle))
            .ok()?;
        Some(Settled::new(removed.unwrap_or_else(|| flight.clone())))
    }

    /// `removed` gets the handle that the table had, if there is nothing more to do than to remove
    /// it.
    #[inline(always)]
    fn settle_with(
        &self,
        mut by: impl Records<K, T>,
        value: T,
        removed: impl FnOnce(FlightRef<K, T>),
    ) -> Result<bool, SettleError<T>> {
        if self.rules().is_some() {
            return self.settle_by_rules(by, value);
        }
        let recorded = by.record(value);
        let flight = by.flight();
        match recorded {
            Ok(before) => {
                if !flight.is_plain(before) {
                    Ok(self.settle_attached(flight, before, removed))
                } else if let Some(handle) = self.remove_settled(flight, before, 0) {
                    removed(handle);
                    let observed = &flight.observed;
                    let _reported_last = observed.report_end_on_drop(None, before, || 0);
                    flight.tell(before, false);
                    Ok(true)
                } else {
                    Ok(self.free_and_tell(flight, before, End::Settled(Retain::No)))
                }
            }
            Err(value) => Err(self.too_late(flight, value)),
        }
    }

    /// The steps after the outcome is recorded, for a flight of `work`, `try_work` or
    /// `spawn_while_wanted`.
    #[inline(always)]
    fn settle_attached(
        &self,
        flight: &FlightRef<K, T>,
        before: Snapshot,
        removed: impl FnOnce(FlightRef<K, T>),
    ) -> bool {
        // Its operation, if it has one, is with its driver, who settles it.
        let found = flight.settle_attached(before);
        let Some(handle) = self.remove_settled(flight, before, found.reruns) else {
            return self.free_and_tell_found(flight, before, End::Settled(Retain::No), found);
        };
        removed(handle);
        let observed = &flight.observed;
        let _reported_last = observed.report_end_on_drop(None, before, || found.reruns);
        flight.tell(before, found.parked);
        true
    }

    /// Settles a flight that can be retained.
    fn settle_by_rules(
        &self,
        mut by: impl Records<K, T>,
        value: T,
    ) -> Result<bool, SettleError<T>> {
        let flight = by.flight();
        if flight.cell.snapshot().ended() {
            return Err(self.too_late(flight, value));
        }
        // The user's code decides whether the outcome is retained. Its panic ends the flight, and
        // the drop of the value must not meet that panic.
        let mut value = Fragile(Some(value));
        let lost = OnDrop(|| self.lose(flight, Cause::Panicked));
        let stay = self.rules().zip(value.0.as_ref());
        let stay = stay.and_then(|(rules, value)| rules.stay(value));
        mem::forget(lost);
        let Some(value) = value.0.take() else {
            unreachable!("nobody else takes it")
        };
        let recorded = by.record(value);
        let flight = by.flight();
        match recorded {
            Ok(before) => Ok(self.with_place(flight, stay, |place| {
                self.free_and_tell(flight, before, End::Settled(place))
            })),
            Err(value) => Err(self.too_late(flight, value)),
        }
    }

    #[cold]
    fn too_late(&self, flight: &FlightRef<K, T>, value: T) -> SettleError<T> {
        self.gone(flight);
        SettleError {
            value,
            aborted: flight.aborted(),
        }
    }

    /// Its operation or guard is lost, and gone: ends the flight, unless another caller has.
    pub(crate) fn lose(&self, flight: &FlightRef<K, T>, cause: Cause) {
        if let Some(before) = flight.cell.abort(cause) {
            self.free_and_tell(flight, before, End::Lost(cause));
        } else {
            self.gone(flight);
        }
    }

    /// Ends the flight, whose operation or guard can still be here. Returns false if it has ended
    /// before.
    pub(crate) fn abort(&self, flight: &FlightRef<K, T>, cause: Cause) -> bool {
        let Some(before) = flight.cell.abort(cause) else {
            return false;
        };
        self.free_and_tell(flight, before, End::Aborted(cause));
        true
    }

    /// As [`abort`](Self::abort), for a flight that has its key still. A flight that was forgotten
    /// is left alone: that, too, is decided by the lock.
    pub(crate) fn abort_registered(&self, flight: &FlightRef<K, T>, cause: Cause) -> bool {
        let before = self.table.with(|table| {
            let registered = table.is_registered(flight);
            registered.then(|| flight.cell.abort(cause)).flatten()
        });
        let Some(before) = before else {
            return false;
        };
        self.free_and_tell(flight, before, End::Aborted(cause));
        true
    }

    /// The operation or guard of a flight that another caller has ended is gone. Called once.
    #[cold]
    pub(crate) fn gone(&self, flight: &FlightRef<K, T>) {
        if !flight.cell.snapshot().has_begun() {
            return;
        }
        let mut after = After::default();
        let _removed = self.table.with(|table| {
            let removed = table.meet(flight);
            if removed.is_some() {
                table.finish(self, flight, &mut after);
            }
            removed
        });
    }

    /// The steps after the outcome is recorded. `before` is the state that the end returned.
    /// Returns whether the flight had its key still when the key was freed.
    fn free_and_tell(&self, flight: &FlightRef<K, T>, before: Snapshot, end: End) -> bool {
        self.free_and_tell_found(flight, before, end, flight.end_attached())
    }

    /// The same, with what the end has found.
    fn free_and_tell_found(
        &self,
        flight: &FlightRef<K, T>,
        before: Snapshot,
        end: End,
        found: Found<T>,
    ) -> bool {
        let cause = end.cause();
        let refused = cfg!(feature = "metrics") && matches!(end, End::Settled(Retain::Refused));
        // All four are dropped last, also if a waker panics.
        let (had_key, _after) = self.free_key(flight, before, end, found.reruns);
        let observed = &flight.observed;
        let _given_up = observed.report_given_up_on_drop(usize::from(refused && had_key));
        let _reported = observed.report_end_on_drop(cause, before, || found.reruns);
        let _in_hand = InHand::new(self, flight, found.operation);
        flight.tell(before, found.parked);
        had_key
    }

    /// Removes a settled flight and counts it, if nothing else is to be done.
    #[inline(always)]
    fn remove_settled(
        &self,
        flight: &FlightRef<K, T>,
        before: Snapshot,
        reruns: usize,
    ) -> Option<FlightRef<K, T>> {
        let section = RemoveSettled {
            flight,
            before,
            reruns,
        };
        self.table.enter(section)
    }

    /// Counts the end of a flight and takes its key. Removes the flight, unless it is retained or
    /// not over. Returns whether it had its key still.
    fn free_key(
        &self,
        flight: &FlightRef<K, T>,
        before: Snapshot,
        end: End,
        reruns: usize,
    ) -> (bool, After<K, T>) {
        let mut after = After::default();
        let Removed {
            had_key,
            flight: _dropped_under_no_lock,
        } = self.table.with(|table| {
            table.counts.end(end.cause(), before.duplicates(), reruns);
            match end {
                End::Settled(Retain::No) | End::Lost(_) => {
                    table.free_over(self, flight, &mut after)
                }
                End::Settled(place) => {
                    let removed = table.retain_or_remove(self, flight, place, &mut after);
                    table.finish(self, flight, &mut after);
                    removed
                }
                End::Aborted(_) => table.free_aborted(self, flight, before, &mut after),
            }
        });
        (had_key, after)
    }
}

impl<K: Send + Sync, T: Send + Sync> EndUnwanted for Arc<Shard<K, T>> {
    fn end_unwanted(&self, hash: u64, id: FlightId, before: Snapshot) {
        let flight = self.find(hash, id);
        debug_assert!(flight.is_some(), "in a table until its end is counted");
        if let Some(flight) = flight {
            self.free_and_tell(&flight, before, End::Aborted(Cause::Dropped));
        }
    }
}

impl<K, T> Table<K, T> {
    /// The key of an aborted flight is free, and it does not wait for a gate any more. If its
    /// operation or guard is still here, the flight is kept without its key.
    pub(super) fn free_aborted(
        &mut self,
        shard: &Shard<K, T>,
        flight: &FlightRef<K, T>,
        before: Snapshot,
        after: &mut After<K, T>,
    ) -> Removed<K, T> {
        if let Some(waits) = self.leave_line(flight) {
            after.pending().turns.push(waits);
        }
        if !before.has_begun() || self.is_gone(flight) {
            return self.free_over(shard, flight, after);
        }
        self.drop_note(flight);
        self.keep_ending(flight)
    }

    /// Removes a flight that is over.
    fn free_over(
        &mut self,
        shard: &Shard<K, T>,
        flight: &FlightRef<K, T>,
        after: &mut After<K, T>,
    ) -> Removed<K, T> {
        let removed = self.remove(flight);
        self.drop_note(flight);
        self.finish(shard, flight, after);
        removed
    }

    /// The flight is over: it counts for no limit any more, holds no gate, and does not keep the
    /// group from draining. Called once for each flight.
    pub(super) fn finish(
        &mut self,
        shard: &Shard<K, T>,
        flight: &FlightRef<K, T>,
        after: &mut After<K, T>,
    ) {
        shard.count_out();
        if self.has_line() {
            self.release_gate(flight, after);
        }
        self.drain_if_idle(after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::begin::Begin;
    use crate::group::shard::Plain;

    #[test]
    fn leaving_after_the_end_is_not_counted_as_cancelled() {
        let shard = Arc::new(Shard::<u8, u8>::new(0, 1, None));
        let begin = || Shard::begin(&shard, 1, 1, &mut Plain);
        let (Begin::Primary(primary), Begin::Waiter(counted)) = (begin(), begin()) else {
            unreachable!("the first call and its duplicate")
        };
        // The ender is held up between the record and the shard's lock.
        let mut settler = primary.into_settler();
        let recorded = (&mut settler).record(7);
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
        let end = End::Settled(Retain::No);
        drop(shard.free_key(&settler, before, end, 0));
        assert_eq!(shard.figures().waiting, 0);
    }

    #[cfg(feature = "metrics")]
    #[test]
    fn an_outcome_for_which_every_place_is_held_is_reported_as_given_up_unless_it_was_forgotten() {
        for forgotten in [false, true] {
            let recorder = metrics_util::debugging::DebuggingRecorder::new();
            let shard = Arc::new(Shard::<u8, u8>::new(0, 1, None));
            metrics::with_local_recorder(&recorder, || {
                let Begin::Primary(primary) = Shard::begin(&shard, 1, 1, &mut Plain) else {
                    unreachable!("the key is free")
                };
                if forgotten {
                    shard.forget(primary.flight(), None);
                }
                let mut settler = primary.into_settler();
                let before = (&mut settler).record(7).expect("it is open");
                shard.free_and_tell(&settler, before, End::Settled(Retain::Refused));
            });
            let metrics = recorder.snapshotter().snapshot().into_vec();
            let name = "oneflight_given_up_total";
            let reported = metrics.iter().any(|(key, ..)| key.key().name() == name);
            let counted = shard.figures().counts.given_up == 1;
            assert_eq!((reported, counted), (!forgotten, !forgotten));
        }
    }
}
