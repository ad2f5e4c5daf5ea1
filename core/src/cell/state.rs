//! The states of a cell: one atomic word.
//!
//! | bits                 | meaning                               | set by         | left by |
//! |----------------------|---------------------------------------|----------------|---------|
//! | none of the first three | open: nothing recorded yet         | creation       | claim, abort |
//! | `CLAIMED`            | one settler owns the value slot       | claim          | its publish |
//! | `CLAIMED \| SETTLED` | the value is in place, forever        | publish        | nobody |
//! | `CLAIMED \| ABORTED` | ended without a value                 | abort, if open | nobody |
//! | `REGISTERED`         | a task or a thread has registered     | register       | nobody |
//! | `TOLD`               | every waker is out, participants' too | the ender      | nobody |
//! | `UNBEGUN`            | none of the caller's code has run     | a spawn        | begin |
//! | `GONE`               | its operation or guard is gone        | who had it     | nobody |
//! | cause (3 bits)       | a [`Cause`], only with `ABORTED`      | abort          | nobody |
//! | count (the rest)     | duplicates that joined and are here   | join, leave    | (frozen) |
//!
//! # Invariants
//! 1. The first three bits go from open to one of the two ends and never back: a settle goes
//!    through `CLAIMED`, an abort ends an open cell at once.
//! 2. Once the state is ended, the count no longer changes: `join` and `leave` refuse. So the ender
//!    (its read-modify-write returns the count) knows exactly how many duplicates the end concerns,
//!    and so does `stats`, which can read the state before the end has been counted.
//! 3. `register` is a read-modify-write, so it is ordered with the end: either the end sees
//!    `REGISTERED`, or the registration sees the end. No wake-up is lost between the two.
//! 4. The end freezes `UNBEGUN`, as it does the count: `begin` refuses. So an operation that is
//!    said to have never begun never begins.
//! 5. `GONE` is for a flight that another caller has ended than the one that had its operation or
//!    guard (`group/shard/end`). It is set and read under the shard's lock.
//!
//! # Orderings
//! Every read-modify-write is `AcqRel`, every load `Acquire`. A publication releases the value, and
//! a reader that sees `SETTLED` acquires it. A registration releases the waiting room, which is
//! made lazily, and an ender that sees `REGISTERED` acquires it.

use crate::error::{Aborted, Cause};
use crate::sync::atomic::{AtomicUsize, Ordering};

const CLAIMED: usize = 1 << 0;
const SETTLED: usize = 1 << 1;
const ABORTED: usize = 1 << 2;
const REGISTERED: usize = 1 << 3;
const TOLD: usize = 1 << 4;
const UNBEGUN: usize = 1 << 5;
const GONE: usize = 1 << 6;
const CAUSE_SHIFT: u32 = 7;
const CAUSE_MASK: usize = 0b111;
const COUNT_SHIFT: u32 = 10;
const ONE: usize = 1 << COUNT_SHIFT;

/// The atomic word. Its methods fix the orderings.
pub(super) struct State(AtomicUsize);

/// The state as it was at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Snapshot(usize);

/// What came of an attempt to join.
pub(crate) enum Join {
    /// Counted as a duplicate of an open flight.
    Open(usize),
    /// Not counted: it ended before.
    Ended(Snapshot),
    /// Not counted: it has as many duplicates as are allowed, or as this word can count.
    Full,
}

impl State {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    #[inline(always)]
    pub(super) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::Acquire))
    }

    /// Takes the right to write the value. Returns true for exactly one caller, and for none after
    /// an abort.
    pub(super) fn claim(&self) -> bool {
        self.0.fetch_or(CLAIMED, Ordering::AcqRel) & CLAIMED == 0
    }

    /// Publishes the value written under a claim. Returns the state before. The bit is known to be
    /// unset, so it is added: setting it would take a loop, as the state before is wanted.
    pub(super) fn publish(&self) -> Snapshot {
        Snapshot(self.0.fetch_add(SETTLED, Ordering::AcqRel))
    }

    /// Ends an open cell without a value. Returns the state before, or `None` if another end was
    /// first.
    pub(super) fn abort(&self, cause: Cause) -> Option<Snapshot> {
        let end = CLAIMED | ABORTED | ((cause as usize) << CAUSE_SHIFT);
        self.update(|word| (word & CLAIMED == 0).then_some(word | end))
            .ok()
    }

    /// Registers that somebody is to be told. Returns the state before: if that had ended, the
    /// ender will not come and tell (invariant 3).
    pub(super) fn register(&self) -> Snapshot {
        Snapshot(self.0.fetch_or(REGISTERED, Ordering::AcqRel))
    }

    /// After the end: every waker has been taken out, so that leaving needs no lock.
    pub(super) fn set_told(&self) {
        self.0.fetch_or(TOLD, Ordering::AcqRel);
    }

    /// Marks that none of the caller's code has run yet. Without this mark it counts as begun.
    pub(super) fn set_unbegun(&self) {
        let _ = self.update(|word| (word & CLAIMED == 0).then_some(word | UNBEGUN));
    }

    /// The operation begins, unless the cell has ended: then it returns false, and the operation
    /// must not begin (invariant 4).
    pub(super) fn begin(&self) -> bool {
        self.update(|word| (word & CLAIMED == 0).then_some(word & !UNBEGUN))
            .is_ok()
    }

    pub(super) fn set_gone(&self) {
        self.0.fetch_or(GONE, Ordering::AcqRel);
    }

    /// Counts a duplicate, unless the state is ended or has counted `most` already.
    #[inline]
    pub(super) fn join(&self, most: usize) -> Join {
        let joined = self.update(|word| {
            if word & (SETTLED | ABORTED) != 0 || word >> COUNT_SHIFT >= most {
                None
            } else {
                word.checked_add(ONE)
            }
        });
        match joined {
            Ok(before) => Join::Open(before.duplicates() + 1),
            Err(now) if now.ended() => Join::Ended(now),
            Err(_) => Join::Full,
        }
    }

    /// Takes a duplicate's count back, unless the state is ended (invariant 2): then it returns
    /// false.
    #[inline]
    pub(super) fn leave(&self) -> bool {
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
    pub(crate) fn ended(self) -> bool {
        self.0 & (SETTLED | ABORTED) != 0
    }

    pub(crate) fn settled(self) -> bool {
        self.0 & SETTLED != 0
    }

    pub(crate) fn has_registered(self) -> bool {
        self.0 & REGISTERED != 0
    }

    pub(crate) fn is_told(self) -> bool {
        self.0 & TOLD != 0
    }

    /// Whether any of the caller's code can have run; frozen by the end.
    pub(crate) fn has_begun(self) -> bool {
        self.0 & UNBEGUN == 0
    }

    pub(crate) fn is_gone(self) -> bool {
        self.0 & GONE != 0
    }

    /// How many duplicates have joined and not left; frozen by the end.
    pub(crate) fn duplicates(self) -> usize {
        self.0 >> COUNT_SHIFT
    }

    /// Why it was aborted, if it was.
    pub(crate) fn cause(self) -> Option<Cause> {
        (self.0 & ABORTED != 0).then(|| Cause::from_bits((self.0 >> CAUSE_SHIFT) & CAUSE_MASK))
    }

    /// The error that everybody gets, if it was aborted.
    pub(crate) fn aborted(self) -> Option<Aborted> {
        let cause = self.cause()?;
        Some(if self.has_begun() {
            Aborted::new(cause)
        } else {
            Aborted::never_begun(cause)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_is_read_by_itself() {
        let seen = |word: Snapshot| [word.has_registered(), word.is_told(), word.ended()];
        let state = State::new();
        assert_eq!(seen(state.load()), [false, false, false]);
        assert_eq!(seen(state.register()), [false, false, false]);
        assert_eq!(seen(state.load()), [true, false, false]);
        assert!(state.claim());
        assert_eq!(seen(state.publish()), [true, false, false]);
        assert_eq!(seen(state.load()), [true, false, true]);
        state.set_told();
        assert_eq!(seen(state.load()), [true, true, true]);
        assert!(state.load().settled() && state.load().cause().is_none());
        assert_eq!(state.load().duplicates(), 0);
    }

    #[test]
    fn a_mark_after_the_end_leaves_its_cause_and_count() {
        let state = State::new();
        assert!(matches!(state.join(9), Join::Open(1)));
        state.set_unbegun();
        assert!(state.abort(Cause::Exhausted).is_some());
        assert!(!state.begin(), "begun after the end");
        assert!(!state.load().is_gone());
        state.set_gone();
        let end = state.load();
        assert!(end.is_gone() && !end.has_begun() && !end.is_told());
        assert_eq!((end.cause(), end.duplicates()), (Some(Cause::Exhausted), 1));
    }

    #[test]
    fn what_has_begun_stays_begun() {
        let state = State::new();
        assert!(state.load().has_begun());
        state.set_unbegun();
        assert!(!state.load().has_begun());
        assert!(state.begin());
        assert!(state.abort(Cause::Cancelled).is_some());
        state.set_unbegun();
        assert!(state.load().has_begun());
    }
}
