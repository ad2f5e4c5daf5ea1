//! Operations that callers share, in both policies, among guards of the same keys: who drives, who is woken, what is lost.

mod ops;
mod polls;

use std::sync::{Arc, PoisonError};

use oneflight_core::Fingerprint;
use oneflight_core::error::Cause;

use crate::book::Answer;
use crate::calls::{Call, Make, Task, rejected_or_numbers};
use crate::desk::{Desks, Policy};
use crate::inside::begin_own;
use crate::ledger::{Key, Ledger, Wish};
use crate::operation::{Act, Hand, Making, Plan, Trying};
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
            Op::TryWork(name, making) => self.try_work(name % NAMES, None, making),
            Op::Party(name, count, tries, with) => {
                for _ in 0..count % 4 {
                    if tries {
                        self.try_work(name % NAMES, None, Making::Fine);
                    } else {
                        self.work(name % NAMES, None, Making::Fine);
                    }
                    self.check();
                    self.poll_last(waker(with));
                    self.check();
                }
            }
            Op::Poll(index, with, act) => self.poll(index, waker(with), act, false),
            Op::PollAndFail(index, with, ends_all) => {
                let act = if ends_all {
                    Act::AbortAll(true)
                } else {
                    Act::Finish
                };
                self.poll(index, waker(with), act, true);
            }
            Op::PollSome(first, with) => {
                for index in 0..4 {
                    self.poll(first.wrapping_add(index), waker(with), Act::Pending, false);
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
            Op::Rare(Rare::TryWorkWithPayload(name, print)) => {
                self.try_work(name % NAMES, Some(print.into()), Making::Fine);
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

    fn try_work(&mut self, name: u8, print: Option<u8>, making: Making) {
        let (Some(group), Some(plan)) = (self.world.group.clone(), self.plan(name, making)) else {
            return;
        };
        let key = Key::new(name, &self.world.keys);
        let (who, answer, participates) = self.answer(name, print, Policy::Rerun);
        let make: Make = Box::new(move || Trying(plan.make()));
        let call = match print {
            None => group.try_work(key, make),
            Some(print) => group
                .entry(key)
                .fingerprint(Fingerprint::new(print.into()))
                .try_work(make),
        };
        self.keep(
            who,
            answer,
            participates,
            Some(making),
            Task::TryWork(Box::pin(call)),
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
            done: false,
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
            .filter(|call| call.runs && call.task.has_own())
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
            if !call.task.has_own() {
                let real = call.task.get();
                let real = real.map(|outcome| rejected_or_numbers(&outcome));
                assert_eq!(real, expected);
            }
        }
    }
}
