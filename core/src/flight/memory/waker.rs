//! The wakers of an operation. Each one that is counted holds the memory.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::ptr::NonNull;
use core::task::{RawWaker, RawWakerVTable, Waker};

use crate::flight::memory::whole::{Head, Shared};

/// The waker of an operation, which is not counted.
pub(crate) struct OwnWaker<'a>(ManuallyDrop<Waker>, PhantomData<&'a ()>);

impl OwnWaker<'_> {
    /// # Safety
    ///
    /// The memory is held for as long as this lives.
    pub(super) unsafe fn new<T: 'static>(head: NonNull<Head<T>>) -> Self {
        // SAFETY: the contract of `RawWaker` is kept by the functions below. It is not counted, and
        // it is never dropped.
        let waker = unsafe { Waker::from_raw(raw_waker(head)) };
        Self(ManuallyDrop::new(waker), PhantomData)
    }
}

impl Deref for OwnWaker<'_> {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.0
    }
}

/// Each clone of it holds the memory. The argument of each function is a head of this kind.
pub(super) const fn vtable<T>() -> RawWakerVTable {
    RawWakerVTable::new(
        clone_waker::<T>,
        wake::<T>,
        wake_by_ref::<T>,
        drop_waker::<T>,
    )
}

/// # Safety
///
/// The memory is held by what the waker borrows or owns.
unsafe fn raw_waker<T>(head: NonNull<Head<T>>) -> RawWaker {
    // SAFETY: held. The kind is a constant, and it is never written again.
    let vtable: &'static RawWakerVTable = unsafe { &(*(*head.as_ptr()).kind.as_ptr()).waker };
    RawWaker::new(head.as_ptr().cast_const().cast(), vtable)
}

/// # Safety
///
/// `head` is what `raw_waker` was given, and it is held by what the waker borrows or owns.
unsafe fn shared<T>(head: *const ()) -> ManuallyDrop<Shared<T>> {
    // SAFETY: not null, since it was made from what is not.
    ManuallyDrop::new(Shared(unsafe {
        NonNull::new_unchecked(head.cast_mut().cast())
    }))
}

unsafe fn clone_waker<T>(head: *const ()) -> RawWaker {
    // SAFETY: of a waker that lives.
    let held = unsafe { shared::<T>(head) };
    // SAFETY: the clone of it stays in the new waker.
    unsafe { raw_waker(ManuallyDrop::new(Shared::clone(&held)).0) }
}

unsafe fn wake<T>(head: *const ()) {
    // SAFETY: of a waker that is used up here.
    let held = ManuallyDrop::into_inner(unsafe { shared::<T>(head) });
    held.wakes();
}

unsafe fn wake_by_ref<T>(head: *const ()) {
    // SAFETY: of a waker that lives.
    unsafe { shared::<T>(head) }.wakes();
}

unsafe fn drop_waker<T>(head: *const ()) {
    // SAFETY: of a waker that is dropped here.
    drop(ManuallyDrop::into_inner(unsafe { shared::<T>(head) }));
}
