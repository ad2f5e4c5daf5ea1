//! What is compared after each step, and that nothing is left at the end.

use super::{Awaited, Door, TOKENS, numbers};
use crate::book::{Answer, Outcome};
use crate::ledger::Key;
use crate::wakers::Room;
use crate::world::{Held, Seated};

impl Door {
    /// Everything that can be seen from outside is as the book has it.
    pub(super) fn check(&mut self) {
        self.wakers.check(&mut self.book.parked);
        let stats = self.gate.stats();
        let open = self.book.open.len();
        self.book
            .tally
            .check(&stats, open, self.book.waiting(), false);
        assert_eq!(stats.ending, self.book.ending.len(), "ending");
        assert_eq!(self.gate.is_busy(), self.book.is_busy(), "busy");
        assert_eq!(self.gate.queued(), self.book.queued(), "queued");
        for name in 0..TOKENS {
            let waiting = self
                .book
                .find(name)
                .map_or(0, |claim| self.book.claims[claim].waiting);
            assert_eq!(
                self.gate.waiters(&Key::new(name, &self.keys)),
                waiting,
                "waiters of {name}"
            );
        }
        let (mut keys, mut values) = (0, 0);
        for claim in self.book.alive() {
            keys += usize::from(claim.token.is_some());
            values += usize::from(matches!(claim.outcome, Some(Outcome::Settled(_))));
        }
        assert_eq!(self.keys.count(), keys, "tokens alive");
        assert_eq!(self.values.count(), values, "values alive");
        for Awaited { answer, it, .. } in &self.turns {
            let queued = matches!(answer, Answer::Primary(flight) if self.book.is_queued(*flight));
            assert_eq!(it.is_queued(), queued, "whether a turn is queued");
        }
        for Held { flight, it } in &self.primaries {
            let claim = &self.book.claims[*flight];
            assert_eq!(it.key().as_ref().map(|key| key.name), claim.token);
            assert_eq!(it.waiters(), claim.waiting);
        }
        for Seated { flight, it, .. } in &self.waiters {
            let real = it.get().map(|outcome| numbers(&outcome));
            assert_eq!(
                real, self.book.claims[*flight].outcome,
                "outcome of flight {flight}"
            );
        }
    }

    /// Ends what is left, the longest waiting last, and checks that nothing stays behind.
    pub(super) fn finish(&mut self) {
        while !self.primaries.is_empty() {
            self.settle(0);
            self.check();
        }
        while !self.turns.is_empty() {
            self.drop_turn(0);
            self.check();
        }
        while !self.waiters.is_empty() {
            self.drop_waiter(0);
        }
        while !self.outcomes.is_empty() {
            self.drop_outcome(0);
        }
        while let Some((who, _)) = self.drains.pop() {
            self.book.parked.leave(Room::Drain, who);
        }
        self.check();
        assert!(!self.gate.is_busy());
        assert_eq!(
            (self.keys.count(), self.values.count()),
            (0, 0),
            "left behind"
        );
    }
}
