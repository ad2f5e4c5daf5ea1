//! The specification of a group, as a book: which flights there are, who waits, what each call must come to.
//!
//! It holds numbers only: flights are numbered as they begin, keys are single bytes, time is a number of milliseconds.
//! Nothing here calls the product, save for the names of its causes and reasons.

mod asked;
mod rules;
mod wanted;

pub(crate) use rules::Rules;

use std::collections::{BTreeMap, BTreeSet};

use oneflight_core::error::{Cause, Rejected};

use crate::tally::Tally;
use crate::wakers::{Parked, Room};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With the value of this serial number.
    Settled(u64),
    Aborted(Cause),
}

/// What a begin must come to; primaries and waiters with their flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Primary(usize),
    Waiter(usize),
    /// A waiter that comes from inside of its flight: it counts for nothing.
    Inside(usize),
    Rejected(Rejected),
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) key: u8,
    print: Option<u8>,
    born: u64,
    pub(crate) outcome: Option<Outcome>,
    /// When its outcome goes, if it is retained.
    deadline: Option<u64>,
    weight: u64,
    /// Its identity, once it was seen. Of outcomes that expire at one time, the order in which they go.
    pub(crate) id: u64,
    /// Duplicates that wait.
    pub(crate) waiting: usize,
    /// A caller has its guard or its operation: if something else ends it, it is over when that caller lets go.
    pub(crate) in_hand: bool,
    /// It was given to a runtime, and nothing of its caller's has run.
    pub(crate) unbegun: bool,
    /// It ends when nobody wants it.
    wanted: bool,
    /// The call that began it wants it.
    owned: bool,
    /// How often its operation was run again.
    pub(crate) reruns: u64,
    /// How many handles of callers refer to it.
    pub(crate) handles: usize,
}

pub(crate) struct Book {
    pub(crate) rules: Rules,
    pub(crate) now: u64,
    pub(crate) flights: Vec<Flight>,
    /// What is found under each key: in flight, or retained.
    registered: BTreeMap<u8, usize>,
    /// Those that have not ended.
    open: BTreeSet<usize>,
    /// Those that count for the limit and keep the group from draining.
    aloft: BTreeSet<usize>,
    /// Retained, and not expired.
    retained: Vec<usize>,
    /// Flights whose operation is being polled or made.
    pub(crate) inside: Vec<usize>,
    pub(crate) closed: bool,
    pub(crate) parked: Parked,
    pub(crate) tally: Tally,
}

impl Book {
    pub(crate) fn new(rules: Rules, hostile: bool) -> Self {
        Self {
            rules,
            now: 0,
            flights: Vec::new(),
            registered: BTreeMap::new(),
            open: BTreeSet::new(),
            aloft: BTreeSet::new(),
            retained: Vec::new(),
            inside: Vec::new(),
            closed: false,
            parked: Parked::new(hostile),
            tally: Tally::default(),
        }
    }

    /// What is there under the key.
    pub(crate) fn find(&self, key: u8) -> Option<usize> {
        let found = self.registered.get(&key).copied();
        found.filter(|flight| !self.is_expired(*flight))
    }

    fn is_expired(&self, flight: usize) -> bool {
        self.flights[flight]
            .deadline
            .is_some_and(|deadline| deadline <= self.now)
    }

    fn may_begin(&self) -> Result<(), Rejected> {
        if self.closed {
            Err(Rejected::Closed)
        } else if self.aloft.len() >= self.rules.max_flights {
            Err(Rejected::TooManyFlights)
        } else {
            Ok(())
        }
    }

    /// One caller of a key becomes its primary; the others join it, or are turned away.
    pub(crate) fn begin(&mut self, key: u8, print: Option<u8>) -> Answer {
        let answer = match self.find(key) {
            Some(flight) => self.duplicate(flight, key, print),
            None => self.first(key, print),
        };
        if let Answer::Rejected(why) = answer {
            self.tally.rejected.push(why);
        }
        answer
    }

    /// A caller that begins nothing joins what is there under the key, however old it is.
    pub(crate) fn join(&mut self, key: u8, print: Option<u8>) -> Option<Answer> {
        let number = self.find(key)?;
        let answer = match self.refusal(number, print) {
            Some(why) => Answer::Rejected(why),
            None => self.seat(number, print),
        };
        if let Answer::Rejected(why) = answer {
            self.tally.rejected.push(why);
        }
        Some(answer)
    }

    /// Why a duplicate can not share this flight.
    fn refusal(&self, number: usize, print: Option<u8>) -> Option<Rejected> {
        let flight = &self.flights[number];
        let mismatch = matches!((print, flight.print), (Some(mine), Some(its)) if mine != its);
        mismatch.then_some(Rejected::Mismatch)
    }

    fn duplicate(&mut self, number: usize, key: u8, print: Option<u8>) -> Answer {
        if let Some(why) = self.refusal(number, print) {
            return Answer::Rejected(why);
        }
        let flight = &self.flights[number];
        let age = self.now - flight.born;
        let outside = flight.outcome.is_none() && !self.inside.contains(&number);
        let makes_room = match self.may_begin() {
            // Its successor takes its place.
            Err(Rejected::TooManyFlights) => !flight.in_hand,
            may => may.is_ok(),
        };
        let too_old = self.rules.supersede_after.is_some_and(|most| age > most);
        if outside && too_old && makes_room {
            self.parked.in_between = true;
            self.end(number, Outcome::Aborted(Cause::Superseded));
            return self.first(key, print);
        }
        self.seat(number, print)
    }

    /// One more waits for this flight, or gets its outcome at once.
    fn seat(&mut self, number: usize, print: Option<u8>) -> Answer {
        let flight = &mut self.flights[number];
        if flight.outcome.is_some() {
            flight.print = flight.print.or(print);
            self.tally.joined += 1;
            self.tally.replayed += 1;
            self.tally.waited += 1;
            return Answer::Waiter(number);
        }
        if self.inside.contains(&number) {
            flight.print = flight.print.or(print);
            return Answer::Inside(number);
        }
        if flight.waiting >= self.rules.max_waiters {
            return Answer::Rejected(Rejected::TooManyWaiters);
        }
        let flight = &mut self.flights[number];
        // The first one that it sees.
        flight.print = flight.print.or(print);
        flight.waiting += 1;
        self.tally.joined += 1;
        self.tally.largest = self.tally.largest.max(flight.waiting);
        Answer::Waiter(number)
    }

    fn first(&mut self, key: u8, print: Option<u8>) -> Answer {
        if let Err(why) = self.may_begin() {
            return Answer::Rejected(why);
        }
        let number = self.flights.len();
        self.flights.push(Flight {
            key,
            print,
            born: self.now,
            outcome: None,
            deadline: None,
            weight: 0,
            id: 0,
            waiting: 0,
            in_hand: true,
            unbegun: false,
            wanted: false,
            owned: false,
            reruns: 0,
            handles: 0,
        });
        self.free_if_expired(key);
        self.registered.insert(key, number);
        self.open.insert(number);
        self.aloft.insert(number);
        self.count_keys();
        self.tally.begun += 1;
        Answer::Primary(number)
    }

    fn free_if_expired(&mut self, key: u8) {
        if let Some(flight) = self
            .registered
            .get(&key)
            .copied()
            .filter(|flight| self.is_expired(*flight))
        {
            self.registered.remove(&key);
            self.retained.retain(|other| *other != flight);
        }
    }

    fn count_keys(&mut self) {
        let in_flight = |flight: &&usize| self.open.contains(flight);
        self.parked.len = self.registered.values().filter(in_flight).count();
    }

    /// The end: told to everyone who waits, counted, and the key is free.
    pub(crate) fn end(&mut self, number: usize, outcome: Outcome) {
        let flight = &mut self.flights[number];
        assert!(flight.outcome.is_none(), "the oracle ends a flight twice");
        flight.outcome = Some(outcome);
        self.tally.waited += flight.waiting as u64;
        self.tally.reruns += flight.reruns;
        flight.waiting = 0;
        match outcome {
            Outcome::Settled(_) => self.tally.settled += 1,
            Outcome::Aborted(cause) => self.tally.aborted.push(cause),
        }
        self.open.remove(&number);
        if self.registered.get(&self.flights[number].key) == Some(&number) {
            self.registered.remove(&self.flights[number].key);
        }
        // The key is free before anybody is woken.
        self.count_keys();
        self.parked.fire(Room::Flight(number));
        self.parked.fire(Room::Desk(number));
        let flight = &self.flights[number];
        if !flight.in_hand || flight.unbegun {
            self.land(number);
        }
    }

    /// Its guard or its operation is gone, or has been put down where the end finds it.
    pub(crate) fn let_go(&mut self, flight: usize) {
        self.flights[flight].in_hand = false;
        if self.flights[flight].outcome.is_some() {
            self.land(flight);
        }
    }

    /// It has ended, and its guard or operation is gone.
    fn land(&mut self, flight: usize) {
        self.aloft.remove(&flight);
        if self.closed && self.aloft.is_empty() {
            self.parked.fire(Room::Drain);
        }
    }

    /// The first settle wins, and says whether its flight had its key still. `None` if this is not the one. `window`: how
    /// long it is to be retained.
    pub(crate) fn settle(
        &mut self,
        number: usize,
        value: u64,
        window: Option<u64>,
    ) -> Option<bool> {
        self.let_go(number);
        if self.flights[number].outcome.is_some() {
            return None;
        }
        let key = self.flights[number].key;
        let has_key = self.registered.get(&key) == Some(&number);
        self.end(number, Outcome::Settled(value));
        if let (Some(window), Some((_, capacity)), true) = (
            window.filter(|window| *window > 0),
            self.rules.retain,
            has_key,
        ) {
            let most = self.rules.max_weight.unwrap_or(u64::MAX);
            let weight = self.rules.max_weight.map_or(0, |_| weight(value));
            if weight > most {
                return Some(has_key);
            }
            while self.retained.len() >= capacity || self.weight() + weight > most {
                self.give_up();
            }
            self.flights[number].deadline = Some(self.now.saturating_add(window));
            self.flights[number].weight = weight;
            self.registered.insert(key, number);
            self.retained.push(number);
        }
        Some(has_key)
    }

    fn weight(&self) -> u64 {
        let retained = self.retained.iter();
        retained.map(|flight| self.flights[*flight].weight).sum()
    }

    /// For want of room: the one that would expire next. None of them has expired.
    fn give_up(&mut self) {
        let next = |flight: &usize| (self.flights[*flight].deadline, self.flights[*flight].id);
        let first = self.retained.iter().copied().min_by_key(next);
        let first = first.expect("a new outcome has room if no other is there");
        self.retained.retain(|other| *other != first);
        self.registered.remove(&self.flights[first].key);
        self.tally.given_up += 1;
    }

    /// Nothing is retained any more. Returns how many there were.
    pub(crate) fn clear(&mut self) -> usize {
        let retained = std::mem::take(&mut self.retained);
        for flight in &retained {
            self.registered.remove(&self.flights[*flight].key);
        }
        retained.len()
    }

    /// Its guard or operation is lost. Ends it without a value, unless it has ended.
    pub(crate) fn abort(&mut self, flight: usize, cause: Cause) {
        self.let_go(flight);
        if self.flights[flight].outcome.is_none() {
            self.end(flight, Outcome::Aborted(cause));
        }
    }

    /// A duplicate leaves; after the end that changes nothing.
    pub(crate) fn leave(&mut self, number: usize) {
        let flight = &mut self.flights[number];
        if flight.outcome.is_none() {
            flight.waiting -= 1;
            self.tally.cancelled += 1;
            self.end_if_unwanted(number);
        }
    }

    /// The key is free; a flight goes on, a retained outcome is gone.
    pub(crate) fn forget(&mut self, key: u8) -> bool {
        let was_there = self.find(key).is_some();
        if let Some(flight) = self.registered.remove(&key) {
            self.retained.retain(|other| *other != flight);
        }
        self.count_keys();
        was_there
    }

    /// The flight in progress is as old as one that begins now.
    pub(crate) fn touch(&mut self, key: u8) -> bool {
        let in_flight = self.in_flight(key).is_some();
        if let (true, Some(flight)) = (in_flight, self.find(key)) {
            self.flights[flight].born = self.now;
        }
        in_flight
    }

    /// Ends the flight in progress. Its primary is not done with it.
    pub(crate) fn abort_key(&mut self, key: u8) -> bool {
        let in_flight = self.in_flight(key).is_some();
        if let (true, Some(flight)) = (in_flight, self.find(key)) {
            self.end(flight, Outcome::Aborted(Cause::Cancelled));
        }
        in_flight
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
        if self.aloft.is_empty() {
            self.parked.fire(Room::Drain);
        }
    }

    pub(crate) fn abort_all(&mut self) {
        self.parked.in_between = true;
        for flight in self.open.clone() {
            self.end(flight, Outcome::Aborted(Cause::AbortedAll));
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.closed && self.aloft.is_empty()
    }

    /// The last handle of the group is gone: nothing is retained any more.
    pub(crate) fn orphan(&mut self) {
        self.clear();
        self.rules.retain = None;
    }

    pub(crate) fn drop_expired(&mut self) {
        let expired: Vec<usize> = self
            .retained
            .iter()
            .copied()
            .filter(|flight| self.is_expired(*flight))
            .collect();
        for flight in expired {
            self.free_if_expired(self.flights[flight].key);
        }
    }
}

/// What a value weighs.
pub(crate) fn weight(serial: u64) -> u64 {
    serial % 4
}
