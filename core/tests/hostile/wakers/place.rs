//! The places where the core keeps a waker: every future of it that waits, and every way it is
//! told.

use std::any::Any;
use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::setup::{Setup, Shelf, each};
use crate::fine::fine;
use crate::limit::lock;
use oneflight_core::{Begin, Primary, SettleCell};

/// A future that waits: its outcome, if it is ready when it is polled with this waker.
pub(crate) type Victim = Box<dyn FnMut(&Waker) -> Option<Outcome> + Send>;

/// To be dropped: that may let the next one in, whose waker may panic.
pub(crate) type Outcome = Box<dyn Any + Send>;

/// What all victims wait for.
pub(crate) type End = Box<dyn FnOnce() + Send>;

/// The key that victims share; where each has its own, they follow it.
pub(crate) const KEY: u32 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `begin`, and the primary settles.
    Waiter,
    /// `begin`, and the primary is dropped.
    OrphanedWaiter,
    /// `begin`, and `abort_all`.
    AbortedWaiter,
    /// `begin` on a key of its own, and `abort_all`. One of the keys has been forgotten.
    AbortedWaiters,
    /// `begin`, and a later `begin` that finds the flight too old.
    SupersededWaiter,
    /// Joined a `work` that settles.
    Participant,
    /// Waits on a `work`, by `begin` and by `work` in turn.
    Mixed,
    /// Joined a `work` that wants to be polled when its driver leaves.
    Heir,
    /// Joined a `work` that wants to be polled after its driver has left.
    LateHeir,
    /// Drives a `work` whose operation is woken.
    Driver,
    /// Joined a `try_work` that settles.
    TryWorker,
    /// Joined a `try_work` whose driver is lost. The last one by `begin`.
    TryWorkHeir,
    /// Drives a `try_work` that is ended from outside.
    TryWorkDriver,
    /// A `Primary::run` that is ended from outside.
    Run,
    /// Started a `spawn`.
    Owner,
    /// Joined a `spawn`.
    Caller,
    /// Joined a `spawn` that an abort handle ends.
    AbortedCaller,
    /// The task of a `spawn_while_wanted` that its last caller leaves.
    UnwantedTask,
    /// The task that a `spawn` has added to a `work`, whose operation is woken.
    AddedTask,
    /// Joined the holder of a gate. The last one is in its queue.
    GateWaiter,
    /// In the queue of a gate.
    Turn,
    /// `drained`, and the last flight settles.
    Drained,
    /// `drained`, and `close`.
    DrainedByClose,
    /// `SettleCell::wait`.
    Cell,
}

pub(crate) const PLACES: [Place; 24] = [
    Place::Waiter,
    Place::OrphanedWaiter,
    Place::AbortedWaiter,
    Place::AbortedWaiters,
    Place::SupersededWaiter,
    Place::Participant,
    Place::Mixed,
    Place::Heir,
    Place::LateHeir,
    Place::Driver,
    Place::TryWorker,
    Place::TryWorkHeir,
    Place::TryWorkDriver,
    Place::Run,
    Place::Owner,
    Place::Caller,
    Place::AbortedCaller,
    Place::UnwantedTask,
    Place::AddedTask,
    Place::GateWaiter,
    Place::Turn,
    Place::Drained,
    Place::DrainedByClose,
    Place::Cell,
];

fn victim(future: impl Future<Output: Send> + Send + 'static) -> Victim {
    let mut future = Box::pin(future);
    Box::new(move |waker| match poll(future.as_mut(), waker) {
        Poll::Ready(outcome) => Some(Box::new(outcome)),
        Poll::Pending => None,
    })
}

/// A cell for ever: what waits for it borrows it.
fn unending_cell() -> &'static SettleCell<u32> {
    static CELLS: Mutex<Vec<&'static SettleCell<u32>>> = Mutex::new(Vec::new());
    let cell = Box::leak(Box::default());
    lock(&CELLS).push(cell);
    cell
}

pub(crate) fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn poll_idly<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    poll(future, Waker::noop())
}

impl Place {
    /// `count` futures that wait, and the call that ends what they wait for.
    pub(crate) fn populate(self, setup: &Setup, count: u32) -> (Vec<Victim>, End) {
        let group = setup.group.clone();
        // What an operation waits for.
        let cell = Arc::new(SettleCell::new());
        let operation = {
            let cell = cell.clone();
            move || {
                let cell = cell.clone();
                async move { *cell.wait().await }
            }
        };
        let own_keys = (0..count).map(|index| KEY + index);
        match self {
            Place::Waiter
            | Place::OrphanedWaiter
            | Place::AbortedWaiter
            | Place::SupersededWaiter => {
                let primary = setup.primary(KEY);
                let waiters = (0..count).map(|_| victim(setup.waiter(KEY)));
                (waiters.collect(), self.end_of_waiters(setup, primary))
            }
            Place::AbortedWaiters => {
                let primaries: Vec<_> = own_keys.clone().map(|key| setup.primary(key)).collect();
                let waiters = own_keys.map(|key| victim(setup.waiter(key)));
                let waiters = waiters.collect();
                assert!(group.forget(&(KEY + 1)));
                let end = move || {
                    // Kept until then.
                    let _primaries = primaries;
                    group.abort_all();
                };
                (waiters, Box::new(end))
            }
            Place::Participant | Place::Mixed => {
                let mut driver = Box::pin(group.work(KEY, operation));
                assert!(poll_idly(driver.as_mut()).is_pending());
                let works = (0..count).map(|index| match group.begin(KEY) {
                    Begin::Waiter(waiter) if self == Place::Mixed && index % 2 == 0 => {
                        victim(waiter)
                    }
                    _ => victim(group.work(KEY, pending)),
                });
                let end = move || {
                    cell.settle(7).expect("settled once");
                    drop(poll_idly(driver.as_mut()));
                };
                (works.collect(), Box::new(end))
            }
            Place::Heir | Place::LateHeir => {
                let mut driver = Box::pin(group.work(KEY, operation));
                assert!(poll_idly(driver.as_mut()).is_pending());
                let works = (0..count).map(|_| victim(group.work(KEY, pending)));
                let end = move || {
                    let mut driver = Some(driver);
                    if self == Place::LateHeir {
                        drop(driver.take());
                    }
                    cell.settle(7).expect("settled once");
                };
                (works.collect(), Box::new(end))
            }
            Place::Driver => {
                let works = own_keys.map(|key| victim(group.work(key, operation.clone())));
                let end = move || drop(cell.settle(7));
                (works.collect(), Box::new(end))
            }
            Place::TryWorker => {
                let mut driver = Box::pin(group.try_work(KEY, fine(operation)));
                assert!(poll_idly(driver.as_mut()).is_pending());
                let calls = (0..count).map(|_| victim(group.try_work(KEY, fine(|| ready(7)))));
                let end = move || {
                    cell.settle(7).expect("settled once");
                    drop(poll_idly(driver.as_mut()));
                };
                (calls.collect(), Box::new(end))
            }
            Place::TryWorkHeir => {
                let mut driver = Box::pin(group.try_work(KEY, fine(pending)));
                assert!(poll_idly(driver.as_mut()).is_pending());
                let calls = (1..count).map(|_| victim(group.try_work(KEY, fine(|| ready(7)))));
                let last = std::iter::once_with(|| victim(setup.waiter(KEY)));
                (calls.chain(last).collect(), Box::new(move || drop(driver)))
            }
            Place::TryWorkDriver => {
                let calls = own_keys.map(|key| victim(group.try_work(key, fine(pending::<u32>))));
                (calls.collect(), setup.abort_all())
            }
            Place::Run => {
                let runs = own_keys.map(|key| victim(setup.primary(key).run(pending())));
                (runs.collect(), setup.abort_all())
            }
            Place::Owner | Place::Caller => {
                let shelf = Shelf::default();
                let key = |index| KEY + u32::from(self == Place::Owner) * index;
                if self == Place::Caller {
                    drop(group.entry(KEY).spawn_on(&shelf, || ready(7)));
                }
                let calls = (0..count)
                    .map(|index| victim(group.entry(key(index)).spawn_on(&shelf, || ready(7))));
                (calls.collect(), Box::new(move || shelf.run()))
            }
            Place::AbortedCaller => {
                let shelf = Shelf::default();
                let first = group.entry(KEY).spawn_on(&shelf, pending::<u32>);
                let handle = first.abort_handle().expect("it began the flight");
                let calls =
                    (0..count).map(|_| victim(group.entry(KEY).spawn_on(&shelf, || ready(7))));
                let calls = calls.collect();
                let end = move || {
                    handle.abort();
                    // The task finds that it is over.
                    shelf.run();
                };
                (calls, Box::new(end))
            }
            Place::UnwantedTask => {
                let shelf = Shelf::default();
                let want = |key| {
                    let entry = group.entry(key);
                    entry.spawn_while_wanted_on(&shelf, pending::<u32>)
                };
                let owners: Vec<_> = own_keys.map(want).collect();
                let tasks = shelf.take().into_iter().map(victim);
                (tasks.collect(), Box::new(move || each(owners, drop)))
            }
            Place::AddedTask => {
                let shelf = Shelf::default();
                let join = |key| {
                    let work = group.work(key, operation.clone());
                    let call = group.entry(key).spawn_on(&shelf, || ready(7));
                    (work, call)
                };
                let calls: Vec<_> = own_keys.map(join).collect();
                let tasks = shelf.take().into_iter().map(victim);
                let end = move || {
                    // Kept until then.
                    let _calls = calls;
                    drop(cell.settle(7));
                };
                (tasks.collect(), Box::new(end))
            }
            Place::GateWaiter => {
                let gate = &setup.gate;
                let Begin::Primary(holder) = gate.begin(Some(KEY)) else {
                    panic!("the gate is free")
                };
                let waiters = (1..count).map(|_| match gate.begin(Some(KEY)) {
                    Begin::Waiter(waiter) => victim(waiter),
                    other => panic!("the gate is held: {other:?}"),
                });
                let queued = std::iter::once_with(|| victim(gate.turn(Some(KEY + 1))));
                (
                    waiters.chain(queued).collect(),
                    Box::new(|| drop(holder.settle(7))),
                )
            }
            Place::Turn => {
                let Begin::Primary(holder) = setup.gate.begin(None) else {
                    panic!("the gate is free")
                };
                let turns = own_keys.map(|key| victim(setup.gate.turn(Some(key))));
                (turns.collect(), Box::new(|| drop(holder.settle(7))))
            }
            Place::Drained => {
                let primary = setup.primary(KEY);
                group.close();
                let drained = (0..count).map(|_| victim(group.drained()));
                (drained.collect(), Box::new(|| drop(primary.settle(7))))
            }
            Place::DrainedByClose => {
                let drained = (0..count).map(|_| victim(group.drained()));
                (drained.collect(), Box::new(move || group.close()))
            }
            Place::Cell => {
                // Not in an `async` block: that can not be polled again after a panic.
                let cell = unending_cell();
                let waits = (0..count).map(|_| victim(cell.wait()));
                let end = move || drop(cell.settle(7));
                (waits.collect(), Box::new(end))
            }
        }
    }

    fn end_of_waiters(self, setup: &Setup, primary: Primary<u32, u32>) -> End {
        match self {
            Place::OrphanedWaiter => Box::new(move || drop(primary)),
            Place::AbortedWaiter => {
                let abort_all = setup.abort_all();
                Box::new(move || {
                    // Kept until then.
                    let _primary = primary;
                    abort_all();
                })
            }
            Place::SupersededWaiter => {
                let setup = setup.clone();
                Box::new(move || {
                    // Where the group was closed, the old one is spared, and has to end by itself.
                    let _primary = primary;
                    setup.grow_old();
                    drop(setup.group.begin(KEY));
                })
            }
            _ => Box::new(move || drop(primary.settle(7))),
        }
    }

    /// Whether one event ends all that is waited for: everyone's outcome is there before the first
    /// one is woken.
    pub(crate) fn ends_at_once(self) -> bool {
        matches!(
            self,
            Place::Waiter
                | Place::OrphanedWaiter
                | Place::AbortedWaiter
                | Place::SupersededWaiter
                | Place::Participant
                | Place::Mixed
                | Place::TryWorker
                | Place::Caller
                | Place::AbortedCaller
                | Place::Drained
                | Place::DrainedByClose
                | Place::Cell
        )
    }

    /// Whether a panic of a waker ends in the victim, which is a task, in a poll of it or when it is
    /// `dropped`: so it is with `std`.
    pub(crate) fn keeps_panics_of_its_own(self, dropped: bool) -> bool {
        // The drop of the operation of a `spawn` is its runtime's, and so is a panic of that.
        let kept = match self {
            Place::UnwantedTask => !dropped,
            Place::AddedTask => true,
            _ => false,
        };
        kept && crate::limit::ISOLATES_PANICS
    }

    /// Whether a panic of a waker comes out of the call that ends the flight: a task keeps it, with
    /// `std`.
    pub(crate) fn lets_panics_of_the_end_through(self) -> bool {
        !crate::limit::ISOLATES_PANICS || !matches!(self, Place::Owner | Place::Caller)
    }
}
