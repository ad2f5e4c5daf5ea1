//! [`Settled`]: the handle on a recorded value. [`Success`]: the handle on a value that is the
//! success of a `Result`.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;
use core::panic::{RefUnwindSafe, UnwindSafe};

use alloc::boxed::Box;

use crate::error::{Held, Report, SharedError};
use crate::flight::{Flight, FlightId, FlightRef};

/// The value that a flight settled with, shared by all its callers.
///
/// It dereferences to the value, and it is shown, compared, hashed and (with the feature `serde`)
/// serialized as the value is. Cloning it increases a count and does not copy the value. So `T`
/// needs no `Clone`, and cloning takes the same time for a value of any size. The value is dropped
/// with the last handle, or returned by [`try_unwrap`](Self::try_unwrap).
///
/// If the value is a `Result`, [`into_result`](Self::into_result) makes a `Result` of it that works
/// with `?`. To look at such a value by reference, use [`Result::as_ref`] and the other methods of
/// `Result` that borrow.
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
/// assert_eq!(copy, settled);
/// assert_eq!((copy.len(), *copy.key()), (4, 1));
/// assert_eq!(format!("{copy} {copy:?}"), r#"paid "paid""#);
/// assert!(std::ptr::eq(&*settled, &*copy));
/// ```
pub struct Settled<K, T> {
    flight: FlightRef<K, T>,
}

/// The success of an outcome that is a `Result`, from [`Settled::into_result`].
///
/// It dereferences to the success, and otherwise works like a [`Settled`]. Cloning it increases a
/// count. It is shown, compared, hashed and serialized as the success is.
pub struct Success<K, V, E> {
    /// Settled with `Ok`.
    of: Settled<K, Result<V, E>>,
}

impl<K, T> Settled<K, T> {
    /// Only for a flight that has settled.
    pub(crate) fn new(flight: FlightRef<K, T>) -> Self {
        Self { flight }
    }

    /// Returns the key of the flight.
    pub fn key(&self) -> &K {
        &self.flight.key
    }

    /// Returns the identity of the flight. (It is not called `id`, since a value often has an `id`
    /// of its own.)
    pub fn flight_id(&self) -> FlightId {
        self.flight.id
    }

    /// Returns the value itself if this is the last handle on the flight, and drops the key.
    ///
    /// # Errors
    ///
    /// Returns this handle if anything else still refers to the flight: another handle, a waiter or
    /// participant that was not dropped, or the group while the outcome is retained. If the last
    /// two handles are unwrapped at the same time, both calls can return their handle.
    ///
    /// After a `spawn` this can fail also if no other caller is left: the task has a handle, and on
    /// another thread it might still have it when its caller continues. So use this after `work`,
    /// `try_work` or `run`. After a `spawn`, use `T::clone`, or keep the value in an `Arc`.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// let group: Group<u32, String> = Group::new();
    /// let Begin::Primary(primary) = group.begin(1) else { unreachable!() };
    /// let settled = primary.settle("paid".to_string()).unwrap();
    /// let copy = settled.clone();
    /// let settled = settled.try_unwrap().unwrap_err();
    /// drop(copy);
    /// assert_eq!(settled.try_unwrap().unwrap(), "paid");
    /// ```
    pub fn try_unwrap(self) -> Result<T, Self> {
        let flight = match self.flight.try_unwrap() {
            Ok(flight) => flight,
            Err(flight) => return Err(Self { flight }),
        };
        let Flight { mut cell, key, .. } = flight;
        let value = cell.take();
        // Its drop is the user's. A panic of it drops the value, too.
        drop(key);
        value.ok_or_else(|| unreachable!("made for settled flights only"))
    }
}

impl<K, V, E> Settled<K, Result<V, E>> {
    /// Turns an outcome that is a `Result` into a `Result` of shared handles, for `?`.
    ///
    /// `Via` is inferred. You have to name it only if `E` is an error in two ways: see [`Report`].
    ///
    /// # Errors
    ///
    /// Returns the error of the outcome as a [`SharedError`], which is an
    /// [`Error`](core::error::Error) whose message and source are those of `E`.
    ///
    /// ```
    /// use oneflight_core::{Begin, Group};
    ///
    /// type Paid = Result<u32, std::num::ParseIntError>;
    ///
    /// fn amount(group: &Group<u32, Paid>, text: &str) -> Result<u32, Box<dyn std::error::Error>> {
    ///     let Begin::Primary(primary) = group.begin(1) else { unreachable!() };
    ///     let paid = primary.settle(text.parse())?.into_result()?;
    ///     Ok(*paid)
    /// }
    ///
    /// let group = Group::new();
    /// assert_eq!(amount(&group, "7").unwrap(), 7);
    /// let error = amount(&group, "seven").unwrap_err();
    /// assert_eq!(error.to_string(), "invalid digit found in string");
    /// ```
    pub fn into_result<Via: ?Sized>(self) -> Result<Success<K, V, E>, SharedError<E>>
    where
        K: Send + Sync + 'static,
        V: Send + Sync + 'static,
        E: Report<Via> + Send + Sync + 'static,
    {
        if self.is_ok() {
            Ok(Success { of: self })
        } else {
            Err(SharedError::new(self))
        }
    }
}

impl<K, V, E> Held<E> for Settled<K, Result<V, E>>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn error(&self) -> &E {
        match &**self {
            Err(error) => error,
            Ok(_) => unreachable!("made of an error only"),
        }
    }

    fn another(&self) -> Box<dyn Held<E>> {
        Box::new(self.clone())
    }
}

impl<K, V, E> Success<K, V, E> {
    /// Returns the key of the flight.
    pub fn key(&self) -> &K {
        self.of.key()
    }

    /// Returns the identity of the flight.
    pub fn flight_id(&self) -> FlightId {
        self.of.flight_id()
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

impl<K, V, E> Deref for Success<K, V, E> {
    type Target = V;

    fn deref(&self) -> &V {
        match &*self.of {
            Ok(value) => value,
            Err(_) => unreachable!("made of a success only"),
        }
    }
}

/// What both handles are, as the value is.
macro_rules! as_the_value {
    ($([$($P:ident),+] $Handle:ty, $Value:ident, $field:ident;)+) => { $(
        impl<$($P),+> Clone for $Handle {
            fn clone(&self) -> Self {
                Self {
                    $field: self.$field.clone(),
                }
            }
        }

        impl<$($P),+> UnwindSafe for $Handle {}
        impl<$($P),+> RefUnwindSafe for $Handle {}

        impl<$($P),+> fmt::Debug for $Handle
        where
            $Value: fmt::Debug,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<$($P),+> fmt::Display for $Handle
        where
            $Value: fmt::Display,
        {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<$($P),+> PartialEq for $Handle
        where
            $Value: PartialEq,
        {
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl<$($P),+> Eq for $Handle where $Value: Eq {}

        impl<$($P),+> Hash for $Handle
        where
            $Value: Hash,
        {
            fn hash<H: Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }

        #[cfg(feature = "serde")]
        impl<$($P),+> serde::Serialize for $Handle
        where
            $Value: serde::Serialize,
        {
            fn serialize<Z: serde::Serializer>(&self, to: Z) -> Result<Z::Ok, Z::Error> {
                (**self).serialize(to)
            }
        }
    )+ };
}

as_the_value! {
    [K, T] Settled<K, T>, T, flight;
    [K, V, E] Success<K, V, E>, V, of;
}
