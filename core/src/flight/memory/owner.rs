//! The place of the call that has begun a flight and waits for it: the owner of a `spawn`.
//!
//! Such a flight has nearly always one caller that waits, and that is its owner. The waiting room
//! would cost it two locks, a listener and a place in a slab. Here it parks by one exchange of the
//! cell's state, and is told by another.
//!
//! # Who uses the place
//! There is one owner: a [`Seat`] that is marked so. It is made with the flight, and can be moved
//! and not be copied. It writes the place only if it has taken its waker out itself, or has seen
//! the cell open and itself not parked, in one state. An ender reads the place only if its end has
//! found the owner parked, and only after it has taken that mark off. An end does not find an owner
//! that parks after it. So the two never use the place at once.
//!
//! A group that retains outcomes keeps no more of a flight than its outcome. There the owner waits
//! in the waiting room.

use alloc::boxed::Box;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::task::Waker;

use crate::cell::{Snapshot, fire_one};
use crate::flight::memory::{Extra, Memory, Pair, Seat};
use crate::flight::{Flight, FlightRef};
use crate::sync::UnsafeCell;
use crate::unwind::{Fragile, OnDrop};

/// What such a flight has behind it: a waker exactly while its owner is parked.
type OwnerPlace = UnsafeCell<MaybeUninit<Waker>>;

impl<K, T> FlightRef<K, T> {
    /// As [`pair`](Self::pair), with the seat of its owner. `open` is the state that its cell is
    /// made with, which does not shed; `make` gets it with what is added here.
    #[inline(always)]
    pub(crate) fn pair_with_owner(
        open: Snapshot,
        make: impl FnOnce(Snapshot) -> Flight<K, T>,
    ) -> (Pair<K, T>, Seat<K, T>) {
        let open = open.reserved().with_owner_place();
        let empty = |place: *mut OwnerPlace| {
            // SAFETY: it is valid, and written once.
            unsafe { place.write(UnsafeCell::new(MaybeUninit::uninit())) };
        };
        let (_, pair) = Self::allocate(|| make(open), empty, Extra::OwnerPlace, 4);
        // SAFETY: two of the four are counted for it, and it is the one owner.
        let owner = unsafe { Seat::of_owner(&pair.1) };
        (pair, owner)
    }

    /// Wakes everybody, where there is somebody: first the owner, if it is parked.
    #[inline(never)]
    pub(in crate::flight) fn tell_those_who_wait(&self, before: Snapshot) {
        if !before.is_owner_parked() {
            return self.cell.tell(before);
        }
        // Also if the owner's waker panics.
        let _then = OnDrop(|| self.cell.tell(before.owner_told()));
        // SAFETY: this is the ender, whose end has found the owner parked.
        if let Some(waker) = unsafe { self.take_owner() } {
            fire_one(waker);
        }
    }

    /// Takes the owner's waker, if it is still there.
    ///
    /// # Safety
    ///
    /// The caller is the owner, or the ender, whose end has found the owner parked.
    unsafe fn take_owner(&self) -> Option<Waker> {
        // SAFETY: it was parked, so there is such a place, and this has taken the mark off.
        let waker = || unsafe { with_place(self.memory, |place| (*place).assume_init_read()) };
        self.cell.unset_owner_parked().then(waker)
    }

    /// As [`free`](Self::free).
    ///
    /// # Safety
    ///
    /// As there, and the flight has an owner's place.
    #[inline(always)]
    pub(super) unsafe fn free_with_owner_place(memory: NonNull<Memory<K, T, ()>>, state: Snapshot) {
        // SAFETY: nobody uses it any more, so what the state says is final.
        let waker = unsafe {
            with_place(memory, |place| {
                state.is_owner_parked().then(|| (*place).assume_init_read())
            })
        };
        let memory = memory.cast::<MaybeUninit<Memory<K, T, OwnerPlace>>>();
        // SAFETY: allocated as this by `pair_with_owner`.
        drop(unsafe { Box::from_raw(memory.as_ptr()) });
        // Its drop is the user's.
        drop(Fragile(waker));
    }
}

/// # Safety
///
/// The memory is that of a flight with an owner's place, and lives.
#[inline(always)]
unsafe fn with_place<K, T, R>(
    memory: NonNull<Memory<K, T, ()>>,
    f: impl FnOnce(*mut MaybeUninit<Waker>) -> R,
) -> R {
    let memory = memory.cast::<Memory<K, T, OwnerPlace>>();
    // SAFETY: only this field is borrowed.
    unsafe { &(*memory.as_ptr()).behind }.with_mut(f)
}

impl<K, T> Seat<K, T> {
    /// Parks the owner, unless the cell has ended. Returns the state as it was found.
    pub(in crate::flight) fn park_owner(&mut self, waker: &Waker) -> Snapshot {
        assert!(
            self.is_owner(),
            "any other caller parks in the waiting room"
        );
        let state = self.flight().cell.snapshot();
        if state.ended() {
            return state;
        }
        // SAFETY: this is the owner, and the state was read just now.
        unsafe { self.park_owner_unless_ended_since(state, waker) }
    }

    /// # Safety
    ///
    /// This is the owner. It has read `state`, which is open, after its last step here.
    unsafe fn park_owner_unless_ended_since(&mut self, state: Snapshot, waker: &Waker) -> Snapshot {
        // If this panics, the owner stays parked.
        let own = waker.clone();
        let was_parked = state.is_owner_parked();
        let old = Fragile(was_parked.then(|| self.unpark_owner()).flatten());
        let flight = self.flight();
        if was_parked && old.0.is_none() {
            // The ender has taken it.
            drop(Fragile(Some(own)));
            return flight.cell.snapshot();
        }
        // SAFETY: this is the owner (see the head).
        unsafe { with_place(flight.memory, |place| (*place).write(own)) };
        if flight.cell.set_owner_parked() {
            drop(old);
            return state;
        }
        // SAFETY: written above, and not marked.
        let own = unsafe { with_place(flight.memory, |place| (*place).assume_init_read()) };
        drop((old, Fragile(Some(own))));
        flight.cell.snapshot()
    }

    /// Takes the owner's waker back, unless the ender takes it.
    pub(in crate::flight) fn unpark_owner(&mut self) -> Option<Waker> {
        if !(self.is_owner() && self.flight().cell.snapshot().is_owner_parked()) {
            return None;
        }
        // SAFETY: this is the owner.
        unsafe { self.flight().take_owner() }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::{Context, RawWaker, RawWakerVTable};

    use super::*;
    use crate::cell::RawCell;
    use crate::error::Cause;
    use crate::flight::observe::{Name, Observed};
    use crate::flight::{FlightId, Records, Watch};
    use crate::sync::catch;

    /// A waker that counts its wakes, and panics if it is told to.
    #[derive(Default)]
    struct Probe {
        wakes: AtomicUsize,
        panics: bool,
    }

    impl Wake for Probe {
        fn wake(self: Arc<Self>) {
            self.wakes.fetch_add(1, Ordering::Relaxed);
            assert!(!self.panics, "woken");
        }
    }

    /// How often it was woken, and how many have it.
    fn seen(probe: &Arc<Probe>) -> [usize; 2] {
        let wakes = probe.wakes.load(Ordering::Relaxed);
        [wakes, Arc::strong_count(probe) - 1]
    }

    type Parts = (Pair<(), u8>, Watch<(), u8>);

    fn with_seat(open: Snapshot) -> (Pair<(), u8>, Seat<(), u8>) {
        FlightRef::pair_with_owner(open, |open| Flight {
            cell: RawCell::new(None, open),
            key: (),
            hash: 0,
            id: FlightId::new(1, 1, 1),
            observed: Observed::new(&Name::default()),
        })
    }

    fn flight(open: Snapshot) -> Parts {
        let (pair, seat) = with_seat(open);
        (pair, Watch::owner(seat))
    }

    fn is_ready(watch: &mut Watch<(), u8>, probe: &Arc<Probe>) -> bool {
        let waker = probe.clone().into();
        watch.poll(&mut Context::from_waker(&waker)).is_ready()
    }

    fn settle(((settler, _), _): &mut Parts) {
        let mut by = settler;
        let before = by.record(7).expect("the first end");
        by.flight().tell(before, false);
    }

    #[cfg(all(
        target_pointer_width = "64",
        not(feature = "tracing"),
        not(feature = "metrics")
    ))]
    #[test]
    fn a_place_for_an_owner_takes_16_bytes() {
        assert_eq!(size_of::<Memory<u64, u64, ()>>(), 64);
        assert_eq!(size_of::<Memory<u64, u64, OwnerPlace>>(), 80);
    }

    #[test]
    fn an_owner_takes_no_waiting_room_and_is_told_once() {
        let (mut parts, probe) = (flight(Snapshot::open(false)), Arc::default());
        for _ in 0..2 {
            assert!(!is_ready(&mut parts.1, &probe));
            assert_eq!(seen(&probe), [0, 1]);
        }
        assert!(!parts.0.1.cell.snapshot().has_registered());
        settle(&mut parts);
        assert_eq!(seen(&probe), [1, 0]);
        assert!(is_ready(&mut parts.1, &probe) && is_ready(&mut parts.1, &probe));
        drop(parts);
        assert_eq!(seen(&probe), [1, 0]);
    }

    #[test]
    fn an_owner_that_is_polled_with_another_waker_gives_the_first_one_back() {
        let mut parts = flight(Snapshot::open(false));
        let [first, second] = [Arc::default(), Arc::default()];
        assert!(!is_ready(&mut parts.1, &first) && !is_ready(&mut parts.1, &second));
        assert_eq!([seen(&first), seen(&second)], [[0, 0], [0, 1]]);
        settle(&mut parts);
        assert_eq!([seen(&first), seen(&second)], [[0, 0], [1, 0]]);
    }

    #[test]
    fn an_owner_stays_parked_if_the_clone_of_its_next_waker_panics() {
        fn clone(_: *const ()) -> RawWaker {
            panic!("cloned")
        }
        fn nothing(_: *const ()) {}
        static PANICS: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
        let (mut parts, probe) = (flight(Snapshot::open(false)), Arc::default());
        assert!(!is_ready(&mut parts.1, &probe));
        // SAFETY: the functions do nothing with what they are given.
        let next = unsafe { Waker::from_raw(RawWaker::new(core::ptr::null(), &PANICS)) };
        let polled = catch(|| parts.1.poll(&mut Context::from_waker(&next)).is_ready());
        assert!(polled.is_err() && seen(&probe) == [0, 1]);
        settle(&mut parts);
        assert_eq!(seen(&probe), [1, 0]);
    }

    #[test]
    fn an_owner_that_leaves_takes_its_waker_along() {
        let ((settler, handle), mut watch) = flight(Snapshot::open(false));
        let probe = Arc::default();
        assert!(!is_ready(&mut watch, &probe));
        watch.disown();
        assert_eq!(seen(&probe), [0, 0]);
        drop((watch, settler, handle));
        assert_eq!(seen(&probe), [0, 0]);
    }

    #[test]
    fn an_owner_that_comes_between_the_end_and_the_telling_parks_no_more() {
        for parked in [false, true] {
            let ((settler, _handle), mut seat) = with_seat(Snapshot::open(false));
            let [first, second] = [Arc::default(), Arc::default()];
            let mut parks = |state, probe: &Arc<Probe>| {
                // SAFETY: the owner has read it after its last step.
                let found =
                    unsafe { seat.park_owner_unless_ended_since(state, &probe.clone().into()) };
                !found.ended()
            };
            assert!(!parked || parks(settler.cell.snapshot(), &first));
            // The owner is held up after it has read the state.
            let state = settler.cell.snapshot();
            let before = settler.cell.abort(Cause::Cancelled).expect("the first end");
            assert!(!parks(state, &second));
            assert_eq!([seen(&first), seen(&second)], [[0, 0]; 2]);
            settler.tell(before, false);
            assert_eq!([seen(&first), seen(&second)], [[0, 0]; 2]);
        }
    }

    #[test]
    fn a_flight_that_never_ends_drops_the_waker_of_its_owner() {
        let ((settler, handle), mut seat) = with_seat(Snapshot::open(false));
        let probe = Arc::new(Probe::default());
        seat.park_owner(&probe.clone().into());
        drop((settler, handle));
        assert_eq!(seen(&probe), [0, 1]);
        drop(seat);
        assert_eq!(seen(&probe), [0, 0]);
    }

    #[test]
    fn those_who_wait_are_told_though_the_waker_of_the_owner_panics_and_while_the_thread_unwinds() {
        for unwinds in [false, true] {
            let ((settler, handle), mut watch) = flight(Snapshot::open(false));
            let [owner, other] = [true, false].map(|panics| {
                Arc::new(Probe {
                    panics,
                    ..Probe::default()
                })
            });
            assert!(!is_ready(&mut watch, &owner));
            let mut waits = Watch::uncounted(handle.clone_two());
            assert!(!is_ready(&mut waits, &other));
            let before = settler.cell.abort(Cause::Cancelled).expect("the first end");
            let told = catch(|| {
                let _tells = OnDrop(|| settler.tell(before, false));
                // A second panic that gets out aborts the process.
                assert!(!unwinds, "on purpose");
            });
            assert!(told.is_err());
            assert_eq!([seen(&owner)[0], seen(&other)[0]], [1, 1]);
        }
    }

    #[test]
    fn a_seat_that_is_no_owners_has_no_place_to_take_back_from() {
        let ((settler, _handle), mut watch) = flight(Snapshot::open(false));
        let probe = Arc::default();
        assert!(!is_ready(&mut watch, &probe));
        let mut other = Seat::of_two(settler.clone_two(), u32::MAX);
        assert!(!other.is_owner() && other.unpark_owner().is_none());
        assert_eq!(seen(&probe), [0, 1]);
    }
}
