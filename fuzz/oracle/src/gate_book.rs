//! The specification of a gate, as a book: who holds it, who waits for a turn, who shares whose invocation.

use std::collections::{BTreeSet, VecDeque};

use oneflight_core::error::{Cause, Rejected};
use oneflight_core::gate::Mode;

use crate::book::{Answer, Outcome};
use crate::tally::Tally;
use crate::wakers::{Parked, Room};

/// One invocation, from its claim of the token to its end.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) token: Option<u8>,
    print: Option<u8>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) waiting: usize,
    /// How many handles of callers refer to it.
    pub(crate) handles: usize,
}

pub(crate) struct GateBook {
    mode: Mode,
    pub(crate) claims: Vec<Claim>,
    pub(crate) open: BTreeSet<usize>,
    holder: Option<usize>,
    pub(crate) queue: VecDeque<usize>,
    pub(crate) parked: Parked,
    pub(crate) tally: Tally,
}

impl GateBook {
    pub(crate) fn new(mode: Mode, hostile: bool) -> Self {
        Self {
            mode,
            claims: Vec::new(),
            open: BTreeSet::new(),
            holder: None,
            queue: VecDeque::new(),
            parked: Parked::new(hostile),
            tally: Tally::default(),
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.holder.is_some()
    }

    /// The invocation in progress, or in the queue, that this token may share.
    pub(crate) fn find(&self, token: u8) -> Option<usize> {
        if self.mode == Mode::Open {
            return None;
        }
        let same = |claim: &&usize| self.claims[**claim].token == Some(token);
        self.open.iter().find(same).copied()
    }

    /// Takes the gate, shares an invocation, takes a place in the queue (with `turn`), or is turned away.
    pub(crate) fn begin(&mut self, token: Option<u8>, print: Option<u8>, turn: bool) -> Answer {
        let answer = match token.and_then(|token| self.find(token)) {
            Some(number) => self.share(number, print),
            None if self.is_busy() && !(turn && self.mode == Mode::Queue) => {
                Answer::Rejected(Rejected::Busy)
            }
            None => self.claim(token, print),
        };
        if let Answer::Rejected(why) = answer {
            self.tally.rejected.push(why);
        }
        answer
    }

    fn share(&mut self, number: usize, print: Option<u8>) -> Answer {
        let claim = &mut self.claims[number];
        if matches!((print, claim.print), (Some(mine), Some(its)) if mine != its) {
            return Answer::Rejected(Rejected::Mismatch);
        }
        // The first one that it sees.
        claim.print = claim.print.or(print);
        claim.waiting += 1;
        self.tally.joined += 1;
        self.tally.largest = self.tally.largest.max(claim.waiting);
        Answer::Waiter(number)
    }

    fn claim(&mut self, token: Option<u8>, print: Option<u8>) -> Answer {
        let number = self.claims.len();
        self.claims.push(Claim {
            token,
            print,
            outcome: None,
            waiting: 0,
            handles: 0,
        });
        self.open.insert(number);
        self.tally.begun += 1;
        if self.is_busy() {
            self.queue.push_back(number);
        } else if self.mode != Mode::Open {
            self.holder = Some(number);
        }
        Answer::Primary(number)
    }

    /// The end of an invocation: told to everyone who shares it, and the next in the queue is let in.
    pub(crate) fn end(&mut self, number: usize, outcome: Outcome) {
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
        self.queue.retain(|other| *other != number);
        self.parked.fire(Room::Flight(number));
        if self.holder == Some(number) {
            self.holder = self.queue.pop_front();
            if let Some(next) = self.holder {
                self.parked.fire(Room::Line(next));
            }
        }
    }

    pub(crate) fn abort(&mut self, number: usize, cause: Cause) {
        self.end(number, Outcome::Aborted(cause));
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
        self.queue.contains(&number)
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
