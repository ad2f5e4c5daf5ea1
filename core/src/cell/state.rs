//! The states of a cell: one atomic word.
//!
//! | bits                 | meaning                               | set by         | left by |
//! |----------------------|---------------------------------------|----------------|---------|
//! | none of the first three | open: nothing recorded yet         | creation       | claim, abort |
//! | `CLAIMED`            | one settler owns the value slot       | claim          | its publish |
//! | `CLAIMED \| SETTLED` | the value is in place, forever        | publish        | nobody |
//! | `CLAIMED \| ABORTED` | ended without a value   | abort, the last who wants it | nobody |
//! | `REGISTERED`         | somebody is to be told: in the room, or elsewhere | register | nobody |
//! | `TOLD`               | every waker is out, participants' too | the ender      | nobody |
//! | `SHEDS`              | gives back what hangs on it once told | creation       | nobody |
//! | `UNBEGUN`            | none of the caller's code has run     | creation       | begin |
//! | `WHILE_WANTED`       | it ends when nobody wants it any more | creation       | keep |
//! | `DRIVEN`             | who drives it is behind its flight    | creation       | nobody |
//! | `OWNED`              | `WHILE_WANTED`, and who began it is here | creation   | disown, keep |
//! | `PARKED`             | the settler's waker is in the value's place | park     | unpark, tell |
//! | `RESERVED`           | that place is the settler's; not with `ABORTED` | creation | abort |
//! | cause (3 bits)       | a [`Cause`], only with `ABORTED`      | as `ABORTED`   | nobody |
//! | inside (2 or 16 bits) | calls that use what hangs on it, only with `SHEDS` | enter | exit |
//! | `OWNER_PLACE`        | its owner has a place, never with `SHEDS` | creation   | nobody |
//! | `OWNER_PARKED`       | the owner's waker is in that place    | park           | unpark, tell |
//! | count (the rest)     | duplicates that joined and are here   | join, leave    | (frozen) |
//!
//! # Invariants
//! 1. The first three bits go from open to one of the two ends and never back: a settle goes
//!    through `CLAIMED`, an abort ends an open cell at once. If the value's place is `RESERVED`,
//!    nobody claims it: the settler writes the value, and one exchange claims and publishes it.
//! 2. Once the state is ended, the count no longer changes: `join` and `leave` refuse. So the ender
//!    (its read-modify-write returns the count) knows exactly how many duplicates the end concerns,
//!    and so does `stats`, which can read the state before the end has been counted.
//! 3. `register` is a read-modify-write, so it is ordered with the end: either the end sees
//!    `REGISTERED`, or the registration sees the end. No wake-up is lost between the two.
//! 4. After `TOLD` no call enters. So of the ender and the calls inside, exactly one takes the step
//!    after which the state is told and nobody is inside. That one sheds.
//! 5. A count of calls inside that has reached its maximum stays there. Such a cell never sheds:
//!    what hangs on it is freed with it.
//! 6. The end freezes `UNBEGUN`, as it does the count: `begin` refuses. So an operation that is
//!    said to have never begun never begins.
//! 7. An open cell that is `WHILE_WANTED` is wanted: it is `OWNED`, or its count is not 0. The
//!    leaving that would break this ends the cell in the same exchange. So a join comes before that
//!    exchange and keeps the cell open, or it finds the end. A caller that is counted can `keep`
//!    it: then it cannot end in between.
//! 8. `PARKED` is set only in an open cell that is `RESERVED`, by its settler. Who takes it off has
//!    the waker: the settler, or the ender after an abort. A settled cell is not `PARKED`.
//! 9. `OWNER_PARKED` is set only in an open cell with `OWNER_PLACE`, by its owner. Who takes it off
//!    has the waker: the owner, or the ender.
//!
//! # How much it counts
//! With 32 bits 16 are left for the count: at most 65,535 duplicates wait for one flight, and one
//! more is refused. With 64 bits 34 are left. Calls inside are there briefly, and a count of them
//! that is too small for a moment only keeps memory (invariant 5), so they have few bits.
//!
//! # Orderings
//! Every read-modify-write is `AcqRel`, every load `Acquire`. A publication releases the value, and
//! a reader that sees `SETTLED` acquires it. A registration releases the waiting room, which is
//! made lazily, and an ender that sees `REGISTERED` acquires it. An exit releases what the call has
//! done inside, and the step that sheds acquires it from all of them.

mod apart;
mod wanted;

pub(crate) use apart::Apart;
pub(crate) use wanted::Left;

use crate::error::{Aborted, Cause};
use crate::sync::atomic::{AtomicUsize, Ordering};

const CLAIMED: usize = 1 << 0;
const SETTLED: usize = 1 << 1;
const ABORTED: usize = 1 << 2;
const REGISTERED: usize = 1 << 3;
const TOLD: usize = 1 << 4;
const SHEDS: usize = 1 << 5;
const UNBEGUN: usize = 1 << 6;
const WHILE_WANTED: usize = 1 << 7;
const OWNED: usize = 1 << 8;
const DRIVEN: usize = 1 << 9;
const PARKED: usize = 1 << 10;
const CAUSE_SHIFT: u32 = 11;
const CAUSE_MASK: usize = 0b111;
const CAUSE: usize = CAUSE_MASK << CAUSE_SHIFT;
/// One of the bits of the cause, which an abort writes.
const RESERVED: usize = 1 << CAUSE_SHIFT;
const INSIDE_SHIFT: u32 = CAUSE_SHIFT + 3;
const INSIDE_BITS: u32 = if usize::BITS < 64 { 2 } else { 16 };
const ONE_INSIDE: usize = 1 << INSIDE_SHIFT;
const INSIDE: usize = ((1 << INSIDE_BITS) - 1) << INSIDE_SHIFT;
/// Two of the bits of that count, which a cell that does not shed has no use for.
const OWNER_PLACE: usize = ONE_INSIDE;
const OWNER_PARKED: usize = ONE_INSIDE << 1;
const COUNT_SHIFT: u32 = INSIDE_SHIFT + INSIDE_BITS;
const ONE: usize = 1 << COUNT_SHIFT;

/// The atomic word. Its methods fix the orderings.
pub(super) struct State(AtomicUsize, #[cfg(loom)] bool);

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
    pub(super) const fn new(word: Snapshot) -> Self {
        Self(AtomicUsize::new(word.0))
    }

    #[cfg(loom)]
    pub(super) fn new(word: Snapshot) -> Self {
        Self(AtomicUsize::new(word.0), word.sheds())
    }

    /// Whether it sheds, which never changes. Loom has it in a field, since it would explore each
    /// look at the word.
    #[inline(always)]
    pub(super) fn sheds(&self) -> bool {
        #[cfg(loom)]
        return self.1;
        #[cfg(not(loom))]
        return self.load().sheds();
    }

    #[inline(always)]
    pub(super) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::Acquire))
    }

    /// Takes the right to write the value. Returns true for exactly one caller, and for none after
    /// an abort, or if the value's place is reserved.
    pub(super) fn claim(&self) -> bool {
        self.update(|word| (word & (CLAIMED | RESERVED) == 0).then_some(word | CLAIMED))
            .is_ok()
    }

    /// Publishes the value written under a claim. Returns the state before. The bit is known to be
    /// unset, so it is added: setting it would take a loop, as the state before is wanted.
    pub(super) fn publish(&self) -> Snapshot {
        Snapshot(self.0.fetch_add(SETTLED, Ordering::AcqRel))
    }

    /// Publishes the value that the settler has written into the place that is reserved for it.
    /// Returns the state before, or `None` if another end was first.
    #[inline(always)]
    pub(super) fn publish_reserved(&self) -> Option<Snapshot> {
        self.update(|word| (word & CLAIMED == 0).then_some(word | CLAIMED | SETTLED))
            .ok()
    }

    /// Ends an open cell without a value. Returns the state before, or `None` if another end was
    /// first.
    pub(super) fn abort(&self, cause: Cause) -> Option<Snapshot> {
        self.update(|word| (word & CLAIMED == 0).then(|| aborted_as(word, cause)))
            .ok()
    }

    /// Registers that somebody is to be told. Returns the state before: if that had ended, the
    /// ender will not come and tell (invariant 3).
    pub(super) fn register(&self) -> Snapshot {
        Snapshot(self.0.fetch_or(REGISTERED, Ordering::AcqRel))
    }

    /// After the end: every waker has been taken out, so that leaving needs no lock. Returns true
    /// if the caller has to shed: nobody is inside.
    #[must_use]
    pub(super) fn set_told(&self) -> bool {
        let before = self.0.fetch_or(TOLD, Ordering::AcqRel);
        before & (SHEDS | TOLD | INSIDE) == SHEDS
    }

    /// A call enters a cell that sheds: nothing is shed until its [`exit`](Self::exit). Returns
    /// false once all have been told; then there may be nothing left inside.
    #[cold]
    #[inline(never)]
    pub(super) fn enter(&self) -> bool {
        // The sum is too large only where it is not taken: with both counts at their maximum.
        let more = |word: usize| step_inside(word, word.wrapping_add(ONE_INSIDE));
        self.update(|word| (word & TOLD == 0).then(|| more(word)))
            .is_ok()
    }

    /// Returns true if the caller has to shed: all have been told, and it was the last one inside.
    #[must_use]
    pub(super) fn exit(&self) -> bool {
        self.update(|word| Some(step_inside(word, word - ONE_INSIDE)))
            .is_ok_and(|before| before.0 & (TOLD | INSIDE) == (TOLD | ONE_INSIDE))
    }

    /// The operation begins, unless the cell has ended: then it returns false, and the operation
    /// must not begin (invariant 6).
    pub(super) fn begin(&self) -> bool {
        self.update(|word| (word & CLAIMED == 0).then_some(word & !UNBEGUN))
            .is_ok()
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

    /// Takes a duplicate's count back. Returns false, and has done nothing, if the state is ended
    /// (invariant 2), or if it has to be [wanted](Self::leave_wanted): one test for both, since
    /// nearly every leaving is this one.
    #[inline]
    pub(super) fn leave(&self) -> bool {
        self.update(|word| (word & (SETTLED | ABORTED | WHILE_WANTED) == 0).then(|| word - ONE))
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

/// An open word that ends without a value.
fn aborted_as(word: usize, cause: Cause) -> usize {
    word & !CAUSE | CLAIMED | ABORTED | ((cause as usize) << CAUSE_SHIFT)
}

/// `next`, unless the count of calls inside is stuck (invariant 5).
fn step_inside(word: usize, next: usize) -> usize {
    if word & INSIDE == INSIDE { word } else { next }
}

impl Snapshot {
    /// Of a cell that is made with its value.
    #[cfg(not(loom))]
    pub(super) const SETTLED: Self = Self(CLAIMED | SETTLED);

    /// Of a new cell.
    pub(crate) const fn open(sheds: bool) -> Self {
        Self(if sheds { SHEDS } else { 0 })
    }

    /// Of a new cell, none of whose caller's code has run.
    pub(crate) const fn unbegun(self) -> Self {
        Self(self.0 | UNBEGUN)
    }

    /// Of a new cell that ends when nobody wants it any more. The call that makes it wants it.
    pub(crate) const fn while_wanted(self) -> Self {
        Self(self.0 | WHILE_WANTED | OWNED)
    }

    /// Of a new cell, whose flight participants drive and have their shared operation behind it.
    pub(crate) const fn driven(self) -> Self {
        Self(self.0 | DRIVEN)
    }

    /// Of a new cell that has a settler.
    pub(crate) const fn reserved(self) -> Self {
        Self(self.0 | RESERVED)
    }

    /// Whether the cell is open and the value's place is for the settler alone. After a settle that
    /// place is everybody's, to read.
    #[inline(always)]
    pub(crate) fn is_reserved(self) -> bool {
        self.0 & (SETTLED | ABORTED | RESERVED) == RESERVED
    }

    /// Whether there is a shared operation behind the flight. It is so from its creation on, or
    /// never.
    #[inline(always)]
    pub(crate) fn is_driven(self) -> bool {
        self.0 & DRIVEN != 0
    }

    /// Whether the call that began it has to [disown](State::disown) it.
    pub(crate) fn is_owned(self) -> bool {
        self.0 & OWNED != 0
    }

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

    /// Whether the cell gives back what hangs on it. It is so from its creation on, or never.
    pub(crate) fn sheds(self) -> bool {
        self.0 & SHEDS != 0
    }

    /// Whether a waiter that leaves has nothing to do, or has to enter first.
    pub(super) fn is_told_or_sheds(self) -> bool {
        self.0 & (TOLD | SHEDS) != 0
    }

    /// Whether the ender has anything more to do than to publish.
    pub(crate) fn has_more_to_do(self) -> bool {
        self.0 & (REGISTERED | SHEDS | PARKED | OWNER_PARKED) != 0
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
        let state = State::new(Snapshot::open(false));
        assert_eq!(seen(state.load()), [false, false, false]);
        assert_eq!(seen(state.register()), [false, false, false]);
        assert_eq!(seen(state.load()), [true, false, false]);
        assert!(state.claim());
        assert_eq!(seen(state.publish()), [true, false, false]);
        assert_eq!(seen(state.load()), [true, false, true]);
        assert!(!state.set_told(), "it does not shed");
        assert_eq!(seen(state.load()), [true, true, true]);
        assert!(state.load().settled() && state.load().cause().is_none());
        assert_eq!(state.load().duplicates(), 0);
    }

    #[test]
    fn an_operation_that_has_not_begun_never_begins_after_the_end() {
        let state = State::new(Snapshot::open(true).unbegun());
        assert!(matches!(state.join(9), Join::Open(1)));
        assert!(state.abort(Cause::Exhausted).is_some());
        assert!(!state.begin(), "begun after the end");
        let end = state.load();
        assert!(!end.has_begun() && !end.is_told() && end.sheds());
        assert_eq!((end.cause(), end.duplicates()), (Some(Cause::Exhausted), 1));
    }

    #[test]
    fn what_has_begun_stays_begun() {
        assert!(Snapshot::open(false).has_begun());
        let state = State::new(Snapshot::open(false).unbegun());
        assert!(!state.load().has_begun());
        assert!(state.begin());
        assert!(state.abort(Cause::Cancelled).is_some());
        assert!(state.load().has_begun());
    }

    #[test]
    fn the_last_of_the_ender_and_those_inside_sheds() {
        let shedding = || State::new(Snapshot::open(true));
        let alone = shedding();
        assert!(alone.set_told() && !alone.enter());
        assert!(!alone.set_told(), "shed already");
        let state = shedding();
        assert!(matches!(state.join(usize::MAX), Join::Open(1)));
        assert!(state.enter() && state.enter() && !state.exit());
        let _ = state.publish();
        assert!(!state.set_told(), "a call is inside");
        assert!(!state.enter() && state.exit());
        assert_eq!(state.load().duplicates(), 1);
    }

    #[test]
    fn a_full_count_of_calls_inside_stays_full() {
        let state = State::new(Snapshot(SHEDS | INSIDE));
        assert!(state.enter() && !state.exit());
        assert!(!state.set_told() && !state.exit());
        assert_eq!(state.load().0, SHEDS | INSIDE | TOLD);
        assert_eq!(state.load().duplicates(), 0);
        let full = State::new(Snapshot(SHEDS | INSIDE | (usize::MAX << COUNT_SHIFT)));
        let before = full.load().0;
        assert!(full.enter() && !full.exit() && full.load().0 == before);
    }
}
