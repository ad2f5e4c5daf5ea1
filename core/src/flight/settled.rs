//! [`Settled`]: the handle on a recorded value.

use core::fmt;
use core::ops::Deref;
use core::panic::{RefUnwindSafe, UnwindSafe};

use crate::flight::{Flight, FlightId};
use crate::sync::Arc;

/// The value that a flight settled with, shared by everyone who took part.
///
/// Dereferences to the value. Cloning it costs a count, never a copy of the value, so `T` needs no
/// `Clone` and a megabyte costs what a number costs. The value is dropped with the last handle.
///
/// # Examples
///
/// ```
/// use oneflight_core::{Begin, Group};
///
/// let group: Group<u32, String> = Group::new();
/// let Begin::Primary(primary) = group.begin(1) else { unreachable!() };
/// let settled = primary.settle("paid".to_string()).unwrap();
/// let copy = settled.clone();
/// assert_eq!(copy.len(), 4);
/// assert_eq!(*copy.key(), 1);
/// assert!(std::ptr::eq(&*settled, &*copy));
/// ```
pub struct Settled<K, T> {
    flight: Arc<Flight<K, T>>,
}

impl<K, T> Settled<K, T> {
    /// Only for a flight that has settled.
    pub(crate) fn new(flight: Arc<Flight<K, T>>) -> Self {
        Self { flight }
    }

    /// The key of the flight.
    pub fn key(&self) -> &K {
        &self.flight.key
    }

    /// The identity of the flight.
    pub fn id(&self) -> FlightId {
        self.flight.id
    }
}

impl<K, T> Deref for Settled<K, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.flight
            .cell
            .get()
            .unwrap_or_else(|| unreachable!("made for settled flights only"))
    }
}

impl<K, T> AsRef<T> for Settled<K, T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<K, T> Clone for Settled<K, T> {
    fn clone(&self) -> Self {
        Self {
            flight: self.flight.clone(),
        }
    }
}

impl<K, T> UnwindSafe for Settled<K, T> {}
impl<K, T> RefUnwindSafe for Settled<K, T> {}

impl<K, T> fmt::Debug for Settled<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settled")
            .field("id", &self.flight.id)
            .finish_non_exhaustive()
    }
}
