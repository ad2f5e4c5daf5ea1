//! The default hasher: foldhash, seeded at random for each group.

use core::hash::{BuildHasher, Hasher};

use crate::sync::Seed;

/// Spreads what differs in few bits over all bits, by the golden ratio.
#[inline(always)]
pub(super) const fn spread(bits: u64) -> u64 {
    bits.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The shard of a hash, of so many. Spread, so that a poor hasher does not put everything into one
/// shard. The bits are taken from the middle, since the shard's table uses the lowest and the
/// highest.
pub(super) const fn shard_index(hash: u64, shards: usize) -> usize {
    (spread(hash) >> 32) as usize & (shards - 1)
}

/// The default hasher's state: a random seed for each group.
///
/// It is fast, and protects against accidental collisions. If an attacker chooses the keys, use
/// SipHash instead: see [`Group`](crate::Group#untrusted-keys). Without `std` the seed comes from
/// addresses and is weak.
#[derive(Clone, Debug, Default)]
pub struct RandomState(Seed);

/// The default hasher. Returned by [`RandomState`].
#[derive(Clone)]
pub struct DefaultHasher(foldhash::fast::FoldHasher<'static>);

impl BuildHasher for RandomState {
    type Hasher = DefaultHasher;

    #[inline(always)]
    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher(self.0.build_hasher())
    }
}

impl core::fmt::Debug for DefaultHasher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DefaultHasher").finish_non_exhaustive()
    }
}

/// Each method is passed on: foldhash has a short path for every integer.
impl Hasher for DefaultHasher {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    #[inline(always)]
    fn write_u8(&mut self, i: u8) {
        self.0.write_u8(i);
    }

    #[inline(always)]
    fn write_u16(&mut self, i: u16) {
        self.0.write_u16(i);
    }

    #[inline(always)]
    fn write_u32(&mut self, i: u32) {
        self.0.write_u32(i);
    }

    #[inline(always)]
    fn write_u64(&mut self, i: u64) {
        self.0.write_u64(i);
    }

    #[inline(always)]
    fn write_u128(&mut self, i: u128) {
        self.0.write_u128(i);
    }

    #[inline(always)]
    fn write_usize(&mut self, i: usize) {
        self.0.write_usize(i);
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hash;

    #[test]
    fn keys_of_every_kind_spread() {
        fn differ<K: Hash>(kind: &str, keys: [K; 2]) {
            let state = RandomState::default();
            let [one, other] = keys.map(|key| state.hash_one(key));
            assert_ne!(one, other, "{kind}");
        }
        differ("text", ["one", "two"]);
        differ("u8", [1_u8, 2]);
        differ("u16", [1_u16, 2]);
        differ("u32", [1_u32, 2]);
        differ("u64", [1_u64, 2]);
        differ("u128", [1_u128, 2]);
        differ("usize", [1_usize, 2]);
    }
}
