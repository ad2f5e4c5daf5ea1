//! [`SharedError`]: the error that an outcome holds, handed on as an error.

use alloc::boxed::Box;
use alloc::string::String;
use core::error::Error;
use core::fmt;
use core::ops::Deref;
use core::panic::{RefUnwindSafe, UnwindSafe};

/// The error of an outcome that many callers share. Returned by
/// [`Settled::into_result`](crate::Settled::into_result).
///
/// It dereferences to the error. Its messages and its [`source`](Error::source) are those of `E`,
/// so a chain of errors shows each message once. Cloning it increases a count and does not copy the
/// error. Its type does not name the key and the value of the outcome, so `#[from]
/// SharedError<BankError>` serves every group whose operations fail with a `BankError`.
///
/// # Examples
///
/// ```
/// use oneflight_core::error::SharedError;
/// use oneflight_core::{Begin, Group};
///
/// let group: Group<&str, Result<u32, String>> = Group::new();
/// let Begin::Primary(primary) = group.begin("k") else { unreachable!() };
/// let settled = primary.settle(Err("no funds".to_string())).unwrap();
/// let error: SharedError<String> = settled.into_result().unwrap_err();
/// assert_eq!((error.to_string(), error.len()), ("no funds".to_string(), 8));
/// ```
pub struct SharedError<E> {
    /// Behind a box, since not every `Arc` can become an `Arc<dyn ..>`.
    held: Box<dyn Held<E>>,
    source: for<'a> fn(&'a E) -> Option<&'a (dyn Error + 'static)>,
}

/// An outcome that is an error.
pub(crate) trait Held<E>: Send + Sync {
    fn error(&self) -> &E;

    /// Another handle on the same outcome.
    fn another(&self) -> Box<dyn Held<E>>;
}

impl<E> SharedError<E> {
    pub(crate) fn new<Via: ?Sized>(held: impl Held<E> + 'static) -> Self
    where
        E: Report<Via>,
    {
        Self {
            held: Box::new(held),
            source: E::source_of,
        }
    }
}

impl<E> Deref for SharedError<E> {
    type Target = E;

    fn deref(&self) -> &E {
        self.held.error()
    }
}

impl<E> Clone for SharedError<E> {
    fn clone(&self) -> Self {
        Self {
            held: self.held.another(),
            source: self.source,
        }
    }
}

impl<E> UnwindSafe for SharedError<E> {}
impl<E> RefUnwindSafe for SharedError<E> {}

impl<E: fmt::Debug> fmt::Debug for SharedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<E: fmt::Display> fmt::Display for SharedError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<E: PartialEq> PartialEq for SharedError<E> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<E: Eq> Eq for SharedError<E> {}

impl<E: fmt::Debug + fmt::Display> Error for SharedError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        (self.source)(self)
    }
}

/// Finds the source of an error, so that a [`SharedError`] of it has the same source.
///
/// These types implement it: every [`Error`], `String` and `&'static str` (without a source),
/// `Box<dyn Error + Send + Sync>`, and the types that are an `AsRef<dyn Error>`, as `anyhow::Error`
/// and `eyre::Report` are. An error type of your own needs no impl.
///
/// `Via` keeps these impls apart and is inferred. If two of them hold for a type (an `Error` that
/// is also an `AsRef<dyn Error>`), the call says which: `into_result::<dyn Error>()`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an error type, so `into_result` cannot return it",
    note = "match on `settled.as_ref()`, or implement `Error` for `{Self}`"
)]
pub trait Report<Via: ?Sized> {
    /// Returns the error that has caused this one.
    fn source_of(&self) -> Option<&(dyn Error + 'static)>;
}

impl<E: Error> Report<dyn Error> for E {
    fn source_of(&self) -> Option<&(dyn Error + 'static)> {
        self.source()
    }
}

impl Report<str> for String {
    fn source_of(&self) -> Option<&(dyn Error + 'static)> {
        None
    }
}

impl Report<str> for &'static str {
    fn source_of(&self) -> Option<&(dyn Error + 'static)> {
        None
    }
}

impl Report<dyn Error + Send + Sync> for Box<dyn Error + Send + Sync> {
    fn source_of(&self) -> Option<&(dyn Error + 'static)> {
        (**self).source()
    }
}

impl<E: AsRef<dyn Error>> Report<&'static dyn Error> for E {
    fn source_of(&self) -> Option<&(dyn Error + 'static)> {
        self.as_ref().source()
    }
}
