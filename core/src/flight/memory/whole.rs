//! What is behind a flight that participants drive, and who holds it.

use alloc::boxed::Box;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::Deref;
use core::pin::Pin;
use core::ptr::{NonNull, drop_in_place};
use core::task::{Context, Poll, RawWakerVTable};

use crate::cell::Slot;
use crate::flight::memory::lay::{Fresh, Lay, OPEN};
use crate::flight::memory::waker::vtable;
use crate::flight::memory::{Memory, behind};
use crate::flight::operation::{Driving, Policy};
use crate::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use crate::sync::{Mutex, UnsafeCell, overflow};

/// What a flight that participants drive has behind it.
#[repr(C)]
pub(super) struct Whole<T, F> {
    head: Head<T>,
    pub(super) operation: UnsafeCell<MaybeUninit<F>>,
}

/// The part of a [`Whole`] that does not depend on the type of the operation.
#[repr(C)]
pub(super) struct Head<T> {
    pub(super) kind: NonNull<Kind<T>>,
    holds: AtomicU32,
    /// A [`Lay`], until it is open.
    lay: AtomicU8,
    policy: Policy,
    /// The first place for a waker.
    first: UnsafeCell<Slot>,
    driving: Mutex<Driving>,
}

/// What depends on the type of the operation, and on the allocation in which it is. The argument of
/// each is a head of this kind.
pub(super) struct Kind<T> {
    pub(super) poll: unsafe fn(NonNull<Head<T>>, &mut Context<'_>) -> Poll<T>,
    pub(super) drop: unsafe fn(NonNull<Head<T>>),
    free: unsafe fn(NonNull<Head<T>>),
    /// The wakers have it from here, so that two of one operation wake the same for `will_wake`: a
    /// constant has an address of its own in each part of a program that is compiled apart.
    pub(super) waker: RawWakerVTable,
}

/// Stands for an operation where each participant has its own.
pub(super) type Never<T> = core::future::Pending<T>;

/// Whether an operation can be in its flight's memory, which the last `Settled` or waker frees.
pub(crate) const fn fits<F>() -> bool {
    size_of::<F>() <= LARGEST && align_of::<F>() <= align_of::<usize>()
}

/// With one of this size, a flight has 128 bytes besides its key and its value.
pub(super) const LARGEST: usize = 16;

impl<T, F: Future<Output = T>> Whole<T, F> {
    /// Writes one, whose place is empty, into memory that is valid for it.
    #[inline(always)]
    pub(super) fn writer(
        kind: NonNull<Kind<T>>,
        holds: u32,
        policy: Policy,
        turn: bool,
    ) -> impl FnOnce(*mut Self) {
        // Without a turn it has to be woken, and that does not go by the short way.
        let lay = if turn { Lay::Making as u8 } else { OPEN };
        move |at| {
            // SAFETY: each field is written, once.
            unsafe {
                let head = &raw mut (*at).head;
                (&raw mut (*head).kind).write(kind);
                (&raw mut (*head).holds).write(AtomicU32::new(holds));
                (&raw mut (*head).lay).write(AtomicU8::new(lay));
                (&raw mut (*head).policy).write(policy);
                (&raw mut (*head).first).write(UnsafeCell::new(Slot::FREE));
                (&raw mut (*head).driving).write(Mutex::new(Driving::new(policy, turn)));
                // Empty. It is written because a model checker's cell is more than its value.
                let empty = UnsafeCell::new(MaybeUninit::uninit());
                (&raw mut (*at).operation).write(empty);
            }
        }
    }

    /// In an allocation of its own.
    fn alone(kind: NonNull<Kind<T>>, holds: u32, policy: Policy, turn: bool) -> NonNull<Head<T>> {
        let mut memory = Box::<Self>::new_uninit();
        Self::writer(kind, holds, policy, turn)(memory.as_mut_ptr());
        NonNull::from(Box::leak(memory)).cast()
    }
}

impl<T> Kind<T> {
    pub(super) fn behind_a_flight<K, F: Future<Output = T>>() -> NonNull<Self> {
        NonNull::from(
            const {
                &Self {
                    poll: poll::<T, F>,
                    drop: drop_operation::<T, F>,
                    free: free_behind::<K, T, F>,
                    waker: vtable::<T>(),
                }
            },
        )
    }

    fn alone<F: Future<Output = T>>() -> NonNull<Self> {
        NonNull::from(
            const {
                &Self {
                    poll: poll::<T, F>,
                    drop: drop_operation::<T, F>,
                    free: free_alone::<T, F>,
                    waker: vtable::<T>(),
                }
            },
        )
    }
}

/// # Safety
///
/// The place holds a future of this type, which the caller owns.
unsafe fn poll<T, F: Future<Output = T>>(head: NonNull<Head<T>>, cx: &mut Context<'_>) -> Poll<T> {
    let whole = head.cast::<Whole<T, F>>();
    // SAFETY: the head is that of a `Whole`, of which only this field is borrowed.
    let operation = unsafe { &(*whole.as_ptr()).operation };
    operation.with_mut(|place| {
        // SAFETY:
        // - Initialised, and exclusive: the caller owns it (invariant 3).
        // - Pinned: it is not moved before it is dropped, in `drop_operation`.
        unsafe { Pin::new_unchecked((*place).assume_init_mut()) }.poll(cx)
    })
}

/// # Safety
///
/// As for `poll`, and the place is empty from here on.
unsafe fn drop_operation<T, F>(head: NonNull<Head<T>>) {
    let whole = head.cast::<Whole<T, F>>();
    // SAFETY: as in `poll`.
    let operation = unsafe { &(*whole.as_ptr()).operation };
    // SAFETY: initialised, exclusive, and dropped once: the caller owns it and gives it up.
    operation.with_mut(|place| unsafe { (*place).assume_init_drop() });
}

/// # Safety
///
/// Nobody holds the memory any more: the flight is dropped, and the place is empty.
unsafe fn free_behind<K, T, F>(head: NonNull<Head<T>>) {
    // SAFETY: it is behind a flight, so this is where `allocate` has put the allocation.
    unsafe {
        let whole = head.cast::<Whole<T, F>>().as_ptr();
        // An access of the place that is not ordered before this is a fault. With this a model
        // checker finds it.
        (*whole).operation.with_mut(|_| ());
        drop_in_place(&raw mut (*whole).head);
        let memory = head.cast::<u8>().sub(behind::<K, T>());
        let memory = memory.cast::<MaybeUninit<Memory<K, T, Whole<T, F>>>>();
        drop(Box::from_raw(memory.as_ptr()));
    }
}

/// # Safety
///
/// As for `free_behind`.
unsafe fn free_alone<T, F>(head: NonNull<Head<T>>) {
    // SAFETY: it is the start of an allocation of this type. Its place is empty.
    let whole = unsafe { Box::from_raw(head.cast::<Whole<T, F>>().as_ptr()) };
    // As in `free_behind`.
    whole.operation.with_mut(|_| ());
}

/// Holds the memory of a [`Whole`], and leads to who drives.
pub(crate) struct Shared<T>(pub(super) NonNull<Head<T>>);

/// A [`Shared`] that is not counted.
pub(crate) struct Behind<'a, T>(
    pub(super) ManuallyDrop<Shared<T>>,
    pub(super) PhantomData<&'a ()>,
);

impl<T> Deref for Behind<'_, T> {
    type Target = Shared<T>;

    #[inline(always)]
    fn deref(&self) -> &Shared<T> {
        &self.0
    }
}

/// What it leads to is `Send` and `Sync`, whatever `T` is.
const _: fn() = || {
    fn is_send_and_sync<R: Send + Sync>() {}
    is_send_and_sync::<Mutex<Driving>>();
    is_send_and_sync::<Slot>();
};

// SAFETY: it leads by shared reference to a `Head`, which the last one drops, on any thread.
// - `kind` and `policy` are not written after they are made. `holds` and `lay` are atomic.
// - `driving` is under a lock, and `first` is used by one caller at a time (invariant 5). For both
//   see the check above.
// - The operation is not reached through it, but through the one `Operation` (invariant 3). `Fresh`
//   takes only one that is `Send`.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// With an allocation of its own, for an operation that is not behind its flight.
    pub(crate) fn alone<F>(turn: bool) -> (Self, Fresh<T, F>)
    where
        F: Future<Output = T>,
    {
        let kind = Kind::alone::<F>();
        let head = Whole::<T, F>::alone(kind, 2, Policy::Continue, turn);
        // SAFETY: made just now, with an empty place.
        (Self(head), unsafe { Fresh::new(Self(head)) })
    }

    /// The same, where each participant has an operation of its own.
    pub(crate) fn alone_with_right(turn: bool) -> Self {
        let kind = Kind::alone::<Never<T>>();
        Self(Whole::<T, Never<T>>::alone(kind, 1, Policy::Rerun, turn))
    }

    pub(super) fn holds(&self) -> &AtomicU32 {
        // SAFETY: alive, since this holds it.
        unsafe { &(*self.0.as_ptr()).holds }
    }

    #[inline(always)]
    pub(in crate::flight) fn driving(&self) -> &Mutex<Driving> {
        // SAFETY: as above.
        unsafe { &(*self.0.as_ptr()).driving }
    }

    #[inline(always)]
    pub(super) fn first(&self) -> &UnsafeCell<Slot> {
        // SAFETY: as above.
        unsafe { &(*self.0.as_ptr()).first }
    }

    #[inline(always)]
    pub(crate) fn policy(&self) -> Policy {
        // SAFETY: as above.
        unsafe { (*self.0.as_ptr()).policy }
    }

    #[inline(always)]
    pub(super) fn lay_of(&self) -> &AtomicU8 {
        // SAFETY: as above.
        unsafe { &(*self.0.as_ptr()).lay }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        if self.holds().fetch_add(1, Ordering::Relaxed) > u32::MAX / 2 {
            overflow();
        }
        Self(self.0)
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        // If this is the only one, nobody can make another. So nothing has to be taken off, and
        // what the others have done is acquired as below.
        if self.holds().load(Ordering::Acquire) == 1
            || self.holds().fetch_sub(1, Ordering::AcqRel) == 1
        {
            // SAFETY: the kind is that of this head, and this was the last one that holds it. The
            // flight is dropped, since it holds one until then. An operation holds one, so the
            // place is empty.
            unsafe { ((*self.0.as_ptr()).kind.as_ref().free)(self.0) };
        }
    }
}
