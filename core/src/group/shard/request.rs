//! What a call brings to a search: its [`Request`], its [`Key`], and what its kind adds, a
//! [`Call`].

use alloc::boxed::Box;
use core::time::Duration;

use equivalent::Equivalent;

use crate::cell::Snapshot;
use crate::fingerprint::Fingerprint;
use crate::flight::{Attached, Flight, FlightRef, Pair};
use crate::group::shard::Shard;
use crate::group::shard::line::Mode;
use crate::sync::Arc;

/// What a call asks for beyond its key.
///
/// `pub` because a sealed trait names it. No public path leads here.
#[expect(missing_debug_implementations, reason = "no path leads here")]
pub struct Request {
    pub(super) hash: u64,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Read before the lock is taken, if the rules depend on it.
    pub(super) now: Option<Duration>,
    pub(super) alone: bool,
    pub(super) joins_only: bool,
    /// What happens to the call if the registry is a gate, and the gate is held.
    pub(super) mode: Mode,
    /// The call can wait for its turn: every call but `begin`.
    pub(super) waits: bool,
}

impl Request {
    /// Runs the user's clock, if the rules depend on it.
    #[inline]
    pub(crate) fn new<K, T>(
        shard: &Shard<K, T>,
        hash: u64,
        fingerprint: Option<Fingerprint>,
    ) -> Self {
        Self {
            hash,
            fingerprint,
            now: shard.now(),
            alone: false,
            joins_only: false,
            mode: Mode::Open,
            waits: false,
        }
    }

    /// The call joins no flight, and no call joins its flight.
    pub(crate) fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }

    /// The call joins a flight or does nothing.
    pub(crate) fn joins_only(self) -> Self {
        Self {
            joins_only: true,
            ..self
        }
    }

    /// The call is for a gate.
    pub(crate) fn at_gate(self, mode: Mode, waits: bool) -> Self {
        Self {
            mode,
            waits,
            ..self
        }
    }
}

/// The key that a call brings, or a borrowed form from which it is made.
pub(crate) trait Key<K> {
    fn is(&self, other: &K) -> bool;

    /// Whether [`take`](Self::take) has a key to give.
    fn is_made(&self) -> bool;

    /// Makes the key, if it is not there yet. Runs the user's code.
    fn make(&mut self);

    /// Takes the key for a new flight, if it has been made.
    fn take(&mut self) -> Option<K>;
}

pub(crate) struct OwnedKey<K>(pub(crate) Option<K>);

impl<K: Eq> Key<K> for OwnedKey<K> {
    fn is(&self, other: &K) -> bool {
        self.0.as_ref().is_some_and(|key| key == other)
    }

    fn is_made(&self) -> bool {
        self.0.is_some()
    }

    fn make(&mut self) {}

    fn take(&mut self) -> Option<K> {
        self.0.take()
    }
}

/// The key of a call that begins no flight, so it is only compared.
pub(crate) struct SoughtKey<'a, Q: ?Sized>(pub(crate) &'a Q);

impl<K, Q: Equivalent<K> + ?Sized> Key<K> for SoughtKey<'_, Q> {
    fn is(&self, other: &K) -> bool {
        self.0.equivalent(other)
    }

    fn is_made(&self) -> bool {
        false
    }

    fn make(&mut self) {}

    fn take(&mut self) -> Option<K> {
        None
    }
}

/// A borrowed form of a key, and the key once it has been made.
pub(crate) struct BorrowedKey<'a, K, Q: ?Sized> {
    from: &'a Q,
    make: fn(&'a Q) -> K,
    made: Option<K>,
}

impl<'a, K, Q: ?Sized> BorrowedKey<'a, K, Q> {
    pub(crate) fn new(from: &'a Q, make: fn(&'a Q) -> K) -> Self {
        Self {
            from,
            make,
            made: None,
        }
    }
}

impl<K, Q: Equivalent<K> + ?Sized> Key<K> for BorrowedKey<'_, K, Q> {
    fn is(&self, other: &K) -> bool {
        self.from.equivalent(other)
    }

    fn is_made(&self) -> bool {
        self.made.is_some()
    }

    fn make(&mut self) {
        self.made.get_or_insert_with(|| (self.make)(self.from));
    }

    fn take(&mut self) -> Option<K> {
        self.made.take()
    }
}

/// What one kind of call adds to a search.
pub(crate) trait Call<K, T> {
    /// Takes part in this flight, which has its key and which it has joined. If it returns false,
    /// the flight is about to end, and a new one begins in its place.
    fn try_share(&mut self, shard: &Arc<Shard<K, T>>, flight: &FlightRef<K, T>) -> bool {
        let _ = (shard, flight);
        true
    }

    /// Whether the code of the caller runs before the flight has its turn at a gate.
    fn makes_at_once(&self) -> bool {
        false
    }

    /// The handles of a new flight, which has its `turn` now or waits for that. It is called under
    /// the lock: allocates at most. `make` gets what is attached to the flight, and the state of
    /// its cell.
    #[inline(always)]
    fn allocate(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        turn: bool,
        open: Snapshot,
        make: impl FnOnce(Option<Box<Attached<T>>>, Snapshot) -> Flight<K, T>,
    ) -> Pair<K, T> {
        let _ = (shard, turn);
        FlightRef::pair(|| make(None, open.reserved()))
    }
}

/// A call that joins any flight, and on whose flight nothing hangs.
pub(crate) struct Plain;

impl<K, T> Call<K, T> for Plain {}

/// The same, for a caller whose code begins later.
pub(crate) struct Later;

impl<K, T> Call<K, T> for Later {
    fn allocate(
        &mut self,
        _shard: &Arc<Shard<K, T>>,
        _turn: bool,
        open: Snapshot,
        make: impl FnOnce(Option<Box<Attached<T>>>, Snapshot) -> Flight<K, T>,
    ) -> Pair<K, T> {
        FlightRef::pair(|| make(None, open.reserved().unbegun()))
    }
}
