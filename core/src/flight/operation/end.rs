//! The end of a flight, as far as its shared operation goes.

use crate::cell::fire;
use crate::flight::memory::Lay;
use crate::flight::operation::Policy;
use crate::flight::operation::driving::Driving;
use crate::flight::{Operation, Shared};

/// What the end of a flight finds here.
pub(crate) struct Found<T> {
    /// The operation, to be dropped, unless a participant polls it: that one drops it when the poll
    /// returns.
    pub(crate) operation: Option<Operation<T>>,
    /// Whether there can be participants to be [told](Shared::tell).
    pub(crate) parked: bool,
    /// How often an operation was run again.
    pub(crate) reruns: usize,
}

impl<T> Found<T> {
    pub(crate) const fn nothing() -> Self {
        Self {
            operation: None,
            parked: false,
            reruns: 0,
        }
    }
}

impl<T> Shared<T> {
    /// The flight has ended: nobody parks any more, and nobody takes the operation.
    #[inline(always)]
    pub(crate) fn end(&self) -> Found<T> {
        match self.end_shortly() {
            Ok(operation) => Found {
                operation,
                parked: false,
                reruns: 0,
            },
            Err(()) => self.end_slowly(),
        }
    }

    #[inline(never)]
    fn end_slowly(&self) -> Found<T> {
        self.at_drivers(|driving, at| Found {
            operation: driving.take_for_good(at),
            parked: driving.parked(at).may_have_wakers(),
            reruns: self.reruns_of(driving),
        })
    }

    /// How often an operation was run again.
    pub(crate) fn reruns(&self) -> usize {
        match self.unopened() {
            Some(_) => 0,
            None => self.at_drivers(|driving, _| self.reruns_of(driving)),
        }
    }

    fn reruns_of(&self, driving: &Driving) -> usize {
        match self.policy() {
            Policy::Continue => 0,
            Policy::Rerun => driving.runs().saturating_sub(1),
        }
    }

    /// Whether no caller holds the operation outside, so that it can be dropped at once.
    pub(crate) fn is_idle(&self) -> bool {
        match self.unopened() {
            Some(lay) => matches!(lay, Lay::Made | Lay::Parked | Lay::Waking),
            None => self.at_drivers(|driving, _| driving.is_idle()),
        }
    }

    /// Ends the flight by `abort`, if no caller holds the operation outside. Returns what that
    /// returned, and the operation, to be dropped under no lock.
    ///
    /// `abort` is called in this critical section: a participant that finds `Stage::Ended` must
    /// find the outcome (invariant 4), and one that takes the operation before must keep the
    /// flight.
    pub(crate) fn end_if_idle<R>(
        &self,
        abort: impl FnOnce() -> Option<R>,
    ) -> Option<(R, Operation<T>)> {
        self.at_drivers(|driving, at| {
            if !driving.is_idle() {
                return None;
            }
            let ended = abort()?;
            Some((ended, driving.take_for_good(at)?))
        })
    }

    /// After [`end`](Self::end): wakes every participant.
    pub(crate) fn tell(&self) {
        fire(|batch| self.at_drivers(|driving, at| driving.parked(at).take_rest(batch)));
    }
}
