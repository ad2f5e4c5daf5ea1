//! Who drives, and who can: the part that is under a lock.

use alloc::boxed::Box;
use core::mem;
use core::task::Waker;

use crate::cell::{Few, Place, Slab, TakenWaker};
use crate::error::Cause;
use crate::flight::Operation;
use crate::flight::memory::At;
use crate::flight::operation::Policy;
use crate::unwind::Fragile;

/// See the head of [`operation`](crate::flight::operation).
pub(in crate::flight) struct Driving {
    pub(super) stage: Stage,
    /// For which cause the last of the runs ended, if one has, in *Rerun*.
    pub(super) last: Option<Cause>,
    /// Whether there is a participant that is a [task](super::task), in *Continue*.
    pub(super) has_task: bool,
    /// The first place is that of the driver, which has parked alone and does not know it yet.
    pub(super) alone: bool,
    /// The participant that polled the operation last, if it has not left. In *Continue* none
    /// while the operation is polled.
    pub(super) driver: Place,
    /// A count that has reached its maximum stays there: then the flight does not end for want of
    /// participants.
    pub(super) participants: u32,
    /// In *Continue* the place of the task, in *Rerun* how many participants have begun to run. In
    /// one field, since a flight of `work` is smaller by that.
    pub(super) task_or_runs: u32,
    pub(super) others: Option<Box<Slab>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Polling { woken: bool },
    Parked,
    Ready,
    Ended,
}

impl Driving {
    /// With one participant. It makes the operation, which counts as polling it, and then hands it
    /// in. Until then the flight is in the hand of one caller, as a guard is: if that caller is
    /// lost in its begin, it is lost as a guard. If it waits for a gate, it has no `turn`: that is
    /// its first wake, since nobody has a waker before a poll.
    #[inline(always)]
    pub(in crate::flight) fn new(policy: Policy, turn: bool) -> Self {
        Self {
            stage: Stage::Polling { woken: turn },
            last: None,
            has_task: false,
            alone: false,
            driver: Place::NONE,
            participants: 1,
            task_or_runs: match policy {
                Policy::Continue => Place::NONE.number(),
                Policy::Rerun => 0,
            },
            others: None,
        }
    }

    /// Those who are parked.
    pub(super) fn parked<'a, T>(&'a mut self, at: &'a mut At<'_, T>) -> Few<'a> {
        Few {
            first: at.first.as_deref_mut(),
            others: &mut self.others,
        }
    }

    /// Tells a participant that has parked alone its place.
    pub(super) fn find_place(&mut self, place: &mut Place) {
        if *place == Place::ALONE {
            *place = if mem::take(&mut self.alone) {
                Place::FIRST
            } else {
                Place::NONE
            };
        }
    }

    /// In *Rerun*.
    pub(super) fn runs(&self) -> usize {
        self.task_or_runs as usize
    }

    /// In *Rerun*.
    pub(super) fn count_run(&mut self) {
        self.task_or_runs = self.task_or_runs.saturating_add(1);
    }

    /// In *Continue*.
    pub(super) fn task(&self) -> Place {
        Place::of_number(self.task_or_runs)
    }

    /// In *Continue*.
    pub(super) fn set_task(&mut self, task: Place) {
        self.task_or_runs = task.number();
    }

    /// Takes the operation back from its poller or maker, unless the flight has ended.
    pub(super) fn put_back<T>(
        &mut self,
        at: &mut At<'_, T>,
        operation: &mut Option<Operation<T>>,
        ready: bool,
    ) {
        if self.stage == Stage::Ended {
            return;
        }
        if let Some(operation) = operation.take() {
            at.put(operation);
            self.stage = if ready { Stage::Ready } else { Stage::Parked };
        }
    }

    /// Takes what is ready to be polled.
    pub(super) fn take_ready<T>(&mut self, at: &At<'_, T>) -> Operation<T> {
        self.stage = Stage::Polling { woken: false };
        match at.take() {
            Some(operation) => operation,
            None => unreachable!("it is here while the stage says so"),
        }
    }

    pub(super) fn take_for_good<T>(&mut self, at: &At<'_, T>) -> Option<Operation<T>> {
        self.stage = Stage::Ended;
        at.take()
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Parked | Stage::Ready)
    }

    pub(super) fn count_in(&mut self) {
        self.participants = self.participants.saturating_add(1);
    }

    pub(super) fn count_out(&mut self) {
        if self.participants < u32::MAX {
            self.participants -= 1;
        }
    }

    /// Gives the operation of a *Continue* flight to a participant, and takes its place back. It
    /// drives from here on, and is the driver once it has put the operation back.
    pub(super) fn take_to_poll<T>(
        &mut self,
        at: &mut At<'_, T>,
        place: &mut Place,
    ) -> (Operation<T>, TakenWaker) {
        let mut old = None;
        if place.is_taken() {
            if self.task() == *place {
                self.set_task(Place::NONE);
            }
            old = self.parked(at).vacate(place);
        }
        self.driver = Place::NONE;
        (self.take_ready(at), Fragile(old))
    }

    pub(super) fn take_driver_waker<T>(&mut self, at: &mut At<'_, T>) -> Option<Waker> {
        let driver = self.driver;
        self.parked(at).take(driver)
    }
}
