//! What a poll of a caller comes to: who drives, and what of its operation comes out.

use std::task::Poll;

use oneflight_core::Error;
use oneflight_core::error::Cause;

use super::Office;
use crate::book::Answer;
use crate::calls::numbers;
use crate::inside::{begin_own, inside};
use crate::ledger::Wish;
use crate::operation::{Act, Making, Mine};
use crate::panics::caught;
use crate::wakers::Room;
use crate::world::pick;

/// What of an operation's own comes out of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Nothing,
    Panic,
    Failure,
}

impl Office {
    pub(super) fn poll(&mut self, index: u8, waker: usize, act: Act, fails: bool) {
        if let Some(index) = pick(index, self.calls.len()) {
            self.poll_at(index, waker, act, fails);
        }
    }

    pub(super) fn poll_last(&mut self, waker: usize) {
        if let Some(last) = self.calls.len().checked_sub(1) {
            self.poll_at(last, waker, Act::Pending, false);
        }
    }

    fn poll_at(&mut self, index: usize, waker: usize, act: Act, fails: bool) {
        let call = &mut self.calls[index];
        if call.done {
            return;
        }
        // The waker of one's own operation is the task's: to wake itself is the task's matter.
        let own = call.task.has_own();
        let act = if own && act == Act::Wake {
            Act::Pending
        } else {
            act
        };
        self.hand.cue_end(act, fails && own);
        let world = &mut self.world;
        let (task, wakers) = (&mut call.task, &world.wakers);
        let real = caught(|| wakers.poll(waker, |cx| task.poll(cx)));
        call.done = own && matches!(real, Some(Poll::Ready(_)));
        let polled = self.hand.cues().polled;
        let Some(flight) = call.flight() else {
            let rejected = matches!(real, Some(Poll::Ready(Err(Mine::OfFlight(Error::Rejected(why))))) if call.answer == Answer::Rejected(why));
            assert!(rejected && !polled, "{:?} expected", call.answer);
            return;
        };
        if call.lost && world.book.flights[flight].outcome.is_none() {
            let told = matches!(&real, Some(Poll::Ready(Err(Mine::OfFlight(Error::Aborted(aborted))))) if aborted.cause() == Cause::Panicked);
            assert!(told && !polled, "polled on after its panic");
            return;
        }
        let came = self.polled(index, flight, waker, act);
        let call = &mut self.calls[index];
        let expected = self.world.book.flights[flight].outcome;
        match real {
            None => assert_eq!(came, Came::Panic, "an unplanned panic of the operation"),
            Some(Poll::Pending) => {
                assert_eq!(
                    (came, expected),
                    (Came::Nothing, None),
                    "pending after the end"
                );
            }
            Some(Poll::Ready(Err(Mine::Own(error)))) => {
                assert_eq!(came, Came::Failure, "an error that nobody made");
                assert_eq!(error.life.serial, self.hand.cues().made);
            }
            Some(Poll::Ready(Err(Mine::OfFlight(why)))) => {
                assert_eq!(came, Came::Nothing, "a panic or an error was swallowed");
                call.runs = false;
                assert_eq!(Some(numbers(&Err(why))), expected);
            }
            Some(Poll::Ready(Ok(settled))) => {
                assert_eq!(came, Came::Nothing, "a panic or an error was swallowed");
                call.runs = false;
                assert_eq!(Some(numbers(&Ok(settled))), expected);
            }
        }
    }

    /// What a poll must have done, and what of the operation's own came out of it.
    fn polled(&mut self, index: usize, flight: usize, waker: usize, act: Act) -> Came {
        let polled = self.hand.cues().polled;
        let world = &mut self.world;
        let call = &mut self.calls[index];
        if world.book.flights[flight].outcome.is_some() {
            assert!(!polled, "an operation was polled after the end");
            if call.runs {
                world.book.let_go(flight);
            }
            return Came::Nothing;
        }
        let room = if call.participates {
            Room::Desk(flight)
        } else {
            Room::Flight(flight)
        };
        world.book.parked.park(room, call.who, waker);
        let is_first = call.participates
            && !call.runs
            && matches!(call.answer, Answer::Primary(_))
            && !self.desks.at(flight).is_open;
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
            return Came::Nothing;
        }
        let (who, own) = (call.who, call.task.has_own());
        let in_hand = !own || is_first;
        if in_hand {
            // While it polls what is shared, or what nobody else has come for, its waker is in its own hands.
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
            return Came::Panic;
        }
        inside(world, &self.hand, flight, act);
        if act == Act::Panic {
            return Came::Panic;
        }
        if self.hand.cues().fails {
            // Its operation is gone, and it leaves. Also if the flight has ended meanwhile.
            call.runs = false;
            call.lost = true;
            let duplicate = call.is_duplicate();
            let ended = world.book.flights[flight].outcome.is_some();
            self.desks
                .leave(&mut world.book, flight, who, duplicate, Cause::Failed);
            if ended {
                world.book.let_go(flight);
            }
            return Came::Failure;
        }
        if !own || world.book.flights[flight].outcome.is_some() {
            // Put down, or dropped after the end.
            world.book.let_go(flight);
        }
        if world.book.flights[flight].outcome.is_some() {
            return Came::Nothing;
        }
        if in_hand && act != Act::Finish {
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
        Came::Nothing
    }
}
