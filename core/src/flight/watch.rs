//! [`Watch`]: a place from which the end of a flight is watched. A waiter is a watch that is
//! counted, unless it was made inside of its flight.

use core::mem;
use core::task::{Context, Poll};
#[cfg(all(feature = "std", not(target_family = "wasm")))]
use std::time::Instant;

use crate::cell::{Place, Snapshot};
use crate::error::{Error, Rejected};
use crate::flight::reentry::leads_back;
use crate::flight::{FlightRef, Seat, Settled, Two};
use crate::unwind::Fragile;

const REENTRANT: Error = Error::Rejected(Rejected::Reentrant);

/// Its place is [`Place::LEFT`] when it has left because it would wait for itself.
pub(crate) struct Watch<K, T>(Seat<K, T>);

/// It is one of the flight's duplicates, and takes its count back when it leaves.
const COUNTED: u32 = 1;
/// The flight had settled when it came.
const REPLAYED: u32 = 1 << 1;

impl<K, T> Watch<K, T> {
    /// Of a caller that is not counted as a duplicate.
    #[inline]
    pub(crate) fn uncounted(handles: Two<K, T>) -> Self {
        Self(Seat::of_two(handles, 0))
    }

    /// Of the call that began the flight and has a place of its own.
    #[inline]
    pub(crate) fn owner(seat: Seat<K, T>) -> Self {
        Self(seat)
    }

    /// Of a duplicate.
    #[inline(always)]
    pub(crate) fn counted(handles: Two<K, T>) -> Self {
        Self(Seat::of_two(handles, COUNTED))
    }

    /// Of a duplicate that came after the flight had settled.
    #[inline]
    pub(crate) fn replayed(handles: Two<K, T>) -> Self {
        Self(Seat::of_two(handles, COUNTED | REPLAYED))
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.0.has(REPLAYED)
    }

    #[inline(always)]
    pub(crate) fn flight(&self) -> &FlightRef<K, T> {
        self.0.flight()
    }

    #[inline(always)]
    pub(crate) fn is_counted(&self) -> bool {
        self.0.has(COUNTED)
    }

    /// From here on its drop leaves the count as it is.
    pub(crate) fn uncount(&mut self) {
        self.0.mark(0, COUNTED);
    }

    pub(crate) fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        if self.has_left() {
            return Some(Err(REENTRANT));
        }
        self.flight().get()
    }

    /// Ready with the outcome, at every poll after the end; otherwise parked.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Settled<K, T>, Error>> {
        let mut state = self.flight().cell.snapshot();
        if !state.ended() {
            state = match self.park(cx) {
                Some(state) if state.ended() => state,
                Some(_) => return Poll::Pending,
                None => return Poll::Ready(Err(REENTRANT)),
            };
        }
        if self.0.place().is_taken() {
            if state.is_told() {
                // No waker of this watch is left anywhere, and the end has frozen the count. So its
                // drop has nothing to do.
                self.0.leave_place(COUNTED);
            }
        } else if self.has_left() {
            return Poll::Ready(Err(REENTRANT));
        }
        Poll::Ready(self.0.outcome(state))
    }

    /// Parks the task, unless the flight has ended meanwhile. Returns the state as it was found, or
    /// `None` if the task would wait for itself.
    #[inline(never)]
    fn park(&mut self, cx: &mut Context<'_>) -> Option<Snapshot> {
        if self.waits_for_itself(|flight| leads_back(flight, cx.waker())) {
            return None;
        }
        if self.0.is_owner() {
            return Some(self.0.park_owner(cx.waker()));
        }
        Some(
            self.0
                .with_place(|flight, place| flight.cell.park(place, cx.waker())),
        )
    }

    /// Parks the calling thread until the flight ends, or until `deadline`.
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub(crate) fn block(&mut self, deadline: Option<Instant>) -> Result<Settled<K, T>, Error> {
        self.leave_if_inside();
        if self.has_left() {
            return Err(REENTRANT);
        }
        let state = self.flight().cell.block(deadline);
        if state.ended() {
            self.0.outcome(state)
        } else {
            Err(Error::TimedOut)
        }
    }

    /// Before the thread parks. If it would wait for itself, it leaves, for good.
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub(crate) fn leave_if_inside(&mut self) {
        if !self.flight().cell.snapshot().ended() {
            self.waits_for_itself(crate::flight::reentry::is_inside);
        }
    }

    /// Whether it would wait for itself, as it does if `certain` says so. It has left then, for
    /// good.
    #[inline]
    fn waits_for_itself(&mut self, certain: impl FnOnce(&FlightRef<K, T>) -> bool) -> bool {
        if self.has_left() {
            return true;
        }
        let certain = certain(self.flight());
        if certain {
            self.leave_for_good();
        }
        certain
    }

    #[cold]
    fn leave_for_good(&mut self) {
        // First, since the drop of its waker is the user's, and so is a subscriber.
        let mut place = self
            .0
            .with_place(|_, place| mem::replace(place, Place::LEFT));
        if self.is_counted() {
            self.leave_by(&mut place);
        }
        let _waker = Fragile(self.0.unpark_owner());
        let flight = self.flight();
        flight.cell.vacate(&mut place);
        let name = flight.observed.name();
        name.report_rejected(Rejected::Reentrant);
    }

    /// Whether it has left for good, since it would wait for itself.
    pub(crate) fn has_left(&self) -> bool {
        self.0.place() == Place::LEFT
    }

    /// Takes its count back. Returns false if the flight's end has counted it.
    #[cold]
    pub(crate) fn leave(&mut self) -> bool {
        let mut place = self
            .0
            .with_place(|_, place| mem::replace(place, Place::NONE));
        self.leave_by(&mut place)
    }

    /// The call that began the flight leaves it. If the flight has to be wanted and is not any
    /// more, this ends it.
    #[inline]
    pub(crate) fn disown(&mut self) {
        let mut place = Place::NONE;
        if !self.has_left() {
            self.0.with_place(|_, own| mem::swap(&mut place, own));
        }
        // Dropped last: its drop is the user's.
        let _waker = Fragile(self.0.unpark_owner());
        self.flight().disown(&mut place);
        self.flight().cell.vacate(&mut place);
    }

    /// As [`leave`](Self::leave), and gives `place` back if the leaving may have to end the flight.
    #[inline]
    fn leave_by(&mut self, place: &mut Place) -> bool {
        self.uncount();
        self.flight().cell.leave() || self.flight().leave_slowly(place)
    }
}

impl<K, T> Drop for Watch<K, T> {
    #[inline]
    fn drop(&mut self) {
        let mut place = self.0.place();
        // Before it gives its waker back, whose drop is the user's.
        if self.is_counted() && !self.flight().cell.leave() {
            self.flight().leave_slowly(&mut place);
        }
        self.flight().cell.vacate(&mut place);
    }
}
