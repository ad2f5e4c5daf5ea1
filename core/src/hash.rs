//! The default hasher: foldhash, seeded at random for each group.

use core::hash::{BuildHasher, Hasher};

/// The default hasher's state: a random seed for each group.
///
/// Fast, and good enough against accidents. Where an attacker chooses the keys, use SipHash
/// instead: see [`Group`](crate::Group#keys-from-strangers). Without `std` the seed comes from
/// addresses and is weak.
#[derive(Clone, Debug, Default)]
pub struct RandomState(foldhash::fast::RandomState);

/// The default hasher. From [`RandomState`].
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
