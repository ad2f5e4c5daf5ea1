//! A cell that ends when nobody wants it any more: the leaving of those who want it. See invariant
//! 7 of [`state`](super).

use crate::cell::state::{
    ABORTED, CLAIMED, COUNT_SHIFT, ONE, OWNED, SETTLED, Snapshot, State, WHILE_WANTED, aborted_as,
};
use crate::error::Cause;
use crate::sync::atomic::Ordering;

/// What came of leaving a cell that can end by that.
pub(crate) enum Left {
    /// It is counted no more. The cell is wanted by others, or does not have to be wanted.
    Uncounted,
    /// The cell had ended before, so the count is as it was (invariant 2).
    Late,
    /// Nobody wants the cell any more: this leaving has ended it. With the state that the end
    /// found, without the one who left.
    Last(Snapshot),
}

impl State {
    /// After [`leave`](Self::leave) has returned false: takes the count back, unless the state is
    /// ended, and ends a cell that nobody wants any more.
    #[cold]
    #[inline(never)]
    pub(in crate::cell) fn leave_wanted(&self) -> Left {
        self.want_less(|word| word - ONE)
    }

    /// The call that began a cell which has to be wanted leaves it.
    pub(in crate::cell) fn disown(&self) -> Left {
        self.want_less(|word| word & !OWNED)
    }

    /// One exchange that takes somebody who wants the cell off the word, and ends the cell if that
    /// was the last one. If a settler has claimed the cell, that one ends it.
    fn want_less(&self, less: impl Fn(usize) -> usize) -> Left {
        let open = |word| word & (SETTLED | ABORTED) == 0;
        let left = self.update(|word| {
            let word = open(word).then(|| less(word))?;
            Some(if unwanted(word) {
                aborted_as(word, Cause::Dropped)
            } else {
                word
            })
        });
        match left.map(|before| less(before.0)) {
            Ok(found) if unwanted(found) => Left::Last(Snapshot(found)),
            Ok(_) => Left::Uncounted,
            Err(_) => Left::Late,
        }
    }

    /// From here on the cell does not have to be wanted. The caller is counted, so the cell can't
    /// have ended for want of callers (invariant 7).
    pub(in crate::cell) fn keep(&self) {
        self.0.fetch_and(!(WHILE_WANTED | OWNED), Ordering::AcqRel);
    }
}

/// Whether an open word, which has to be wanted, is not.
fn unwanted(word: usize) -> bool {
    word & (CLAIMED | WHILE_WANTED | OWNED) == WHILE_WANTED && word >> COUNT_SHIFT == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Join;

    /// A cell that has to be wanted, by its owner alone.
    fn wanted() -> State {
        State::new(Snapshot::open(true).while_wanted())
    }

    #[test]
    fn the_last_one_who_wants_a_cell_ends_it_by_leaving() {
        let state = State::new(Snapshot::open(true).while_wanted().unbegun());
        for count in 1..=2 {
            assert!(matches!(state.join(9), Join::Open(joined) if joined == count));
        }
        assert!(!state.leave() && matches!(state.leave_wanted(), Left::Uncounted));
        assert!(matches!(state.disown(), Left::Uncounted) && !state.load().ended());
        let Left::Last(found) = state.leave_wanted() else {
            panic!("nobody wants it")
        };
        assert_eq!((found.duplicates(), found.ended()), (0, false));
        assert!(!state.begin() && !found.has_begun());
        let end = state.load();
        assert_eq!((end.cause(), end.duplicates()), (Some(Cause::Dropped), 0));
        assert!(matches!(state.join(9), Join::Ended(_)));
        assert!(matches!(state.disown(), Left::Late));
    }

    #[test]
    fn an_owner_who_leaves_last_ends_a_cell_unless_it_is_kept_or_claimed() {
        assert!(matches!(wanted().disown(), Left::Last(_)));
        let kept = wanted();
        assert!(matches!(kept.join(9), Join::Open(1)));
        kept.keep();
        assert!(kept.leave() && !kept.load().is_owned());
        assert!(matches!(kept.disown(), Left::Uncounted) && !kept.load().ended());
        let claimed = wanted();
        assert!(claimed.claim() && matches!(claimed.disown(), Left::Uncounted));
        assert!(claimed.publish().cause().is_none() && claimed.load().settled());
    }
}
