//! [`Fingerprint`]: telling a retry from another request that uses the same key by mistake.

use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash, Hasher};

use crate::detach::Detached;
use crate::gate::{Gate, Turn};
use crate::group::{Begin, Group};
use crate::rerun::{Budget, Rerun};
use crate::rt::Runtime;
use crate::work::Work;

/// Identifies a payload: 128 bits, given or computed.
///
/// A key says that two calls are the same call; a fingerprint checks it. Two calls of one key with
/// different fingerprints are never merged: the later one is
/// [`Rejected::Mismatch`](crate::Rejected::Mismatch). If one side has none, nothing is compared.
///
/// [`of_bytes`](Self::of_bytes) and [`of`](Self::of) are not cryptographic: they catch mistakes,
/// not an attacker who forges payloads. Against one, [give](Self::new) the first 128 bits of a
/// digest. They are the same in every group and thread of one process; do not store them.
///
/// ```
/// use oneflight_core::{Begin, Fingerprint, Group, Rejected};
///
/// let group: Group<&str, u32> = Group::new();
/// let ten = Fingerprint::of_bytes(b"amount=10");
/// let twenty = Fingerprint::of_bytes(b"amount=20");
/// let _first = group.fingerprinted(ten).begin("token");
/// assert!(matches!(group.fingerprinted(ten).begin("token"), Begin::Waiter(_)));
/// assert!(matches!(group.fingerprinted(twenty).begin("token"), Begin::Rejected(Rejected::Mismatch)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// One that the caller has computed.
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// Of the bytes of a payload.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::computed(|hasher| {
            hasher.write_usize(bytes.len());
            hasher.write(bytes);
        })
    }

    /// Of anything that can be hashed.
    pub fn of<P: Hash + ?Sized>(payload: &P) -> Self {
        Self::computed(|hasher| payload.hash(hasher))
    }

    /// As a number.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Two independent 64-bit hashes, by two fixed seeds.
    fn computed(feed: impl Fn(&mut foldhash::quality::FoldHasher<'static>)) -> Self {
        let half = |seed| {
            let mut hasher = foldhash::quality::FixedState::with_seed(seed).build_hasher();
            feed(&mut hasher);
            u128::from(hasher.finish())
        };
        Self((half(0x6F6E_6566_6C69_6768) << 64) | half(0x7461_6761_696E_2121))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:032x})", self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A [`Group`] or [`Gate`], called with a payload's fingerprint. From their `fingerprinted`.
///
/// It has the calls of what it stands for, with the same meaning.
#[derive(Debug)]
#[must_use = "call one of its methods"]
pub struct Fingerprinted<'a, G> {
    pub(crate) of: &'a G,
    pub(crate) fingerprint: Fingerprint,
}

impl<G> Clone for Fingerprinted<'_, G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G> Copy for Fingerprinted<'_, G> {}

impl<K: Hash + Eq, T, S: BuildHasher> Fingerprinted<'_, Group<K, T, S>> {
    /// [`Group::begin`].
    pub fn begin(self, key: K) -> Begin<K, T> {
        let ((begin, key), _) =
            self.of
                .begin_with(key, Some(self.fingerprint), |_, _| true, || None);
        drop(key);
        begin
    }

    /// [`Group::begin_ref`].
    pub fn begin_ref<Q>(self, key: &Q) -> Begin<K, T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.of.begin_ref_with(key, Some(self.fingerprint))
    }

    /// [`Group::work_rerun`].
    pub fn work_rerun<M, F>(self, key: K, budget: Budget, make: M) -> Rerun<K, T, M, F>
    where
        M: FnOnce() -> F,
        F: Future<Output = T>,
    {
        self.of
            .work_rerun_with(key, Some(self.fingerprint), budget, make)
    }
}

impl<K, T, S> Fingerprinted<'_, Group<K, T, S>>
where
    K: Hash + Eq + Send + Sync + 'static,
    T: Send + Sync + 'static,
    S: BuildHasher,
{
    /// [`Group::work`].
    pub fn work<M, F>(self, key: K, make: M) -> Work<K, T>
    where
        M: FnOnce() -> F,
        F: Future<Output = T> + Send + 'static,
    {
        self.of.work_with(key, Some(self.fingerprint), make)
    }

    /// [`Group::spawn_on`].
    pub fn spawn_on<R, M, F>(self, runtime: &R, key: K, make: M) -> Detached<K, T>
    where
        R: Runtime,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.of
            .spawn_on_with(runtime, key, Some(self.fingerprint), make)
    }

    /// [`Group::spawn_blocking_on`].
    pub fn spawn_blocking_on<R, F>(self, runtime: &R, key: K, call: F) -> Detached<K, T>
    where
        R: Runtime,
        F: FnOnce() -> T + Send + 'static,
    {
        self.of
            .spawn_blocking_on_with(runtime, key, Some(self.fingerprint), call)
    }
}

impl<K: Hash + Eq, T> Fingerprinted<'_, Gate<K, T>> {
    /// [`Gate::begin`].
    pub fn begin(self, token: Option<K>) -> Begin<Option<K>, T> {
        self.of.begin_with(token, Some(self.fingerprint))
    }

    /// [`Gate::turn`].
    pub fn turn(self, token: Option<K>) -> Turn<K, T> {
        self.of.turn_with(token, Some(self.fingerprint))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
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
        assert_eq!(Fingerprint::new(7).get(), 7);
    }
}
