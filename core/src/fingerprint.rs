//! [`Fingerprint`]: telling a retry from another request that uses the same key by mistake.

use core::fmt;
use core::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::{FixedState, FoldHasher};

/// Identifies a payload, by 128 bits that are given or computed.
///
/// A key says that two calls are the same call; a fingerprint checks it. Two calls of one key with
/// different fingerprints are never merged: the later call is rejected as
/// [`Rejected::Mismatch`](crate::error::Rejected::Mismatch). A call without a fingerprint joins
/// without a check. A flight that began without a fingerprint takes the first one that joins it.
/// After that, a call with another fingerprint is rejected there too, also if the outcome is
/// retained.
///
/// [`of_bytes`](Self::of_bytes) and [`of`](Self::of) are not cryptographic. They detect mistakes,
/// but they do not resist an attacker who forges payloads. If you need that, [pass](Self::new) the
/// first 128 bits of a cryptographic digest. Both functions return the same fingerprint in every
/// group and thread of one process. Do not store it, because another version can compute another
/// one.
///
/// ```
/// use oneflight_core::error::Rejected;
/// use oneflight_core::{Begin, Fingerprint, Group};
///
/// let group: Group<&str, u32> = Group::new();
/// let ten = Fingerprint::of_bytes(b"amount=10");
/// let twenty = Fingerprint::of_bytes(b"amount=20");
/// let _first = group.entry("token").fingerprint(ten).begin();
/// assert!(matches!(group.entry("token").fingerprint(ten).begin(), Begin::Waiter(_)));
/// let other = group.entry("token").fingerprint(twenty).begin();
/// assert!(matches!(other, Begin::Rejected(Rejected::Mismatch)));
/// ```
// In two halves: with the alignment of a `u128`, the note on a retained outcome would be a third
// larger.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u64; 2]);

impl Fingerprint {
    /// Makes a fingerprint that the caller has computed.
    pub const fn new(bits: u128) -> Self {
        Self([(bits >> 64) as u64, bits as u64])
    }

    /// Computes the fingerprint of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::computed(|hasher| hasher.write(bytes))
    }

    /// Computes the fingerprint of anything that can be hashed.
    ///
    /// It is made of all pieces that the payload's `Hash` writes, each with its length. So two
    /// payloads of one type whose `Hash` writes other bytes, or the same bytes in other pieces, get
    /// different fingerprints: also if they differ only in where one string ends and the next one
    /// begins, or in zeros at the end. (Two of them can be the same by chance, as any two hashes
    /// can.) What `Hash` leaves out is not compared.
    pub fn of<P: Hash + ?Sized>(payload: &P) -> Self {
        Self::computed(|hasher| payload.hash(hasher))
    }

    /// Returns the fingerprint as a number.
    pub const fn get(self) -> u128 {
        let [high, low] = self.0;
        (high as u128) << 64 | low as u128
    }

    /// Two independent 64-bit hashes, by two fixed seeds.
    fn computed(feed: impl Fn(&mut WithLengths)) -> Self {
        let half = |seed| {
            let mut hasher = WithLengths(FixedState::with_seed(seed).build_hasher());
            feed(&mut hasher);
            hasher.finish()
        };
        Self([half(0x6F6E_6566_6C69_6768), half(0x7461_6761_696E_2121)])
    }
}

/// Writes the length of each piece before it, also of a number. `FoldHasher` packs numbers without
/// their widths, and only rotates its state by the length of bytes: without this `[5]` and `[5, 0]`
/// are the same where a `Hash` writes no count, and so are `("", "\0")` and `("\0", "")`.
struct WithLengths(FoldHasher<'static>);

impl Hasher for WithLengths {
    // The numbers come here too.
    fn write(&mut self, bytes: &[u8]) {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.get())
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::format;

    use super::*;

    #[test]
    fn both_halves_tell_payloads_apart() {
        let halves = |payload: &[u8]| {
            let bits = Fingerprint::of_bytes(payload).get();
            [bits >> 64, bits & u128::from(u64::MAX)]
        };
        let (one, other) = (halves(b"one"), halves(b"other"));
        assert!(
            one[0] != other[0] && one[1] != other[1],
            "{one:?} {other:?}"
        );
        assert_ne!(one[0], one[1]);
        assert_eq!(one, halves(b"one"));
        assert_ne!(Fingerprint::of(&1_u8), Fingerprint::of(&2_u8));
        let bits = [0, 7, u128::from(u64::MAX) + 1, u128::MAX - 1];
        assert_eq!(bits.map(|bits| Fingerprint::new(bits).get()), bits);
    }

    #[test]
    fn a_number_of_any_width_tells_payloads_apart() {
        let of = |one: &dyn Fn(u8) -> Fingerprint| assert_ne!(one(1), one(2));
        of(&|n| Fingerprint::of(&n));
        of(&|n| Fingerprint::of(&u16::from(n)));
        of(&|n| Fingerprint::of(&u32::from(n)));
        of(&|n| Fingerprint::of(&u64::from(n)));
        of(&|n| Fingerprint::of(&u128::from(n)));
        of(&|n| Fingerprint::of(&usize::from(n)));
        of(&|n| Fingerprint::of(&-i64::from(n)));
        of(&|n| Fingerprint::of(&[n, 3 - n]));
        of(&|n| Fingerprint::of(&("a", n, "b")));
    }

    /// Its `Hash` writes the items and not their number, as some lists do.
    struct Uncounted<'a, P>(&'a [P]);

    impl<P: Hash> Hash for Uncounted<'_, P> {
        fn hash<H: Hasher>(&self, hasher: &mut H) {
            self.0.iter().for_each(|item| item.hash(hasher));
        }
    }

    fn assert_ends_are_told_apart<P: Hash + Clone>(items: P) {
        let items = alloc::vec![items; 20];
        let ends = (0..items.len()).map(|end| Fingerprint::of(&Uncounted(&items[..end])).get());
        assert_eq!(ends.collect::<BTreeSet<_>>().len(), items.len());
    }

    #[test]
    fn zeros_at_the_end_tell_payloads_apart() {
        assert_ends_are_told_apart(0_u8);
        assert_ends_are_told_apart(0_u64);
        assert_ends_are_told_apart(0_u128);
        assert_ends_are_told_apart(false);
        assert_ends_are_told_apart(None::<u8>);
        assert_ends_are_told_apart("");
    }

    #[test]
    fn the_order_of_numbers_and_bytes_tells_payloads_apart() {
        enum Parts<'a> {
            NumberFirst(u64, &'a [u8]),
            BytesFirst(&'a [u8], u64),
            Bytes(&'a [u8]),
            Wide(u128, u64),
            Narrow(u64, u128),
        }
        impl Hash for Parts<'_> {
            fn hash<H: Hasher>(&self, hasher: &mut H) {
                match self {
                    Parts::NumberFirst(number, bytes) => {
                        hasher.write_u64(*number);
                        hasher.write(bytes);
                    }
                    Parts::BytesFirst(bytes, number) => {
                        hasher.write(bytes);
                        hasher.write_u64(*number);
                    }
                    Parts::Bytes(bytes) => hasher.write(bytes),
                    Parts::Wide(wide, number) => {
                        hasher.write_u128(*wide);
                        hasher.write_u64(*number);
                    }
                    Parts::Narrow(number, wide) => {
                        hasher.write_u64(*number);
                        hasher.write_u128(*wide);
                    }
                }
            }
        }
        let parts = [
            Parts::NumberFirst(1, &[1]),
            Parts::BytesFirst(&[1], 1),
            Parts::Bytes(&[1, 1]),
            Parts::Wide(1, 1),
            Parts::Narrow(1, 1),
        ];
        let seen: BTreeSet<u128> = parts.map(|it| Fingerprint::of(&it).get()).into();
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn a_byte_is_no_other_payload_in_another_part() {
        assert_ne!(
            Fingerprint::of(&("aa", "", "aa")),
            Fingerprint::of(&("aa", "\0", "a"))
        );
        for number in 0..10_000_u32 {
            let prefix = format!("{number}");
            let prefix = prefix.as_str();
            let parts = ["", "\0", "\0\0", "\0\0\0"];
            let pairs = parts
                .iter()
                .flat_map(|one| parts.map(|other| (prefix, *one, other)));
            let seen: BTreeSet<u128> = pairs
                .map(|payload| Fingerprint::of(&payload).get())
                .collect();
            assert_eq!(seen.len(), parts.len() * parts.len(), "{prefix}");
        }
    }
}
