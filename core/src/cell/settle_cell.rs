//! [`SettleCell`]: a value that is recorded once, and read by reference from then on.
//!
//! The only file of the product with `unsafe`. It argues three things, each a consequence of
//! `state`: the value slot is written under a claim that exactly one caller gets, it is read only
//! after publication, and the waiting room is made once and lives as long as the cell. A fourth is
//! about [`arc`] alone: it writes into its allocation before that is used as a value.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::mem::MaybeUninit;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::cell::slab::Place;
use crate::cell::state::{Join, Snapshot, State};
use crate::cell::waiting_room::{self, WaitingRoom};
use crate::error::{AlreadySettled, Cause};
use crate::sync::atomic::{AtomicPtr, Ordering};
use crate::sync::{Arc, UnsafeCell};

/// A cell that is settled once, by the first caller, and read by reference from then on.
///
/// It is the part of a flight that waits: any number of tasks and threads wait for the value, none
/// of them holds a thread for it (a thread that calls [`wait_blocking`](Self::wait_blocking) parks
/// itself and says so), and each is woken on its own. Use it alone where there is one thing to wait
/// for and no key; use [`Group`](crate::Group) where callers must find each other.
///
/// Unlike a `OnceLock` or an async `OnceCell` it does not run an initialiser and has no notion of
/// who should: it only records. The value needs no `Clone`; waiters get a reference.
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
    pub(super) state: State,
    /// Null until somebody waits; then a `Box<WaitingRoom>` that lives as long as the cell.
    room: AtomicPtr<WaitingRoom>,
    /// Initialised exactly while the state is settled.
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY:
// - `T: Sync`: after publication any number of threads read the value by reference at once.
// - `T: Send`: `settle(&self, T)` moves a value in from any thread that shares the cell.
// - The slot itself: written only under a claim (one caller, before publication), read only after
//   publication; `State` orders the two (release on publish, acquire on load).
// - The waiting room is shared and moved with the cell: the check below.
unsafe impl<T: Send + Sync> Sync for SettleCell<T> {}

/// What the pointer to the room promises by itself, whatever it points to.
const _: fn() = || {
    fn is_send_and_sync<R: Send + Sync>() {}
    is_send_and_sync::<WaitingRoom>();
};

// A panic cannot leave the cell half written: moving a value in runs none of the user's code.
impl<T> UnwindSafe for SettleCell<T> {}
impl<T> RefUnwindSafe for SettleCell<T> {}

impl<T> SettleCell<T> {
    /// An empty cell. Allocates nothing; the first waiter does.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            state: State::new(),
            room: AtomicPtr::new(core::ptr::null_mut()),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// An empty cell (not `const` under loom).
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            state: State::new(),
            room: AtomicPtr::new(core::ptr::null_mut()),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Records the value and wakes everyone who waits, unless it was settled before.
    ///
    /// The wakers run in this call, in batches, under no lock. If one of them panics, the others
    /// are woken all the same and the panic goes on afterwards (unless this thread is unwinding
    /// already: then it ends here).
    ///
    /// # Errors
    ///
    /// The value comes back if another settle was first. It may be a moment until the winner's
    /// value is visible to [`get`](Self::get); [`wait`](Self::wait) for it.
    #[doc(alias = "set")]
    pub fn settle(&self, value: T) -> Result<&T, AlreadySettled<T>> {
        match self.record(value) {
            Ok(before) => {
                self.tell(before);
                self.get().ok_or_else(|| unreachable!("just recorded"))
            }
            Err(value) => Err(AlreadySettled { value }),
        }
    }

    /// The value, if it is settled.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.state.load().settled().then(|| {
            self.value.with(|slot| {
                // SAFETY:
                // - Initialised: the state says settled, which is published after the write and
                //   never taken back.
                // - Not aliased by a writer: a claim is given once, and it has been used.
                // - Lives long enough: the reference borrows `self`, and the slot is inside it.
                unsafe { (*slot).assume_init_ref() }
            })
        })
    }

    /// Waits for the value.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, at any point, loses nothing and is noticed by nobody.
    #[doc(alias = "join")]
    pub fn wait(&self) -> Wait<'_, T> {
        Wait::new(self)
    }

    /// The value, if it was settled.
    pub fn into_inner(self) -> Option<T> {
        let this = core::mem::ManuallyDrop::new(self);
        this.free_room();
        this.state.load().settled().then(|| {
            this.value.with(|slot| {
                // SAFETY:
                // - Initialised: the state says settled.
                // - Read once: `self` is consumed, and `ManuallyDrop` keeps its destructor from
                //   dropping the value too.
                unsafe { (*slot).assume_init_read() }
            })
        })
    }

    /// Claims, writes and publishes. Wakes nobody: the caller does, with the state this returns.
    pub(crate) fn record(&self, value: T) -> Result<Snapshot, T> {
        if !self.state.claim() {
            return Err(value);
        }
        self.value.with_mut(|slot| {
            // SAFETY:
            // - Exclusive: `claim` is true for one caller only, and nobody reads before
            //   publication.
            // - The slot holds nothing yet, so overwriting it drops nothing.
            unsafe { (*slot).write(value) };
        });
        Ok(self.state.publish())
    }

    /// Ends the cell without a value. Wakes nobody. Returns `None` if another end was first.
    pub(crate) fn abort(&self, cause: Cause) -> Option<Snapshot> {
        self.state.abort(cause)
    }

    /// Wakes everybody who waits. `before` is the state that the end returned.
    pub(crate) fn tell(&self, before: Snapshot) {
        // Nobody has registered, so nobody is told; a notify would allocate for nothing.
        if before.has_registered() {
            self.tell_room();
        }
    }

    #[inline(never)]
    fn tell_room(&self) {
        self.room().tell(&self.state);
    }

    /// Marks that everybody who waited has been told, so that no waker is left here.
    pub(crate) fn set_told(&self) {
        self.state.set_told();
    }

    pub(crate) fn set_unbegun(&self) {
        self.state.set_unbegun();
    }

    pub(crate) fn begin(&self) -> bool {
        self.state.begin()
    }

    pub(crate) fn set_gone(&self) {
        self.state.set_gone();
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.state.load()
    }

    pub(crate) fn join(&self, most: usize) -> Join {
        self.state.join(most)
    }

    pub(crate) fn leave(&self) -> bool {
        self.state.leave()
    }

    /// Ready with the state once the cell has ended. Until then the task is parked in `place`.
    #[inline]
    pub(crate) fn poll_end(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Snapshot> {
        let mut state = self.state.load();
        if !state.ended() {
            state = self.room().park(&self.state, place, cx.waker());
            if !state.ended() {
                return Poll::Pending;
            }
        }
        Poll::Ready(state)
    }

    /// Gives the place back, so that no waker of it is kept.
    pub(crate) fn vacate(&self, place: &mut Place) {
        if place.is_taken() && !self.state.load().is_told() {
            self.room().vacate(place);
        }
        *place = Place::NONE;
    }

    /// The waiting room, made at the first call.
    pub(super) fn room(&self) -> &WaitingRoom {
        let mut room = self.room.load(Ordering::Acquire);
        if room.is_null() {
            room = self.make_room();
        }
        // SAFETY:
        // - Not null, and made by `Box::into_raw` in `make_room`, released by that exchange and
        //   acquired here.
        // - Alive: freed only by `free_room`, which needs the cell to be dropped or consumed; the
        //   reference borrows `self`.
        // - Never exclusive: every access is by shared reference.
        unsafe { &*room }
    }

    fn make_room(&self) -> *mut WaitingRoom {
        let fresh = Box::into_raw(waiting_room::take());
        let null = core::ptr::null_mut();
        match self
            .room
            .compare_exchange(null, fresh, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: `fresh` is from `Box::into_raw` above and lost the race: nobody else has
                // seen it.
                waiting_room::put(unsafe { Box::from_raw(fresh) });
                other
            }
        }
    }

    /// Frees the waiting room. Called once, when the cell is dropped or consumed.
    fn free_room(&self) {
        let room = self.room.load(Ordering::Acquire);
        if !room.is_null() {
            // SAFETY:
            // - From `Box::into_raw` in `make_room`, and freed once: both callers have the cell to
            //   themselves and do not use it again.
            // - No reference is left: each borrows the cell.
            waiting_room::put(unsafe { Box::from_raw(room) });
        }
    }
}

impl<T> Drop for SettleCell<T> {
    fn drop(&mut self) {
        self.free_room();
        if self.state.load().settled() {
            self.value.with_mut(|slot| {
                // SAFETY:
                // - Initialised: the state says settled.
                // - Dropped once: the cell is being dropped, and `into_inner` does not come here.
                unsafe { (*slot).assume_init_drop() };
            });
        }
    }
}

impl<T> Default for SettleCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for SettleCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleCell")
            .field("settled", &self.state.load().settled())
            .finish_non_exhaustive()
    }
}

/// Waits for a [`SettleCell`] to be settled. From [`SettleCell::wait`].
///
/// Not polled again until the value is there. Polling it after that is ready again.
///
/// # Cancel safety
///
/// Dropping it, at any point, loses nothing: its waker is taken back, and nobody else notices.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Wait<'a, T> {
    cell: &'a SettleCell<T>,
    place: Place,
}

impl<'a, T> Wait<'a, T> {
    pub(crate) fn new(cell: &'a SettleCell<T>) -> Self {
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

/// `Arc::new` without its copy: the memory is allocated before the value is made, so that the
/// value is made in it. (`Arc::new` builds it on the stack, where it must stay whole: if the
/// allocation unwinds, it is dropped there.)
#[cfg(not(any(loom, shuttle, feature = "portable-atomic")))]
#[inline(always)]
pub(crate) fn arc<T>(make: impl FnOnce() -> T) -> Arc<T> {
    let place = Arc::<T>::new_uninit();
    let slot = Arc::as_ptr(&place).cast_mut();
    // SAFETY:
    // - Valid: it points into the allocation, which `place` keeps alive.
    // - Exclusive: nobody else has seen `place`, and it is not used until the write is over.
    // - If `make` panics, `place` is dropped as uninitialised memory.
    unsafe { (*slot).write(make()) };
    // SAFETY: written above.
    unsafe { place.assume_init() }
}

#[cfg(any(loom, shuttle, feature = "portable-atomic"))]
pub(crate) fn arc<T>(make: impl FnOnce() -> T) -> Arc<T> {
    Arc::new(make())
}
