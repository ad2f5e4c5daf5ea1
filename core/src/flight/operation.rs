//! Who drives the operation of a `work` or `try_work` flight.
//!
//! Every caller of `work` on one key is a participant: it can drive. With policy *Continue* the
//! operation is kept in the flight's memory and not in a caller's future, so that any participant
//! can continue it where it stopped. With policy *Rerun* each participant keeps an operation of its
//! own, and what is passed on here is the right to run it: an [`Operation`] without a place.
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
//! # The short way of the first one
//! Most flights have one participant. It makes the operation, polls it until it is ready, and the
//! flight ends. For that it takes no lock: it goes by the [`Lay`] of the operation, one atomic word
//! in `memory`. It parks alone in the first place of those that are parked.
//!
//! | lay      | the stage that opening makes of it | left without the lock by |
//! |----------|-----------------------|---------------------------------------|
//! | `Making` | `Polling`             | the maker: to `Made`; the end: to `Ended` |
//! | `Made`   | `Ready`               | its poll: to `Polled`; the end: to `Ended` |
//! | `Polled` | `Polling`             | its poll was pending: to `Parked`; the end: to `Ended` |
//! | `Parked` | `Parked`, with its driver in the first place | a wake: to `Waking` |
//! | `Waking` | `Ready`, without a driver | that wake, with the waker: to `Made` |
//! | `Ended`  | `Ended`               | nobody                                |
//! | open     | what the stage says   | nobody                                |
//!
//! Everything else is done under the lock, and opens first. Each step of this table is a
//! read-modify-write of the one word. So it either comes before the opening, which makes the stage
//! of it, or it fails and is then taken under the lock. `Ended` is here the end from outside. It
//! takes the lock if it finds `Parked`, `Waking` or open, and finds who has parked.
//!
//! A wake that finds `Made` or `Waking` leaves it as it is, and writes it all the same: so the poll
//! that comes then sees what came before that wake.
//!
//! # The end by the driver
//! The driver that settles the flight has the operation, so it does not come here if nobody has
//! parked. A participant that parks under the lock is announced in the cell's state before that.
//! If the announcement comes before the record of the outcome, the driver comes here, under the
//! lock, and finds who has parked. If it comes after, the participant finds the outcome and does
//! not park. One that has parked alone is not announced: it is the driver, or it has been woken
//! when it lost the operation, or the one that leads in its stead is announced.
//!
//! # Invariants
//! 1. At most one caller holds the operation outside: exactly while the stage is `Polling` (or
//!    `Ended`, if the flight has ended meanwhile: then that caller drops it).
//! 2. An operation that is `Parked` without a driver waits for its turn, or was polled by a driver
//!    that has left, or whose waker could not be cloned. While the stage is `Parked` and there is a
//!    driver, the driver's waker is in the slab. The driver parks it in the critical section in
//!    which it puts the operation back. Only a wake or its own leaving takes the waker out again,
//!    and both change the stage or the driver.
//!    In *Continue* there is no driver while the operation is polled: its poller keeps its own
//!    waker, has no place, and looks at the stage when the poll returns. So an operation that is
//!    ready at once wakes nobody. If a driver parks while a [`task`] is in the slab, the task
//!    becomes the driver.
//! 3. `Ready` without a driver means that everybody parked has been woken, or is being woken by the
//!    call that set `Ready`. `Ready` with a driver means that the driver has been woken; if it
//!    leaves, everybody is woken then. So a participant is woken for it in any case.
//! 4. After `Ended` nobody parks. `Ended` is set only when the cell has ended, or by the last
//!    participant. So a participant that finds `Ended` finds the outcome. An end by the driver may
//!    not set it; then a participant finds the outcome when it is announced.
//!
//! # Deadlock safety
//! No other lock is taken under this one, and nothing of the user's runs under it: the operation is
//! polled and dropped outside, wakers are cloned before and fired and dropped after.

mod driving;
mod end;
mod task;

pub(super) use driving::Driving;
pub(crate) use end::Found;

use core::task::Waker;

use crate::cell::{Place, TakenWaker, fire, fire_one};
use crate::error::Cause;
use crate::flight::memory::{At, Lay};
use crate::flight::{Operation, Shared, loss};
use crate::unwind::Fragile;
use driving::Stage;

/// What happens to a flight whose driver is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Another participant continues the same operation.
    Continue,
    /// Another participant runs its own. Also if the operation failed.
    Rerun,
}

/// What the driver polls, and its waker in *Continue*. It gives both to [`Shared::pause`], or ends
/// the flight.
pub(crate) type Drive<T> = (Operation<T>, TakenWaker);

/// How the run of a participant ended, in *Rerun*.
pub(crate) struct RunIsOver {
    pub(crate) cause: Cause,
    /// How often the flight can run again, after its first run.
    pub(crate) max_reruns: usize,
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

impl<T> Shared<T> {
    /// The critical section of everything but the short way, which is closed by it.
    fn at_drivers<R>(&self, f: impl FnOnce(&mut Driving, &mut At<'_, T>) -> R) -> R {
        self.locked(|driving, at, found| {
            match found {
                // The stage says where it is.
                None | Some(Lay::Making) => {}
                Some(Lay::Made) => driving.stage = Stage::Ready,
                Some(Lay::Polled) => {
                    driving.stage = Stage::Polling { woken: false };
                    if self.policy() == Policy::Rerun {
                        driving.count_run();
                    }
                }
                Some(Lay::Parked) => {
                    driving.stage = Stage::Parked;
                    driving.driver = Place::FIRST;
                    driving.alone = true;
                }
                // Its driver is being woken, and is the driver no more.
                Some(Lay::Waking) => driving.stage = Stage::Ready,
                Some(Lay::Ended) => driving.stage = Stage::Ended,
            }
            f(driving, at)
        })
    }

    /// Counts one more participant. Returns false if the flight has ended, or is about to because
    /// the last participant has left.
    pub(crate) fn join(&self) -> bool {
        self.at_drivers(|driving, _| {
            let open = driving.stage != Stage::Ended;
            if open {
                driving.count_in();
            }
            open
        })
    }

    /// Hands in the operation that has just been made: it is ready if it has its turn, and then
    /// everybody who parked meanwhile is woken. Or the operation of a driver that cannot park: it
    /// is ready if it was woken. If the flight has ended meanwhile, the operation stays with the
    /// caller.
    #[inline(always)]
    pub(crate) fn hand_in(&self, operation: &mut Option<Operation<T>>) {
        if !self.lay(operation) {
            self.hand_in_slowly(operation);
        }
    }

    #[cold]
    #[inline(never)]
    fn hand_in_slowly(&self, operation: &mut Option<Operation<T>>) {
        let anybody = self.at_drivers(|driving, at| {
            let turn = driving.stage != Stage::Polling { woken: false };
            driving.put_back(at, operation, turn);
            turn && driving.parked(at).len() > 0
        });
        if operation.is_none() && anybody {
            self.wake_everyone();
        }
    }

    /// A poll of the participant that has begun the flight: returns the operation if it is ready
    /// and nobody else has come.
    #[inline(always)]
    pub(crate) fn first_turn(&self) -> Option<Operation<T>> {
        self.pick_up()
    }

    /// A participant is polled. Gives it the operation if that is ready (in *Continue* together
    /// with its waker, which [`pause`](Self::pause) parks). Otherwise, and in *Rerun* always, parks
    /// it.
    ///
    /// Also returns a waker that must be dropped after the operation is put back: its drop is the
    /// user's and can panic.
    #[inline(never)]
    pub(crate) fn step(&self, place: &mut Place, waker: &Waker) -> (Option<Drive<T>>, TakenWaker) {
        let own = waker.clone();
        self.at_drivers(|driving, at| {
            driving.find_place(place);
            if driving.stage == Stage::Ended {
                return (None, Fragile(Some(own)));
            }
            if self.policy() == Policy::Continue && driving.stage == Stage::Ready {
                let (operation, old) = driving.take_to_poll(at, place);
                return (Some((operation, Fragile(Some(own)))), old);
            }
            let mut parked = driving.parked(at);
            let spare = Fragile(if parked.will_wake(*place, waker) {
                Some(own)
            } else {
                parked.park(place, own)
            });
            if driving.stage == Stage::Ready {
                driving.driver = *place;
                driving.count_run();
                (Some((driving.take_ready(at), Fragile(None))), spare)
            } else {
                (None, spare)
            }
        })
    }

    /// The driver of a `work` is polled again. As [`step`](Self::step), if the operation is ready;
    /// otherwise this does nothing.
    pub(crate) fn take_ready(&self, place: &mut Place) -> Option<(Operation<T>, TakenWaker)> {
        self.at_drivers(|driving, at| {
            driving.find_place(place);
            let ready = driving.stage == Stage::Ready;
            ready.then(|| driving.take_to_poll(at, place))
        })
    }

    /// The driver's poll was pending: parks the driver and puts the operation back, if nobody else
    /// has come. Otherwise returns false, and [`pause`](Self::pause) does it.
    #[inline(always)]
    pub(crate) fn pause_alone(
        &self,
        place: &mut Place,
        operation: &mut Option<Operation<T>>,
        waker: &mut TakenWaker,
    ) -> bool {
        let parked = self.park_alone(operation, &mut waker.0);
        if parked {
            *place = Place::ALONE;
        }
        parked
    }

    /// The driver's poll was pending: parks the driver and puts the operation back. If the
    /// operation was woken while it was polled, its driver is woken to continue. If the flight has
    /// ended meanwhile, both stay with the caller.
    pub(crate) fn pause(
        &self,
        place: &mut Place,
        operation: &mut Option<Operation<T>>,
        waker: &mut TakenWaker,
    ) {
        let driver = self.at_drivers(|driving, at| {
            driving.find_place(place);
            let woken = driving.stage == Stage::Polling { woken: true };
            driving.put_back(at, operation, woken);
            if operation.is_none() {
                if let Some(own) = waker.0.take() {
                    waker.0 = driving.parked(at).park(place, own);
                }
                driving.driver = driving.leader(at, *place);
            }
            if woken {
                driving.take_driver_waker(at)
            } else {
                None
            }
        });
        if let Some(waker) = driver {
            fire_one(waker);
        }
    }

    /// The driver of a `try_work` is polled, or has had its [first turn](Self::first_turn) and is
    /// pending. It keeps its operation; its waker is parked so that it is woken if the flight is
    /// ended from outside.
    pub(crate) fn repark(&self, place: &mut Place, waker: &Waker) -> TakenWaker {
        let own = waker.clone();
        self.at_drivers(|driving, at| {
            if driving.stage == Stage::Ended {
                return Fragile(Some(own));
            }
            let mut parked = driving.parked(at);
            if parked.will_wake(*place, waker) {
                return Fragile(Some(own));
            }
            let old = parked.park(place, own);
            driving.driver = *place;
            Fragile(old)
        })
    }

    /// A participant leaves. `run`: it had the run of a *Rerun* flight until now, and has dropped
    /// its operation before, also after a panic.
    pub(crate) fn leave(&self, place: &mut Place, run: Option<RunIsOver>) -> LeftBehind<T> {
        let mut everyone = false;
        let left = self.at_drivers(|driving, at| {
            driving.find_place(place);
            let drove = run.is_some() || (place.is_taken() && driving.driver == *place);
            let waker = if place.is_taken() {
                driving.parked(at).vacate(place)
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
                driving.driver = Place::NONE;
            }
            if driving.stage == Stage::Ended {
                left.gone = run.is_some();
                return left;
            }
            driving.count_out();
            if let Some(run) = &run {
                driving.last = Some(run.cause);
            }
            if driving.participants == 0 {
                left.end = Some(driving.last.unwrap_or_else(loss));
                left.operation = driving.take_for_good(at);
            } else if let Some(run) = run {
                if driving.runs() > run.max_reruns {
                    // Not `Ended` yet: a participant that is polled before the caller has ended the
                    // flight parks, and is woken by that end.
                    left.end = Some(Cause::Exhausted);
                } else {
                    driving.put_back(at, &mut Some(Operation::elsewhere()), true);
                }
            }
            everyone = left.end.is_none() && drove && driving.stage == Stage::Ready;
            left
        });
        if everyone {
            self.wake_everyone();
        }
        left
    }

    /// The operation's waker, and its turn at a gate: marks it ready and wakes the driver, or every
    /// participant if there is no driver.
    pub(crate) fn wakes(&self) {
        if let Ok(driver) = self.wake_alone() {
            return driver.map_or((), fire_one);
        }
        let mut everyone = false;
        let driver_waker = self.at_drivers(|driving, at| {
            match &mut driving.stage {
                Stage::Parked => {}
                // Its poller looks when the poll returns.
                Stage::Polling { woken } => {
                    *woken = true;
                    return None;
                }
                // A participant is woken for it already (invariant 3), or the flight has ended.
                Stage::Ready | Stage::Ended => return None,
            }
            driving.stage = Stage::Ready;
            everyone = !driving.driver.is_taken();
            driving.take_driver_waker(at)
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
    #[cold]
    fn wake_everyone(&self) {
        let mut places = None;
        fire(|batch| {
            self.at_drivers(|driving, at| {
                let mut parked = driving.parked(at);
                let places = places.get_or_insert(0..parked.len());
                parked.take_some(places, batch)
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_that_comes_too_late_is_returned() {
        let (shared, _place) = Shared::<u8>::alone::<core::future::Pending<u8>>(true);
        drop(shared.end().operation);
        // Otherwise it would be dropped under the lock.
        assert!(
            shared
                .repark(&mut Place::NONE.clone(), Waker::noop())
                .0
                .is_some()
        );
    }
}
