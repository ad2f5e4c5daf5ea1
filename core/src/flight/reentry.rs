//! Which flights this thread is inside of: an operation that waits for its own key waits for
//! itself.
//!
//! While an operation is polled, made, called or dropped, its flight is on a list of this thread.
//! Being inside of a flight says little by itself: the operation can run an executor there, whose
//! tasks have nothing to do with it. So a call that joins a flight from inside is not refused. It
//! is not counted, and its waiter can go anywhere. It waits for itself for certain in two cases:
//!
//! - It is polled inside a poll of the flight's operation, with a waker that leads back to that
//!   operation ([`leads_back`]).
//! - Its thread is about to park, and the call that would unpark it is below it on the stack.
//!
//! Without `std` there are no thread locals: no thread is ever inside of a flight.
//!
//! # Invariant
//! An entry is on the list as long as its [`Entered`] or [`Parking`] lives. That borrows the flight
//! and the wakers, so no other flight or waker has their addresses meanwhile.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use core::task::Waker;

use crate::flight::observe::EnteredSpan;
use crate::flight::{Flight, FlightRef};
use crate::sync::thread_local;

thread_local! {
    static INSIDE: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

// How long that list is. It is nearly always empty, and this is all that a duplicate asks: a thread
// local without a destructor is one load.
thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

struct Entry {
    /// The address of the flight.
    flight: usize,
    /// If its operation is polled: the waker that the caller was polled with, and the one that the
    /// operation is polled with.
    outer: WakerId,
    inner: WakerId,
}

/// What [`Waker::will_wake`] compares. Copied, so that no waker is cloned.
#[derive(Clone, Copy, PartialEq, Eq)]
struct WakerId {
    data: usize,
    vtable: usize,
}

impl WakerId {
    /// No waker has it.
    const NONE: Self = Self { data: 0, vtable: 0 };
    /// Stands for every waker below it.
    const ANY: Self = Self {
        data: usize::MAX,
        vtable: 0,
    };

    fn of(waker: &Waker) -> Self {
        Self {
            data: waker.data().addr(),
            vtable: core::ptr::from_ref(waker.vtable()).addr(),
        }
    }
}

/// This thread is inside of a flight, until this is dropped.
pub(crate) struct Entered<'a, K, T> {
    flight: &'a FlightRef<K, T>,
    _wakers: PhantomData<&'a Waker>,
    listed: bool,
    _span: EnteredSpan,
}

impl<'a, K, T> Entered<'a, K, T> {
    /// While the flight's operation is made, called or dropped. Or while it is polled: then
    /// `wakers` are the one with which the caller is polled, and the one with which it polls the
    /// operation.
    pub(crate) fn new(flight: &'a FlightRef<K, T>, wakers: Option<[&'a Waker; 2]>) -> Self {
        // Before the flight is on the list: a subscriber can panic, and then nothing would remove
        // the flight.
        let span = flight.observed.enter();
        let [outer, inner] = wakers.map_or([WakerId::NONE; 2], |pair| pair.map(WakerId::of));
        let listed = push(Entry {
            flight: address(flight),
            outer,
            inner,
        });
        Self {
            flight,
            _wakers: PhantomData,
            listed,
            _span: span,
        }
    }
}

impl<K, T> Drop for Entered<'_, K, T> {
    #[inline]
    fn drop(&mut self) {
        if self.listed {
            leave(address(self.flight));
        }
    }
}

/// This thread polls with `waker` and parks in between, until this is dropped. So a wake of that
/// waker leads back to everything that is below it on the stack.
#[cfg(all(feature = "std", not(target_family = "wasm")))]
pub(crate) struct Parking<'a> {
    _waker: PhantomData<&'a Waker>,
    listed: bool,
}

#[cfg(all(feature = "std", not(target_family = "wasm")))]
impl<'a> Parking<'a> {
    pub(crate) fn new(waker: &'a Waker) -> Self {
        let listed = push(Entry {
            flight: NO_FLIGHT,
            outer: WakerId::ANY,
            inner: WakerId::of(waker),
        });
        Self {
            _waker: PhantomData,
            listed,
        }
    }
}

#[cfg(all(feature = "std", not(target_family = "wasm")))]
impl Drop for Parking<'_> {
    fn drop(&mut self) {
        if self.listed {
            leave(NO_FLIGHT);
        }
    }
}

/// No flight has this address.
#[cfg(all(feature = "std", not(target_family = "wasm")))]
const NO_FLIGHT: usize = 0;

/// Returns false while the thread is torn down.
fn push(entry: Entry) -> bool {
    let pushed = INSIDE.try_with(|inside| {
        let mut inside = inside.borrow_mut();
        inside.push(entry);
        let _ = DEPTH.try_with(|depth| depth.set(inside.len()));
    });
    pushed.is_ok()
}

/// Takes down one entry of this flight, by identity: with stackful coroutines polls can end in any
/// order. Nearly always it is the last one.
fn leave(flight: usize) {
    let _ = INSIDE.try_with(|inside| {
        let mut inside = inside.borrow_mut();
        if inside.last().is_some_and(|last| last.flight == flight) {
            inside.pop();
        } else if let Some(at) = inside.iter().rposition(|other| other.flight == flight) {
            inside.remove(at);
        }
        let _ = DEPTH.try_with(|depth| depth.set(inside.len()));
    });
}

/// Whether this thread is inside of any flight.
#[inline]
pub(crate) fn is_nested() -> bool {
    DEPTH.try_with(|depth| depth.get() > 0).unwrap_or(false)
}

/// Whether this thread is inside of this flight.
#[inline]
pub(crate) fn is_inside<K, T>(flight: &FlightRef<K, T>) -> bool {
    is_nested() && any(|inside| inside.iter().any(|entry| entry.flight == address(flight)))
}

/// Whether a wake of `waker` would do nothing but have the operation of this flight polled, inside
/// whose poll this thread is: it is the waker of that poll, or of an operation that is polled
/// further inside, in one chain of polls.
///
/// Each link of that chain is looked at: a poll in between with another waker belongs to another
/// task, which an executor runs in there.
#[inline]
pub(crate) fn leads_back<K, T>(flight: &FlightRef<K, T>, waker: &Waker) -> bool {
    is_nested() && any(|inside| chain_reaches(inside, address(flight), WakerId::of(waker)))
}

fn chain_reaches(inside: &[Entry], flight: usize, mut waker: WakerId) -> bool {
    for entry in inside.iter().rev() {
        if waker == WakerId::ANY || entry.inner == waker {
            if entry.flight == flight {
                return true;
            }
            if waker != WakerId::ANY {
                waker = entry.outer;
            }
        }
    }
    false
}

#[cold]
fn any(found: impl FnOnce(&[Entry]) -> bool) -> bool {
    INSIDE
        .try_with(|inside| found(&inside.borrow()))
        .unwrap_or(false)
}

fn address<K, T>(flight: &FlightRef<K, T>) -> usize {
    core::ptr::from_ref::<Flight<K, T>>(flight).addr()
}

#[cfg(test)]
mod tests {
    use alloc::task::Wake;

    use super::*;
    use crate::cell::{RawCell, Snapshot};
    use crate::flight::FlightId;
    use crate::flight::observe::{Name, Observed};

    fn flights<const N: usize>() -> [FlightRef<usize, u8>; N] {
        core::array::from_fn(|count| {
            let (_, flight) = FlightRef::pair(|| Flight {
                cell: RawCell::new(None, Snapshot::open(false)),
                key: count,
                hash: 0,
                id: FlightId::new(0, count as u64 + 1, 1),
                observed: Observed::new(&Name::default()),
            });
            flight
        })
    }

    struct Nobody(#[expect(dead_code, reason = "two of no size could share an address")] u8);

    impl Wake for Nobody {
        fn wake(self: alloc::sync::Arc<Self>) {}
    }

    fn wakers<const N: usize>() -> [Waker; N] {
        core::array::from_fn(|_| alloc::sync::Arc::new(Nobody(0)).into())
    }

    #[test]
    fn polls_can_end_in_any_order() {
        let [one, other] = flights();
        let first = Entered::new(&one, None);
        let second = Entered::new(&other, None);
        let again = Entered::new(&other, None);
        drop(first);
        assert!(!is_inside(&one) && is_inside(&other));
        drop(second);
        assert!(is_inside(&other) && is_nested());
        drop(again);
        assert!(!is_inside(&other) && !is_nested());
    }

    #[test]
    fn a_waker_leads_back_through_each_poll_of_the_chain() {
        let ([a, b, c], [task, wa, wb, wc]) = (flights(), wakers());
        let _a = Entered::new(&a, Some([&task, &wa]));
        let _b = Entered::new(&b, Some([&wa, &wb]));
        let _c = Entered::new(&c, Some([&wb, &wc]));
        for (waker, led) in [
            (&wc, [true; 3]),
            (&wb, [true, true, false]),
            (&wa, [true, false, false]),
            (&task, [false; 3]),
        ] {
            assert_eq!([&a, &b, &c].map(|flight| leads_back(flight, waker)), led);
        }
    }

    #[test]
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    fn a_thread_that_parks_leads_back_to_all_that_is_below_it() {
        let ([a, call, b], [task, wa, unpark, wb]) = (flights(), wakers());
        let _a = Entered::new(&a, Some([&task, &wa]));
        let _call = Entered::new(&call, None);
        let parking = Parking::new(&unpark);
        let _b = Entered::new(&b, Some([&unpark, &wb]));
        for waker in [&unpark, &wb] {
            assert!(leads_back(&a, waker) && leads_back(&call, waker));
        }
        assert!(!leads_back(&b, &unpark) && leads_back(&b, &wb));
        drop(parking);
        assert!(!leads_back(&a, &wb) && leads_back(&b, &wb));
    }

    #[test]
    fn a_waker_of_another_task_does_not_lead_back() {
        let ([a, b], [task, wa, other, wb]) = (flights(), wakers());
        let _a = Entered::new(&a, Some([&task, &wa]));
        let _call = Entered::new(&b, None);
        assert!(is_inside(&a) && is_inside(&b));
        // An executor that runs inside the poll of `a` polls another task.
        assert!(!leads_back(&a, &other) && !leads_back(&b, &wa));
        let _b = Entered::new(&b, Some([&other, &wb]));
        assert!(!leads_back(&a, &wb) && leads_back(&b, &wb) && leads_back(&a, &wa));
    }
}
