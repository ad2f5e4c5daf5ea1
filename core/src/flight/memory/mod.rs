//! The memory of a flight: one allocation, who owns which part of it, and how long it lives.
//!
//! ```text
//!  `FlightRef`s: callers, outcomes, the registry   `Shared`s: the operation, its wakers
//!      |                                                |
//!      v                                                v
//! +---------+--------------------------+------+-------+-----+-------+---------+-----------+
//! | handles | flight: state, room, ... | kind | holds | lay | first | driving | operation |
//! +---------+--------------------------+------+-------+-----+-------+---------+-----------+
//! |<---------- every flight ---------->|<--------------- `Head` ------------->|
//!                                      |<------- `Whole`, if participants drive -------->|
//! ```
//!
//! A flight that participants drive (of `work`, `try_work`) has a [`Whole`] behind it: who drives
//! (`operation`), and the operation. In a group that retains, the `Whole` has an allocation of its
//! own and is attached to the flight, because a retained flight gives it back (`cell/state`).
//!
//! A flight of `spawn` has its owner's place there (`owner`), if its group retains nothing.
//!
//! # Invariants
//! 1. `handles` counts the [`FlightRef`]s. The last one drops the flight, and so key and value.
//! 2. `holds` counts what keeps the memory of a `Whole`: the [`Shared`]s, of which the flight is
//!    one as long as it has a handle, and one in each [`Fresh`], [`Operation`] and waker. The last
//!    one frees the memory. So a waker that is kept keeps memory, and neither key nor value.
//! 3. The operation's place is empty, or holds a pinned future that is owned by exactly one
//!    [`Operation`]. `Whole`s are made with an empty place and with the one [`Fresh`] that can fill
//!    it; filling it turns that into the one `Operation`. Both can be moved and not be copied. The
//!    drop of the `Operation` drops the future where it is.
//! 4. What is behind a flight is told by its state, from its creation on.
//! 5. The first place for a waker is used by one caller at a time: by who is under the lock, once
//!    the [`Lay`] is open and does not say that it is away. Before that, by the driver that has
//!    picked up the operation, while it is `Polled`; and by the one who has made it `Waking`. What
//!    opens in one of these two says that it is away. The driver is done with it when it puts the
//!    operation back, since it parks alone only with that. When a wake is done is not known, so
//!    there it stays away. Nobody uses it after the end.
//!
//! No other file has to keep any of this: an `Operation` may be kept, moved, or dropped anywhere.
//! Beside `cell/settle_cell` this folder is the only place of the product with `unsafe`.
//!
//! | file | its job |
//! |---|---|
//! | `mod` | the allocation; the handles of a flight |
//! | `whole` | what is behind a flight, and who holds it |
//! | `lay` | where the operation is, and who owns it |
//! | `seat` | the handles of a caller that waits |
//! | `owner` | where the call that began a `spawn` is parked |
//! | `settler` | by whom an outcome is recorded |
//! | `waker` | the wakers of an operation |

mod lay;
mod owner;
mod seat;
mod settler;
#[cfg(all(test, feature = "std"))]
mod tests;
mod waker;
mod whole;

use alloc::boxed::Box;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit, offset_of};
use core::ops::Deref;
use core::ptr::{NonNull, drop_in_place};

use crate::cell::Snapshot;
use crate::flight::Flight;
use crate::flight::operation::Policy;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::overflow;
use crate::unwind::{OnDrop, discard};
use whole::{Behind, Head, Kind, Never, Whole};

pub(super) use lay::{At, Lay};
pub(crate) use lay::{Fresh, Operation, Polled};
pub(crate) use seat::{Seat, Two};
pub(crate) use settler::{Driver, Records, Settler};
pub(crate) use waker::OwnWaker;
pub(crate) use whole::{Shared, fits};

/// A flight, and what is behind it.
#[repr(C)]
struct Memory<K, T, X> {
    handles: AtomicUsize,
    flight: Flight<K, T>,
    behind: X,
}

/// The handles of a new flight: of its settler, and for the registry.
pub(crate) type Pair<K, T> = (Settler<K, T>, FlightRef<K, T>);

/// What a flight has behind it.
#[derive(PartialEq, Eq)]
enum Extra {
    Nothing,
    Whole,
    OwnerPlace,
}

impl Extra {
    /// Told by any state of the flight (invariant 4).
    #[inline(always)]
    fn of(state: Snapshot) -> Self {
        if state.is_driven() {
            Extra::Whole
        } else if state.has_owner_place() {
            Extra::OwnerPlace
        } else {
            Extra::Nothing
        }
    }
}

/// The memory of a new flight, and its handles.
type Allocated<K, T, X> = (NonNull<Memory<K, T, X>>, Pair<K, T>);

/// From a flight's memory to what is behind it. An operation is not aligned to more than its head,
/// so this is the same for every operation.
const fn behind<K, T>() -> usize {
    offset_of!(Memory<K, T, Head<T>>, behind)
}

/// A handle of a flight.
pub(crate) struct FlightRef<K, T> {
    memory: NonNull<Memory<K, T, ()>>,
    _owns: PhantomData<Flight<K, T>>,
}

// SAFETY: a handle leads to its flight by shared reference, and the last one drops it, on any
// thread. So it needs what `Arc` needs. What is behind a flight is `Send` and `Sync` in any case.
unsafe impl<K: Send + Sync, T: Send + Sync> Send for FlightRef<K, T> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, T: Send + Sync> Sync for FlightRef<K, T> {}

impl<K, T> Unpin for FlightRef<K, T> {}

impl<K, T> FlightRef<K, T> {
    /// Two handles of a new flight, which no participant drives: its count is made, not added. One
    /// is that of its settler.
    #[inline(always)]
    pub(crate) fn pair(make: impl FnOnce() -> Flight<K, T>) -> Pair<K, T> {
        Self::allocate::<()>(make, |_| (), Extra::Nothing, 2).1
    }

    /// The same, for a flight whose participants each have an operation of their own.
    #[inline(always)]
    pub(crate) fn pair_with_right(make: impl FnOnce() -> Flight<K, T>, turn: bool) -> Pair<K, T> {
        let kind = Kind::behind_a_flight::<K, Never<T>>();
        let whole = Whole::<T, Never<T>>::writer(kind, 1, Policy::Rerun, turn);
        Self::allocate(make, whole, Extra::Whole, 2).1
    }

    /// The same, for a flight whose operation is driven by any participant.
    #[inline(always)]
    pub(crate) fn pair_with_operation<F>(
        make: impl FnOnce() -> Flight<K, T>,
        turn: bool,
    ) -> (Pair<K, T>, Fresh<T, F>)
    where
        F: Future<Output = T>,
    {
        assert!(fits::<F>(), "it has to be boxed");
        // One for the flight, one for what puts the operation in.
        let kind = Kind::behind_a_flight::<K, F>();
        let whole = Whole::<T, F>::writer(kind, 2, Policy::Continue, turn);
        let (memory, pair) = Self::allocate(make, whole, Extra::Whole, 2);
        // SAFETY: in bounds of the allocation, and counted above.
        let head = unsafe { Shared(memory.cast::<u8>().add(behind::<K, T>()).cast()) };
        // SAFETY: it was written just now, with an empty place.
        (pair, unsafe { Fresh::new(head) })
    }

    /// The value is made where it stays: made on the stack, it would have to be whole there when
    /// the allocation can unwind, and be copied.
    /// So many `handles` are counted: those that are returned, and others that the caller makes.
    #[inline(always)]
    fn allocate<X>(
        make: impl FnOnce() -> Flight<K, T>,
        write: impl FnOnce(*mut X),
        extra: Extra,
        handles: usize,
    ) -> Allocated<K, T, X> {
        let mut memory = Box::<Memory<K, T, X>>::new_uninit();
        let at = memory.as_mut_ptr();
        // SAFETY: each field is written, once, into memory that is valid and owned. If a closure
        // panics, the memory is freed as it is, uninitialised.
        unsafe {
            (&raw mut (*at).handles).write(AtomicUsize::new(handles));
            (&raw mut (*at).flight).write(make());
            write(&raw mut (*at).behind);
            // Invariant 4.
            assert!(Extra::of((*at).flight.cell.snapshot()) == extra);
        }
        // SAFETY: not null.
        let memory = unsafe { NonNull::new_unchecked(Box::into_raw(memory).cast()) };
        let handle = || Self {
            memory: memory.cast(),
            _owns: PhantomData,
        };
        // SAFETY: of a new flight, and the only one.
        let settler = unsafe { Settler::new(handle()) };
        (memory, (settler, handle()))
    }

    /// What is behind the flight, if participants drive it. It is not counted: the flight holds it
    /// as long as it has a handle.
    #[inline(always)]
    pub(super) fn behind(&self) -> Option<Behind<'_, T>> {
        let shared = ManuallyDrop::new(Shared(self.head()?));
        Some(Behind(shared, PhantomData))
    }

    #[inline(always)]
    fn head(&self) -> Option<NonNull<Head<T>>> {
        let driven = self.cell.snapshot().is_driven();
        // SAFETY: it is driven (invariant 4).
        driven.then(|| unsafe { Self::head_in(self.memory) })
    }

    /// # Safety
    ///
    /// There is a `Whole` behind the flight.
    #[inline(always)]
    unsafe fn head_in(memory: NonNull<Memory<K, T, ()>>) -> NonNull<Head<T>> {
        // SAFETY: in bounds of the allocation.
        unsafe { memory.cast::<u8>().add(behind::<K, T>()).cast() }
    }

    /// Whether both are handles of one flight.
    #[inline(always)]
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        self.memory == other.memory
    }

    /// Returns the flight, if this is its last handle.
    pub(super) fn try_unwrap(self) -> Result<Flight<K, T>, Self> {
        let last = self
            .handles()
            .compare_exchange(1, 0, Ordering::AcqRel, Ordering::Relaxed);
        if last.is_err() {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        let state = this.cell.snapshot();
        // SAFETY: this was the last handle, so nobody else uses the flight, and it is moved once.
        let flight = unsafe { (&raw const (*this.memory.as_ptr()).flight).read() };
        // SAFETY: it has been moved out.
        unsafe { Self::free(this.memory, state) };
        Ok(flight)
    }

    /// # Safety
    ///
    /// This was the last handle, and is not used after this.
    #[inline(never)]
    unsafe fn drop_flight(&mut self) {
        let (memory, state) = (self.memory, self.cell.snapshot());
        // Also if the drop of the key or of the value panics.
        // SAFETY: the flight has been dropped then.
        let _freed = OnDrop(|| unsafe { Self::free(memory, state) });
        // Their panic must not meet one that is under way.
        // SAFETY: this was the last handle, so nobody else uses the flight, and it is dropped once.
        discard(OnDrop(|| unsafe {
            drop_in_place(&raw mut (*memory.as_ptr()).flight)
        }));
    }

    /// Frees the memory of a flight that has been dropped or moved out.
    ///
    /// # Safety
    ///
    /// There is no handle any more. `state` is the last one of the flight. It is freed once.
    #[inline(always)]
    unsafe fn free(memory: NonNull<Memory<K, T, ()>>, state: Snapshot) {
        match Extra::of(state) {
            // SAFETY: allocated as this by `pair`, and nobody uses it any more.
            Extra::Nothing => drop(unsafe {
                Box::from_raw(memory.as_ptr().cast::<MaybeUninit<Memory<K, T, ()>>>())
            }),
            // SAFETY: the state says so. This is the hold of the flight.
            Extra::Whole => drop(unsafe { Shared(Self::head_in(memory)) }),
            // SAFETY: the state says so, and the rest is the caller's contract.
            Extra::OwnerPlace => unsafe { Self::free_with_owner_place(memory, state) },
        }
    }

    /// Counts some more handles. Returns one of them; the others are the caller's to account for.
    #[inline(always)]
    fn count_more(&self, more: usize) -> Self {
        if self.handles().fetch_add(more, Ordering::Relaxed) > usize::MAX / 2 {
            overflow();
        }
        // SAFETY: counted.
        unsafe { self.another() }
    }

    /// Another handle, which is not counted here.
    ///
    /// # Safety
    ///
    /// It has been counted.
    #[inline(always)]
    unsafe fn another(&self) -> Self {
        Self {
            memory: self.memory,
            _owns: PhantomData,
        }
    }

    /// # Safety
    ///
    /// It is one of so many handles, which are all given back here.
    #[inline(always)]
    unsafe fn give_back(&mut self, count: usize) {
        // Releases what these handles have done, and the last one acquires it from all of them. If
        // there are no others, nobody can make another, so nothing has to be taken off.
        let handles = self.handles();
        if handles.load(Ordering::Acquire) == count
            || handles.fetch_sub(count, Ordering::AcqRel) == count
        {
            // SAFETY: these were the last ones, and the caller gives them up.
            unsafe { self.drop_flight() };
        }
    }

    /// Drops another handle of the same flight. If there is no third one, nobody else can make one,
    /// so nothing has to be taken off.
    #[inline(always)]
    fn take_in(&mut self, other: Self) {
        if self.ptr_eq(&other) && self.handles().load(Ordering::Acquire) == 2 {
            let other = ManuallyDrop::new(other);
            other.handles().store(1, Ordering::Release);
        }
    }

    #[inline(always)]
    fn handles(&self) -> &AtomicUsize {
        // SAFETY: as in `deref`.
        unsafe { &(*self.memory.as_ptr()).handles }
    }
}

impl<K, T> Deref for FlightRef<K, T> {
    type Target = Flight<K, T>;

    #[inline(always)]
    fn deref(&self) -> &Flight<K, T> {
        // SAFETY: initialised by `allocate`, and alive as long as there is a handle.
        unsafe { &(*self.memory.as_ptr()).flight }
    }
}

impl<K, T> Clone for FlightRef<K, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        self.count_more(1)
    }
}

impl<K, T> Drop for FlightRef<K, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: it is gone after this.
        unsafe { self.give_back(1) };
    }
}
