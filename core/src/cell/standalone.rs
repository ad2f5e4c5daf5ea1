//! [`SettleCell`]: a cell on its own, without a key and a flight.

use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::cell::settle_cell::RawCell;
use crate::cell::slab::Place;
use crate::cell::state::Snapshot;
use crate::error::AlreadySettled;

/// A cell that is settled once, by the first caller, and read by reference from then on.
///
/// A flight has such a cell for its outcome. Any number of tasks and threads can wait for the
/// value. A task that waits holds no thread; only `wait_blocking` and `wait_deadline` block the
/// calling thread. Use the cell alone if there is one value to wait for and no key. Use
/// [`Group`](crate::Group) if callers must find each other by a key.
///
/// Unlike a `OnceLock` or an async `OnceCell`, it does not run an initialiser: it only records the
/// value. The value needs no `Clone`, because waiters get a reference.
///
/// # Examples
///
/// ```
/// use oneflight_core::SettleCell;
/// # futures_lite::future::block_on(async {
/// static READY: SettleCell<u32> = SettleCell::new();
///
/// let thread = std::thread::spawn(|| READY.settle(7).map(|_| ()));
/// assert_eq!(*READY.wait().await, 7);
/// assert!(thread.join().unwrap().is_ok());
///
/// // The first one wins; the second gets its value back.
/// assert_eq!(READY.settle(8).unwrap_err().value, 8);
/// assert_eq!(READY.get(), Some(&7));
/// # });
/// ```
#[doc(alias = "OnceCell")]
#[doc(alias = "SetOnce")]
#[doc(alias = "OnceLock")]
pub struct SettleCell<T> {
    pub(super) raw: RawCell<T, Infallible>,
}

// A panic cannot leave the cell half written: moving a value in runs none of the user's code.
impl<T> UnwindSafe for SettleCell<T> {}
impl<T> RefUnwindSafe for SettleCell<T> {}

impl<T> SettleCell<T> {
    /// Makes an empty cell. It allocates nothing; the first waiter does.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            raw: RawCell::new(None, Snapshot::open(false)),
        }
    }

    /// Makes an empty cell (not `const` under loom).
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            raw: RawCell::new(None, Snapshot::open(false)),
        }
    }

    /// Makes a cell that is settled with `value`.
    ///
    /// ```
    /// use oneflight_core::SettleCell;
    ///
    /// static ANSWER: SettleCell<u32> = SettleCell::new_with(42);
    /// assert_eq!(ANSWER.get(), Some(&42));
    /// assert!(ANSWER.settle(43).is_err());
    /// ```
    #[cfg(not(loom))]
    pub const fn new_with(value: T) -> Self {
        Self {
            raw: RawCell::new_with(value),
        }
    }

    /// Makes a cell that is settled with `value` (not `const` under loom).
    #[cfg(loom)]
    pub fn new_with(value: T) -> Self {
        let cell = Self::new();
        drop(cell.raw.record(value));
        cell
    }

    /// Records the value and wakes all waiters, unless the cell was settled before.
    ///
    /// The wakers run in this call, in batches, under no lock.
    ///
    /// # Errors
    ///
    /// If another settle was first, the error returns the value. The winner's value might not be
    /// visible to [`get`](Self::get) yet; [`wait`](Self::wait) for it.
    ///
    /// # Panics
    ///
    /// If a waker panics, the other waiters are woken first. Then the panic propagates from this
    /// call, unless this thread is unwinding already.
    #[doc(alias = "set")]
    pub fn settle(&self, value: T) -> Result<&T, AlreadySettled<T>> {
        match self.raw.record(value) {
            Ok(before) => {
                self.raw.tell(before);
                self.get().ok_or_else(|| unreachable!("just recorded"))
            }
            Err(value) => Err(AlreadySettled { value }),
        }
    }

    /// Returns the value, if the cell is settled.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.raw.get()
    }

    /// Returns the value by mutable reference, if the cell is settled.
    ///
    /// ```
    /// use oneflight_core::SettleCell;
    ///
    /// let mut cell = SettleCell::from(1);
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.get(), Some(&2));
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.raw.get_mut()
    }

    /// Returns true if the cell is settled.
    ///
    /// ```
    /// use oneflight_core::SettleCell;
    ///
    /// let cell = SettleCell::new();
    /// assert!(!cell.is_settled());
    /// cell.settle(1).unwrap();
    /// assert!(cell.is_settled());
    /// ```
    pub fn is_settled(&self) -> bool {
        self.raw.snapshot().settled()
    }

    /// Waits for the value.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any point. That loses nothing and does not affect other
    /// waiters.
    pub fn wait(&self) -> Wait<'_, T> {
        Wait::new(self)
    }

    /// Takes the value out of the cell. The cell is empty after that and can be settled again.
    ///
    /// Returns `None` if the cell is not settled. Then nothing changes.
    ///
    /// No task can be waiting at this moment, because a [`Wait`] borrows the cell. A `Wait` that
    /// was leaked (`mem::forget`) was woken by the settle, if it had parked before it.
    ///
    /// ```
    /// use oneflight_core::SettleCell;
    ///
    /// let mut cell = SettleCell::from("first");
    /// assert_eq!(cell.take(), Some("first"));
    /// assert_eq!(cell.take(), None);
    /// assert_eq!(cell.settle("second").unwrap(), &"second");
    /// ```
    pub fn take(&mut self) -> Option<T> {
        self.raw.take()
    }

    /// Returns the value, if the cell was settled.
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    pub(crate) fn poll_end(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Snapshot> {
        self.raw.poll_end(place, cx)
    }

    pub(crate) fn vacate(&self, place: &mut Place) {
        self.raw.vacate(place);
    }
}

impl<T> Default for SettleCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for SettleCell<T> {
    /// As [`SettleCell::new_with`].
    fn from(value: T) -> Self {
        Self::new_with(value)
    }
}

impl<T> fmt::Debug for SettleCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleCell")
            .field("settled", &self.is_settled())
            .finish_non_exhaustive()
    }
}

/// Waits for a [`SettleCell`] to be settled. Returned by [`SettleCell::wait`].
///
/// It is woken once, when the value is there. Polling it after that returns the value again.
///
/// # Cancel safety
///
/// It can be dropped at any point. That loses nothing and does not affect other waiters.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Wait<'a, T> {
    cell: &'a SettleCell<T>,
    place: Place,
}

impl<'a, T> Wait<'a, T> {
    fn new(cell: &'a SettleCell<T>) -> Self {
        Self {
            cell,
            place: Place::NONE,
        }
    }
}

impl<'a, T> Future for Wait<'a, T> {
    type Output = &'a T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'a T> {
        let this = &mut *self;
        match this.cell.poll_end(&mut this.place, cx) {
            Poll::Ready(_) => match this.cell.get() {
                Some(value) => Poll::Ready(value),
                None => unreachable!("a cell on its own ends only by a settle"),
            },
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        self.cell.vacate(&mut self.place);
    }
}

impl<T> UnwindSafe for Wait<'_, T> {}
impl<T> RefUnwindSafe for Wait<'_, T> {}

impl<T> fmt::Debug for Wait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("parked", &self.place.is_taken())
            .finish_non_exhaustive()
    }
}
