//! Calls that act by key: join, touch, abort, and forget what was seen. Each is made in both, as in `world`.

use oneflight_core::{Error, Fingerprint};

use crate::book::Answer;
use crate::panics::caught;
use crate::world::{MOST_WAITERS, Seated, World, pick};

/// The byte of a step also says which of its kin it is: from this on it is one of the calls here.
pub(crate) const KIN: u8 = 192;

impl World {
    /// Joins what is there under the key.
    pub(crate) fn join(&mut self, name: u8, print: Option<u8>) {
        let Some(group) = &self.group else { return };
        if self.waiters.len() >= MOST_WAITERS {
            return;
        }
        let answer = self.book.join(name, print);
        let real = match print {
            None => group.join(&name),
            Some(print) => group
                .entry_ref_with(&name, |_| unreachable!("a join makes no key"))
                .fingerprint(Fingerprint::new(print.into()))
                .join(),
        };
        match (answer, real) {
            (None, Ok(None)) => {}
            (Some(Answer::Waiter(flight)), Ok(Some(it))) => {
                assert_eq!((it.key().name, it.id().get()), (name, self.id(flight)));
                self.book.flights[flight].handles += 1;
                let who = self.somebody_new();
                self.waiters.push(Seated { flight, who, it });
            }
            (Some(Answer::Rejected(why)), Err(real)) => assert_eq!(real, Error::Rejected(why)),
            (answer, real) => panic!("join: {answer:?} expected, not {real:?}"),
        }
    }

    pub(crate) fn touch(&mut self, name: u8) {
        let Some(group) = &self.group else { return };
        assert_eq!(group.touch(&name), self.book.touch(name), "touch {name}");
    }

    pub(crate) fn abort_key(&mut self, name: u8) {
        let Some(group) = &self.group else { return };
        let expected = self.book.abort_key(name);
        let real = caught(|| group.abort(&name));
        self.agree_on_panic(real.is_none());
        assert!(real.is_none_or(|real| real == expected), "abort {name}");
    }

    /// Forgets a flight of which somebody holds something, if the key has it.
    pub(crate) fn forget_flight(&mut self, name: u8, index: u8) {
        let Some(group) = &self.group else { return };
        let primaries = self.primaries.iter().map(|it| (it.flight, it.it.id()));
        let waiters = self.waiters.iter().map(|it| (it.flight, it.it.id()));
        let outcomes = self.outcomes.iter();
        let outcomes = outcomes.map(|it| (it.flight, it.it.flight_id()));
        let seen: Vec<_> = primaries.chain(waiters).chain(outcomes).collect();
        let Some(index) = pick(index, seen.len()) else {
            return;
        };
        let (flight, id) = seen[index];
        let expected = self.book.find(name) == Some(flight) && self.book.forget(name);
        let real = group.forget_flight(&name, id);
        assert_eq!(real, expected, "forget flight {flight} of {name}");
    }
}
