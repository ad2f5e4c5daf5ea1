//! Where the operation of a flight is, and who owns it.

use core::future::Future;
use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};

use crate::cell::Slot;
use crate::flight::FlightRef;
use crate::flight::memory::waker::OwnWaker;
use crate::flight::memory::whole::{Head, Shared, Whole};
use crate::flight::operation::{Driving, Policy};
use crate::sync::atomic::Ordering;
use crate::unwind::{OnDrop, discard};

/// Where the operation is, as long as nobody has [opened](Shared::open). Who may leave which of
/// these, and how, stands in `operation`.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::flight) enum Lay {
    Making,
    Made,
    Polled,
    /// The driver is parked alone.
    Parked,
    /// The same, and its waker is being taken out.
    Waking,
    Ended,
}

impl Lay {
    /// Of a word that is not open.
    fn of(word: u8) -> Self {
        match word {
            0 => Lay::Making,
            1 => Lay::Made,
            2 => Lay::Polled,
            3 => Lay::Parked,
            4 => Lay::Waking,
            _ => Lay::Ended,
        }
    }
}

/// From here on the rest of the word says whether the operation is in its place.
pub(super) const OPEN: u8 = 1 << 7;
const HERE: u8 = 1;
/// And whether the first place for a waker is in use by a caller that is not under the lock: by the
/// driver, until it puts the operation back.
const WITH_DRIVER: u8 = 1 << 1;
/// Or by a wake, for good.
const AWAY: u8 = 1 << 2;

impl<T> Shared<T> {
    /// Lays down the operation that has been made. Returns false if it is open or has ended.
    #[inline(always)]
    pub(in crate::flight) fn lay(&self, made: &mut Option<Operation<T>>) -> bool {
        let laid = made.as_ref().is_some_and(|made| made.is_of(self))
            && self.change(Lay::Making, Lay::Made);
        if laid {
            // It is owned by the state from here on.
            mem::forget(made.take());
        }
        laid
    }

    /// Picks up the operation that has been laid down, if it is not open and has not ended.
    #[inline(always)]
    pub(in crate::flight) fn pick_up(&self) -> Option<Operation<T>> {
        // SAFETY: the state owned it, and does so no more.
        let owned = || unsafe { self.owned() };
        self.change(Lay::Made, Lay::Polled).then(owned)
    }

    /// Parks the driver, and lays down the operation that it has picked up, if it is not open and
    /// has not ended. Otherwise the driver keeps both.
    #[inline(always)]
    pub(in crate::flight) fn park_alone(
        &self,
        operation: &mut Option<Operation<T>>,
        waker: &mut Option<Waker>,
    ) -> bool {
        // In this state the one who has the operation has picked it up.
        let alone = self.policy() == Policy::Continue
            && self.lay_of().load(Ordering::Relaxed) == Lay::Polled as u8
            && operation.as_ref().is_some_and(|it| it.is_of(self));
        let Some(own) = waker.take_if(|_| alone) else {
            return false;
        };
        // SAFETY: this is the driver, and the operation is `Polled`.
        unsafe { self.with_first(|first| *first = Slot::Parked(own)) };
        let parked = self.change(Lay::Polled, Lay::Parked);
        if parked {
            // It is owned by the state from here on.
            mem::forget(operation.take());
        } else {
            // SAFETY: as above. Who opens it meanwhile says that the place is away.
            *waker = unsafe { self.with_first(Self::take_first) };
        }
        parked
    }

    /// The operation is woken. Returns the waker of a driver that is parked alone, or none if it
    /// has been woken, or an error if the driver is not alone.
    #[inline(always)]
    pub(in crate::flight) fn wake_alone(&self) -> Result<Option<Waker>, ()> {
        if !self.change(Lay::Parked, Lay::Waking) {
            return self.wake_again();
        }
        // SAFETY: this has made it `Waking`.
        let waker = unsafe { self.with_first(Self::take_first) };
        // If it is open by now, it is ready since then.
        self.change(Lay::Waking, Lay::Made);
        Ok(waker)
    }

    /// None if it has been woken already, or has ended. This writes though it changes nothing: the
    /// poll to come acquires that. A wake that only looked would order nothing before that poll,
    /// which might then miss what this wake is for, and park.
    #[inline(never)]
    fn wake_again(&self) -> Result<Option<Waker>, ()> {
        let as_it_is = |lay| {
            let woken = [Lay::Made, Lay::Waking, Lay::Ended].map(|lay| lay as u8);
            woken.contains(&lay).then_some(lay)
        };
        self.lay_of()
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, as_it_is)
            .map_or(Err(()), |_| Ok(None))
    }

    fn take_first(first: &mut Slot) -> Option<Waker> {
        let waker = first.take();
        *first = Slot::FREE;
        waker
    }

    /// The first place, for a caller that is not under the lock.
    ///
    /// # Safety
    ///
    /// The caller is the driver, while the operation is `Polled`, or has made it `Waking`.
    #[inline(always)]
    unsafe fn with_first<R>(&self, f: impl FnOnce(&mut Slot) -> R) -> R {
        // SAFETY: exclusive: there is one such caller (invariant 5).
        self.first().with_mut(|first| f(unsafe { &mut *first }))
    }

    /// Ends without opening. Returns the operation if it is laid down. Returns an error if it is
    /// open, or if somebody is parked.
    #[inline(always)]
    pub(in crate::flight) fn end_shortly(&self) -> Result<Option<Operation<T>>, ()> {
        let end = |lay| {
            let short = [Lay::Making, Lay::Made, Lay::Polled].map(|lay| lay as u8);
            short.contains(&lay).then_some(Lay::Ended as u8)
        };
        let ended = self
            .lay_of()
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, end);
        let laid = ended.map_err(|_| ())? == Lay::Made as u8;
        // SAFETY: as in `pick_up`.
        Ok(laid.then(|| unsafe { self.owned() }))
    }

    /// The critical section of everything but the short way. `f` also gets the operation's place,
    /// and how that lay if it is opened by this.
    #[inline(always)]
    pub(in crate::flight) fn locked<R>(
        &self,
        f: impl FnOnce(&mut Driving, &mut At<'_, T>, Option<Lay>) -> R,
    ) -> R {
        self.driving().with(|driving| {
            let found = self.open();
            f(driving, &mut At::new(self), found)
        })
    }

    /// Under the lock. Returns how it lay if this opens it; then an operation that is made is here.
    #[inline(always)]
    fn open(&self) -> Option<Lay> {
        // Only this sets it, under that lock.
        if self.lay_of().load(Ordering::Relaxed) & OPEN != 0 {
            return None;
        }
        let open = |lay| match Lay::of(lay) {
            Lay::Making => OPEN,
            Lay::Made | Lay::Parked => OPEN | HERE,
            Lay::Waking => OPEN | HERE | AWAY,
            // In *Rerun* nobody parks alone.
            Lay::Polled if self.policy() == Policy::Rerun => OPEN,
            Lay::Polled => OPEN | WITH_DRIVER,
            Lay::Ended => OPEN | AWAY,
        };
        let opened = self
            .lay_of()
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |lay| Some(open(lay)));
        opened.ok().map(Lay::of)
    }

    /// How it lies, unless it is open.
    pub(in crate::flight) fn unopened(&self) -> Option<Lay> {
        let lay = self.lay_of().load(Ordering::Acquire);
        (lay & OPEN == 0).then(|| Lay::of(lay))
    }

    #[inline(always)]
    fn change(&self, from: Lay, to: Lay) -> bool {
        let (from, to) = (from as u8, to as u8);
        let changed = self
            .lay_of()
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
        changed.is_ok()
    }

    /// The operation.
    ///
    /// # Safety
    ///
    /// The state owned it until now, and owns it no more.
    #[inline(always)]
    unsafe fn owned(&self) -> Operation<T> {
        match self.policy() {
            Policy::Continue => Operation(Some(Self(self.0))),
            Policy::Rerun => Operation(None),
        }
    }
}

/// The place of an operation that is open, and the first place for a waker, under the lock.
pub(in crate::flight) struct At<'a, T> {
    of: &'a Shared<T>,
    /// None if it is in use by a caller that is not here.
    pub(in crate::flight) first: Option<&'a mut Slot>,
}

impl<'a, T> At<'a, T> {
    /// Under the lock, once it is open.
    fn new(of: &'a Shared<T>) -> Self {
        let mut at = Self { of, first: None };
        if at.lay() & (WITH_DRIVER | AWAY) == 0 {
            at.find_first();
        }
        at
    }

    /// It is neither away nor found yet.
    fn find_first(&mut self) {
        // SAFETY: exclusive under the lock, since nobody else uses it (invariant 5).
        self.first = Some(self.of.first().with_mut(|first| unsafe { &mut *first }));
    }

    /// Puts the operation back.
    pub(in crate::flight) fn put(&mut self, operation: Operation<T>) {
        assert!(operation.is_of(self.of), "the operation of another flight");
        // It is owned by the state from here on.
        mem::forget(operation);
        let lay = self.lay();
        self.set((lay | HERE) & !WITH_DRIVER);
        if lay & WITH_DRIVER != 0 {
            self.find_first();
        }
    }

    /// Takes the operation, if it is here.
    pub(in crate::flight) fn take(&self) -> Option<Operation<T>> {
        let lay = self.lay();
        (lay & HERE != 0).then(|| {
            self.set(lay & !HERE);
            // SAFETY: it was here.
            unsafe { self.of.owned() }
        })
    }

    fn lay(&self) -> u8 {
        self.of.lay_of().load(Ordering::Relaxed)
    }

    /// Once it is open, only this changes it, under the lock.
    fn set(&self, lay: u8) {
        self.of.lay_of().store(lay, Ordering::Relaxed);
    }
}

/// The right to put the operation into its place, once.
pub(crate) struct Fresh<T, F> {
    shared: Shared<T>,
    _place: PhantomData<fn(F)>,
}

impl<T, F: Future<Output = T>> Fresh<T, F> {
    /// # Safety
    ///
    /// It leads to a `Whole` of this type, whose place is empty. This is the only one made for it.
    pub(super) unsafe fn new(shared: Shared<T>) -> Self {
        let _place = PhantomData;
        Self { shared, _place }
    }

    #[inline(always)]
    pub(crate) fn put(self, operation: F) -> Operation<T>
    where
        F: Send + 'static,
    {
        let whole = self.shared.0.cast::<Whole<T, F>>();
        // SAFETY: the head is that of a `Whole` of this type, of which only this field is borrowed.
        let place = unsafe { &(*whole.as_ptr()).operation };
        place.with_mut(|place| {
            // SAFETY: exclusive: the place is empty, and this is the one that can fill it.
            unsafe { (*place).write(operation) };
        });
        Operation(Some(self.shared))
    }
}

/// The operation of a flight, in its place. Its drop drops it there. A panic of that is caught if
/// this thread already unwinds. Without a place it is the right to run one.
pub(crate) struct Operation<T>(Option<Shared<T>>);

impl<T> Operation<T> {
    /// The right to run one: each participant of a *Rerun* flight has its own.
    pub(crate) fn elsewhere() -> Self {
        Self(None)
    }

    /// Whether it is the one operation that the participants of a flight share.
    #[inline(always)]
    pub(super) fn is_shared_of(&self, shared: &Shared<T>) -> bool {
        self.0.as_ref().is_some_and(|of| of.0 == shared.0)
    }

    #[inline(always)]
    fn is_of(&self, shared: &Shared<T>) -> bool {
        match &self.0 {
            Some(Shared(head)) => *head == shared.0,
            None => shared.policy() == Policy::Rerun,
        }
    }

    /// The operation, and the waker to poll it with: that of its flight, which lives as long.
    #[inline(always)]
    pub(crate) fn with_waker(&mut self) -> (Polled<'_, T>, OwnWaker<'_>)
    where
        T: 'static,
    {
        let Some(Shared(head)) = &self.0 else {
            unreachable!("the driver of a `try_work` polls its own")
        };
        let head = *head;
        // SAFETY: the operation holds the memory longer than the waker lives.
        let waker = unsafe { OwnWaker::new(head) };
        (Polled(head, PhantomData), waker)
    }
}

impl<K, T> FlightRef<K, T> {
    /// Drops the operation of this flight. As its drop, and takes less time if no waker of it is
    /// left.
    #[inline(always)]
    pub(crate) fn drop_operation(&self, operation: Operation<T>) {
        // The right to run one, and the operation of another flight, are just dropped.
        let behind = self.behind();
        let Some(shared) = behind.filter(|shared| operation.is_shared_of(shared)) else {
            return;
        };
        let Shared(head) = &*shared;
        let head = *head;
        mem::forget(operation);
        // One is the flight's, which this handle keeps, and one is given back here, also if the
        // drop panics. If these are all, nobody else can make another.
        let _given_back = OnDrop(|| {
            if shared.holds().load(Ordering::Acquire) == 2 {
                shared.holds().store(1, Ordering::Release);
            } else {
                drop(Shared(head));
            }
        });
        // SAFETY: the operation was this one, and is forgotten.
        unsafe { drop_in_place(head) };
    }
}

impl<T> Drop for Operation<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(Shared(head)) = &self.0 {
            // SAFETY: this is its owner, which is gone after this.
            unsafe { drop_in_place(*head) };
        }
    }
}

/// Drops the operation. A panic of that is caught if this thread already unwinds.
///
/// # Safety
///
/// The caller owns it, and uses it no more.
unsafe fn drop_in_place<T>(head: NonNull<Head<T>>) {
    struct InPlace<T>(NonNull<Head<T>>);
    impl<T> Drop for InPlace<T> {
        #[inline(always)]
        fn drop(&mut self) {
            // SAFETY: the place holds it (invariant 3), and its one owner gives it up.
            unsafe { ((*self.0.as_ptr()).kind.as_ref().drop)(self.0) };
        }
    }
    discard(InPlace(head));
}

/// An operation that can be polled, and is borrowed exclusively.
pub(crate) struct Polled<'a, T>(NonNull<Head<T>>, PhantomData<&'a mut Operation<T>>);

impl<T> Polled<'_, T> {
    #[inline(always)]
    pub(crate) fn poll(self, cx: &mut Context<'_>) -> Poll<T> {
        let Self(head, _) = self;
        // SAFETY: the place holds it (invariant 3), and its one owner is borrowed exclusively.
        unsafe { ((*head.as_ptr()).kind.as_ref().poll)(head, cx) }
    }
}
