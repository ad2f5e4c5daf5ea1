//! By whom an outcome can be recorded.
//!
//! The place of a value can be reserved for one caller, from the creation of the flight on. That
//! takes one step to record the outcome, and others take two. If participants drive the flight, it
//! is the one who has their shared operation, and otherwise the [`Settler`].

use alloc::boxed::Box;
use core::ops::Deref;
use core::task::Waker;

use crate::cell::Snapshot;
use crate::flight::FlightRef;
use crate::flight::memory::lay::Operation;

/// The handle of the caller that has begun a flight. There is one. It can park in the value's place
/// if that is reserved for it.
pub(crate) struct Settler<K, T>(FlightRef<K, T>);

impl<K, T> Settler<K, T> {
    /// # Safety
    ///
    /// The flight is new, and this is the only one made for it.
    #[inline(always)]
    pub(super) unsafe fn new(flight: FlightRef<K, T>) -> Self {
        Self(flight)
    }

    /// Gives up the right to settle, for good.
    #[inline(always)]
    pub(crate) fn into_handle(self) -> FlightRef<K, T> {
        self.0
    }

    /// Takes in another handle of this flight: without a locked instruction, if there is no third.
    #[inline(always)]
    pub(crate) fn take_in(&mut self, other: FlightRef<K, T>) {
        self.0.take_in(other);
    }

    /// Parks the settler, which is not parked, until something else ends the flight. Returns the
    /// waker if that has happened already, or if the value's place is not reserved.
    pub(crate) fn park(&mut self, waker: Box<Waker>) -> Result<(), Box<Waker>> {
        match self.place() {
            // SAFETY: the place is reserved for the settler, which is borrowed exclusively; and it
            // is not parked.
            Some(state) if !state.is_parked() => unsafe { self.cell.park_settler(waker) },
            _ => Err(waker),
        }
    }

    /// Takes its waker back, unless something else ends the flight and takes it.
    pub(crate) fn unpark(&mut self) -> Option<Box<Waker>> {
        self.place().filter(|state| state.is_parked())?;
        // SAFETY: as in `park`.
        unsafe { self.cell.unpark_settler() }
    }

    /// The state, if the value's place is reserved for the settler.
    #[inline(always)]
    fn place(&self) -> Option<Snapshot> {
        let state = self.cell.snapshot();
        (state.is_reserved() && !state.is_driven()).then_some(state)
    }
}

/// A handle by which an outcome can be recorded.
pub(crate) trait Records<K, T> {
    fn flight(&self) -> &FlightRef<K, T>;

    /// Records the outcome. Wakes nobody: the caller does, with the state this returns.
    fn record(&mut self, value: T) -> Result<Snapshot, T>;
}

impl<K, T> Records<K, T> for &mut Settler<K, T> {
    #[inline(always)]
    fn flight(&self) -> &FlightRef<K, T> {
        self
    }

    #[inline(always)]
    fn record(&mut self, value: T) -> Result<Snapshot, T> {
        match self.place() {
            None => self.cell.record(value),
            // SAFETY: as in `park`. The state was read just now.
            Some(state) => unsafe { self.cell.record_reserved(state, value) },
        }
    }
}

/// A participant that has the shared operation, or one of its own.
pub(crate) struct Driver<'a, K, T> {
    pub(crate) flight: &'a FlightRef<K, T>,
    pub(crate) operation: Option<&'a mut Operation<T>>,
}

impl<K, T> Records<K, T> for Driver<'_, K, T> {
    #[inline(always)]
    fn flight(&self) -> &FlightRef<K, T> {
        self.flight
    }

    #[inline(always)]
    fn record(&mut self, value: T) -> Result<Snapshot, T> {
        let Self { flight, operation } = self;
        let shared = operation.as_ref().zip(flight.behind());
        let has_it = shared.is_some_and(|(operation, shared)| operation.is_shared_of(&shared));
        let state = flight.cell.snapshot();
        if !(has_it && state.is_reserved()) {
            return flight.cell.record(value);
        }
        // SAFETY: the place is reserved, and participants drive the flight. So it is reserved for
        // who has the shared operation, of which there is one, and which is borrowed exclusively.
        unsafe { flight.cell.record_reserved(state, value) }
    }
}

impl<K, T> Deref for Settler<K, T> {
    type Target = FlightRef<K, T>;

    #[inline(always)]
    fn deref(&self) -> &FlightRef<K, T> {
        &self.0
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::future::ready;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::{Context, Poll};

    use super::*;
    use crate::cell::{Left, Place, RawCell};
    use crate::error::Cause;
    use crate::flight::observe::{Name, Observed};
    use crate::flight::{Flight, FlightId};
    use crate::sync::catch;
    use crate::unwind::OnDrop;

    /// A waker that counts its wakes. Who else has it is counted by its handles.
    #[derive(Default)]
    struct Probe(AtomicUsize);

    impl Wake for Probe {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn probe() -> Arc<Probe> {
        Arc::default()
    }

    /// How often it was woken, and how many have it.
    fn seen(probe: &Arc<Probe>) -> [usize; 2] {
        [
            probe.0.load(Ordering::Relaxed),
            Arc::strong_count(probe) - 1,
        ]
    }

    /// A waker that panics when it is woken, or when it is dropped.
    struct Bomb {
        wake: bool,
    }

    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            assert!(!self.wake, "woken");
        }
    }

    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(self.wake, "dropped");
        }
    }

    fn flight<T>(open: Snapshot) -> Flight<(), T> {
        Flight {
            cell: RawCell::new(None, open),
            key: (),
            hash: 0,
            id: FlightId::new(1, 1, 1),
            observed: Observed::new(&Name::default()),
        }
    }

    /// The settler of a new flight, which has its place.
    fn settler<T>() -> Settler<(), T> {
        FlightRef::pair(|| flight(Snapshot::open(false).reserved())).0
    }

    fn parks<T>(
        settler: &mut Settler<(), T>,
        waker: &Arc<impl Wake + Send + Sync + 'static>,
    ) -> bool {
        settler.park(Box::new(Waker::from(waker.clone()))).is_ok()
    }

    fn record<T>(mut settler: &mut Settler<(), T>, value: T) -> Result<Snapshot, T> {
        settler.record(value)
    }

    fn abort<T>(flight: &FlightRef<(), T>, cause: Cause) -> Snapshot {
        flight.cell.abort(cause).expect("the first end")
    }

    #[test]
    fn a_settler_takes_its_waker_back_and_parks_again() {
        let (mut settler, probe) = (settler::<u8>(), probe());
        assert!(settler.unpark().is_none());
        for _ in 0..2 {
            assert!(parks(&mut settler, &probe) && settler.cell.snapshot().is_parked());
            assert!(!parks(&mut settler, &probe), "parked twice");
            assert_eq!(seen(&probe), [0, 1]);
            let own = settler.unpark().expect("it was parked");
            assert!(own.will_wake(&Waker::from(probe.clone())));
            assert!(settler.unpark().is_none() && !settler.cell.snapshot().is_parked());
        }
        assert_eq!(seen(&probe), [0, 0]);
    }

    #[test]
    fn nobody_else_claims_a_place_that_is_reserved() {
        let mut settler = settler();
        assert_eq!(settler.cell.record(1).err(), Some(1));
        assert!(record(&mut settler, 7).is_ok());
        assert!(settler.cell.abort(Cause::Cancelled).is_none());
        assert_eq!(settler.cell.record(8).err(), Some(8));
        assert_eq!(settler.cell.get(), Some(&7));
    }

    #[test]
    fn a_settler_that_has_settled_has_no_place_any_more() {
        let (mut settler, probe) = (settler(), probe());
        assert!(record(&mut settler, 7).is_ok());
        assert!(!parks(&mut settler, &probe) && settler.unpark().is_none());
        assert_eq!(record(&mut settler, 8).err(), Some(8));
        assert_eq!((settler.cell.get(), seen(&probe)), (Some(&7), [0, 0]));
    }

    #[test]
    fn a_settler_whose_place_is_not_reserved_claims_it_and_does_not_park() {
        let (mut settler, _) = FlightRef::pair(|| flight(Snapshot::open(false)));
        assert!(!parks(&mut settler, &probe()) && settler.unpark().is_none());
        assert!(record(&mut settler, 7).is_ok());
        assert_eq!(settler.cell.get(), Some(&7));
    }

    #[test]
    fn only_the_shared_operation_records_in_a_flight_that_participants_drive() {
        let new = || {
            let open = Snapshot::open(false).driven().reserved();
            let (pair, fresh) = FlightRef::pair_with_operation(|| flight(open), true);
            (pair, fresh.put(ready(7)))
        };
        let ((mut settler, flight), mut operation) = new();
        let (_other, mut of_another) = new();
        assert!(!parks(&mut settler, &probe()) && settler.unpark().is_none());
        assert_eq!(record(&mut settler, 1).err(), Some(1));
        let by = |operation: Option<&mut Operation<u8>>, value| {
            let flight = &flight;
            Driver { flight, operation }.record(value)
        };
        assert_eq!(by(None, 2).err(), Some(2));
        assert_eq!(by(Some(&mut of_another), 3).err(), Some(3));
        assert!(by(Some(&mut operation), 7).is_ok());
        assert_eq!(by(Some(&mut operation), 8).err(), Some(8));
        assert_eq!(flight.cell.get(), Some(&7));
    }

    #[test]
    fn a_settler_that_is_parked_records_and_its_waker_is_dropped_unwoken() {
        let (mut settler, probe) = (settler(), probe());
        assert!(parks(&mut settler, &probe));
        let before = record(&mut settler, 7).expect("nobody else has ended it");
        assert_eq!((before.is_parked(), seen(&probe)), (false, [0, 0]));
        settler.cell.tell(before);
        assert_eq!((settler.cell.get(), seen(&probe)), (Some(&7), [0, 0]));
    }

    #[test]
    fn an_abort_has_its_own_cause_and_takes_the_reservation_away() {
        for (cause, parked) in Cause::ALL
            .into_iter()
            .flat_map(|it| [(it, false), (it, true)])
        {
            let (mut settler, probe) = (settler(), probe());
            assert!(!parked || parks(&mut settler, &probe));
            let before = abort(&settler, cause);
            let end = settler.cell.snapshot();
            assert_eq!((end.cause(), end.is_reserved()), (Some(cause), false));
            assert_eq!([before.is_parked(), end.is_parked()], [parked; 2]);
            // Its waker is the ender's by now.
            assert!(settler.unpark().is_none() && !parks(&mut settler, &probe));
            assert_eq!(record(&mut settler, 7).err(), Some(7));
            assert_eq!(seen(&probe), [0, usize::from(parked)]);
            settler.cell.tell(before);
            assert_eq!(seen(&probe), [usize::from(parked), 0]);
            assert!(!settler.cell.snapshot().is_parked() && settler.cell.get().is_none());
        }
    }

    #[test]
    fn a_value_or_a_waker_that_an_abort_overtakes_is_returned() {
        // The settler is held up after it has read the state.
        let (mut late, probe) = (settler(), probe());
        let state = late.cell.snapshot();
        abort(&late, Cause::Cancelled);
        // SAFETY: this is the settler, and it has read the state.
        let parked = unsafe { late.cell.park_settler(Box::new(probe.clone().into())) };
        assert!(parked.is_err_and(|own| own.will_wake(&probe.clone().into())));
        let value = Arc::new(());
        // SAFETY: as above.
        let recorded = unsafe { late.cell.record_reserved(state, value.clone()) };
        assert!(recorded.is_err_and(|late| Arc::ptr_eq(&late, &value)));
        // And an ender has taken its waker meanwhile.
        late = settler();
        assert!(parks(&mut late, &probe));
        let state = late.cell.snapshot();
        late.cell.tell(abort(&late, Cause::Cancelled));
        // SAFETY: as above.
        let recorded = unsafe { late.cell.record_reserved(state, value.clone()) };
        assert!(recorded.is_err_and(|late| Arc::ptr_eq(&late, &value)));
        drop(late);
        assert_eq!((seen(&probe), Arc::strong_count(&value)), ([1, 0], 1));
    }

    #[test]
    fn the_settler_and_the_ender_do_not_both_take_the_waker() {
        for by_settler in [false, true] {
            let (mut settler, probe) = (settler::<u8>(), probe());
            assert!(parks(&mut settler, &probe));
            let before = abort(&settler, Cause::Cancelled);
            // SAFETY: this is the settler.
            let unpark = || unsafe { settler.cell.unpark_settler() };
            assert!(!by_settler || unpark().is_some());
            settler.cell.tell(before);
            assert!(unpark().is_none() && !settler.cell.snapshot().is_parked());
            drop(settler);
            assert_eq!(seen(&probe), [usize::from(!by_settler), 0]);
        }
    }

    #[test]
    fn the_last_who_wants_a_flight_wakes_its_settler() {
        let open = Snapshot::open(true).while_wanted().reserved();
        let (mut settler, _) = FlightRef::pair(|| flight::<u8>(open));
        let probe = probe();
        assert!(parks(&mut settler, &probe));
        let Left::Last(before) = settler.cell.disown() else {
            panic!("nobody wants it")
        };
        settler.cell.tell(before);
        assert_eq!(seen(&probe), [1, 0]);
        let end = settler.cell.snapshot();
        assert_eq!(
            (end.cause(), end.is_parked()),
            (Some(Cause::Dropped), false)
        );
    }

    #[test]
    fn a_flight_drops_once_what_is_in_the_place() {
        for ends in [false, true] {
            let (mut settler, probe) = (settler::<u8>(), probe());
            assert!(parks(&mut settler, &probe));
            if ends {
                // The ender is lost before it tells anybody.
                abort(&settler, Cause::Cancelled);
            }
            drop(settler);
            assert_eq!(seen(&probe), [0, 0]);
        }
        let (mut settler, probe, value) = (settler(), probe(), Arc::new(()));
        assert!(parks(&mut settler, &probe) && settler.unpark().is_some());
        assert!(record(&mut settler, value.clone()).is_ok());
        drop(settler);
        assert_eq!((seen(&probe), Arc::strong_count(&value)), ([0, 0], 1));
    }

    #[test]
    fn a_waker_whose_drop_panics_does_not_come_between_the_record_and_what_follows() {
        let mut settler = settler();
        assert!(parks(&mut settler, &Arc::new(Bomb { wake: false })));
        assert!(record(&mut settler, 7).is_ok());
        assert_eq!(settler.cell.get(), Some(&7));
    }

    #[test]
    fn those_who_wait_are_told_though_the_settlers_waker_panics_and_while_the_thread_unwinds() {
        for unwinds in [false, true] {
            let (mut settler, probe) = (settler::<u8>(), probe());
            let (waker, mut place) = (Waker::from(probe.clone()), Place::NONE);
            let polled = settler
                .cell
                .poll_end(&mut place, &mut Context::from_waker(&waker));
            assert!(matches!(polled, Poll::Pending));
            assert!(parks(&mut settler, &Arc::new(Bomb { wake: true })));
            let before = abort(&settler, Cause::Cancelled);
            let told = catch(|| {
                let _tells = OnDrop(|| settler.cell.tell(before));
                // A second panic that gets out aborts the process.
                assert!(!unwinds, "on purpose");
            });
            assert!(told.is_err());
            drop(waker);
            assert_eq!(seen(&probe), [1, 0]);
            assert!(settler.cell.snapshot().is_told());
        }
    }
}
