//! The states of a cell, as data: one word.
//!
//! | bits of the word      | meaning                                   | set by                  | left by |
//! |-----------------------|-------------------------------------------|-------------------------|---------|
//! | none of the first three | open: nothing recorded yet              | creation                | claim, abort |
//! | `CLAIMED`             | one settler owns the value slot           | the settler that won    | publish, by the same settler; no one else |
//! | `CLAIMED \| SETTLED`  | the value is in place, for ever           | publish                 | nobody |
//! | `CLAIMED \| ABORTED`  | ended without a value; the cause bits say why | abort, from open only | nobody |
//! | `WAITERS`             | somebody registered to be told            | the first task that parks, each thread that blocks | nobody |
//! | `DRAINED`             | after the end, every waker was taken, participants' too | the one who told them | nobody |
//! | cause (3 bits)        | a [`Cause`], only with `ABORTED`          | abort                   | nobody |
//! | count (all the rest)  | duplicates that joined and have not left  | join, leave             | frozen by the end |
//!
//! # Invariants
//! 1. The first three bits only ever go from open to one of the two ends, through `CLAIMED`.
//! 2. Once ended, the count no longer changes: `join` and `leave` refuse. So whoever ended the word
//!    (its read-modify-write returns the count) knows exactly how many duplicates the end concerns,
//!    and so does whoever asks for figures before the end has been counted.
//! 3. `register` is a read-modify-write, so it is ordered with the end: either the end sees
//!    `WAITERS`, or the registration sees the end. No wake-up falls between the two.
//!
//! # Orderings
//! Every read-modify-write is `AcqRel`, every load `Acquire`. Publishing releases the value;
//! whoever sees `SETTLED` acquires it. Registering releases the lazily made waiting room; whoever
//! ends the word with `WAITERS` set acquires it.

use crate::error::Cause;
use crate::sync::atomic::{AtomicUsize, Ordering};

const CLAIMED: usize = 1 << 0;
const SETTLED: usize = 1 << 1;
const ABORTED: usize = 1 << 2;
const WAITERS: usize = 1 << 3;
const DRAINED: usize = 1 << 4;
const CAUSE_SHIFT: u32 = 5;
const CAUSE_MASK: usize = 0b111;
const COUNT_SHIFT: u32 = 8;
const ONE: usize = 1 << COUNT_SHIFT;

/// The atomic word. Its methods fix the orderings.
pub(crate) struct State(AtomicUsize);

/// The word as it was at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Snapshot(usize);

/// What came of an attempt to join.
pub(crate) enum Join {
    /// Counted as a duplicate of an open flight.
    Open(usize),
    /// Not counted: it ended before.
    Ended(Snapshot),
    /// Not counted: it holds as many as it may, or as this word can count.
    Full,
}

impl State {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::Acquire))
    }

    /// Takes the right to write the value. True for exactly one caller, and for none after an
    /// abort.
    #[inline(always)]
    pub(crate) fn claim(&self) -> bool {
        self.0.fetch_or(CLAIMED, Ordering::AcqRel) & CLAIMED == 0
    }

    /// Publishes the value written under a claim. Returns the word before. The bit is known to be
    /// unset, so it is added: setting it would take a loop, where the word before is wanted.
    #[inline(always)]
    pub(crate) fn publish(&self) -> Snapshot {
        Snapshot(self.0.fetch_add(SETTLED, Ordering::AcqRel))
    }

    /// Ends an open word without a value. Returns the word before, or `None` when another was
    /// first.
    pub(crate) fn abort(&self, cause: Cause) -> Option<Snapshot> {
        let end = CLAIMED | ABORTED | ((cause as usize) << CAUSE_SHIFT);
        self.update(|word| (word & CLAIMED == 0).then_some(word | end))
            .ok()
    }

    /// Announces that somebody is to be told. Returns the word before: when that had ended, nobody will
    /// come and tell (invariant 3).
    pub(crate) fn register(&self) -> Snapshot {
        Snapshot(self.0.fetch_or(WAITERS, Ordering::AcqRel))
    }

    /// After the end: no waker is left behind, so leaving needs no lock.
    pub(crate) fn drained(&self) {
        self.0.fetch_or(DRAINED, Ordering::AcqRel);
    }

    /// Counts a duplicate, as long as the word is not ended and holds fewer than `most`.
    #[inline]
    pub(crate) fn join(&self, most: usize) -> Join {
        let joined = self.update(|word| {
            if word & (SETTLED | ABORTED) != 0 || word >> COUNT_SHIFT >= most {
                None
            } else {
                word.checked_add(ONE)
            }
        });
        match joined {
            Ok(before) => Join::Open(before.waiting() + 1),
            Err(now) if now.ended() => Join::Ended(now),
            Err(_) => Join::Full,
        }
    }

    /// Takes a duplicate's count back, as long as the word is not ended (invariant 2). False: it
    /// was.
    #[inline]
    pub(crate) fn leave(&self) -> bool {
        self.update(|word| (word & (SETTLED | ABORTED) == 0).then(|| word - ONE))
            .is_ok()
    }

    #[inline(always)]
    fn update(&self, f: impl Fn(usize) -> Option<usize>) -> Result<Snapshot, Snapshot> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let Some(next) = f(word) else {
                return Err(Snapshot(word));
            };
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(before) => return Ok(Snapshot(before)),
                Err(now) => word = now,
            }
        }
    }
}

impl Snapshot {
    #[inline(always)]
    pub(crate) fn ended(self) -> bool {
        self.0 & (SETTLED | ABORTED) != 0
    }

    #[inline(always)]
    pub(crate) fn settled(self) -> bool {
        self.0 & SETTLED != 0
    }

    #[inline(always)]
    pub(crate) fn has_waiters(self) -> bool {
        self.0 & WAITERS != 0
    }

    #[inline(always)]
    pub(crate) fn is_drained(self) -> bool {
        self.0 & DRAINED != 0
    }

    /// How many duplicates joined and have not left; frozen once ended.
    #[inline(always)]
    pub(crate) fn waiting(self) -> usize {
        self.0 >> COUNT_SHIFT
    }

    /// Why it was aborted, if it was.
    pub(crate) fn cause(self) -> Option<Cause> {
        (self.0 & ABORTED != 0).then(|| Cause::from_bits((self.0 >> CAUSE_SHIFT) & CAUSE_MASK))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_seen_alone() {
        let seen = |word: Snapshot| [word.has_waiters(), word.is_drained(), word.ended()];
        let state = State::new();
        assert_eq!(seen(state.load()), [false, false, false]);
        assert_eq!(seen(state.register()), [false, false, false]);
        assert_eq!(seen(state.load()), [true, false, false]);
        assert!(state.claim());
        assert_eq!(seen(state.publish()), [true, false, false]);
        assert_eq!(seen(state.load()), [true, false, true]);
        state.drained();
        assert_eq!(seen(state.load()), [true, true, true]);
        assert!(state.load().settled() && state.load().cause().is_none());
        assert_eq!(state.load().waiting(), 0);
    }
}
