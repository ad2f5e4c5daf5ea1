//! The specification of operations that callers share: who drives, and what becomes of a flight whose driver is lost.

use std::collections::BTreeMap;

use oneflight_core::error::Cause;

use crate::book::{Answer, Book};
use crate::operation::Bell;
use crate::wakers::{Room, Who};
use crate::world::pick;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Another caller goes on with the same operation.
    Continue,
    /// Another caller runs its own, also after a failure.
    Rerun,
}

pub(crate) struct Desk {
    pub(crate) policy: Policy,
    pub(crate) participants: Vec<Who>,
    /// The caller that polled the operation last, if it is still there.
    pub(crate) driver: Option<Who>,
    /// The operation wants to be polled, or there is a right to run one.
    pub(crate) ready: bool,
    runs: usize,
    /// Another caller has come. Until then the first one does not park for its first run.
    pub(crate) is_open: bool,
    /// How the last run ended, of those that each caller has for itself.
    last: Option<Cause>,
    /// Where a shared operation leaves its waker.
    pub(crate) bell: Bell,
}

#[derive(Default)]
pub(crate) struct Desks(BTreeMap<usize, Desk>);

impl Desks {
    /// A caller with this policy got this answer. True if it may drive.
    pub(crate) fn admit(
        &mut self,
        book: &mut Book,
        who: Who,
        answer: Answer,
        policy: Policy,
    ) -> bool {
        match answer {
            Answer::Primary(flight) => {
                // Nobody has it while nobody polls it.
                book.let_go(flight);
                let desk = Desk {
                    policy,
                    participants: vec![who],
                    driver: None,
                    ready: policy == Policy::Rerun,
                    runs: 0,
                    is_open: false,
                    last: None,
                    bell: Bell::default(),
                };
                self.0.insert(flight, desk);
                true
            }
            Answer::Waiter(flight) if book.flights[flight].outcome.is_none() => {
                let same = |desk: &&mut Desk| desk.policy == policy;
                match self.0.get_mut(&flight).filter(same) {
                    Some(desk) => {
                        desk.participants.push(who);
                        desk.is_open = true;
                        true
                    }
                    None => false,
                }
            }
            _ => false,
        }
    }

    pub(crate) fn at(&mut self, flight: usize) -> &mut Desk {
        match self.0.get_mut(&flight) {
            Some(desk) => desk,
            None => unreachable!("flight {flight} has no desk"),
        }
    }

    /// Whether this caller, which is polled, polls the operation. If it does, it drives from now on.
    pub(crate) fn takes_it(&mut self, book: &mut Book, flight: usize, who: Who) -> bool {
        let desk = self.at(flight);
        if !std::mem::take(&mut desk.ready) {
            return false;
        }
        desk.driver = Some(who);
        desk.runs += 1;
        book.flights[flight].in_hand = true;
        if desk.policy == Policy::Rerun {
            book.flights[flight].reruns = desk.runs as u64 - 1;
        }
        true
    }

    /// The shared operation was woken: its driver is, or without one everybody.
    pub(crate) fn ring(&mut self, book: &mut Book, flight: usize) {
        let desk = self.at(flight);
        if book.flights[flight].outcome.is_some() || desk.ready {
            return;
        }
        desk.ready = true;
        match desk.driver {
            Some(driver) => book.parked.fire_one(Room::Desk(flight), driver),
            None => book.parked.fire(Room::Desk(flight)),
        }
    }

    /// A participant leaves: it is dropped, or its operation has panicked or failed.
    pub(crate) fn leave(
        &mut self,
        book: &mut Book,
        flight: usize,
        who: Who,
        duplicate: bool,
        cause: Cause,
    ) {
        book.parked.leave(Room::Desk(flight), who);
        if duplicate {
            book.leave(flight);
        }
        let desk = self.at(flight);
        desk.participants.retain(|other| *other != who);
        if book.flights[flight].outcome.is_some() {
            return;
        }
        if desk.policy == Policy::Rerun && desk.driver == Some(who) {
            desk.last = Some(cause);
        }
        if desk.participants.is_empty() {
            // Nobody wants it any more.
            book.abort(flight, desk.last.unwrap_or(cause));
        } else if desk.driver == Some(who) {
            desk.driver = None;
            book.let_go(flight);
            match desk.policy {
                Policy::Rerun if desk.runs > book.rules.max_reruns => {
                    book.abort(flight, Cause::Exhausted);
                    return;
                }
                Policy::Rerun => desk.ready = true,
                Policy::Continue => {}
            }
            if desk.ready {
                book.parked.fire(Room::Desk(flight));
            }
        }
    }

    /// Shared operations that are there: one for each flight in progress.
    pub(crate) fn operations(&self, book: &Book) -> usize {
        let shared = |flight: &&usize| {
            self.0
                .get(flight)
                .is_some_and(|desk| desk.policy == Policy::Continue)
        };
        book.open().iter().filter(shared).count()
    }

    /// The flight in progress that a byte of the schedule means.
    pub(crate) fn pick(&self, book: &Book, index: u8) -> Option<usize> {
        let in_progress = book
            .open()
            .iter()
            .filter(|flight| self.0.contains_key(flight));
        let flights: Vec<usize> = in_progress.copied().collect();
        Some(flights[pick(index, flights.len())?])
    }
}
