//! The participant that a `spawn` adds to a `work`: a task of its runtime.
//!
//! The call asks for an operation that runs to its end whoever leaves. A task of a runtime is
//! polled when it is woken, and no caller can drop it. So while it is there the last participant
//! does not leave, and it drives before the others: a caller that has driven and is not polled any
//! more stalls nobody.
//!
//! One is enough for a flight. If the runtime drops it, the next `spawn` that joins adds another.

use crate::cell::Place;
use crate::flight::Shared;
use crate::flight::memory::At;
use crate::flight::operation::driving::{Driving, Stage};

impl<T> Shared<T> {
    /// A `spawn` has joined. Returns true if it has to hand a task to its runtime, which is counted
    /// as a participant from here on. Returns `None` if the flight has ended, or is about to
    /// because the last participant has left.
    pub(crate) fn join_by_task(&self) -> Option<bool> {
        self.at_drivers(|driving, _| {
            if driving.stage == Stage::Ended {
                return None;
            }
            let first = !driving.has_task;
            if first {
                driving.has_task = true;
                driving.count_in();
            }
            Some(first)
        })
    }

    /// The task has parked in this place, and drives from here on, also if another participant has
    /// driven until now. Returns true if the operation has become ready since the task parked, so
    /// that it has to be polled again: it may be that nobody has woken it.
    pub(crate) fn lead(&self, place: Place) -> bool {
        self.at_drivers(|driving, at| {
            driving.set_task(place);
            let parked = driving.parked(at).is_parked(place);
            match driving.stage {
                Stage::Parked if parked => {
                    driving.driver = place;
                    false
                }
                // Without a waker here it has been woken, as it is by an operation that wakes
                // itself. Then its runtime polls it when it is its turn.
                Stage::Ready => parked,
                Stage::Parked | Stage::Polling { .. } | Stage::Ended => false,
            }
        })
    }

    /// The task leaves. Before it takes its participant with it: a `spawn` that joins in between
    /// must not count on this task.
    pub(crate) fn task_leaves(&self) {
        self.at_drivers(|driving, _| {
            driving.has_task = false;
            driving.set_task(Place::NONE);
        });
    }
}

impl Driving {
    /// Who drives after a poll by the participant in this place: the task, if it can be woken.
    pub(super) fn leader<T>(&mut self, at: &mut At<'_, T>, poller: Place) -> Place {
        let task = self.task();
        if self.parked(at).is_parked(task) {
            task
        } else {
            poller
        }
    }
}
