//! What is compared after each step, and at the end: nothing may stay behind.

use oneflight_core::error::Cause;

use crate::book::Outcome;
use crate::world::{Held, KEYS, Seated, World, outcome_of};

impl World {
    /// Everything that can be seen from outside is as the book says.
    pub(crate) fn check(&mut self) {
        self.wakers.check(&mut self.book.parked);
        self.checks += 1;
        let mut lingering = 0;
        if let Some(group) = &self.group {
            // What has expired may be there for a while, within the bound. The figures clear it away, so they are not looked
            // at each time.
            let capacity = self.book.rules.retain.map_or(0, |(_, capacity)| capacity);
            if capacity == 0 || self.checks % 4 == 0 {
                let stats = group.stats();
                let open = self.book.open().len();
                let strangers = self.setup.classes <= KEYS;
                self.book
                    .tally
                    .check(&stats, open, self.book.waiting(), strangers);
                assert_eq!(stats.retained, self.book.retained(), "retained");
                assert_eq!(stats.ending, self.book.ending(), "ending");
            } else {
                lingering = capacity - self.book.retained();
            }
            let mut len = 0;
            for name in 0..=KEYS {
                let flight = self.book.in_flight(name);
                len += usize::from(flight.is_some());
                assert_eq!(group.contains(&name), flight.is_some(), "contains {name}");
                let waiting = flight.map_or(0, |flight| flight.waiting);
                assert_eq!(group.waiters(&name), waiting, "waiters of {name}");
                let peeked = group.peek(&name).map(|settled| settled.life.serial);
                assert_eq!(peeked, self.book.peek(name), "peek {name}");
            }
            assert_eq!((group.len(), group.is_empty()), (len, len == 0));
            let mut keys: Vec<u8> = group.keys().iter().map(|key| key.name).collect();
            keys.sort_unstable();
            let in_flight = |name: &u8| self.book.in_flight(*name).is_some();
            assert!(keys.into_iter().eq((0..=KEYS).filter(in_flight)), "keys");
        }
        let alive = self.book.alive().count();
        // What lingers may be held by a caller, too.
        let exactly = |real: usize, expected: usize, what: &str| {
            assert!(
                (expected..=expected + lingering).contains(&real),
                "{real} {what} alive, not {expected} (+ {lingering})"
            );
        };
        exactly(self.keys.count(), alive, "keys");
        let mut values = 0;
        for flight in self.book.alive() {
            if let Some(Outcome::Settled(serial)) = flight.outcome {
                assert!(
                    self.values.lives_on(serial),
                    "value {serial} of a flight that is held"
                );
                values += 1;
            }
        }
        exactly(self.values.count(), values, "values");
        for Held { flight, it } in &self.primaries {
            assert_eq!(it.waiters(), self.book.flights[*flight].waiting);
        }
        for Seated { flight, it, .. } in &self.waiters {
            let real = it.get().map(|outcome| outcome_of(&outcome));
            assert_eq!(
                real, self.book.flights[*flight].outcome,
                "outcome of flight {flight}"
            );
        }
        for Held { flight, it } in &self.outcomes {
            let serial = it.life.serial;
            assert_eq!(
                Some(Outcome::Settled(serial)),
                self.book.flights[*flight].outcome
            );
        }
    }

    /// Ends what is left, one after the other, and checks that nothing stays behind.
    pub(crate) fn finish(&mut self) {
        if self.setup.rules.retain.is_some() {
            self.expire_all();
        }
        self.close();
        while !self.primaries.is_empty() {
            self.abort(0, Cause::Dropped);
            self.check();
        }
        while !self.waiters.is_empty() {
            self.drop_waiter(0);
        }
        self.check();
        while !self.drains.is_empty() {
            assert!(self.group.is_none() || self.book.is_drained());
            self.poll_drain(0, 0);
            self.drop_drain(0);
        }
        self.orphan();
        while !self.outcomes.is_empty() {
            self.drop_outcome(0);
        }
        self.check();
        assert_eq!(
            (self.keys.count(), self.values.count()),
            (0, 0),
            "left behind"
        );
    }

    /// What has expired is freed by whoever asks for that.
    fn expire_all(&mut self) {
        for _ in 0..2 {
            self.tick(u8::MAX);
        }
        self.purge();
        self.check();
    }
}
