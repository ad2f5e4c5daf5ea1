//! What the callers do: how they share an operation, and which of them leave early.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// Who goes on with the operation when the caller that runs it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// another caller goes on with the same operation
    Continue,
    /// another caller runs its own, from the beginning
    Rerun,
    /// the operation belongs to the runtime and runs on
    Detach,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continue => "continue",
            Self::Rerun => "rerun",
            Self::Detach => "detach",
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Callers {
    pub(crate) policy: Policy,
    pub(crate) cancel: Cancel,
}

/// How many callers in a hundred leave early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Cancel(pub(crate) u8);

impl Cancel {
    /// Whether the caller of this index, from 0, is one of them. The same in every run; exact in
    /// each hundred, and spread over it. The first caller is always one of them, if anyone is.
    pub(crate) fn leaves(self, index: usize) -> bool {
        // 37 has no factor in common with 100, so that each hundred indices get each rank once. The
        // other seed lets one hundred differ from the next.
        let rank = (index % 100 * 37 + index / 100 % 100 * 61) % 100;
        rank < usize::from(self.0)
    }

    /// How many of the first `callers` leave.
    pub(crate) fn of(self, callers: usize) -> usize {
        (0..callers).filter(|index| self.leaves(*index)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_exact_in_each_hundred() {
        for percent in 0..=100 {
            for hundreds in [1, 2, 7] {
                let leaving = Cancel(percent).of(hundreds * 100);
                assert_eq!(leaving, hundreds * usize::from(percent));
            }
        }
    }

    #[test]
    fn the_first_caller_leaves_if_anyone_does() {
        assert!(!Cancel(0).leaves(0));
        assert!((1..=100).all(|percent| Cancel(percent).leaves(0)));
    }

    #[test]
    fn those_who_leave_are_spread() {
        // No ten in a row without one of them, and no row of them.
        for first in 0..1000 {
            let leaving = (first..first + 10).filter(|index| Cancel(30).leaves(*index));
            assert!((1..=5).contains(&leaving.count()), "from {first}");
        }
    }
}
