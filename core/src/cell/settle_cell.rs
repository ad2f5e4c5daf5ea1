//! [`RawCell`]: a value that is recorded once, and read by reference from then on. A
//! [`SettleCell`](crate::SettleCell) is one, and each flight has one.
//!
//! With `flight/memory` the only place of the product with `unsafe`. It argues three things, each a
//! consequence of `state`: the value slot is written under a claim that exactly one caller gets; it
//! is read only after publication; and what hangs on a cell (its waiting room, and what is attached
//! to it) is used only by calls that are inside of the cell, and freed where none can be inside any
//! more.
//!
//! # What hangs on a cell, and when it is freed
//! A flight that is retained lives long after its end, when nothing that hangs on it is of use any
//! more. So the cells of a group that retains *shed*: when all have been told, the room and the
//! attachment are freed, by the ender or by the last call that is inside then (`state`, invariant
//! 4). Only there does a call count itself when it enters. Every other cell keeps both to its end,
//! so that entering it changes nothing.

use alloc::boxed::Box;
use core::convert::Infallible;
use core::mem::MaybeUninit;
use core::task::{Context, Poll, Waker};

use crate::cell::slab::Place;
use crate::cell::state::{Join, Snapshot, State};
use crate::cell::waiting_room::{self, WaitingRoom};
use crate::error::Cause;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::unwind::OnDrop;

/// A value that is recorded once. `B` is what can be attached to it.
pub(crate) struct RawCell<T, B = Infallible> {
    pub(super) state: State,
    /// Null until somebody waits, and after the cell has shed; else a `Box<WaitingRoom>`.
    room: AtomicPtr<WaitingRoom>,
    /// `None` after the cell has shed.
    attached: UnsafeCell<Option<B>>,
    /// Initialised exactly while the state is settled.
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: `T` and `B` are `Sync`, since many threads read both by reference at once, and `Send`,
// since any of them moves a value in (`record`) or drops what is attached (`shed`).
// - The value: written only under a claim (one caller, before publication), read only after
//   publication; `State` orders the two (release on publish, acquire on load).
// - The attachment: read only inside, taken only by the one call that sheds, after all of these;
//   `State` orders the two (release on exit, acquire by the step that sheds).
// - The waiting room is shared and moved with the cell: the check below.
unsafe impl<T: Send + Sync, B: Send + Sync> Sync for RawCell<T, B> {}

/// What the pointer to the room promises by itself, whatever it points to.
const _: fn() = || {
    fn is_send_and_sync<R: Send + Sync>() {}
    is_send_and_sync::<WaitingRoom>();
};

impl<T, B> RawCell<T, B> {
    /// A cell with this state, which is open. If it sheds, what hangs on it is freed when all have
    /// been told.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(crate) const fn new(attached: Option<B>, open: Snapshot) -> Self {
        Self {
            state: State::new(open),
            room: AtomicPtr::new(core::ptr::null_mut()),
            attached: UnsafeCell::new(attached),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[cfg(loom)]
    pub(crate) fn new(attached: Option<B>, open: Snapshot) -> Self {
        Self {
            state: State::new(open),
            room: AtomicPtr::new(core::ptr::null_mut()),
            attached: UnsafeCell::new(attached),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The value, if it is settled.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.state.load().settled().then(|| {
            self.value.with(|slot| {
                // SAFETY:
                // - Initialised: the state says settled, which is published after the write and
                //   taken back by `take` alone, which has the cell to itself.
                // - Not aliased by a writer: a claim is given once, and it has been used.
                // - Lives long enough: the reference borrows `self`, and the slot is inside it.
                unsafe { (*slot).assume_init_ref() }
            })
        })
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.state.load().settled().then(|| {
            self.value.with_mut(|slot| {
                // SAFETY:
                // - Initialised: the state says settled.
                // - Exclusive, and lives long enough: the reference borrows `self` mutably, and the
                //   slot is inside it.
                unsafe { (*slot).assume_init_mut() }
            })
        })
    }

    /// Takes the value out. The cell is as new then: open, and without a room.
    pub(crate) fn take(&mut self) -> Option<T> {
        if !self.state.load().settled() {
            return None;
        }
        let value = self.value.with_mut(|slot| {
            // SAFETY:
            // - Initialised: the state says settled.
            // - Read once: the state says open before anything else is done, and the cell is
            //   borrowed mutably.
            unsafe { (*slot).assume_init_read() }
        });
        self.state = State::new(Snapshot::open(false));
        self.free_room();
        Some(value)
    }

    /// Claims, writes and publishes. Wakes nobody: the caller does, with the state this returns.
    pub(crate) fn record(&self, value: T) -> Result<Snapshot, T> {
        if !self.state.claim() {
            return Err(value);
        }
        self.value.with_mut(|slot| {
            // SAFETY:
            // - Exclusive: `claim` is true for one caller only, and nobody reads before
            //   publication.
            // - The slot holds nothing yet, so overwriting it drops nothing.
            unsafe { (*slot).write(value) };
        });
        Ok(self.state.publish())
    }

    /// Ends the cell without a value. Wakes nobody. Returns `None` if another end was first.
    pub(crate) fn abort(&self, cause: Cause) -> Option<Snapshot> {
        self.state.abort(cause)
    }

    /// Wakes everybody who waits, and sheds. `before` is the state that the end returned.
    pub(crate) fn tell(&self, before: Snapshot) {
        // Nobody has registered, so nobody is told; a notify would allocate for nothing.
        if before.has_registered_or_sheds() {
            self.tell_room(before);
        }
    }

    /// As [`tell`](Self::tell), and marks in any case that all have been told: no waker is left in
    /// what is attached.
    pub(crate) fn tell_last(&self, before: Snapshot) {
        if before.has_registered_or_sheds() {
            self.tell_room(before);
        } else {
            let _nothing_to_shed = self.state.set_told();
        }
    }

    #[inline(never)]
    fn tell_room(&self, before: Snapshot) {
        if before.sheds() {
            return self.tell_and_shed(before);
        }
        // Also if a waker panics: by then the others have been fired.
        let _told = OnDrop(|| {
            let _nothing_to_shed = self.state.set_told();
        });
        self.tell_those_in_room();
    }

    #[cold]
    #[inline(never)]
    fn tell_and_shed(&self, before: Snapshot) {
        // Also if a waker panics, as above.
        let _told = OnDrop(|| {
            if self.state.set_told() {
                self.shed();
            }
        });
        if !before.has_registered() {
            return;
        }
        if let Some(_inside) = self.enter(before) {
            self.tell_those_in_room();
        }
    }

    /// For a call that is inside. Without a room, who has registered waits elsewhere.
    fn tell_those_in_room(&self) {
        if let Some(room) = self.made_room() {
            room.tell();
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.state.load()
    }

    /// Announces somebody who waits elsewhere, and whom the ender has to tell. Returns false if the
    /// cell has ended: then the ender may not come. `state` is any that the cell has had.
    #[inline(always)]
    pub(crate) fn announce(&self, state: Snapshot) -> bool {
        state.has_registered() || !self.state.register().ended()
    }

    pub(crate) fn join(&self, most: usize) -> Join {
        self.state.join(most)
    }

    /// See [`State::leave`].
    pub(crate) fn leave(&self) -> bool {
        self.state.leave()
    }

    /// Ready with the state once the cell has ended. Until then the task is parked in `place`.
    #[inline]
    pub(crate) fn poll_end(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Snapshot> {
        let mut state = self.state.load();
        if !state.ended() {
            state = self.park(state, place, cx.waker());
            if !state.ended() {
                return Poll::Pending;
            }
        }
        Poll::Ready(state)
    }

    /// Parks a task, unless the cell has ended since `state`. Returns the state as it was found.
    #[inline]
    pub(crate) fn park(&self, state: Snapshot, place: &mut Place, waker: &Waker) -> Snapshot {
        match self.made_room() {
            Some(room) if !state.sheds() => room.park(&self.state, place, waker),
            _ => self.park_slowly(state, place, waker),
        }
    }

    #[inline(never)]
    fn park_slowly(&self, state: Snapshot, place: &mut Place, waker: &Waker) -> Snapshot {
        if !state.sheds() {
            return self.room().park(&self.state, place, waker);
        }
        let found = self.with_room(state, |room| room.park(&self.state, place, waker));
        found.unwrap_or_else(|| self.state.load())
    }

    /// Gives the place back, so that no waker of it is kept.
    #[inline]
    pub(crate) fn vacate(&self, place: &mut Place) {
        if place.is_taken() {
            self.vacate_taken(place);
        }
        *place = Place::NONE;
    }

    fn vacate_taken(&self, place: &mut Place) {
        let state = self.state.load();
        if state.is_told_or_sheds() {
            self.vacate_slowly(state, place);
        } else if let Some(room) = self.made_room() {
            room.vacate(place);
        }
    }

    #[cold]
    #[inline(never)]
    fn vacate_slowly(&self, state: Snapshot, place: &mut Place) {
        if !state.is_told() {
            self.with_room(state, |room| room.vacate(place));
        }
    }

    #[cfg(test)]
    pub(super) fn has_room(&self) -> bool {
        self.made_room().is_some()
    }

    /// Whether something is attached. `state` is any that the cell has had.
    #[inline(always)]
    pub(crate) fn has_attached(&self, state: Snapshot) -> bool {
        self.with_attached(state, |_| ()).is_some()
    }

    /// Calls `f` with what is attached, unless that has been shed. `state` is any that the cell has
    /// had.
    #[inline(always)]
    pub(crate) fn with_attached<R>(&self, state: Snapshot, f: impl FnOnce(&B) -> R) -> Option<R> {
        let _inside = self.enter(state)?;
        self.attachment().map(f)
    }

    /// As [`with_attached`](Self::with_attached), with the waiting room.
    pub(super) fn with_room<R, F>(&self, state: Snapshot, f: F) -> Option<R>
    where
        F: FnOnce(&WaitingRoom) -> R,
    {
        let _inside = self.enter(state)?;
        Some(f(self.room()))
    }

    /// Enters the cell. Returns `None` if it sheds and all have been told.
    #[inline(always)]
    fn enter(&self, state: Snapshot) -> Option<Inside<'_, T, B>> {
        let counted = state.sheds();
        debug_assert_eq!(counted, self.state.load().sheds(), "another cell's state");
        if counted && !self.state.enter() {
            return None;
        }
        Some(Inside {
            cell: self,
            counted,
        })
    }

    /// The attachment, for a call that is inside.
    #[inline(always)]
    fn attachment(&self) -> Option<&B> {
        self.attached.with(|slot| {
            // SAFETY:
            // - Not aliased by a writer: it is written only by `shed`. That runs in cells that shed
            //   only, and only where no call is inside.
            // - Lives long enough: the callers use it while they are inside.
            unsafe { (*slot).as_ref() }
        })
    }

    /// The waiting room, for a call that is inside. It is made at the first call.
    fn room(&self) -> &WaitingRoom {
        match self.made_room() {
            Some(room) => room,
            None => self.make_room(),
        }
    }

    /// The waiting room, if it has been made, for a call that is inside.
    #[inline(always)]
    fn made_room(&self) -> Option<&WaitingRoom> {
        // SAFETY:
        // - Null, or made by `Box::into_raw` in `make_room`, released by that exchange and acquired
        //   here.
        // - Alive: freed only by `free_room`, which runs where no call is inside; the callers use
        //   it while they are inside.
        // - Never exclusive: every access is by shared reference.
        unsafe { self.room.load(Ordering::Acquire).as_ref() }
    }

    fn make_room(&self) -> &WaitingRoom {
        let fresh = Box::into_raw(waiting_room::take());
        let null = core::ptr::null_mut();
        let made = self
            .room
            .compare_exchange(null, fresh, Ordering::AcqRel, Ordering::Acquire);
        if made.is_err() {
            // SAFETY: `fresh` is from `Box::into_raw` above and lost the race: nobody else has seen
            // it.
            waiting_room::put(unsafe { Box::from_raw(fresh) });
        }
        match self.made_room() {
            Some(room) => room,
            None => unreachable!("made just now, and this call is inside"),
        }
    }

    /// Frees the waiting room. Called where no call is inside and none can enter: by the one call
    /// that sheds, or where the cell is borrowed mutably.
    fn free_room(&self) {
        let room = self.room.load(Ordering::Acquire);
        if !room.is_null() {
            self.room.store(core::ptr::null_mut(), Ordering::Relaxed);
            // SAFETY:
            // - From `Box::into_raw` in `make_room`, and freed once: the pointer is null now, and
            //   no other call is here.
            // - No reference is left: each is part of a call inside.
            waiting_room::put(unsafe { Box::from_raw(room) });
        }
    }

    /// A counted call leaves the inside.
    #[cold]
    #[inline(never)]
    fn exit(&self) {
        if self.state.exit() {
            self.shed();
        }
    }

    /// Frees what hangs on the cell. Called once, by the call that took the step after which the
    /// state is told and nobody is inside.
    #[cold]
    fn shed(&self) {
        self.free_room();
        drop(self.attached.with_mut(|slot| {
            // SAFETY: exclusive: one call sheds, and no call is inside or enters any more.
            unsafe { (*slot).take() }
        }));
    }
}

impl<T> RawCell<T> {
    /// A settled cell.
    #[cfg(not(loom))]
    pub(super) const fn new_with(value: T) -> Self {
        Self {
            state: State::new(Snapshot::SETTLED),
            room: AtomicPtr::new(core::ptr::null_mut()),
            attached: UnsafeCell::new(None),
            value: UnsafeCell::new(MaybeUninit::new(value)),
        }
    }
}

impl<T, B> Drop for RawCell<T, B> {
    fn drop(&mut self) {
        self.free_room();
        if self.state.load().settled() {
            self.value.with_mut(|slot| {
                // SAFETY:
                // - Initialised: the state says settled.
                // - Dropped once: the cell is being dropped.
                unsafe { (*slot).assume_init_drop() };
            });
        }
    }
}

/// A call that is inside of a cell: until this is dropped, nothing that hangs on the cell is freed.
struct Inside<'a, T, B> {
    cell: &'a RawCell<T, B>,
    /// The cell sheds, so the call is counted.
    counted: bool,
}

impl<T, B> Drop for Inside<'_, T, B> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.counted {
            self.cell.exit();
        }
    }
}
