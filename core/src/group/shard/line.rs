//! A gate's line: which flight holds the gate, and which ones wait for it. It is all that a
//! [`Gate`](crate::gate::Gate) needs from a shard.
//!
//! Taking the gate, or a place in the line, is part of registering the token: one critical section.
//!
//! # Invariants
//! 1. The holder is the flight that was let in last, until it is over: a flight that was ended from
//!    outside holds the gate as long as its operation or guard is here (`end`).
//! 2. A flight waits only while another one holds the gate. The one that is to replace the holder
//!    is first. The queue is in the order of flight ids, which is the order of arrival.
//! 3. A flight that is ended from outside leaves the line in the critical section that frees its
//!    key. Whoever takes a flight out of the line calls it, unless that flight's own caller has
//!    left. So no caller waits for a turn that does not come.
//! 4. None of its caller's code has run for a flight that waits (its state says so), but for the
//!    operation of a `work`, which is made and not polled.
//! 5. A flight has no age while it waits. Its age starts when it is called.

use alloc::collections::BTreeMap;
use core::task::{Context, Poll};

use crate::cell::{Place, SettleCell};
use crate::flight::{FlightId, FlightRef};
use crate::group::shard::Shard;
use crate::group::shard::after::After;
use crate::group::shard::request::Request;
use crate::group::shard::table::Table;
use crate::sync::Arc;
use crate::unwind::{OnDrop, discard};

/// What happens to a call that finds the gate held by another token.
///
/// A gate has a mode, and a call can have [one of its own](crate::Entry::mode). A call with the
/// token of the holder, or of a call that waits, is a duplicate and shares that invocation in every
/// mode but `Open`. [`begin`](crate::gate::Gate::begin) never waits, and ends no flight except one
/// that is older than [`supersede_after`](crate::gate::GateBuilder::supersede_after). So with
/// `Queue` and `Replace` it is rejected as `Busy` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The call is rejected: [`Rejected::Busy`](crate::error::Rejected::Busy).
    Exclusive,
    /// The call takes a place in the queue: first come, first served. If
    /// [`max_queue`](crate::gate::GateBuilder::max_queue) calls wait already, it is rejected as
    /// `Busy`.
    Queue,
    /// The call ends the holder as [`Superseded`](crate::error::Cause::Superseded), and also a call
    /// that still waits to replace it. It gets the gate next. Until then it waits for the old
    /// holder: its operation must be dropped, its blocking call must return, or its guard must be
    /// dropped. Calls that are queued stay queued, in their order.
    Replace,
    /// The call does not use the gate: it runs at once, and no call shares it.
    Open,
}

pub(super) struct Line<K, T> {
    max_queue: usize,
    holder: Option<FlightRef<K, T>>,
    first: Option<Waits<K, T>>,
    queue: BTreeMap<FlightId, Waits<K, T>>,
}

/// What a gate says to a call that could begin a flight.
pub(super) enum Answer {
    Enter,
    Wait,
    Busy,
    /// The call has ended a holder that was too old.
    AskAgain,
}

/// A flight that waits for its turn.
pub(super) struct Waits<K, T> {
    shard: Arc<Shard<K, T>>,
    flight: FlightRef<K, T>,
    /// Where its caller waits. Participants wait at their operation.
    signal: Option<Signal>,
}

/// Settled when the turn of a flight has come, or will not come since the flight has ended.
type Signal = Arc<SettleCell<()>>;

/// What the caller of a flight holds that waits for its turn.
pub(crate) struct Ticket {
    signal: Signal,
    place: Place,
}

impl Ticket {
    /// Whether the wait is over.
    pub(crate) fn is_called(&self) -> bool {
        self.signal.is_settled()
    }

    /// Ready when the wait is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.signal.poll_end(&mut self.place, cx).map(|_| ())
    }

    /// Waits no more. The drop of its waker is the user's.
    pub(crate) fn leave(&mut self) {
        self.signal.vacate(&mut self.place);
    }

    /// Parks the calling thread until the wait is over.
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub(crate) fn wait_blocking(&self) {
        self.signal.wait_blocking();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<K, T> Waits<K, T> {
    fn new(shard: &Arc<Shard<K, T>>, flight: &FlightRef<K, T>) -> Self {
        let driven = flight.with_shared(|_| ());
        Self {
            shard: shard.clone(),
            flight: flight.clone(),
            signal: driven.is_none().then(|| Arc::new(SettleCell::new())),
        }
    }

    fn is(&self, flight: &FlightRef<K, T>) -> bool {
        self.flight.ptr_eq(flight)
    }

    /// Ends the wait, under no lock: runs the clock and the wakers of the user. This thread might
    /// unwind, since the flight before this one can have ended by a panic.
    pub(super) fn call(&self) {
        let Self {
            shard,
            flight,
            signal,
        } = self;
        // Also if the clock panics.
        let _then = OnDrop(|| match signal {
            Some(signal) => drop(signal.settle(())),
            None => drop(flight.with_shared(|shared| shared.wakes())),
        });
        discard(OnDrop(|| shard.start_age(flight)));
    }
}

impl<K, T> Line<K, T> {
    fn is_busy(&self) -> bool {
        self.holder.is_some()
    }

    fn holds(&self, flight: &FlightRef<K, T>) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| holder.ptr_eq(flight))
    }

    fn waiting(&self) -> impl Iterator<Item = &Waits<K, T>> {
        self.first.iter().chain(self.queue.values())
    }

    /// The flight does not wait any more.
    fn leave(&mut self, flight: &FlightRef<K, T>) -> Option<Waits<K, T>> {
        self.first
            .take_if(|first| first.is(flight))
            .or_else(|| self.queue.remove(&flight.id))
    }

    /// The flight is over and does not hold the gate any more. Lets the next one in, if the gate is
    /// free.
    fn release(&mut self, flight: &FlightRef<K, T>) -> Option<Waits<K, T>> {
        if !self.holds(flight) {
            return None;
        }
        let next = self.first.take();
        let next = next.or_else(|| self.queue.pop_first().map(|(_, next)| next));
        self.holder = next.as_ref().map(|next| next.flight.clone());
        next
    }
}

impl<K, T> Table<K, T> {
    #[inline(always)]
    fn line(&self) -> Option<&Line<K, T>> {
        self.extras.as_ref()?.line.as_ref()
    }

    fn line_mut(&mut self) -> Option<&mut Line<K, T>> {
        self.extras.as_mut()?.line.as_mut()
    }

    #[inline(always)]
    pub(super) fn has_line(&self) -> bool {
        self.line().is_some()
    }

    pub(super) fn holds_gate(&self, flight: &FlightRef<K, T>) -> bool {
        self.line().is_some_and(|line| line.holds(flight))
    }

    /// The flight that holds the gate, for a call that goes through the gate.
    fn holder(&self, request: &Request) -> Option<&FlightRef<K, T>> {
        let line = self.line().filter(|_| request.mode != Mode::Open)?;
        line.holder.as_ref()
    }

    /// The flight that holds the gate, if it is too old for this call.
    #[inline]
    pub(super) fn old_holder(
        &self,
        shard: &Shard<K, T>,
        request: &Request,
    ) -> Option<&FlightRef<K, T>> {
        let holder = self.holder(request)?;
        let ends = !request.joins_only && !self.is_closed();
        (ends && request.is_too_old(shard, self.note(holder.id), holder)).then_some(holder)
    }

    /// Ends the holder of the gate, if it is too old for this call. Returns false if it is not.
    pub(super) fn supersede_holder(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        request: &Request,
        after: &mut After<K, T>,
    ) -> bool {
        let Some(holder) = self.old_holder(shard, request).cloned() else {
            return false;
        };
        let ended = self.supersede(shard, &holder, after);
        after.drop_flight(holder);
        ended
    }

    /// What a gate that is not closed says to a call that could begin a flight.
    #[cold]
    #[inline(never)]
    pub(super) fn ask_gate(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        request: &Request,
        after: &mut After<K, T>,
    ) -> Answer {
        if self.supersede_holder(shard, request, after) {
            return Answer::AskAgain;
        }
        if self.holder(request).is_none() {
            return Answer::Enter;
        }
        if self.waits_for(request) {
            Answer::Wait
        } else {
            Answer::Busy
        }
    }

    /// Whether a call waits for the gate, which is held.
    fn waits_for(&self, request: &Request) -> bool {
        let has_place = |line: &Line<K, T>| line.queue.len() < line.max_queue;
        match request.mode {
            _ if !request.waits => false,
            Mode::Queue => self.line().is_some_and(has_place),
            Mode::Replace => true,
            Mode::Exclusive | Mode::Open => false,
        }
    }

    /// A new flight takes the gate, or a place in the line. Then it waits.
    #[cold]
    #[inline(never)]
    pub(super) fn enter_line(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        request: &Request,
        flight: &FlightRef<K, T>,
        after: &mut After<K, T>,
    ) {
        let Some(line) = self.line_mut().filter(|_| request.mode != Mode::Open) else {
            return;
        };
        let Some(holder) = line.holder.clone() else {
            line.holder = Some(flight.clone());
            return;
        };
        let waits = Waits::new(shard, flight);
        if request.mode != Mode::Replace {
            line.queue.insert(flight.id, waits);
            return;
        }
        let replaced = line.first.as_ref().map(|first| first.flight.clone());
        if let Some(replaced) = replaced {
            self.supersede(shard, &replaced, after);
        }
        // Before the holder ends: it can be over with that, and this flight is the next one.
        if let Some(old) = self.line_mut().and_then(|line| line.first.replace(waits)) {
            // Another caller has ended it, and will take its key.
            after.pending().turns.push(old);
        }
        self.supersede(shard, &holder, after);
        after.drop_flight(holder);
    }

    /// The flight has ended, or is lost. Its caller does not wait for a turn any more.
    pub(super) fn leave_line(&mut self, flight: &FlightRef<K, T>) -> Option<Waits<K, T>> {
        self.line_mut()?.leave(flight)
    }

    /// The flight is over: it neither waits for the gate nor holds it.
    #[cold]
    #[inline(never)]
    pub(super) fn release_gate(&mut self, flight: &FlightRef<K, T>, after: &mut After<K, T>) {
        let Some(line) = self.line_mut() else {
            return;
        };
        let (left, next) = (line.leave(flight), line.release(flight));
        if left.is_some() {
            after.pending().left = left;
        }
        if let Some(next) = next {
            after.pending().turns.push(next);
        }
    }
}

impl<K, T> Shard<K, T> {
    /// Makes this shard the only one of a gate.
    pub(crate) fn with_line(self, max_queue: usize) -> Self {
        self.table.with(|table| {
            table.extras_mut().line = Some(Line {
                max_queue,
                holder: None,
                first: None,
                queue: BTreeMap::new(),
            });
        });
        self
    }

    /// How many flights wait for their turn.
    pub(crate) fn queued(&self) -> usize {
        self.table
            .with(|table| table.line().map_or(0, |line| line.waiting().count()))
    }

    /// Whether a flight holds the gate.
    pub(crate) fn is_busy(&self) -> bool {
        self.table
            .with(|table| table.line().is_some_and(Line::is_busy))
    }

    /// For the caller of a flight: where it waits, if the flight waits for its turn.
    pub(crate) fn ticket(&self, flight: &FlightRef<K, T>) -> Option<Ticket> {
        let signal = self.table.with(|table| {
            let line = table.line()?;
            let first = line.first.as_ref().filter(|first| first.is(flight));
            let waits = first.or_else(|| line.queue.get(&flight.id))?;
            waits.signal.clone()
        })?;
        Some(Ticket {
            signal,
            place: Place::NONE,
        })
    }

    /// The age of a flight that has got the gate starts now, if there is a maximum. Runs the user's
    /// clock.
    fn start_age(&self, flight: &FlightRef<K, T>) {
        if self
            .rules()
            .is_none_or(|rules| rules.supersede_after.is_none())
        {
            return;
        }
        let now = self.now();
        self.table.with(|table| {
            if table.holds_gate(flight) && !flight.cell.snapshot().ended() {
                table.set_born(flight, now);
            }
        });
    }
}
