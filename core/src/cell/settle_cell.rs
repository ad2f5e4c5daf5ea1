//! [`RawCell`]: a value that is recorded once, and read by reference from then on. A
//! [`SettleCell`](crate::SettleCell) is one, and each flight has one.
//!
//! With `flight/memory` the only place of the product with `unsafe`. It argues four things, each a
//! consequence of `state`: the value slot is written under a claim that exactly one caller gets; it
//! is read only after publication; a slot that is reserved is used by one of the settler and the
//! ender at a time; and what hangs on a cell (its waiting room, and what is attached to it) is used
//! only by calls that are inside of the cell, and freed where none can be inside any more. `waits`
//! has who waits there, and how they are told.
//!
//! # The settler
//! A value's place can be reserved for one caller, the settler. It records the outcome in one
//! exchange. Until then the place is free, so that is where its waker is parked.
//!
//! An ender reads the place only if its abort has found the settler parked, and only after it has
//! taken `PARKED` off. So the settler writes it only if it has taken that off itself, or has seen
//! the cell open and itself not parked, in one state: no ender can find it parked after that.
//!
//! # What hangs on a cell, and when it is freed
//! A flight that is retained lives long after its end, when nothing that hangs on it is of use any
//! more. So the cells of a group that retains *shed*: when all have been told, the room and the
//! attachment are freed, by the ender or by the last call that is inside then (`state`, invariant
//! 4). Only there does a call count itself when it enters. Every other cell keeps both to its end,
//! so that entering it changes nothing.

#[deny(unsafe_code)]
mod waits;

use alloc::boxed::Box;
use core::convert::Infallible;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::task::Waker;

use crate::cell::state::{Apart, Join, Snapshot, State};
use crate::cell::waiting_room::{self, WaitingRoom};
use crate::error::Cause;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::unwind::isolate;

/// A value that is recorded once. `B` is what can be attached to it.
pub(crate) struct RawCell<T, B = Infallible> {
    pub(super) state: State,
    /// Null until somebody waits, and after the cell has shed; else a `Box<WaitingRoom>`.
    room: AtomicPtr<WaitingRoom>,
    /// `None` after the cell has shed.
    attached: UnsafeCell<Option<B>>,
    /// A value exactly while the state is settled, and a waker exactly while it is parked.
    value: UnsafeCell<MaybeUninit<Content<T>>>,
}

/// What can be in the value's place: the value, or the waker of the one caller that settles.
union Content<T> {
    value: ManuallyDrop<T>,
    settler: ManuallyDrop<Box<Waker>>,
}

// SAFETY: `T` and `B` are `Sync`, since many threads read both by reference at once, and `Send`,
// since any of them moves a value in (`record`) or drops what is attached (`shed`).
// - The value: written only by one caller, before publication, and read only after it; `State`
//   orders the two (release on publish, acquire on load). A settler's waker there is `Send`, too.
// - The attachment: read only inside, taken only by the one call that sheds, after all of these;
//   `State` orders the two (release on exit, acquire by the step that sheds).
// - The waiting room is shared and moved with the cell: the check below.
unsafe impl<T: Send + Sync, B: Send + Sync> Sync for RawCell<T, B> {}

/// What the pointer to the room promises by itself, whatever it points to.
const _: fn() = || {
    fn is_send_and_sync<R: Send + Sync>() {}
    is_send_and_sync::<WaitingRoom>();
};

impl<T> Content<T> {
    const fn of(value: T) -> Self {
        Self {
            value: ManuallyDrop::new(value),
        }
    }
}

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
                // - Not aliased by a writer: one caller writes it, once, before publication.
                // - Lives long enough: the reference borrows `self`, and the slot is inside it.
                unsafe { &*(*slot).assume_init_ref().value }
            })
        })
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.state.load().settled().then(|| {
            self.value.with_mut(|slot| {
                // SAFETY: initialised, since the state says settled; exclusive, and lives long
                // enough: the reference borrows `self` mutably, and the slot is inside it.
                unsafe { &mut *(*slot).assume_init_mut().value }
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
            unsafe { ManuallyDrop::into_inner((*slot).assume_init_read().value) }
        });
        self.state = State::new(Snapshot::open(false));
        // SAFETY: the cell is borrowed mutably.
        unsafe { self.free_room() };
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
            unsafe { (*slot).write(Content::of(value)) };
        });
        Ok(self.state.publish())
    }

    /// As [`record`](Self::record), in one step, where the value's place is reserved.
    ///
    /// # Safety
    ///
    /// - The caller is the settler, and makes no other call as the settler meanwhile.
    /// - `state` says that the place is reserved. It was read after the settler's last such call.
    #[inline(always)]
    pub(crate) unsafe fn record_reserved(&self, state: Snapshot, value: T) -> Result<Snapshot, T> {
        if state.is_parked() {
            // SAFETY: the caller's contract.
            let Some(waker) = (unsafe { self.unpark_settler() }) else {
                // It was aborted, and the ender takes the waker out of this place.
                return Err(value);
            };
            // Its panic must not come between the record and what the caller has to do after it.
            isolate(|| drop(waker));
        }
        self.value.with_mut(|slot| {
            // SAFETY:
            // - Exclusive: nobody claims a place that is reserved, nobody reads before publication,
            //   and no ender can find a waker there (see the head).
            // - The slot holds nothing, so overwriting it drops nothing.
            unsafe { (*slot).write(Content::of(value)) };
        });
        match self.state.publish_reserved() {
            Some(before) => Ok(before),
            // SAFETY: written above, and read once: the state is aborted.
            None => Err(self.value.with_mut(|slot| unsafe {
                ManuallyDrop::into_inner((*slot).assume_init_read().value)
            })),
        }
    }

    /// Parks the settler in the value's place. Returns the waker if the cell has ended meanwhile.
    /// If another call aborts the cell, that wakes it.
    ///
    /// # Safety
    ///
    /// - The caller is the settler, and makes no other call as the settler meanwhile.
    /// - It has read a state, after its last such call, that says that the place is reserved and
    ///   that it is not parked.
    pub(crate) unsafe fn park_settler(&self, waker: Box<Waker>) -> Result<(), Box<Waker>> {
        self.value.with_mut(|slot| {
            let settler = ManuallyDrop::new(waker);
            // SAFETY: as in `record_reserved`.
            unsafe { (*slot).write(Content { settler }) };
        });
        if self.state.set_parked(Apart::Settler) {
            Ok(())
        } else {
            // SAFETY: written above, and not published.
            Err(unsafe { self.read_waker() })
        }
    }

    /// Takes the waker back, unless an ender does. A settler that is awake needs no wake: it looks
    /// at the state before it parks again.
    ///
    /// # Safety
    ///
    /// The caller is the settler, and makes no other call as the settler meanwhile.
    pub(crate) unsafe fn unpark_settler(&self) -> Option<Box<Waker>> {
        // SAFETY: this has taken `PARKED` off.
        let waker = || unsafe { self.read_waker() };
        self.state.unset_parked(Apart::Settler).then(waker)
    }

    /// For the call that has aborted the cell: takes the settler's waker, if it is parked. `before`
    /// is the state that the abort found.
    #[inline(always)]
    fn take_settler(&self, before: Snapshot) -> Option<Box<Waker>> {
        // SAFETY: this has taken `PARKED` off.
        let waker = || unsafe { self.read_waker() };
        (before.is_parked() && self.state.unset_parked(Apart::Settler)).then(waker)
    }

    /// # Safety
    ///
    /// There is a waker in the place, and it is the caller's, who has written it or has taken
    /// `PARKED` off (that acquires it), or has the cell to itself. It is read once.
    unsafe fn read_waker(&self) -> Box<Waker> {
        self.value.with_mut(|slot| {
            // SAFETY: the caller's contract.
            unsafe { ManuallyDrop::into_inner((*slot).assume_init_read().settler) }
        })
    }

    /// Ends the cell without a value. Wakes nobody. Returns `None` if another end was first.
    pub(crate) fn abort(&self, cause: Cause) -> Option<Snapshot> {
        self.state.abort(cause)
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

    /// Enters the cell. Returns `None` if it sheds and all have been told. Whether it sheds is read
    /// from its own state: with that of another cell a call could come in uncounted.
    #[inline(always)]
    fn enter(&self) -> Option<Inside<'_, T, B>> {
        let (cell, counted) = (self, self.state.sheds());
        (!counted || self.state.enter()).then(|| Inside { cell, counted })
    }

    /// As [`enter`](Self::enter), unless the call would be counted.
    #[inline(always)]
    fn enter_uncounted(&self) -> Option<Inside<'_, T, B>> {
        let (cell, counted) = (self, self.state.sheds());
        (!counted).then(|| Inside { cell, counted })
    }

    /// The same, unless all have been told.
    #[inline(always)]
    fn enter_unless_told(&self) -> Option<Inside<'_, T, B>> {
        let (cell, counted) = (self, false);
        (!self.state.load().is_told_or_sheds()).then(|| Inside { cell, counted })
    }

    /// The ender has told everybody. If nobody is inside, it sheds.
    fn set_told(&self) {
        if self.state.set_told() {
            // SAFETY: this was that step.
            unsafe { self.shed() };
        }
    }

    /// Frees the waiting room.
    ///
    /// # Safety
    ///
    /// No call is inside, and none enters meanwhile: this is the one call that sheds, or it has the
    /// cell to itself.
    unsafe fn free_room(&self) {
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
            // SAFETY: this was that step.
            unsafe { self.shed() };
        }
    }

    /// Frees what hangs on the cell.
    ///
    /// # Safety
    ///
    /// The caller has taken the one step after which it is told and nobody inside (invariant 4).
    #[cold]
    unsafe fn shed(&self) {
        // SAFETY: no call is inside or enters any more.
        unsafe { self.free_room() };
        drop(self.attached.with_mut(|slot| {
            // SAFETY: exclusive: one call sheds, and no call is inside or enters any more.
            unsafe { (*slot).take() }
        }));
    }

    /// Of a settler that is parked, in a cell that is being dropped.
    #[cold]
    #[inline(never)]
    fn drop_waker(&mut self) {
        // SAFETY: parked, and read once: the cell is being dropped.
        drop(unsafe { self.read_waker() });
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
            value: UnsafeCell::new(MaybeUninit::new(Content::of(value))),
        }
    }
}

impl<T, B> Drop for RawCell<T, B> {
    fn drop(&mut self) {
        // SAFETY: the cell is borrowed mutably.
        unsafe { self.free_room() };
        let state = self.state.load();
        if state.settled() {
            self.value.with_mut(|slot| {
                // SAFETY:
                // - Initialised: the state says settled.
                // - Dropped once: the cell is being dropped.
                unsafe { ManuallyDrop::drop(&mut (*slot).assume_init_mut().value) };
            });
        } else if state.is_parked() {
            self.drop_waker();
        }
    }
}

/// A call that is inside of a cell: until this is dropped, nothing that hangs on the cell is freed.
struct Inside<'a, T, B> {
    cell: &'a RawCell<T, B>,
    /// The cell sheds, so the call is counted.
    counted: bool,
}

impl<T, B> Inside<'_, T, B> {
    #[inline(always)]
    fn attached(&self) -> Option<&B> {
        self.cell.attached.with(|slot| {
            // SAFETY:
            // - Not aliased by a writer: it is written only by `shed`. That runs in cells that shed
            //   only, and only where no call is inside.
            // - Lives long enough: it borrows this.
            unsafe { (*slot).as_ref() }
        })
    }

    /// The waiting room, if it has been made.
    #[inline(always)]
    fn made_room(&self) -> Option<&WaitingRoom> {
        // SAFETY:
        // - Null, or made by `Box::into_raw` in `make_room`, released by that exchange and acquired
        //   here.
        // - Alive: freed only by `free_room`, which runs where no call is inside; the reference
        //   borrows this.
        // - Never exclusive: every access is by shared reference.
        unsafe { self.cell.room.load(Ordering::Acquire).as_ref() }
    }

    /// The waiting room. It is made at the first call.
    fn room(&self) -> &WaitingRoom {
        self.made_room().unwrap_or_else(|| self.make_room())
    }

    fn make_room(&self) -> &WaitingRoom {
        let fresh = Box::into_raw(waiting_room::take());
        let null = core::ptr::null_mut();
        let room = &self.cell.room;
        let made = room.compare_exchange(null, fresh, Ordering::AcqRel, Ordering::Acquire);
        if made.is_err() {
            // SAFETY: `fresh` is from `Box::into_raw` above and lost the race: nobody else has seen
            // it.
            waiting_room::put(unsafe { Box::from_raw(fresh) });
        }
        self.made_room()
            .unwrap_or_else(|| unreachable!("made just now, and this call is inside"))
    }
}

impl<T, B> Drop for Inside<'_, T, B> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.counted {
            self.cell.exit();
        }
    }
}
