//! One at a time: who holds the gate, who is turned away, who waits, who replaces whom, in every mode of the gate and of
//! the call; what is too old, what is ended from outside, and what outlives its end.

mod check;
mod ops;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use oneflight_core::error::Cause;
use oneflight_core::gate::{Gate, Mode, Turn};
use oneflight_core::handle::Drained;
use oneflight_core::{Begin, Error, Fingerprint, Primary, Settled, Waiter};

use crate::book::{Answer, Outcome};
use crate::gate_book::{GateBook, Rules, Wanted};
use crate::ledger::{Key, Ledger, Value, Wish};
use crate::panics::{caught, dropped_by_a_panic};
use crate::parse;
use crate::wakers::{Room, WAKERS, Wakers, Who};
use crate::world::{HandClock, Held, Seated, pick};
use ops::{Deed, Op, Rare, Scene};

const TOKENS: u8 = 4;

type Token = Option<Key>;

/// A turn, and what it is to come to.
struct Awaited {
    who: Who,
    answer: Answer,
    it: Turn<Key, Value>,
}

struct Door {
    gate: Gate<Key, Value>,
    mode: Mode,
    book: GateBook,
    wakers: Wakers,
    keys: Arc<Ledger>,
    values: Arc<Ledger>,
    primaries: Vec<Held<Primary<Token, Value>>>,
    waiters: Vec<Seated<Waiter<Token, Value>>>,
    turns: Vec<Awaited>,
    outcomes: Vec<Held<Settled<Token, Value>>>,
    drains: Vec<(Who, Drained)>,
    clock: Arc<HandClock>,
    people: Who,
}

/// Runs the bytes.
pub fn run(bytes: &[u8]) {
    let (scene, ops) = parse::<Scene, Op>(bytes);
    let few = |most: Option<u8>| most.map_or(usize::MAX, |most| usize::from(most % 4));
    let rules = Rules {
        mode: scene.mode.into(),
        max_queue: few(scene.max_queue),
        max_waiters: few(scene.max_waiters),
        supersede_after: scene.supersede_after.map(|age| u64::from(age % 16)),
    };
    let clock = Arc::<HandClock>::default();
    let builder = Gate::builder(rules.mode)
        .max_queue(rules.max_queue)
        .max_waiters(rules.max_waiters)
        .clock(clock.clone());
    let gate = match rules.supersede_after {
        None => builder.build(),
        Some(age) => builder.supersede_after(Duration::from_millis(age)).build(),
    };
    let mut door = Door {
        gate,
        book: GateBook::new(rules, scene.hostile),
        wakers: Wakers::new(scene.hostile),
        mode: rules.mode,
        drains: Vec::new(),
        clock,
        keys: Arc::default(),
        values: Arc::default(),
        primaries: Vec::new(),
        waiters: Vec::new(),
        turns: Vec::new(),
        outcomes: Vec::new(),
        people: 0,
    };
    for op in ops {
        door.step(op);
        door.check();
    }
    door.finish();
}

impl Door {
    fn step(&mut self, op: Op) {
        let waker = |waker: u8| usize::from(waker) % WAKERS;
        match op {
            Op::Begin(token) => self.call(token, None, None, false),
            Op::Turn(token) => self.call(token, None, None, true),
            Op::InMode(token, mode, waits) => self.call(token, None, Some(mode.into()), waits),
            Op::WithPayload(token, print, waits) => {
                self.call(token, Some(print.into()), None, waits);
            }
            Op::PollTurn(index, with) => self.poll_turn(index, waker(with)),
            Op::DropTurn(index) => self.drop_turn(index),
            Op::Settle(index) => self.settle(index),
            Op::Abort(index) => self.abort(index, Cause::Cancelled),
            Op::DropPrimary(index, false) => self.abort(index, Cause::Dropped),
            Op::DropPrimary(index, true) => self.abort(index, Cause::Panicked),
            Op::Poll(index, with) => self.poll_waiter(index, waker(with)),
            Op::DropWaiter(index) => self.drop_waiter(index),
            Op::WakeSpuriously(with) => self
                .wakers
                .wake_spuriously(waker(with), &mut self.book.parked),
            Op::DropOutcome(index) => self.drop_outcome(index),
            Op::Tick(time) => {
                self.book.now += u64::from(time % 16);
                self.clock.0.store(self.book.now, Ordering::Relaxed);
            }
            Op::Token(token, deed) => self.do_to(token % TOKENS, deed),
            Op::Rare(Rare::AbortAll) => {
                self.book.abort_all();
                let done = caught(|| self.gate.abort_all());
                self.agree_on_panic(done.is_none());
            }
            Op::Rare(Rare::Close) => {
                self.book.close();
                let done = caught(|| self.gate.close());
                self.agree_on_panic(done.is_none());
            }
            Op::Rare(Rare::AwaitDrain) => {
                self.people += 1;
                self.drains.push((self.people, self.gate.drained()));
            }
            Op::Rare(Rare::PollDrain(index, with)) => self.poll_drain(index, waker(with)),
        }
    }

    fn token(&self, name: Option<u8>) -> Token {
        name.map(|name| Key::new(name, &self.keys))
    }

    fn call(&mut self, token: u8, print: Option<u8>, mode: Option<Mode>, waits: bool) {
        let wanted = Wanted {
            token: name(token),
            print,
            mode: mode.unwrap_or(self.mode),
            waits,
        };
        let answer = self.book.call(wanted);
        let mut entry = self.gate.entry(self.token(wanted.token));
        if let Some(mode) = mode {
            entry = entry.mode(mode);
        }
        if let Some(print) = print {
            entry = entry.fingerprint(Fingerprint::new(print.into()));
        }
        if waits {
            let turn = caught(|| entry.turn());
            assert_eq!(answer.is_none(), turn.is_none(), "a wake's panic");
            if let (Some(answer), Some(it)) = (answer, turn) {
                self.hold(answer);
                self.people += 1;
                let who = self.people;
                self.turns.push(Awaited { who, answer, it });
            }
        } else {
            let begun = caught(|| entry.begin());
            assert_eq!(answer.is_none(), begun.is_none(), "a wake's panic");
            if let (Some(answer), Some(begun)) = (answer, begun) {
                self.hold(answer);
                self.keep(answer, begun);
            }
        }
    }

    fn do_to(&mut self, token: u8, deed: Deed) {
        let key = Key::new(token, &self.keys);
        let found = self.book.find(token);
        let mut panics = false;
        let done = match deed {
            Deed::Abort => {
                if let Some(number) = found {
                    self.book.end_from_outside(number, Cause::Cancelled);
                }
                let done = caught(|| self.gate.abort(&key));
                panics = done.is_none();
                done.unwrap_or(true)
            }
            Deed::Touch => {
                if let Some(number) = found {
                    self.book.touch(number);
                }
                self.gate.touch(&key)
            }
            Deed::Forget => {
                if let Some(number) = found {
                    self.book.forget(number);
                }
                self.gate.forget(&key)
            }
        };
        assert_eq!(done, found.is_some(), "{deed:?} of {token}");
        self.agree_on_panic(panics);
    }

    fn poll_drain(&mut self, index: u8, waker: usize) {
        let Some(index) = pick(index, self.drains.len()) else {
            return;
        };
        let drained = self.book.is_drained();
        let (who, it) = &mut self.drains[index];
        match self.wakers.poll(waker, |cx| Pin::new(it).poll(cx)) {
            Poll::Pending => {
                assert!(!drained, "nothing is left");
                self.book.parked.park(Room::Drain, *who, waker);
            }
            Poll::Ready(()) => {
                assert!(drained, "drained too early");
                drop(self.drains.swap_remove(index));
            }
        }
    }

    fn hold(&mut self, answer: Answer) {
        if let Answer::Primary(flight) | Answer::Waiter(flight) = answer {
            self.book.claims[flight].handles += 1;
        }
    }

    fn keep(&mut self, answer: Answer, real: Begin<Token, Value>) {
        match (answer, real) {
            (Answer::Primary(flight), Begin::Primary(it)) => {
                self.primaries.push(Held { flight, it })
            }
            (Answer::Waiter(flight), Begin::Waiter(it)) => {
                self.people += 1;
                let who = self.people;
                self.waiters.push(Seated { flight, who, it });
            }
            (Answer::Rejected(why), Begin::Rejected(real)) => assert_eq!(real, why),
            (answer, real) => panic!("{answer:?} expected, not {real:?}"),
        }
    }

    fn poll_turn(&mut self, index: u8, waker: usize) {
        let Some(index) = pick(index, self.turns.len()) else {
            return;
        };
        let Awaited { who, answer, it } = &mut self.turns[index];
        let queued = matches!(answer, Answer::Primary(flight) if self.book.is_queued(*flight));
        if let Answer::Primary(flight) = *answer {
            let claim = &mut self.book.claims[flight];
            if claim.outcome.is_some() {
                // It was ended before its turn: it gets that end as a waiter.
                *answer = Answer::Waiter(flight);
            } else if !queued {
                claim.begun = true;
            }
        }
        match (*answer, self.wakers.poll(waker, |cx| Pin::new(it).poll(cx))) {
            (Answer::Primary(flight), Poll::Pending) if queued => {
                self.book.parked.park(Room::Line(flight), *who, waker);
            }
            (answer, Poll::Ready(begin)) if !queued => {
                self.turns.swap_remove(index);
                self.keep(answer, begin);
            }
            (answer, real) => panic!("{answer:?} (queued: {queued}), not {real:?}"),
        }
    }

    fn drop_turn(&mut self, index: u8) {
        let Some(index) = pick(index, self.turns.len()) else {
            return;
        };
        let Awaited { who, answer, it } = self.turns.swap_remove(index);
        match answer {
            Answer::Primary(flight) => {
                self.book.abort(flight, Cause::Dropped);
                self.book.parked.leave(Room::Line(flight), who);
                self.book.claims[flight].handles -= 1;
            }
            Answer::Waiter(flight) => {
                self.book.leave(flight);
                self.book.claims[flight].handles -= 1;
            }
            Answer::Inside(_) => unreachable!("nothing of a gate comes from inside here"),
            Answer::Rejected(_) => {}
        }
        let done = caught(|| drop(it));
        self.agree_on_panic(done.is_none());
    }

    fn agree_on_panic(&mut self, panicked: bool) {
        assert_eq!(panicked, self.book.parked.provoked(), "a wake's panic");
    }

    fn settle(&mut self, index: u8) {
        let Some(index) = pick(index, self.primaries.len()) else {
            return;
        };
        let Held { flight, it } = self.primaries.swap_remove(index);
        let value = Value::new(Wish::Keep, &self.values);
        let serial = value.life.serial;
        self.book.end(flight, Outcome::Settled(serial));
        let real = caught(|| it.settle(value));
        self.agree_on_panic(real.is_none());
        match real {
            Some(Ok(it)) => {
                assert_eq!(it.life.serial, serial);
                self.outcomes.push(Held { flight, it });
            }
            Some(Err(late)) => {
                assert_eq!(late.value.life.serial, serial);
                let outcome = self.book.claims[flight].outcome;
                assert_eq!(outcome, Some(Outcome::Aborted(late.aborted.cause())));
                self.book.claims[flight].handles -= 1;
            }
            None => self.book.claims[flight].handles -= 1,
        }
    }

    fn abort(&mut self, index: u8, cause: Cause) {
        let Some(index) = pick(index, self.primaries.len()) else {
            return;
        };
        let Held { flight, it } = self.primaries.swap_remove(index);
        self.book.abort(flight, cause);
        self.book.claims[flight].handles -= 1;
        let done = match cause {
            Cause::Cancelled => caught(|| it.abort()),
            Cause::Dropped => caught(|| drop(it)),
            _ => {
                // A wake that panics on top of that ends where it is.
                self.book.parked.provoked();
                dropped_by_a_panic(it);
                Some(())
            }
        };
        self.agree_on_panic(done.is_none());
    }

    fn poll_waiter(&mut self, index: u8, waker: usize) {
        let Some(index) = pick(index, self.waiters.len()) else {
            return;
        };
        let Seated { flight, who, it } = &mut self.waiters[index];
        let outcome = self.book.claims[*flight].outcome;
        if outcome.is_none() {
            self.book.parked.park(Room::Flight(*flight), *who, waker);
        }
        match self.wakers.poll(waker, |cx| Pin::new(it).poll(cx)) {
            Poll::Pending => assert_eq!(outcome, None, "pending after the end"),
            Poll::Ready(real) => assert_eq!(Some(numbers(&real)), outcome),
        }
    }

    fn drop_waiter(&mut self, index: u8) {
        let Some(index) = pick(index, self.waiters.len()) else {
            return;
        };
        let Seated { flight, who, it } = self.waiters.swap_remove(index);
        self.book.parked.leave(Room::Flight(flight), who);
        self.book.leave(flight);
        self.book.claims[flight].handles -= 1;
        drop(it);
    }

    fn drop_outcome(&mut self, index: u8) {
        let Some(index) = pick(index, self.outcomes.len()) else {
            return;
        };
        self.book.claims[self.outcomes.swap_remove(index).flight].handles -= 1;
    }
}

/// One in five comes without a token.
fn name(token: u8) -> Option<u8> {
    Some(token % (TOKENS + 1)).filter(|name| *name < TOKENS)
}

fn numbers(outcome: &Result<Settled<Token, Value>, Error>) -> Outcome {
    match outcome {
        Ok(settled) => Outcome::Settled(settled.life.serial),
        Err(Error::Aborted(aborted)) => Outcome::Aborted(aborted.cause()),
        Err(other) => panic!("an error that nobody promised: {other}"),
    }
}
