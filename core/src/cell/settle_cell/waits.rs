//! Who waits at a cell, and how they are told.

use core::task::{Context, Poll, Waker};

use super::{Inside, RawCell};
use crate::cell::slab::Place;
use crate::cell::state::Snapshot;
use crate::cell::waiting_room::WaitingRoom;
use crate::cell::wake::fire_one;
use crate::unwind::OnDrop;

impl<T, B> RawCell<T, B> {
    /// Wakes everybody who waits, and sheds. `before` is the state that the end returned.
    pub(crate) fn tell(&self, before: Snapshot) {
        // Nobody has registered, so nobody is told; a notify would allocate for nothing.
        if before.has_more_to_do() {
            self.tell_room(before);
        }
    }

    /// As [`tell`](Self::tell), and marks in any case that all have been told: no waker is left in
    /// what is attached.
    pub(crate) fn tell_last(&self, before: Snapshot) {
        if before.has_more_to_do() {
            self.tell_room(before);
        } else {
            self.set_told();
        }
    }

    #[inline(never)]
    fn tell_room(&self, before: Snapshot) {
        let settler = self.take_settler(before);
        // Also if the waker panics.
        let _then = OnDrop(|| self.tell_those_who_wait(before));
        if let Some(waker) = settler {
            fire_one(*waker);
        }
    }

    #[inline(always)]
    fn tell_those_who_wait(&self, before: Snapshot) {
        if before.sheds() {
            return self.tell_and_shed(before);
        }
        // Also if a waker panics: by then the others have been fired.
        let _told = OnDrop(|| self.set_told());
        if let Some(inside) = self.enter_uncounted() {
            inside.tell();
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_and_shed(&self, before: Snapshot) {
        // Also if a waker panics, as above.
        let _told = OnDrop(|| self.set_told());
        if !before.has_registered() {
            return;
        }
        if let Some(inside) = self.enter() {
            inside.tell();
        }
    }

    /// Ready with the state once the cell has ended. Until then the task is parked in `place`.
    #[inline]
    pub(crate) fn poll_end(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Snapshot> {
        let mut state = self.state.load();
        if !state.ended() {
            state = self.park(place, cx.waker());
            if !state.ended() {
                return Poll::Pending;
            }
        }
        Poll::Ready(state)
    }

    /// Parks a task, unless the cell has ended. Returns the state as it was found.
    #[inline]
    pub(crate) fn park(&self, place: &mut Place, waker: &Waker) -> Snapshot {
        let inside = self.enter_uncounted();
        match inside.as_ref().and_then(Inside::made_room) {
            Some(room) => room.park(&self.state, place, waker),
            None => self.park_slowly(place, waker),
        }
    }

    #[inline(never)]
    fn park_slowly(&self, place: &mut Place, waker: &Waker) -> Snapshot {
        let found = self.with_room(|room| room.park(&self.state, place, waker));
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
        match self.enter_unless_told() {
            Some(inside) => {
                if let Some(room) = inside.made_room() {
                    room.vacate(place);
                }
            }
            None => self.vacate_slowly(place),
        }
    }

    #[cold]
    #[inline(never)]
    fn vacate_slowly(&self, place: &mut Place) {
        if !self.state.load().is_told() {
            self.with_room(|room| room.vacate(place));
        }
    }

    #[cfg(test)]
    pub(in crate::cell) fn has_room(&self) -> bool {
        self.enter()
            .is_some_and(|inside| inside.made_room().is_some())
    }

    /// Whether something is attached.
    #[inline(always)]
    pub(crate) fn has_attached(&self) -> bool {
        self.with_attached(|_| ()).is_some()
    }

    /// Calls `f` with what is attached, unless that has been shed.
    #[inline(always)]
    pub(crate) fn with_attached<R>(&self, f: impl FnOnce(&B) -> R) -> Option<R> {
        let inside = self.enter()?;
        inside.attached().map(f)
    }

    /// As [`with_attached`](Self::with_attached), with the waiting room.
    pub(in crate::cell) fn with_room<R, F>(&self, f: F) -> Option<R>
    where
        F: FnOnce(&WaitingRoom) -> R,
    {
        let inside = self.enter()?;
        Some(f(inside.room()))
    }
}

impl<T, B> Inside<'_, T, B> {
    /// Wakes everybody who waits in the room. Without a room, who has registered waits elsewhere.
    fn tell(&self) {
        if let Some(room) = self.made_room() {
            room.tell();
        }
    }
}
