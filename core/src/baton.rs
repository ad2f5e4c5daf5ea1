//! The baton of a `work` or `work_rerun` flight: several participants, one of them driving.
//!
//! Every caller of `work` on one key is a participant. With policy *Continue* the operation lives
//! here and not in anybody's future, so that whoever still wants the outcome can go on with it
//! where it stood. With policy *Rerun* each participant keeps an operation of its own, and what is
//! passed on here is the right to run it: an [`Operation`] with nothing in it.
//!
//! | stage     | the operation is            | who may leave it, and how                                    |
//! |-----------|-----------------------------|--------------------------------------------------------------|
//! | `Polling` | with the one who polls it (or makes it); in *Rerun*, with its driver | that one: to `Parked`, or to `Ready` if it was woken meanwhile; in *Rerun*, to `Ready` when it is lost |
//! | `Parked`  | here, waiting for its waker | its waker: to `Ready`, waking the driver, or everyone without one |
//! | `Ready`   | here, wants to be polled    | any participant that is polled: to `Polling`, and drives      |
//! | `Over`    | gone, or with its poller, who drops it | nobody                                            |
//!
//! From every stage the end of the flight and the leaving of the last participant go to `Over`.
//!
//! # Invariants
//! 1. At most one caller holds the operation outside the desk: the stage is `Polling` exactly then
//!    (or `Over`, if the flight ended meanwhile: that caller then drops it).
//! 2. While the stage is `Parked` and there is a driver, the driver's waker stands in the slab: it
//!    parks it in the lock hold in which it lays the operation down, and only a wake or its leaving
//!    takes it out again, which changes the stage or the driver. While it polls, in *Continue*, its
//!    waker is in its own hands and it is nobody's driver: it looks for itself when the poll returns,
//!    so an operation that is ready at once wakes nobody who would only be told what he did.
//! 3. `Ready` without a driver means everyone parked has been woken. `Ready` with one means the
//!    driver has been; if it leaves, everyone is woken then. So an operation that wants to be
//!    polled always has somebody woken for it.
//! 4. After `Over` nobody parks. `Over` is entered only when the cell has ended, or by the last
//!    participant; so a participant that finds `Over` finds the outcome.
//!
//! # Deadlock safety
//! No other lock is taken under the desk's, and nothing of the user's runs under it: the operation
//! is polled and dropped outside, wakers are cloned before and fired and dropped after.

use alloc::boxed::Box;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::error::Cause;
use crate::slab::{Seat, Slab};
use crate::sync::{Fragile, Mutex, Wakes};
use crate::wake::{Spent, fire, fire_one};

/// What happens to a flight whose driver is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Another participant goes on with the same operation.
    Continue,
    /// Another participant runs its own, this many times at the most.
    Rerun(usize),
}

/// The operation of a flight; with nothing in it, the right to run one. If its drop panics while
/// this thread unwinds already, that panic ends here.
pub(crate) struct Operation<T>(Fragile<Boxed<T>>);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T> Operation<T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Fragile(Some(Box::pin(future))))
    }

    const fn elsewhere() -> Self {
        Self(Fragile(None))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0.0 {
            Some(future) => future.as_mut().poll(cx),
            None => unreachable!("the driver of a re-run polls its own"),
        }
    }
}

pub(crate) struct Baton<T> {
    pub(crate) policy: Policy,
    desk: Mutex<Desk<T>>,
}

struct Desk<T> {
    stage: Stage<T>,
    /// The participant that polled the operation last, if it is still here. Nobody, while an
    /// operation of *Continue* is polled.
    driver: Option<Seat>,
    participants: usize,
    /// How often somebody began to drive, in *Rerun*.
    runs: usize,
    parked: Slab,
}

enum Stage<T> {
    Polling { woken: bool },
    Parked(Operation<T>),
    Ready(Operation<T>),
    Over,
}

/// What a participant that is polled has to do.
pub(crate) enum Turn<T> {
    /// Poll this, then give it back with [`Baton::pause`], together with the waker, or end the flight.
    Drive(Operation<T>, Spent),
    /// It is parked; somebody else drives, or the operation waits.
    Parked,
    /// The flight has ended.
    Over,
}

/// What a participant leaves behind.
pub(crate) struct Left<T> {
    /// The flight can not go on: the caller has to end it, for this cause.
    pub(crate) end: Option<Cause>,
    /// Both are held only to be dropped after that.
    _operation: Option<Operation<T>>,
    _waker: Spent,
}

impl<T> Baton<T> {
    /// With one participant. In *Continue* that one is making the operation, which counts as
    /// polling it; in *Rerun* the first one polled will run its own.
    pub(crate) fn new(policy: Policy) -> Self {
        let stage = match policy {
            Policy::Continue => Stage::Polling { woken: false },
            Policy::Rerun(_) => Stage::Ready(Operation::elsewhere()),
        };
        let desk = Desk {
            stage,
            driver: None,
            participants: 1,
            runs: 0,
            parked: Slab::new(),
        };
        Self {
            policy,
            desk: Mutex::new(desk),
        }
    }

    /// How often an operation was run again.
    pub(crate) fn reruns(&self) -> usize {
        self.desk.with(|desk| desk.runs.saturating_sub(1))
    }

    /// Counts one more participant. False when the flight is over, or about to be: the last one has
    /// left.
    pub(crate) fn join(&self) -> bool {
        self.desk.with(|desk| {
            let open = !matches!(desk.stage, Stage::Over);
            desk.participants += usize::from(open);
            open
        })
    }

    /// Hands in the operation that has just been made: it is ready, and everyone who parked
    /// meanwhile is woken.
    pub(crate) fn made(&self, operation: Operation<T>) {
        if let Some(unwanted) = self.desk.with(|desk| desk.lay_down(operation, true)) {
            drop(unwanted);
        } else {
            self.wake_everyone();
        }
    }

    /// A participant is polled: gives it the operation if that is ready (in *Continue* with its waker,
    /// which [`pause`](Self::pause) parks). Otherwise, and in *Rerun* always, parks it.
    ///
    /// Also returns a waker to drop once the operation is laid down: its drop is the user's and may
    /// panic.
    pub(crate) fn turn(&self, seat: &mut Seat, waker: &Waker) -> (Turn<T>, Spent) {
        let own = waker.clone();
        self.desk.with(|desk| {
            if matches!(desk.stage, Stage::Over) {
                return (Turn::Over, Fragile(Some(own)));
            }
            if self.policy == Policy::Continue && matches!(desk.stage, Stage::Ready(_)) {
                let old = desk.parked.take(*seat);
                desk.driver = None;
                let operation = desk.take();
                return (Turn::Drive(operation, Fragile(Some(own))), Fragile(old));
            }
            let spare = Fragile(if desk.parked.will_wake(*seat, waker) {
                Some(own)
            } else {
                desk.parked.park(seat, own)
            });
            if matches!(desk.stage, Stage::Ready(_)) {
                desk.driver = Some(*seat);
                desk.runs += 1;
                (Turn::Drive(desk.take(), Fragile(None)), spare)
            } else {
                (Turn::Parked, spare)
            }
        })
    }

    /// The driver's poll was pending: parks it and lays the operation down. If that was woken while it
    /// was polled, its driver is woken to go on. If the flight ended meanwhile, both are dropped here.
    pub(crate) fn pause(&self, seat: &mut Seat, operation: Operation<T>, mut waker: Spent) {
        let (unwanted, driver) = self.desk.with(|desk| {
            let woken = matches!(desk.stage, Stage::Polling { woken: true });
            let unwanted = desk.lay_down(operation, woken);
            if unwanted.is_none() {
                if let Some(own) = waker.0.take() {
                    waker.0 = desk.parked.park(seat, own);
                }
                desk.driver = Some(*seat);
            }
            (unwanted, if woken { desk.take_driver() } else { None })
        });
        if let Some(waker) = driver {
            fire_one(waker);
        }
        drop(unwanted);
    }

    /// The driver of a re-run is polled: it keeps its operation, and must be found if the flight is
    /// ended from outside.
    pub(crate) fn repark(&self, seat: &mut Seat, waker: &Waker) -> Spent {
        let own = waker.clone();
        self.desk.with(|desk| {
            if matches!(desk.stage, Stage::Over) || desk.parked.will_wake(*seat, waker) {
                Fragile(Some(own))
            } else {
                Fragile(desk.parked.park(seat, own))
            }
        })
    }

    /// A participant leaves, or is lost: the driver of a re-run whose operation was dropped, or
    /// panicked and dropped.
    pub(crate) fn leave(&self, seat: &mut Seat) -> Left<T> {
        let mut everyone = false;
        let left = self.desk.with(|desk| {
            let drove = seat.taken() && desk.driver == Some(*seat);
            let waker = if seat.taken() {
                desk.parked.leave(seat)
            } else {
                None
            };
            let mut left = Left {
                end: None,
                _operation: None,
                _waker: Fragile(waker),
            };
            if drove {
                desk.driver = None;
            }
            if matches!(desk.stage, Stage::Over) {
                return left;
            }
            desk.participants -= 1;
            if desk.participants == 0 {
                left.end = Some(Cause::Dropped);
                left._operation = desk.end();
            } else if let (true, Policy::Rerun(budget)) = (drove, self.policy) {
                if desk.runs > budget {
                    // Not `Over` yet: whoever is polled before the caller has ended the flight
                    // parks, and is told.
                    left.end = Some(Cause::Exhausted);
                } else {
                    desk.stage = Stage::Ready(Operation::elsewhere());
                }
            }
            everyone = left.end.is_none() && drove && matches!(desk.stage, Stage::Ready(_));
            left
        });
        if everyone {
            self.wake_everyone();
        }
        left
    }

    /// The flight has ended: nobody parks any more. Returns the operation, to be dropped, unless somebody polls it (then that
    /// one drops it when the poll returns).
    pub(crate) fn end(&self) -> Option<Operation<T>> {
        self.desk.with(Desk::end)
    }

    /// After [`end`](Self::end): wakes every participant.
    pub(crate) fn tell(&self) {
        fire(|batch| self.desk.with(|desk| desk.parked.take_rest(batch)));
    }

    fn wake_everyone(&self) {
        let mut cursor = 0;
        fire(|batch| {
            self.desk
                .with(|desk| desk.parked.take_some(&mut cursor, batch))
        });
    }
}

impl<T> Desk<T> {
    /// Takes the operation back from whoever polled or made it; gives it back when the flight is
    /// over.
    fn lay_down(&mut self, operation: Operation<T>, ready: bool) -> Option<Operation<T>> {
        match self.stage {
            Stage::Over => return Some(operation),
            _ if ready => self.stage = Stage::Ready(operation),
            _ => self.stage = Stage::Parked(operation),
        }
        None
    }

    /// Takes what is ready to be polled.
    fn take(&mut self) -> Operation<T> {
        match mem::replace(&mut self.stage, Stage::Polling { woken: false }) {
            Stage::Ready(operation) => operation,
            _ => unreachable!("looked at in the same lock hold"),
        }
    }

    fn take_driver(&mut self) -> Option<Waker> {
        self.driver.and_then(|seat| self.parked.take(seat))
    }

    fn end(&mut self) -> Option<Operation<T>> {
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Parked(operation) | Stage::Ready(operation) => Some(operation),
            Stage::Polling { .. } | Stage::Over => None,
        }
    }
}

impl<T: 'static> Wakes for Baton<T> {
    /// The operation's waker: marks it ready and wakes the driver; with no driver, every
    /// participant.
    fn wakes(&self) {
        let mut everyone = false;
        let driver = self
            .desk
            .with(|desk| match mem::replace(&mut desk.stage, Stage::Over) {
                Stage::Parked(operation) => {
                    desk.stage = Stage::Ready(operation);
                    everyone = desk.driver.is_none();
                    desk.take_driver()
                }
                // Its poller looks when the poll returns.
                Stage::Polling { .. } => {
                    desk.stage = Stage::Polling { woken: true };
                    None
                }
                // Somebody is woken for it already (invariant 3), or it does not matter any more.
                other => {
                    desk.stage = other;
                    None
                }
            });
        if let Some(waker) = driver {
            fire_one(waker);
        } else if everyone {
            self.wake_everyone();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_waker_that_comes_too_late_is_handed_back() {
        let baton = Baton::<u8>::new(Policy::Rerun(1));
        let mut seat = Seat::NONE;
        assert!(matches!(
            baton.turn(&mut seat, Waker::noop()).0,
            Turn::Drive(..)
        ));
        drop(baton.end());
        // Where it stands, it would be dropped under the desk's lock.
        assert!(baton.repark(&mut seat, Waker::noop()).0.is_some());
    }
}
