//! Operations that callers share, in both policies, among guards of the same keys: who drives, who is woken, what is lost.

mod ops;

use std::sync::{Arc, PoisonError};
use std::task::Poll;

use oneflight_core::error::Cause;
use oneflight_core::handle::Budget;
use oneflight_core::{Error, Fingerprint};

use crate::book::Answer;
use crate::calls::{Call, Make, Task, numbers, rejected_or_numbers};
use crate::desk::{Desks, Policy};
use crate::inside::{begin_own, inside};
use crate::ledger::{Key, Ledger, Wish};
use crate::operation::{Act, Hand, Making, Plan};
use crate::panics::{caught, dropped_by_a_panic};
use crate::parse;
use crate::wakers::{Room, WAKERS, Who};
use crate::world::{World, pick};
pub(crate) use ops::Limits;
use ops::{Op, Rare};

/// Few, so that the callers meet.
const NAMES: u8 = 3;

struct Office {
    world: World,
    desks: Desks,
    calls: Vec<Call>,
    hand: Arc<Hand>,
    operations: Arc<Ledger>,
    plans: Arc<Ledger>,
}

/// Runs the bytes.
pub fn run(bytes: &[u8]) {
    let (limits, ops) = parse::<Limits, Op>(bytes);
    let mut office = Office {
        world: World::new(limits.setup()),
        desks: Desks::default(),
        calls: Vec::new(),
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
    office.world.finish();
}

impl Office {
    fn step(&mut self, op: Op) {
        let world = &mut self.world;
        let waker = |waker: u8| usize::from(waker) % WAKERS;
        match op {
            Op::Work(name, making) => self.work(name % NAMES, None, making),
            Op::Rerun(name, budget, making) => self.rerun(name % NAMES, None, budget % 3, making),
            Op::Party(name, count, rerun, with) => {
                for _ in 0..count % 4 {
                    if rerun {
                        self.rerun(name % NAMES, None, 2, Making::Fine);
                    } else {
                        self.work(name % NAMES, None, Making::Fine);
                    }
                    self.check();
                    self.poll_last(waker(with));
                    self.check();
                }
            }
            Op::Poll(index, with, act) => self.poll(index, waker(with), act),
            Op::PollSome(first, with) => {
                for index in 0..4 {
                    self.poll(first.wrapping_add(index), waker(with), Act::Pending);
                    self.check();
                }
            }
            Op::Drop(index, panics) => self.drop_call(index, panics),
            Op::Ring(index) => self.ring(index),
            Op::Guard(name) => world.begin(name % NAMES, None, false),
            Op::EndGuard(index, true) => world.settle(index, Wish::Keep),
            Op::EndGuard(index, false) => world.abort(index, Cause::Dropped),
            Op::PollWaiter(index, with) => world.poll_waiter(index, waker(with)),
            Op::DropWaiter(index) => world.drop_waiter(index),
            Op::Rare(Rare::WorkWithPayload(name, print)) => {
                self.work(name % NAMES, Some(print.into()), Making::Fine);
            }
            Op::Rare(Rare::RerunWithPayload(name, print)) => {
                self.rerun(name % NAMES, Some(print.into()), 2, Making::Fine);
            }
            Op::Rare(Rare::Forget(name)) => world.forget(name % NAMES),
            Op::Rare(Rare::Tick(time)) => world.tick(time % 32),
            Op::Rare(Rare::AbortAll) => world.abort_all(),
            Op::Rare(Rare::Close) => world.close(),
            Op::Rare(Rare::AwaitDrain) => world.await_drain(),
            Op::Rare(Rare::PollDrain(index, with)) => world.poll_drain(index, waker(with)),
        }
    }

    fn plan(&self, name: u8, making: Making) -> Option<Plan> {
        let world = &self.world;
        Some(Plan {
            name,
            group: world.group.clone()?,
            hand: self.hand.clone(),
            bell: None,
            keys: world.keys.clone(),
            values: world.values.clone(),
            operations: self.operations.clone(),
            making,
            _life: self.plans.life(),
        })
    }

    fn work(&mut self, name: u8, print: Option<u8>, making: Making) {
        let (Some(group), Some(mut plan)) = (self.world.group.clone(), self.plan(name, making))
        else {
            return;
        };
        let key = Key::new(name, &self.world.keys);
        let (who, answer, participates) = self.answer(name, print, Policy::Continue);
        if let Answer::Primary(flight) = answer {
            plan.bell = Some(self.desks.at(flight).bell.clone());
        }
        self.hand.cue(Act::Pending);
        let make = move || plan.make();
        let real = caught(|| match print {
            None => group.work(key, make),
            Some(print) => group
                .entry(key)
                .fingerprint(Fingerprint::new(print.into()))
                .work(make),
        });
        if let Answer::Primary(flight) = answer {
            match making {
                Making::Panic => {
                    self.world.book.abort(flight, Cause::Panicked);
                    assert!(real.is_none(), "a panic in making was swallowed");
                    // Nobody has seen its identity; it is above those before all the same.
                    self.world.identify_unseen(flight);
                    return;
                }
                Making::BeginOwn | Making::Fine => self.desks.at(flight).ready = true,
            }
        }
        let Some(work) = real else {
            panic!("a panic in making that was not called for")
        };
        self.keep(who, answer, participates, None, Task::Work(work));
        self.begun_while_made(answer, making);
    }

    fn rerun(&mut self, name: u8, print: Option<u8>, budget: u8, making: Making) {
        let (Some(group), Some(plan)) = (self.world.group.clone(), self.plan(name, making)) else {
            return;
        };
        let key = Key::new(name, &self.world.keys);
        let (who, answer, participates) = self.answer(name, print, Policy::Rerun(budget.into()));
        let make: Make = Box::new(move || plan.make());
        let budget = Budget::times(budget.into());
        let rerun = match print {
            None => group.work_rerun(key, budget, make),
            Some(print) => group
                .entry(key)
                .fingerprint(Fingerprint::new(print.into()))
                .work_rerun(budget, make),
        };
        self.keep(
            who,
            answer,
            participates,
            Some(making),
            Task::Rerun(Box::pin(rerun)),
        );
    }

    fn answer(&mut self, name: u8, print: Option<u8>, policy: Policy) -> (Who, Answer, bool) {
        let who = self.world.somebody_new();
        let book = &mut self.world.book;
        let answer = book.begin(name, print);
        let participates = self.desks.admit(book, who, answer, policy);
        (who, answer, participates)
    }

    fn keep(
        &mut self,
        who: Who,
        answer: Answer,
        participates: bool,
        making: Option<Making>,
        task: Task,
    ) {
        if let (Answer::Primary(flight), Some(id)) = (answer, task.id()) {
            self.world.identify(flight, id);
        }
        let call = Call {
            who,
            answer,
            participates,
            lost: false,
            runs: false,
            making,
            task,
        };
        if let Some(flight) = call.flight() {
            self.world.book.flights[flight].handles += 1;
        }
        self.calls.push(call);
    }

    /// What an operation began while it was made.
    fn begun_while_made(&mut self, answer: Answer, making: Making) {
        if let (Answer::Primary(flight), Making::BeginOwn) = (answer, making) {
            let seen = self.hand.cues().seen_in_making;
            begin_own(&mut self.world, seen, flight, false);
        }
    }

    fn poll(&mut self, index: u8, waker: usize, act: Act) {
        if let Some(index) = pick(index, self.calls.len()) {
            self.poll_at(index, waker, act);
        }
    }

    fn poll_last(&mut self, waker: usize) {
        if let Some(last) = self.calls.len().checked_sub(1) {
            self.poll_at(last, waker, Act::Pending);
        }
    }

    fn poll_at(&mut self, index: usize, waker: usize, act: Act) {
        let call = &mut self.calls[index];
        // The waker of one's own operation is the task's: to wake itself is the task's matter.
        let own = matches!(call.task, Task::Rerun(_));
        let act = if own && act == Act::Wake {
            Act::Pending
        } else {
            act
        };
        self.hand.cue(act);
        let world = &mut self.world;
        let (task, wakers) = (&mut call.task, &world.wakers);
        let real = caught(|| wakers.poll(waker, |cx| task.poll(cx)));
        let polled = self.hand.cues().polled;
        let Some(flight) = call.flight() else {
            let rejected = matches!(real, Some(Poll::Ready(Err(Error::Rejected(why)))) if call.answer == Answer::Rejected(why));
            assert!(rejected && !polled, "{:?} expected", call.answer);
            return;
        };
        if call.lost && world.book.flights[flight].outcome.is_none() {
            let told = matches!(&real, Some(Poll::Ready(Err(Error::Aborted(aborted)))) if aborted.cause() == Cause::Panicked);
            assert!(told && !polled, "polled on after its panic");
            return;
        }
        let panics = self.polled(index, flight, waker, act);
        let call = &mut self.calls[index];
        let expected = self.world.book.flights[flight].outcome;
        match real {
            None => assert!(panics, "an unplanned panic of the operation"),
            Some(Poll::Pending) => assert!(!panics && expected.is_none(), "pending after the end"),
            Some(Poll::Ready(outcome)) => {
                assert!(!panics, "a panic of the operation was swallowed");
                call.runs = false;
                assert_eq!(Some(numbers(&outcome)), expected);
            }
        }
    }

    /// What a poll must have done. True if the operation's panic came out of it.
    fn polled(&mut self, index: usize, flight: usize, waker: usize, act: Act) -> bool {
        let polled = self.hand.cues().polled;
        let world = &mut self.world;
        let call = &mut self.calls[index];
        if world.book.flights[flight].outcome.is_some() {
            assert!(!polled, "an operation was polled after the end");
            if call.runs {
                world.book.let_go(flight);
            }
            return false;
        }
        let room = if call.participates {
            Room::Desk(flight)
        } else {
            Room::Flight(flight)
        };
        world.book.parked.park(room, call.who, waker);
        let drives = call.participates
            && (call.runs || self.desks.takes_it(&mut world.book, flight, call.who));
        let makes = if drives { call.making.take() } else { None };
        call.runs |= makes.is_some();
        if let Some(Making::BeginOwn) = makes {
            let seen = self.hand.cues().seen_in_making;
            begin_own(world, seen, flight, false);
        }
        let unmade = makes == Some(Making::Panic);
        assert_eq!(polled, drives && !unmade, "whether the operation is polled");
        if !drives {
            return false;
        }
        let (who, own) = (call.who, matches!(call.task, Task::Rerun(_)));
        if !own {
            // While it polls what is shared, its waker is in its own hands.
            world.book.parked.leave(room, who);
        }
        if unmade || (own && act == Act::Panic) {
            // One caller's loss, not the flight's end.
            call.runs = false;
            call.lost = true;
            let duplicate = call.is_duplicate();
            let cause = Cause::Panicked;
            self.desks
                .leave(&mut world.book, flight, call.who, duplicate, cause);
            return true;
        }
        inside(world, &self.hand, flight, act);
        if act == Act::Panic {
            return true;
        }
        if !own || world.book.flights[flight].outcome.is_some() {
            // Put down, or dropped after the end.
            world.book.let_go(flight);
        }
        if world.book.flights[flight].outcome.is_some() {
            return false;
        }
        if !own && act != Act::Finish {
            world.book.parked.park(room, who, waker);
        }
        match act {
            Act::Finish => {
                let window = world.window(Wish::Keep).unwrap_or_default();
                world.book.settle(flight, self.hand.cues().made, window);
            }
            Act::Wake => self.desks.ring(&mut world.book, flight),
            _ => {}
        }
        false
    }

    fn drop_call(&mut self, index: u8, panics: bool) {
        let Some(index) = pick(index, self.calls.len()) else {
            return;
        };
        let call = self.calls.swap_remove(index);
        let book = &mut self.world.book;
        if let Some(flight) = call.flight() {
            if !call.participates {
                book.parked.leave(Room::Flight(flight), call.who);
                book.leave(flight);
            } else if !call.lost {
                let duplicate = call.is_duplicate();
                let cause = if panics {
                    Cause::Panicked
                } else {
                    Cause::Dropped
                };
                let late = call.runs && book.flights[flight].outcome.is_some();
                self.desks.leave(book, flight, call.who, duplicate, cause);
                if late {
                    book.let_go(flight);
                }
            }
            book.flights[flight].handles -= 1;
        }
        if panics {
            dropped_by_a_panic(call.task);
        } else {
            drop(call.task);
        }
    }

    /// What the shared operation waits for has happened.
    fn ring(&mut self, index: u8) {
        let Some(flight) = self.desks.pick(&self.world.book, index) else {
            return;
        };
        let bell = self.desks.at(flight).bell.clone();
        let waker = bell.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            self.desks.ring(&mut self.world.book, flight);
            waker.wake();
        }
    }

    fn check(&mut self) {
        self.world.check();
        let own = self
            .calls
            .iter()
            .filter(|call| call.runs && matches!(call.task, Task::Rerun(_)))
            .count();
        let shared = self.desks.operations(&self.world.book);
        assert_eq!(self.operations.count(), own + shared, "operations alive");
        let plans = self
            .calls
            .iter()
            .filter(|call| call.making.is_some())
            .count();
        assert_eq!(self.plans.count(), plans, "what makes operations, alive");
        for call in &self.calls {
            let id = call.flight().map(|flight| self.world.id(flight));
            assert_eq!(call.task.id(), id);
            let expected = match (call.flight(), call.answer) {
                (Some(flight), _) => self.world.book.flights[flight].outcome.map(Ok),
                (None, Answer::Rejected(why)) => Some(Err(why)),
                (None, answer) => unreachable!("{answer:?} has a flight"),
            };
            assert_eq!(
                call.task.get().map(|outcome| rejected_or_numbers(&outcome)),
                expected
            );
        }
    }
}
