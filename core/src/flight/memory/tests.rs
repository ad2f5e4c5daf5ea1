use core::cell::Cell;
use core::future::pending;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll, Waker};

use super::whole::LARGEST;
use super::*;
use crate::cell::{RawCell, Snapshot};
use crate::error::Cause;
use crate::flight::observe::{Name, Observed};
use crate::flight::{FlightId, Settled, Watch};

#[cfg(all(
    target_pointer_width = "64",
    not(feature = "tracing"),
    not(feature = "metrics")
))]
#[test]
fn a_flight_takes_128_bytes_besides_key_and_value() {
    type Largest = [u64; LARGEST / 8];
    assert_eq!(size_of::<Memory<u64, u64, ()>>() - 16, 48);
    assert_eq!(size_of::<Head<u64>>(), 64);
    assert_eq!(size_of::<Memory<u64, u64, Whole<u64, Largest>>>() - 16, 128);
}

#[test]
fn an_operation_that_is_larger_or_over_aligned_does_not_fit() {
    #[repr(align(32))]
    struct OverAligned;
    assert!(fits::<[u8; LARGEST]>() && !fits::<[u8; LARGEST + 1]>());
    assert!(fits::<[usize; 1]>() && !fits::<OverAligned>());
}

#[test]
fn a_right_to_run_and_the_operation_of_another_flight_take_no_hold_along() {
    let parts = [(); 2].map(|()| Cell::new(0));
    let make = |open: Snapshot| Flight {
        cell: RawCell::<u64, _>::new(None, open.driven()),
        key: Part(&parts[0]),
        hash: 0,
        id: FlightId::new(1, 1, 1),
        observed: Observed::new(&Name::default()),
    };
    let (settler, flight) = FlightRef::pair_with_right(|| make(Snapshot::open(false)), true);
    flight.drop_operation(Operation::elsewhere());
    let (_of, fresh) = Shared::alone(true);
    flight.drop_operation(fresh.put(pending()));
    assert!(
        flight
            .behind()
            .is_some_and(|shared| shared.holds().load(Ordering::Relaxed) == 1)
    );
    drop((settler, flight));
    assert_eq!(parts[0].get(), 1);
}

#[test]
fn a_waker_gives_its_hold_back() {
    let (shared, fresh) = Shared::<u64>::alone(true);
    let mut operation = fresh.put(pending());
    let holds = || shared.holds().load(Ordering::Relaxed);
    let (polled, own) = operation.with_waker();
    assert!(polled.poll(&mut Context::from_waker(&own)).is_pending());
    // It is borrowed, and counts for nothing.
    assert_eq!(holds(), 2);
    let copies = [own.clone(), own.clone()];
    assert_eq!(holds(), 4);
    let [dropped, used_up] = copies;
    used_up.wake_by_ref();
    assert_eq!(holds(), 4);
    drop(dropped);
    used_up.wake();
    assert_eq!(holds(), 2);
    drop(operation);
    assert_eq!(holds(), 1);
}

/// A key or a value, whose drops are counted.
struct Part<'a>(&'a Cell<usize>);

impl Drop for Part<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// How often the key and the value of a flight were dropped.
#[derive(Default)]
struct Drops([Cell<usize>; 2]);

type Parts<'a> = FlightRef<Part<'a>, Part<'a>>;

impl Drops {
    fn counts(&self) -> [usize; 2] {
        self.0.each_ref().map(Cell::get)
    }

    /// The only handle of an open flight.
    fn flight(&self) -> Parts<'_> {
        let [key, _] = &self.0;
        let (_, flight) = FlightRef::pair(|| Flight {
            cell: RawCell::new(None, Snapshot::open(false)),
            key: Part(key),
            hash: 0,
            id: FlightId::new(1, 1, 1),
            observed: Observed::new(&Name::default()),
        });
        flight
    }

    fn settle<'a>(&'a self, flight: &Parts<'a>) {
        let [_, value] = &self.0;
        assert!(flight.cell.record(Part(value)).is_ok());
    }

    /// The only handle of a settled flight.
    fn settled(&self) -> Parts<'_> {
        let flight = self.flight();
        self.settle(&flight);
        flight
    }
}

fn handles<K, T>(flight: &FlightRef<K, T>) -> usize {
    flight.handles().load(Ordering::Relaxed)
}

fn outcome<K, T>(watch: &mut Watch<K, T>) -> Settled<K, T> {
    match watch.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.expect("it has settled"),
        Poll::Pending => panic!("it has ended"),
    }
}

#[test]
fn the_last_of_a_waiter_and_its_two_outcomes_drops_key_and_value() {
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let drops = Drops::default();
        let flight = drops.settled();
        let mut watch = Watch::uncounted(flight.clone_two());
        let mut outcomes = [(); 2].map(|()| Some(outcome(&mut watch)));
        assert_eq!(handles(&flight), 4);
        drop(flight);
        let mut watch = Some(watch);
        for who in order {
            assert_eq!(drops.counts(), [0, 0]);
            match who {
                0 => drop(watch.take()),
                outcome => drop(outcomes[outcome - 1].take()),
            }
        }
        assert_eq!(drops.counts(), [1, 1]);
    }
}

#[test]
fn a_waiter_that_takes_no_outcome_gives_both_of_its_handles_back() {
    let drops = Drops::default();
    let flight = drops.settled();
    drop(Watch::uncounted(flight.clone_two()));
    assert_eq!(handles(&flight), 1);
    let watch = Watch::uncounted(flight.clone_two());
    drop(flight);
    assert_eq!(drops.counts(), [0, 0]);
    drop(watch);
    assert_eq!(drops.counts(), [1, 1]);
}

#[test]
fn a_waiter_that_has_parked_takes_its_outcome_or_none() {
    for takes in [false, true] {
        let drops = Drops::default();
        let flight = drops.flight();
        let mut watch = Watch::uncounted(flight.clone_two());
        let waker = Waker::noop();
        assert!(watch.poll(&mut Context::from_waker(waker)).is_pending());
        drops.settle(&flight);
        let taken = takes.then(|| outcome(&mut watch));
        drop(flight);
        drop(watch);
        assert_eq!(drops.counts(), if takes { [0, 0] } else { [1, 1] });
        drop(taken);
        assert_eq!(drops.counts(), [1, 1]);
    }
}

#[test]
fn two_handles_that_become_no_waiter_are_both_given_back() {
    let drops = Drops::default();
    let flight = drops.settled();
    drop(flight.clone_two());
    assert_eq!(handles(&flight), 1);
    let two = flight.clone_two();
    drop(flight);
    assert_eq!(drops.counts(), [0, 0]);
    drop(two);
    assert_eq!(drops.counts(), [1, 1]);
}

#[test]
fn an_outcome_is_not_unwrapped_while_its_waiter_is_here() {
    let drops = Drops::default();
    let flight = drops.settled();
    let mut watch = Watch::uncounted(flight.clone_two());
    drop(flight);
    let settled = outcome(&mut watch).try_unwrap();
    let settled = settled.err().expect("its waiter is here");
    drop(watch);
    let value = settled.try_unwrap().ok().expect("the last handle");
    // The key is dropped with the flight.
    assert_eq!(drops.counts(), [1, 0]);
    drop(value);
    assert_eq!(drops.counts(), [1, 1]);
}

#[test]
fn an_outcome_is_not_unwrapped_while_a_waiter_that_took_none_is_here() {
    let drops = Drops::default();
    let flight = drops.settled();
    let watch = Watch::uncounted(flight.clone_two());
    let settled = Settled::new(flight).try_unwrap();
    let settled = settled.err().expect("a waiter is here");
    drop(watch);
    drop(settled.try_unwrap().ok().expect("the last handle"));
    assert_eq!(drops.counts(), [1, 1]);
}

#[test]
fn a_flight_that_was_aborted_gives_no_handle_to_an_outcome() {
    let drops = Drops::default();
    let flight = drops.flight();
    let mut watch = Watch::uncounted(flight.clone_two());
    assert!(flight.cell.abort(Cause::Cancelled).is_some());
    for _ in 0..2 {
        let polled = watch.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Err(_))));
        assert_eq!(handles(&flight), 3);
    }
    drop(watch);
    assert_eq!(handles(&flight), 1);
    drop(flight);
    assert_eq!(drops.counts(), [1, 0]);
}

#[test]
fn the_flags_of_a_caller_do_not_touch_its_second_handle() {
    let drops = Drops::default();
    let flight = drops.settled();
    let mut one = Seat::new(flight.clone(), u32::MAX);
    one.mark(u32::MAX, 0);
    let mut two = Seat::of_two(flight.clone_two(), 0);
    assert!(one.has(1) && !two.has(u32::MAX));
    two.mark(0, u32::MAX);
    drop(one);
    assert_eq!(handles(&flight), 3);
    drop(two);
    assert_eq!(handles(&flight), 1);
}
