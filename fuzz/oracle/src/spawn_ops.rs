//! Operations that are tasks of a runtime, which the schedule polls and drops: those that run to their end, and those that
//! end when nobody wants them.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use arbitrary::Arbitrary;
use oneflight_core::error::Cause;
use oneflight_core::handle::Spawned;
use oneflight_core::rt::Spawn;
use oneflight_core::{Error, Fingerprint};

use crate::book::{Answer, Outcome};
use crate::calls::rejected_or_numbers;
use crate::inside::{begin_own, inside};
use crate::ledger::{Key, Ledger, Value, Wish};
use crate::operation::{Act, Hand, Making, Plan};
use crate::panics::{caught, dropped_by_a_panic};
use crate::parse;
use crate::wakers::{Room, WAKERS, Who};
use crate::work_ops::Limits;
use crate::world::{World, pick};

/// Few, so that the callers meet.
const NAMES: u8 = 3;

/// What the bytes become.
#[derive(Arbitrary, Debug)]
enum Op {
    /// By `spawn_while_wanted`, or else by `spawn`.
    Spawn(u8, bool, Making),
    Poll(u8, u8),
    Drop(u8, bool),
    /// The runtime polls a task.
    Run(u8, u8, Act),
    /// The runtime drops a task.
    Lose(u8, bool),
    Guard(u8),
    EndGuard(u8, bool),
    PollWaiter(u8, u8),
    DropWaiter(u8),
    Rare(Rare),
}

#[derive(Arbitrary, Debug)]
enum Rare {
    SpawnWithPayload(u8, bool, bool),
    /// The runtime has shut down.
    SpawnInVain(u8, bool),
    AbortByHandle(u8),
    Forget(u8),
    Tick(u8),
    AbortAll,
    Close,
    AwaitDrain,
    PollDrain(u8, u8),
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A runtime that keeps its tasks for the schedule, or drops them at once.
#[derive(Default)]
struct Shelf {
    tasks: Mutex<Vec<Task>>,
    drops: bool,
}

impl Spawn for Shelf {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        if !self.drops {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.push(Box::pin(task));
        }
    }
}

impl Shelf {
    fn take(&self) -> Option<Task> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.pop()
    }
}

/// A caller.
struct Call {
    who: Who,
    answer: Answer,
    it: Spawned<Key, Value>,
}

impl Call {
    fn flight(&self) -> Option<usize> {
        match self.answer {
            Answer::Primary(flight) | Answer::Waiter(flight) => Some(flight),
            Answer::Inside(_) | Answer::Rejected(_) => None,
        }
    }
}

/// A task of the runtime.
struct Job {
    who: Who,
    flight: usize,
    /// How its operation would be made, until it has begun.
    making: Option<Making>,
    task: Task,
}

struct Office {
    world: World,
    calls: Vec<Call>,
    jobs: Vec<Job>,
    hand: Arc<Hand>,
    operations: Arc<Ledger>,
    plans: Arc<Ledger>,
}

/// Runs the bytes.
pub fn run(bytes: &[u8]) {
    let (limits, ops) = parse::<Limits, Op>(bytes);
    let mut office = Office {
        world: World::new(limits.setup()),
        calls: Vec::new(),
        jobs: Vec::new(),
        hand: Arc::default(),
        operations: Arc::default(),
        plans: Arc::default(),
    };
    for op in ops {
        office.step(op);
        office.check();
    }
    while !office.calls.is_empty() {
        office.drop_call(0, false);
        office.check();
    }
    while !office.jobs.is_empty() {
        office.lose(0, false);
        office.check();
    }
    office.world.finish();
}

impl Office {
    fn step(&mut self, op: Op) {
        let world = &mut self.world;
        let waker = |waker: u8| usize::from(waker) % WAKERS;
        match op {
            Op::Spawn(name, wanted, making) => {
                self.spawn(name % NAMES, None, wanted, making, false);
            }
            Op::Poll(index, with) => self.poll(index, waker(with)),
            Op::Drop(index, panics) => self.drop_call(index, panics),
            Op::Run(index, with, act) => self.run(index, waker(with), act),
            Op::Lose(index, panics) => self.lose(index, panics),
            Op::Guard(name) => world.begin(name % NAMES, None, false),
            Op::EndGuard(index, true) => world.settle(index, Wish::Keep),
            Op::EndGuard(index, false) => world.abort(index, Cause::Dropped),
            Op::PollWaiter(index, with) => world.poll_waiter(index, waker(with)),
            Op::DropWaiter(index) => world.drop_waiter(index),
            Op::Rare(Rare::SpawnWithPayload(name, wanted, print)) => {
                self.spawn(
                    name % NAMES,
                    Some(print.into()),
                    wanted,
                    Making::Fine,
                    false,
                );
            }
            Op::Rare(Rare::SpawnInVain(name, wanted)) => {
                self.spawn(name % NAMES, None, wanted, Making::Fine, true);
            }
            Op::Rare(Rare::AbortByHandle(index)) => self.abort(index),
            Op::Rare(Rare::Forget(name)) => world.forget(name % NAMES),
            Op::Rare(Rare::Tick(time)) => world.tick(time % 32),
            Op::Rare(Rare::AbortAll) => world.abort_all(),
            Op::Rare(Rare::Close) => world.close(),
            Op::Rare(Rare::AwaitDrain) => world.await_drain(),
            Op::Rare(Rare::PollDrain(index, with)) => world.poll_drain(index, waker(with)),
        }
    }

    fn spawn(&mut self, name: u8, print: Option<u8>, wanted: bool, making: Making, drops: bool) {
        let Some(group) = self.world.group.clone() else {
            return;
        };
        let plan = Plan {
            name,
            group: group.clone(),
            hand: self.hand.clone(),
            bell: None,
            keys: self.world.keys.clone(),
            values: self.world.values.clone(),
            operations: self.operations.clone(),
            making,
            _life: self.plans.life(),
        };
        let shelf = Shelf {
            drops,
            ..Shelf::default()
        };
        let answer = self.world.book.begin(name, print);
        let mut entry = group.entry(Key::new(name, &self.world.keys));
        if let Some(print) = print {
            entry = entry.fingerprint(Fingerprint::new(print.into()));
        }
        let make = move || plan.make();
        let it = if wanted {
            entry.spawn_while_wanted_on(&shelf, make)
        } else {
            entry.spawn_on(&shelf, make)
        };
        let who = self.world.somebody_new();
        let task = shelf.take();
        assert_eq!(
            task.is_some(),
            matches!(answer, Answer::Primary(_)) && !drops
        );
        let world = &mut self.world;
        match answer {
            Answer::Primary(flight) => {
                let id = it.id().expect("it began a flight");
                world.identify(flight, id.get());
                world.book.spawned(flight, wanted);
                world.book.flights[flight].handles += 1;
                match task {
                    Some(task) => {
                        world.book.flights[flight].handles += 1;
                        self.jobs.push(Job {
                            who: world.somebody_new(),
                            flight,
                            making: Some(making),
                            task,
                        });
                    }
                    None => world.book.abort(flight, Cause::Dropped),
                }
            }
            Answer::Waiter(flight) => {
                world.book.flights[flight].handles += 1;
                if !wanted {
                    world.book.keep(flight);
                }
            }
            Answer::Inside(_) | Answer::Rejected(_) => {}
        }
        self.calls.push(Call { who, answer, it });
    }

    fn poll(&mut self, index: u8, waker: usize) {
        let Some(index) = pick(index, self.calls.len()) else {
            return;
        };
        let call = &mut self.calls[index];
        let flight = call.flight();
        let outcome = flight.and_then(|flight| self.world.book.flights[flight].outcome);
        if let (Some(flight), None) = (flight, outcome) {
            let room = Room::Flight(flight);
            self.world.book.parked.park(room, call.who, waker);
        }
        let it = &mut call.it;
        let real = self.world.wakers.poll(waker, |cx| Pin::new(it).poll(cx));
        match real {
            Poll::Pending => assert!(flight.is_some() && outcome.is_none(), "it has ended"),
            Poll::Ready(real) => match rejected_or_numbers(&real) {
                Ok(real) => assert_eq!(Some(real), outcome),
                Err(why) => assert_eq!(call.answer, Answer::Rejected(why)),
            },
        }
    }

    fn drop_call(&mut self, index: u8, panics: bool) {
        let Some(index) = pick(index, self.calls.len()) else {
            return;
        };
        let call = self.calls.swap_remove(index);
        let book = &mut self.world.book;
        if let Some(flight) = call.flight() {
            book.parked.leave(Room::Flight(flight), call.who);
            match call.answer {
                Answer::Primary(_) => book.disown(flight),
                _ => book.leave(flight),
            }
            book.flights[flight].handles -= 1;
        }
        if panics {
            dropped_by_a_panic(call.it);
        } else {
            drop(call.it);
        }
    }

    /// A task is polled. Its panics end in it.
    fn run(&mut self, index: u8, waker: usize, act: Act) {
        let Some(index) = pick(index, self.jobs.len()) else {
            return;
        };
        // The waker of an operation is its task's: to wake itself is the runtime's matter.
        let act = if act == Act::Wake { Act::Pending } else { act };
        self.hand.cue(act);
        let (world, job) = (&mut self.world, &mut self.jobs[index]);
        let task = &mut job.task;
        let real = caught(|| world.wakers.poll(waker, |cx| task.as_mut().poll(cx)));
        let real = real.expect("a panic came out of a task");
        let polled = self.hand.cues().polled;
        let parks = Self::ran(world, &self.hand, job, act, polled);
        assert_eq!(real.is_pending(), parks, "whether the task is over");
        let room = Room::Flight(job.flight);
        if parks {
            world.book.parked.park(room, job.who, waker);
        } else {
            let job = self.jobs.swap_remove(index);
            world.book.parked.leave(room, job.who);
            world.book.flights[job.flight].handles -= 1;
        }
    }

    /// What the poll of a task must have done. True if it is not over.
    fn ran(world: &mut World, hand: &Hand, job: &mut Job, act: Act, polled: bool) -> bool {
        let flight = job.flight;
        if world.book.flights[flight].outcome.is_some() {
            assert!(!polled, "an operation was polled after the end");
            job.making = None;
            world.book.let_go(flight);
            return false;
        }
        if let Some(making) = job.making.take() {
            world.book.begins(flight);
            if making == Making::BeginOwn {
                let seen = hand.cues().seen_in_making;
                begin_own(world, seen, flight, false);
            }
            if making == Making::Panic {
                assert!(!polled, "polled, and never made");
                world.book.abort(flight, Cause::Panicked);
                return false;
            }
        }
        assert!(polled, "not polled");
        // It is not parked while it is polled.
        world.book.parked.leave(Room::Flight(flight), job.who);
        inside(world, hand, flight, act);
        if world.book.flights[flight].outcome.is_some() {
            world.book.let_go(flight);
            return false;
        }
        if act == Act::Finish {
            let window = world.window(Wish::Keep).unwrap_or_default();
            world.book.settle(flight, hand.cues().made, window);
            return false;
        }
        true
    }

    /// The runtime drops a task, which is woken by that, as everybody is.
    fn lose(&mut self, index: u8, panics: bool) {
        let Some(index) = pick(index, self.jobs.len()) else {
            return;
        };
        let job = self.jobs.swap_remove(index);
        let book = &mut self.world.book;
        let cause = if panics {
            Cause::Panicked
        } else {
            Cause::Dropped
        };
        // It is not woken by its own end.
        book.parked.leave(Room::Flight(job.flight), job.who);
        book.abort(job.flight, cause);
        book.flights[job.flight].handles -= 1;
        if panics {
            dropped_by_a_panic(job.task);
        } else {
            drop(job.task);
        }
    }

    fn abort(&mut self, index: u8) {
        let Some(index) = pick(index, self.calls.len()) else {
            return;
        };
        let call = &self.calls[index];
        let handle = call.it.abort_handle();
        let Answer::Primary(flight) = call.answer else {
            return assert!(handle.is_none());
        };
        let open = self.world.book.flights[flight].outcome.is_none();
        if open {
            let outcome = Outcome::Aborted(Cause::Cancelled);
            self.world.book.end(flight, outcome);
        }
        let aborted = handle.expect("it began the flight").abort();
        assert_eq!(aborted, open, "whether the handle ended it");
    }

    fn check(&mut self) {
        self.world.check();
        let unbegun = self.jobs.iter().filter(|job| job.making.is_some()).count();
        assert_eq!(self.plans.count(), unbegun, "what makes operations, alive");
        let begun = self.jobs.len() - unbegun;
        assert_eq!(self.operations.count(), begun, "operations alive");
        for call in &self.calls {
            let flight = call.flight();
            let id = call.it.id().map(|id| id.get());
            assert_eq!(id, flight.map(|flight| self.world.id(flight)));
            let first = matches!(call.answer, Answer::Primary(_));
            assert_eq!(call.it.is_primary(), first);
            let expected = match (flight, call.answer) {
                (Some(flight), _) => self.world.book.flights[flight].outcome.map(Ok),
                (None, Answer::Rejected(why)) => Some(Err(why)),
                (None, answer) => unreachable!("{answer:?} has a flight"),
            };
            let real = call.it.get();
            let numbers = real.as_ref().map(rejected_or_numbers);
            assert_eq!(numbers, expected);
            if let (Some(flight), Some(Err(Error::Aborted(why)))) = (flight, real) {
                let unbegun = self.world.book.flights[flight].unbegun;
                assert_eq!(why.has_begun(), !unbegun, "whether it has begun");
            }
        }
    }
}
