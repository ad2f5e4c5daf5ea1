//! The operation of a `work` or `try_work` flight, and who drives it.
//!
//! Every caller of `work` on one key is a participant: it can drive. With policy *Continue* the
//! operation is kept here and not in a caller's future, so that any participant can continue it
//! where it stopped. With policy *Rerun* each participant keeps an operation of its own, and what
//! is kept here is the right to run it: an [`Operation`] with nothing in it.
//!
//! | stage     | where the operation is     | left by |
//! |-----------|----------------------------|---------|
//! | `Polling` | with its poller or maker   | that caller: to `Parked` or `Ready` |
//! | `Parked`  | here, waits for its waker or its turn | either: to `Ready` |
//! | `Ready`   | here, wants to be polled   | a participant that is polled: to `Polling` |
//! | `Ended`   | gone; its poller drops it  | nobody |
//!
//! The caller that polled leads to `Ready` if the operation was woken during the poll. In *Rerun*
//! the operation is with its driver while the stage is `Polling`, and a failure or the loss of the
//! driver leads to `Ready`. The step from `Parked` to `Ready` wakes the driver, or everybody if
//! there is no driver. The participant that leads from `Ready` to `Polling` drives from then on.
//! The end of the flight and the leaving of the last participant lead from every stage to `Ended`.
//!
//! # Invariants
//! 1. At most one caller holds the operation outside: exactly while the stage is `Polling` (or
//!    `Ended`, if the flight has ended meanwhile: then that caller drops it).
//! 2. An operation that is `Parked` without a driver was polled by a driver that has left, or waits
//!    for its turn. While the stage is `Parked` and there is a driver, the driver's waker is in the
//!    slab. The driver parks it in the critical section in which it puts the operation back. Only a
//!    wake or its own leaving takes the waker out again, and both change the stage or the driver.
//!    In *Continue* there is no driver while the operation is polled: its poller keeps its own
//!    waker and looks at the stage when the poll returns. So an operation that is ready at once
//!    wakes nobody. A participant that is a [`task`] and is in the slab always becomes the driver.
//! 3. `Ready` without a driver means that everybody parked has been woken, or is being woken by the
//!    call that set `Ready`. `Ready` with a driver means that the driver has been woken; if it
//!    leaves, everybody is woken then. So a participant is woken for it in any case.
//! 4. After `Ended` nobody parks. `Ended` is set only when the cell has ended, or by the last
//!    participant. So a participant that finds `Ended` finds the outcome.
//!
//! # Deadlock safety
//! No other lock is taken under this one, and nothing of the user's runs under it: the operation is
//! polled and dropped outside, wakers are cloned before and fired and dropped after.

mod boxed;
mod task;

pub(crate) use boxed::Operation;

use core::mem;
use core::task::Waker;

use crate::cell::{Few, Place, TakenWaker, fire, fire_one};
use crate::error::Cause;
use crate::flight::loss;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::unwind::Fragile;

/// What happens to a flight whose driver is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Another participant continues the same operation.
    Continue,
    /// Another participant runs its own. Also if the operation failed.
    Rerun,
}

pub(crate) struct SharedOperation<T> {
    pub(crate) policy: Policy,
    /// How many participants have begun to drive, in *Rerun*. Written under the lock only.
    runs: AtomicUsize,
    driving: Mutex<Driving<T>>,
}

struct Driving<T> {
    stage: Stage<T>,
    /// The participant that polled the operation last, if it has not left. In *Continue* none
    /// while the operation is polled.
    driver: Option<Place>,
    participants: usize,
    /// The place of the participant that is a [`task`], if there is one.
    task: Option<Place>,
    /// For which cause the last of these runs ended, if one has.
    last: Option<Cause>,
    parked: Few,
}

enum Stage<T> {
    Polling { woken: bool },
    Parked(Operation<T>),
    Ready(Operation<T>),
    Ended,
}

/// What the driver polls, and its waker in *Continue*. It gives both to [`SharedOperation::pause`],
/// or ends the flight.
pub(crate) type Drive<T> = (Operation<T>, TakenWaker);

/// How the run of a participant ended, in *Rerun*.
pub(crate) struct RunIsOver {
    pub(crate) cause: Cause,
    /// How often the flight can run again, after its first run.
    pub(crate) max_reruns: usize,
}

/// What the end of a flight finds here.
pub(crate) struct Found<T> {
    /// The operation, to be dropped, unless a participant polls it: that one drops it when the poll
    /// returns.
    pub(crate) operation: Option<Operation<T>>,
    /// Whether there are participants to be [told](SharedOperation::tell).
    pub(crate) parked: bool,
}

/// What a participant leaves behind.
pub(crate) struct LeftBehind<T> {
    /// The flight cannot continue: the caller has to end it, for this cause.
    pub(crate) end: Option<Cause>,
    /// The operation that was here, to be dropped after the flight has been ended.
    pub(crate) operation: Option<Operation<T>>,
    /// The flight has ended, and the participant had the operation of it. That is gone now.
    pub(crate) gone: bool,
    /// Dropped after all that.
    pub(crate) waker: TakenWaker,
}

impl<T> SharedOperation<T> {
    /// With one participant. It makes the operation, which counts as polling it, and then [hands it
    /// in](Self::hand_in). Until then the flight is in the hand of one caller, as a guard is: if
    /// that caller is lost in its begin, it is lost as a guard. If it waits for a gate, it has no
    /// `turn`: that is its first [wake](Self::wakes), since nobody has a waker before a poll.
    pub(crate) fn new(policy: Policy, turn: bool) -> Self {
        let driving = Driving {
            stage: Stage::Polling { woken: turn },
            driver: None,
            participants: 1,
            task: None,
            last: None,
            parked: Few::new(),
        };
        Self {
            policy,
            runs: AtomicUsize::new(0),
            driving: Mutex::new(driving),
        }
    }

    /// How often an operation was run again.
    #[inline]
    pub(crate) fn reruns(&self) -> usize {
        self.runs.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Counts one more participant. Returns false if the flight has ended, or is about to because
    /// the last participant has left.
    pub(crate) fn join(&self) -> bool {
        self.driving.with(|driving| {
            let open = !matches!(driving.stage, Stage::Ended);
            driving.participants += usize::from(open);
            open
        })
    }

    /// Hands in the operation that has just been made: it is ready if it has its turn, and then
    /// everybody who parked meanwhile is woken. If the flight has ended meanwhile, the operation
    /// stays with the caller.
    pub(crate) fn hand_in(&self, operation: &mut Option<Operation<T>>) {
        let anybody = self.driving.with(|driving| {
            let turn = !matches!(driving.stage, Stage::Polling { woken: false });
            driving.put_back(operation, turn);
            turn && driving.parked.len() > 0
        });
        if operation.is_none() && anybody {
            self.wake_everyone();
        }
    }

    /// A participant is polled. Gives it the operation if that is ready (in *Continue* together
    /// with its waker, which [`pause`](Self::pause) parks). Otherwise, and in *Rerun* always, parks
    /// it.
    ///
    /// Also returns a waker that must be dropped after the operation is put back: its drop is the
    /// user's and can panic.
    pub(crate) fn step(&self, place: &mut Place, waker: &Waker) -> (Option<Drive<T>>, TakenWaker) {
        let own = waker.clone();
        self.driving.with(|driving| {
            if matches!(driving.stage, Stage::Ended) {
                return (None, Fragile(Some(own)));
            }
            if self.policy == Policy::Continue && matches!(driving.stage, Stage::Ready(_)) {
                let old = driving.parked.take(*place);
                driving.driver = None;
                let operation = driving.take_ready();
                return (Some((operation, Fragile(Some(own)))), Fragile(old));
            }
            let spare = Fragile(if driving.parked.will_wake(*place, waker) {
                Some(own)
            } else {
                driving.parked.park(place, own)
            });
            if matches!(driving.stage, Stage::Ready(_)) {
                driving.driver = Some(*place);
                self.runs.fetch_add(1, Ordering::Relaxed);
                (Some((driving.take_ready(), Fragile(None))), spare)
            } else {
                (None, spare)
            }
        })
    }

    /// The driver's poll was pending: parks the driver and puts the operation back. If the
    /// operation was woken while it was polled, its driver is woken to continue. If the flight has
    /// ended meanwhile, the operation stays with the caller, and the waker is dropped here.
    pub(crate) fn pause(
        &self,
        place: &mut Place,
        operation: &mut Option<Operation<T>>,
        mut waker: TakenWaker,
    ) {
        let driver = self.driving.with(|driving| {
            let woken = matches!(driving.stage, Stage::Polling { woken: true });
            driving.put_back(operation, woken);
            if operation.is_none() {
                if let Some(own) = waker.0.take() {
                    waker.0 = driving.parked.park(place, own);
                }
                driving.driver = Some(driving.leader(*place));
            }
            if woken {
                driving.take_driver_waker()
            } else {
                None
            }
        });
        if let Some(waker) = driver {
            fire_one(waker);
        }
    }

    /// The driver of a `try_work` is polled. It keeps its operation; its waker is parked so that it
    /// is woken if the flight is ended from outside.
    pub(crate) fn repark(&self, place: &mut Place, waker: &Waker) -> TakenWaker {
        let own = waker.clone();
        self.driving.with(|driving| {
            if matches!(driving.stage, Stage::Ended) || driving.parked.will_wake(*place, waker) {
                Fragile(Some(own))
            } else {
                Fragile(driving.parked.park(place, own))
            }
        })
    }

    /// A participant leaves. `run`: it had the run of a *Rerun* flight until now, and has dropped
    /// its operation before, also after a panic.
    pub(crate) fn leave(&self, place: &mut Place, run: Option<RunIsOver>) -> LeftBehind<T> {
        let mut everyone = false;
        let left = self.driving.with(|driving| {
            let drove = place.is_taken() && driving.driver == Some(*place);
            let waker = if place.is_taken() {
                driving.parked.vacate(place)
            } else {
                None
            };
            let mut left = LeftBehind {
                end: None,
                operation: None,
                gone: false,
                waker: Fragile(waker),
            };
            if drove {
                driving.driver = None;
            }
            if matches!(driving.stage, Stage::Ended) {
                left.gone = run.is_some();
                return left;
            }
            driving.participants -= 1;
            if let Some(run) = &run {
                driving.last = Some(run.cause);
            }
            if driving.participants == 0 {
                left.end = Some(driving.last.unwrap_or_else(loss));
                left.operation = driving.end();
            } else if let Some(run) = run {
                if self.runs.load(Ordering::Relaxed) > run.max_reruns {
                    // Not `Ended` yet: a participant that is polled before the caller has ended the
                    // flight parks, and is woken by that end.
                    left.end = Some(Cause::Exhausted);
                } else {
                    driving.stage = Stage::Ready(Operation::elsewhere());
                }
            }
            everyone = left.end.is_none() && drove && matches!(driving.stage, Stage::Ready(_));
            left
        });
        if everyone {
            self.wake_everyone();
        }
        left
    }

    /// The flight has ended: nobody parks any more, and nobody takes the operation.
    pub(crate) fn end(&self) -> Found<T> {
        self.driving.with(|driving| Found {
            operation: driving.end(),
            parked: driving.parked.len() > 0,
        })
    }

    /// Whether no caller holds the operation outside, so that it can be dropped at once.
    pub(crate) fn is_idle(&self) -> bool {
        self.driving.with(|driving| driving.is_idle())
    }

    /// Ends the flight by `abort`, if no caller holds the operation outside. Returns what that
    /// returned, and the operation, to be dropped under no lock.
    ///
    /// `abort` is called in this critical section: a participant that finds [`Stage::Ended`] must
    /// find the outcome (invariant 4), and one that takes the operation before must keep the
    /// flight.
    pub(crate) fn end_if_idle<R>(
        &self,
        abort: impl FnOnce() -> Option<R>,
    ) -> Option<(R, Operation<T>)> {
        self.driving.with(|driving| {
            if !driving.is_idle() {
                return None;
            }
            let ended = abort()?;
            Some((ended, driving.end()?))
        })
    }

    /// After [`end`](Self::end): wakes every participant.
    pub(crate) fn tell(&self) {
        fire(|batch| self.driving.with(|driving| driving.parked.take_rest(batch)));
    }

    /// The operation's waker, and its turn at a gate: marks it ready and wakes the driver, or every
    /// participant if there is no driver.
    pub(crate) fn wakes(&self) {
        let mut everyone = false;
        let driver_waker = self.driving.with(|driving| {
            match &mut driving.stage {
                Stage::Parked(_) => {}
                // Its poller looks when the poll returns.
                Stage::Polling { woken } => {
                    *woken = true;
                    return None;
                }
                // A participant is woken for it already (invariant 3), or the flight has ended.
                Stage::Ready(_) | Stage::Ended => return None,
            }
            if let Some(operation) = driving.end() {
                driving.stage = Stage::Ready(operation);
            }
            everyone = driving.driver.is_none();
            driving.take_driver_waker()
        });
        if let Some(waker) = driver_waker {
            fire_one(waker);
        } else if everyone {
            self.wake_everyone();
        }
    }

    /// Wakes those who are parked when it begins. Participants that park meanwhile look at the
    /// stage themselves; if they were woken too, and each woken one brought another, this had no
    /// end.
    fn wake_everyone(&self) {
        let mut places = None;
        fire(|batch| {
            self.driving.with(|driving| {
                let parked = &mut driving.parked;
                let places = places.get_or_insert(0..parked.len());
                parked.take_some(places, batch)
            })
        });
    }
}

impl<T> Driving<T> {
    fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Parked(_) | Stage::Ready(_))
    }

    /// Takes the operation back from its poller or maker, unless the flight has ended.
    fn put_back(&mut self, operation: &mut Option<Operation<T>>, ready: bool) {
        if matches!(self.stage, Stage::Ended) {
            return;
        }
        if let Some(operation) = operation.take() {
            self.stage = if ready {
                Stage::Ready(operation)
            } else {
                Stage::Parked(operation)
            };
        }
    }

    /// Takes what is ready to be polled.
    fn take_ready(&mut self) -> Operation<T> {
        match mem::replace(&mut self.stage, Stage::Polling { woken: false }) {
            Stage::Ready(operation) => operation,
            _ => unreachable!("looked at in the same critical section"),
        }
    }

    fn take_driver_waker(&mut self) -> Option<Waker> {
        self.driver.and_then(|place| self.parked.take(place))
    }

    fn end(&mut self) -> Option<Operation<T>> {
        match mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Parked(operation) | Stage::Ready(operation) => Some(operation),
            Stage::Polling { .. } | Stage::Ended => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_that_comes_too_late_is_returned() {
        let shared = SharedOperation::<u8>::new(Policy::Rerun, true);
        shared.hand_in(&mut Some(Operation::elsewhere()));
        let mut place = Place::NONE;
        assert!(shared.step(&mut place, Waker::noop()).0.is_some());
        drop(shared.end().operation);
        // Otherwise it would be dropped under the lock.
        assert!(shared.repark(&mut place, Waker::noop()).0.is_some());
    }
}
