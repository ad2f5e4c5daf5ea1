//! [`Participant`]: a caller that can drive a flight. What `work` and `try_work` have in common.

use core::future::Future;
use core::mem;
use core::task::Waker;

use crate::cell::{Place, Snapshot};
use crate::error::{Cause, Error, Rejected};
use crate::flight::operation::RunIsOver;
use crate::flight::reentry::leads_back;
use crate::flight::{FlightId, FlightRef, Fresh, Operation, Seat, Settled, Shared, loss};
use crate::group::Waiter;
use crate::group::shard::{InHand, Shard};
use crate::sync::Arc;
use crate::unwind::OnDrop;

/// What a caller of `work` or `try_work` has become.
///
/// In two levels, so that which of the three it is can be told by the pointers. If it were in a bit
/// of the participant's word, that word would not be written whole.
pub(crate) enum Role<K, T> {
    Participant(Participant<K, T>),
    Other(Other<K, T>),
}

/// A caller that drives nothing.
pub(crate) enum Other<K, T> {
    /// The flight was begun by another kind of call.
    Waiter(Waiter<K, T>),
    Rejected(Rejected),
}

/// In this order the word of place and flags, which is written last, is moved by itself: see
/// [`MarkedPlace`](crate::cell::MarkedPlace).
#[repr(C)]
pub(crate) struct Participant<K, T> {
    pub(crate) shard: Arc<Shard<K, T>>,
    /// With its place at the operation.
    pub(super) seat: Seat<K, T>,
}

/// This call began the flight.
pub(super) const BEGAN: u32 = 1;
/// It is counted as a waiter of the flight. Not so if it began the flight, is a task, or its waiter
/// has not come yet.
pub(super) const COUNTED: u32 = 1 << 1;
/// The operation has not counted it.
pub(super) const OUTSIDE: u32 = 1 << 2;
/// It is a task of a runtime, which a `spawn` has added.
const TASK: u32 = 1 << 3;
/// It has begun the flight, and has it as a guard has it until a subscriber has been told.
pub(super) const IN_HAND: u32 = 1 << 4;
/// It drove when it was polled last. When it is polled again, its operation is most likely ready.
pub(super) const DROVE: u32 = 1 << 6;
/// It has left. It can still be polled, if its operation panicked.
const LEFT: u32 = 1 << 5;

impl<K, T> Role<K, T> {
    /// Until it is known what it is.
    #[inline(always)]
    pub(super) const fn unknown() -> Self {
        Role::Other(Other::Rejected(Rejected::Closed))
    }

    /// Makes it a participant, which is a guard from here on. The seat is made where it stays: see
    /// [`MarkedPlace`](crate::cell::MarkedPlace).
    #[inline(always)]
    pub(super) fn set(
        &mut self,
        seat: impl FnOnce() -> Seat<K, T>,
        shard: &Arc<Shard<K, T>>,
    ) -> &mut Participant<K, T> {
        let shard = shard.clone();
        *self = Role::Participant(Participant::new(seat(), shard));
        match self {
            Role::Participant(participant) => participant,
            Role::Other(_) => unreachable!("written above"),
        }
    }

    /// Makes a participant that the operation has not counted a waiter.
    pub(super) fn give_up(&mut self) -> Option<Waiter<K, T>> {
        match mem::replace(self, Self::unknown()) {
            Role::Participant(participant) => Some(participant.into_waiter()),
            Role::Other(_) => None,
        }
    }

    /// Before a poll. A participant that would wait for itself leaves, for good.
    pub(super) fn leave_if_polled_inside(&mut self, waker: &Waker) {
        self.leave_if(|flight| leads_back(flight, waker));
    }

    /// Before the thread parks. A caller that would wait for itself leaves, for good.
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    pub(super) fn leave_if_parked_inside(&mut self) {
        match self {
            Role::Other(Other::Waiter(waiter)) => waiter.watch().leave_if_inside(),
            _ => self.leave_if(crate::flight::reentry::is_inside),
        }
    }

    fn leave_if(&mut self, certain: impl FnOnce(&FlightRef<K, T>) -> bool) {
        if let Role::Participant(participant) = self {
            if participant.waits_for_itself(certain) {
                let name = participant.flight().observed.name().clone();
                // The drop of the participant is the user's. It has left by then, also if that
                // panics.
                *self = Role::Other(Other::Rejected(Rejected::Reentrant));
                name.report_rejected(Rejected::Reentrant);
            }
        }
    }

    pub(crate) fn id(&self) -> Option<FlightId> {
        match self {
            Role::Participant(participant) => Some(participant.flight().id),
            Role::Other(Other::Waiter(waiter)) => Some(waiter.id()),
            Role::Other(Other::Rejected(_)) => None,
        }
    }

    pub(crate) fn is_primary(&self) -> bool {
        matches!(self, Role::Participant(participant) if participant.is_first())
    }

    pub(crate) fn is_replayed(&self) -> bool {
        matches!(self, Role::Other(Other::Waiter(waiter)) if waiter.is_replayed())
    }

    pub(crate) fn get(&self) -> Option<Result<Settled<K, T>, Error>> {
        match self {
            Role::Participant(participant) => participant.flight().get(),
            Role::Other(Other::Waiter(waiter)) => waiter.get(),
            Role::Other(Other::Rejected(why)) => Some(Err(Error::Rejected(*why))),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Role::Participant(_) => "participant",
            Role::Other(Other::Waiter(_)) => "waiter",
            Role::Other(Other::Rejected(_)) => "rejected",
        }
    }
}

impl<K, T> Participant<K, T> {
    #[inline(always)]
    pub(super) fn new(seat: Seat<K, T>, shard: Arc<Shard<K, T>>) -> Self {
        Self { seat, shard }
    }

    #[inline(always)]
    pub(crate) fn flight(&self) -> &FlightRef<K, T> {
        self.seat.flight()
    }

    /// Of a `spawn`, for which the operation has counted it.
    pub(super) fn task(flight: FlightRef<K, T>, shard: Arc<Shard<K, T>>) -> Self {
        Self::new(Seat::new(flight, TASK), shard)
    }

    /// The outcome, if the flight has ended.
    #[inline(always)]
    pub(super) fn outcome(&mut self) -> Option<Result<Settled<K, T>, Error>> {
        let state = self.flight().cell.snapshot();
        state.ended().then(|| self.seat.outcome(state))
    }

    pub(super) fn report_joined(&self) {
        let flight = self.flight();
        flight.observed.report_joined(flight.id, false);
    }

    /// Hands over its place in the count to a waiter. The operation has not counted it.
    fn into_waiter(mut self) -> Waiter<K, T> {
        let waiter = Waiter::new(self.flight().clone_two());
        self.seat.mark(LEFT, COUNTED);
        waiter
    }

    /// Takes over the waiter's place in the count.
    pub(super) fn duplicate(mut self, waiter: Waiter<K, T>) -> Self {
        waiter.disarm();
        self.seat.mark(COUNTED, 0);
        self
    }

    /// Calls `f` with the operation, and with this participant's place at it, unless the flight has
    /// ended and has shed its operation.
    #[inline(always)]
    pub(super) fn with_operation<R>(
        &mut self,
        f: impl FnOnce(&Shared<T>, &mut Place) -> R,
    ) -> Option<R> {
        self.seat
            .with_place(|flight, place| flight.with_shared(|shared| f(shared, place)))
    }

    /// As [`with_operation`](Self::with_operation), if the participant can park there. Not if the
    /// flight has ended. `state` is any that the flight's cell has had.
    #[inline(always)]
    pub(super) fn with_operation_to_park<R>(
        &mut self,
        state: Snapshot,
        f: impl FnOnce(&Shared<T>, &mut Place) -> R,
    ) -> Option<R> {
        self.seat.with_place(|flight, place| {
            flight.with_shared_to_park(state, |shared| f(shared, place))
        })
    }

    /// Takes the operation, or the right to run one, if it is ready, this call has begun the flight
    /// and nobody else has come since.
    #[inline(always)]
    pub(super) fn first_turn(&mut self) -> Option<Operation<T>> {
        let place = self.seat.place();
        if !self.is_first() || (place.is_taken() && place != Place::ALONE) {
            return None;
        }
        let operation = self.flight().with_shared(|shared| shared.first_turn())??;
        self.seat.with_place(|_, place| *place = Place::NONE);
        Some(operation)
    }

    /// Makes the operation of a *Continue* flight. A panic ends the flight, as one in a poll would.
    #[inline(always)]
    pub(super) fn make<F>(&mut self, fresh: Fresh<T, F>, make: impl FnOnce() -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let gone = OnDrop(|| self.shard.gone(self.flight()));
        let operation = self
            .shard
            .guarded(self.flight(), None, || fresh.put(make()));
        mem::forget(gone);
        self.hand_in(operation);
    }

    /// Hands in the operation of a flight that this call began.
    pub(super) fn hand_in(&self, operation: Operation<T>) {
        let mut in_hand = InHand::new(&self.shard, self.flight(), Some(operation));
        // It stays in hand if the flight has ended.
        self.flight().with_shared(|shared| {
            shared.hand_in(&mut in_hand.operation);
        });
    }

    /// Leaves the flight, and ends it if it cannot continue. `run`: it had the run of a *Rerun*
    /// flight, which has ended for this cause, and has dropped its operation. What it leaves behind
    /// is dropped last: its drop is the user's.
    pub(super) fn leave(&mut self, run: Option<Cause>) {
        if self.has_left() {
            return;
        }
        self.seat.mark(LEFT, 0);
        if self.seat.has(IN_HAND) {
            return self.lose();
        }
        let state = self.flight().cell.snapshot();
        if state.is_told() && run.is_none() {
            return;
        }
        if self.seat.has(OUTSIDE) {
            // It is a waiter still, of any kind of flight: that may have to be wanted.
            return drop(Waiter::new(self.flight().clone_two()));
        }
        if self.seat.has(COUNTED) {
            self.flight().cell.leave();
        }
        // One that had the run has to say that it is gone.
        if state.ended() && !self.seat.place().is_taken() && run.is_none() {
            return;
        }
        if self.seat.has(TASK) {
            self.with_operation(|shared, _| shared.task_leaves());
        }
        let run_is_over = run.map(|cause| RunIsOver {
            cause,
            max_reruns: self
                .shard
                .rules()
                .map_or(usize::MAX, |rules| rules.max_reruns),
        });
        let left = self.with_operation(|shared, place| shared.leave(place, run_is_over));
        let Some(left) = left else {
            if run.is_some() {
                self.shard.gone(self.flight());
            }
            return;
        };
        let _waker = left.waker;
        match left.end {
            Some(cause) if left.operation.is_some() => {
                let _in_hand = InHand::new(&self.shard, self.flight(), left.operation);
                self.shard.abort(self.flight(), cause);
            }
            Some(cause) if run.is_some() => self.shard.lose(self.flight(), cause),
            // `max_reruns` is used up: the caller that had the last run ends the flight at this
            // moment. Only that one says that the run is gone.
            Some(cause) => {
                self.shard.abort(self.flight(), cause);
            }
            None if left.gone => self.shard.gone(self.flight()),
            None => {}
        }
    }

    #[cold]
    #[inline(never)]
    fn lose(&self) {
        self.shard.lose(self.flight(), loss());
    }

    /// Whether it waits for its own flight from inside of it, as it does if `certain` says so.
    fn waits_for_itself(&self, certain: impl FnOnce(&FlightRef<K, T>) -> bool) -> bool {
        certain(self.flight()) && !self.flight().cell.snapshot().ended()
    }

    pub(super) fn is_first(&self) -> bool {
        self.seat.has(BEGAN)
    }

    pub(super) fn has_left(&self) -> bool {
        self.seat.has(LEFT)
    }
}

impl<K, T> Drop for Participant<K, T> {
    fn drop(&mut self) {
        self.leave(None);
    }
}
