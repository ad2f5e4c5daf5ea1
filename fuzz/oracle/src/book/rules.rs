//! The rules of a group, as the book applies them.

/// What the group is built with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) max_waiters: usize,
    pub(crate) max_flights: usize,
    /// How often a flight of `try_work` runs again.
    pub(crate) max_reruns: usize,
    pub(crate) supersede_after: Option<u64>,
    /// How long an outcome is retained, and how many there may be.
    pub(crate) retain: Option<(u64, usize)>,
    /// How much they may weigh together.
    pub(crate) max_weight: Option<u64>,
}

impl Rules {
    pub(crate) const NONE: Self = Self {
        max_waiters: usize::MAX,
        max_flights: usize::MAX,
        max_reruns: usize::MAX,
        supersede_after: None,
        retain: None,
        max_weight: None,
    };
}
