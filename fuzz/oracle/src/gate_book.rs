//! The specification of a gate, as a book: who holds it, who waits for a turn, who replaces whom, who shares whose
//! invocation.

use std::collections::{BTreeSet, VecDeque};

use oneflight_core::error::{Cause, Rejected};
use oneflight_core::gate::Mode;

use crate::book::{Answer, Outcome};
use crate::tally::Tally;
use crate::wakers::{Parked, Room};

/// What the gate is built with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) mode: Mode,
    pub(crate) max_queue: usize,
    pub(crate) max_waiters: usize,
    pub(crate) supersede_after: Option<u64>,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) token: Option<u8>,
    pub(crate) print: Option<u8>,
    pub(crate) mode: Mode,
    /// Whether it waits for a turn, as `turn` does and `begin` does not.
    pub(crate) waits: bool,
}

/// One invocation, from its claim of the token to its end.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) token: Option<u8>,
    print: Option<u8>,
    /// When it got the gate.
    born: Option<u64>,
    /// A later call with its token finds it.
    registered: bool,
    /// Its caller has the guard. A turn has none until it is polled.
    pub(crate) begun: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) waiting: usize,
    /// How many handles of callers refer to it.
    pub(crate) handles: usize,
}

pub(crate) struct GateBook {
    rules: Rules,
    pub(crate) now: u64,
    pub(crate) closed: bool,
    pub(crate) claims: Vec<Claim>,
    pub(crate) open: BTreeSet<usize>,
    /// Ended by another caller while its guard is here.
    pub(crate) ending: BTreeSet<usize>,
    holder: Option<usize>,
    /// It waits to replace the holder.
    first: Option<usize>,
    queue: VecDeque<usize>,
    pub(crate) parked: Parked,
    pub(crate) tally: Tally,
}

impl GateBook {
    pub(crate) fn new(rules: Rules, hostile: bool) -> Self {
        Self {
            rules,
            now: 0,
            closed: false,
            claims: Vec::new(),
            open: BTreeSet::new(),
            ending: BTreeSet::new(),
            holder: None,
            first: None,
            queue: VecDeque::new(),
            parked: Parked::new(hostile),
            tally: Tally::default(),
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.holder.is_some()
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len() + usize::from(self.first.is_some())
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.closed && self.open.is_empty() && self.ending.is_empty()
    }

    /// The invocation in progress, or in the queue, that this token may share.
    pub(crate) fn find(&self, token: u8) -> Option<usize> {
        let same = |claim: &&usize| {
            let claim = &self.claims[**claim];
            claim.registered && claim.token == Some(token)
        };
        self.open.iter().find(same).copied()
    }

    fn is_too_old(&self, number: usize) -> bool {
        let born = self.claims[number]
            .born
            .filter(|_| self.open.contains(&number));
        let age = born.map(|born| self.now - born);
        age.zip(self.rules.supersede_after)
            .is_some_and(|(age, most)| age > most)
    }

    /// What a call comes to: it takes the gate, shares an invocation, takes a place in the line, or is turned away.
    /// `None`: a waker that it wakes panics, and so does the call.
    pub(crate) fn call(&mut self, wanted: Wanted) -> Option<Answer> {
        let answer = self.answer(wanted)?;
        if let Answer::Rejected(why) = answer {
            self.tally.rejected.push(why);
        }
        Some(answer)
    }

    fn answer(&mut self, wanted: Wanted) -> Option<Answer> {
        let through = wanted.mode != Mode::Open;
        let token = wanted.token.filter(|_| through);
        if let Some(number) = token.and_then(|token| self.find(token)) {
            let its = self.claims[number].print;
            if matches!((wanted.print, its), (Some(mine), Some(its)) if mine != its) {
                return Some(Answer::Rejected(Rejected::Mismatch));
            }
            self.supersede_holder()?;
            if self.open.contains(&number) {
                return Some(self.share(number, wanted.print));
            }
        }
        if self.closed {
            return Some(Answer::Rejected(Rejected::Closed));
        }
        if !through {
            return Some(Answer::Primary(self.claim(wanted)));
        }
        self.supersede_holder()?;
        let Some(holder) = self.holder else {
            let number = self.claim(wanted);
            self.holder = Some(number);
            self.claims[number].born = Some(self.now);
            return Some(Answer::Primary(number));
        };
        let waits = match wanted.mode {
            Mode::Queue => wanted.waits && self.queue.len() < self.rules.max_queue,
            Mode::Replace => wanted.waits,
            _ => false,
        };
        if !waits {
            return Some(Answer::Rejected(Rejected::Busy));
        }
        let number = self.claim(wanted);
        self.claims[number].begun = false;
        if wanted.mode == Mode::Queue {
            self.queue.push_back(number);
            return Some(Answer::Primary(number));
        }
        if let Some(older) = self.first {
            self.end_from_outside(older, Cause::Superseded);
        }
        self.first = Some(number);
        if self.open.contains(&holder) {
            self.end_from_outside(holder, Cause::Superseded);
        }
        if self.parked.provoked() {
            // The call unwinds with what it has begun.
            self.claims[number].begun = true;
            self.end(number, Outcome::Aborted(Cause::Panicked));
            return None;
        }
        Some(Answer::Primary(number))
    }

    /// Ends the holder if it is too old, unless the gate is closed. `None` if that panics.
    fn supersede_holder(&mut self) -> Option<()> {
        let old = |holder: &usize| !self.closed && self.is_too_old(*holder);
        let Some(holder) = self.holder.filter(old) else {
            return Some(());
        };
        self.end_from_outside(holder, Cause::Superseded);
        (!self.parked.provoked()).then_some(())
    }

    fn share(&mut self, number: usize, print: Option<u8>) -> Answer {
        let claim = &mut self.claims[number];
        if claim.waiting >= self.rules.max_waiters {
            return Answer::Rejected(Rejected::TooManyWaiters);
        }
        // The first one that it sees.
        claim.print = claim.print.or(print);
        claim.waiting += 1;
        self.tally.joined += 1;
        self.tally.largest = self.tally.largest.max(claim.waiting);
        Answer::Waiter(number)
    }

    fn claim(&mut self, wanted: Wanted) -> usize {
        let number = self.claims.len();
        self.claims.push(Claim {
            token: wanted.token,
            print: wanted.print,
            born: None,
            registered: wanted.mode != Mode::Open,
            begun: !wanted.waits,
            outcome: None,
            waiting: 0,
            handles: 0,
        });
        self.open.insert(number);
        self.tally.begun += 1;
        number
    }

    fn record(&mut self, number: usize, outcome: Outcome) {
        let claim = &mut self.claims[number];
        assert!(
            claim.outcome.is_none(),
            "the oracle ends an invocation twice"
        );
        claim.outcome = Some(outcome);
        self.tally.waited += claim.waiting as u64;
        claim.waiting = 0;
        match outcome {
            Outcome::Settled(_) => self.tally.settled += 1,
            Outcome::Aborted(cause) => self.tally.aborted.push(cause),
        }
        self.open.remove(&number);
        self.parked.fire(Room::Flight(number));
    }

    /// Its caller ends it, or is gone after another one has.
    pub(crate) fn end(&mut self, number: usize, outcome: Outcome) {
        if self.claims[number].outcome.is_none() {
            self.record(number, outcome);
            self.over(number);
        } else if self.ending.remove(&number) {
            self.over(number);
        }
    }

    pub(crate) fn abort(&mut self, number: usize, cause: Cause) {
        self.end(number, Outcome::Aborted(cause));
    }

    /// Another caller ends it. It leaves the line, and its turn is woken; if its guard is here, it is not over.
    pub(crate) fn end_from_outside(&mut self, number: usize, cause: Cause) {
        self.record(number, Outcome::Aborted(cause));
        if self.leave_line(number) {
            self.parked.fire(Room::Line(number));
        }
        if self.claims[number].begun {
            self.ending.insert(number);
        } else {
            self.over(number);
        }
    }

    /// Those that wait before the one that holds the gate.
    pub(crate) fn abort_all(&mut self) {
        let (last, first): (Vec<_>, Vec<_>) = self
            .open
            .iter()
            .partition(|number| self.holder == Some(**number));
        for number in first.into_iter().chain(last) {
            self.end_from_outside(number, Cause::AbortedAll);
        }
    }

    fn leave_line(&mut self, number: usize) -> bool {
        let waited = self.is_queued(number);
        self.queue.retain(|other| *other != number);
        self.first = self.first.filter(|first| *first != number);
        waited
    }

    /// Neither it nor its guard is here: the next one is let in, and gets older from now on.
    fn over(&mut self, number: usize) {
        self.leave_line(number);
        if self.holder == Some(number) {
            self.holder = self.first.take().or_else(|| self.queue.pop_front());
            if let Some(next) = self.holder {
                self.claims[next].born = Some(self.now);
                self.parked.fire(Room::Line(next));
            }
        }
        if self.is_drained() {
            self.parked.fire(Room::Drain);
        }
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
        if self.is_drained() {
            self.parked.fire(Room::Drain);
        }
    }

    /// Renews its age, if it has one.
    pub(crate) fn touch(&mut self, number: usize) {
        let claim = &mut self.claims[number];
        claim.born = claim.born.map(|_| self.now);
    }

    pub(crate) fn forget(&mut self, number: usize) {
        self.claims[number].registered = false;
    }

    /// One that shares an invocation leaves; after the end that changes nothing.
    pub(crate) fn leave(&mut self, number: usize) {
        let claim = &mut self.claims[number];
        if claim.outcome.is_none() {
            claim.waiting -= 1;
            self.tally.cancelled += 1;
        }
    }

    pub(crate) fn is_queued(&self, number: usize) -> bool {
        self.first == Some(number) || self.queue.contains(&number)
    }

    /// Invocations of which something is still there.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &Claim> {
        let claims = self.claims.iter().enumerate();
        claims
            .filter(|(number, claim)| claim.handles > 0 || self.open.contains(number))
            .map(|(_, claim)| claim)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.open
            .iter()
            .map(|claim| self.claims[*claim].waiting)
            .sum()
    }
}
