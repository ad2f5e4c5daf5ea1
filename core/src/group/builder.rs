//! [`Builder`]: a group that differs from the default.

use crate::group::Group;
use crate::hash::RandomState;

/// More shards than this cost memory and bring nothing.
const MOST_SHARDS: usize = 1 << 12;

/// Makes a [`Group`] that differs from the default. From [`Group::builder`].
///
/// ```
/// use oneflight_core::Group;
///
/// let group: Group<u32, u32, std::hash::RandomState> =
///     Group::<u32, u32>::builder().shards(4).hasher(std::hash::RandomState::new()).build();
/// assert!(group.is_empty());
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `build`"]
pub struct Builder<S> {
    hasher: S,
    shards: usize,
}

impl Builder<RandomState> {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: if cfg!(feature = "std") { 64 } else { 1 },
        }
    }
}

impl<S> Builder<S> {
    /// How many parts the registry has, each with a lock of its own: rounded up to a power of two, at least 1 and at
    /// most 4,096. The default is 64 (about 10 KiB), and 1 without `std`.
    ///
    /// Calls for different keys meet only in a shard. More shards also bound the time a single begin takes when its
    /// shard's table grows.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards.clamp(1, MOST_SHARDS).next_power_of_two();
        self
    }

    /// The hasher of keys.
    pub fn hasher<H>(self, hasher: H) -> Builder<H> {
        Builder {
            hasher,
            shards: self.shards,
        }
    }

    /// Makes the group.
    pub fn build<K, T>(self) -> Group<K, T, S> {
        Group::from_parts(self.hasher, self.shards)
    }
}
