//! A refusal is at once and free: nothing is allocated, and nothing is kept.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::time::Duration;

use allocation_counter::measure;
use oneflight::error::Rejected;
use oneflight::gate::{Gate, Mode};
use oneflight::{Begin, Fingerprint, Group};
use oneflight_conformance::{HandClock, elsewhere, primary, rejected, waiter};

fn costs_nothing(why: Rejected, begin: impl Fn() -> Begin<u64, u64>) {
    assert_eq!(rejected(begin()), why);
    let cost = measure(|| {
        for _ in 0..100 {
            assert_eq!(rejected(begin()), why);
        }
    });
    assert_eq!((cost.count_total, cost.bytes_current), (0, 0), "{why:?}");
}

#[test]
fn a_call_that_is_turned_away_allocates_nothing() {
    let group: Group<u64, u64> = Group::builder()
        .max_waiters(1)
        .max_flights(1)
        .retain_for(Duration::from_secs(60))
        .supersede_after(Duration::from_secs(60))
        .build();
    let ten = Fingerprint::new(10);
    let guard = primary(group.entry(1).fingerprint(ten).begin());
    let twenty = Fingerprint::new(20);
    costs_nothing(Rejected::Mismatch, || {
        group.entry(1).fingerprint(twenty).begin()
    });
    let joined = waiter(group.begin(1));
    costs_nothing(Rejected::TooManyWaiters, || group.begin(1));
    costs_nothing(Rejected::TooManyFlights, || group.begin(2));
    group.close();
    costs_nothing(Rejected::Closed, || group.begin(2));
    guard.settle(7).unwrap();
    costs_nothing(Rejected::Mismatch, || {
        group.entry(1).fingerprint(twenty).begin()
    });
    drop(joined);
    assert_eq!(elsewhere(|| group.stats().rejected), 5 * 101);
}

#[test]
fn a_gate_that_is_busy_turns_callers_away_for_nothing() {
    let gate: Gate<u64, u64> = Gate::new(Mode::Exclusive);
    let holder = primary(gate.begin(Some(1)));
    for token in [Some(2), None] {
        let cost = measure(|| assert_eq!(rejected(gate.begin(token)), Rejected::Busy));
        assert_eq!(cost.count_total, 0);
    }
    drop(holder);
}

/// A borrowed key whose clone runs what is armed, once.
#[derive(PartialEq, Eq, Hash)]
struct Name(u64);

#[derive(PartialEq, Eq, Hash)]
struct Owned(Name);

impl Borrow<Name> for Owned {
    fn borrow(&self) -> &Name {
        &self.0
    }
}

thread_local! {
    static ARMED: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    static CLONES: RefCell<usize> = const { RefCell::new(0) };
}

impl ToOwned for Name {
    type Owned = Owned;

    fn to_owned(&self) -> Owned {
        CLONES.with_borrow_mut(|clones| *clones += 1);
        if let Some(armed) = ARMED.take() {
            armed();
        }
        Owned(Name(self.0))
    }
}

/// While one call makes its key, another one begins that key: the limit has one place, and both get
/// a part in one flight.
#[test]
fn a_call_that_makes_its_key_takes_no_place_of_the_limit() {
    let group: Group<Owned, u64> = Group::builder().max_flights(1).build();
    let begun = std::rc::Rc::new(RefCell::new(None));
    let (other, inner) = (group.clone(), begun.clone());
    ARMED.set(Some(Box::new(move || {
        *inner.borrow_mut() = Some(other.entry_ref(&Name(1)).begin());
    })));
    let outer = waiter(group.entry_ref(&Name(1)).begin());
    let inner = primary(begun.take().expect("begun meanwhile"));
    assert_eq!(outer.id(), inner.id());
    assert_eq!(group.stats().rejected, 0);
}

/// A flight is too old at once. Where no new one can take its place, it is joined all the same.
#[test]
fn a_call_that_joins_an_old_flight_makes_no_key() {
    let clock = HandClock::default();
    let build = |most| {
        let builder = Group::<Owned, u64>::builder().max_flights(most);
        let builder = builder.supersede_after(Duration::from_secs(1));
        builder.clock(clock.clone()).build()
    };
    let (full, other) = (build(1), build(2));
    let old = [&full, &other].map(|group| primary(group.entry_ref(&Name(1)).begin()));
    clock.forward(2);
    let before = CLONES.with_borrow(|clones| *clones);
    let joined = waiter(full.entry_ref(&Name(1)).begin());
    assert_eq!(joined.id(), old[0].id());
    assert_eq!(CLONES.with_borrow(|clones| *clones), before);
    // Where there is room, a new flight takes its place, with a key that is made once.
    drop(primary(other.entry_ref(&Name(1)).begin()));
    assert_eq!(CLONES.with_borrow(|clones| *clones), before + 1);
    other.close();
    drop(old);
}

#[test]
fn a_call_that_is_turned_away_makes_no_key() {
    let group: Group<Owned, u64> = Group::builder().max_flights(1).max_waiters(1).build();
    let guard = primary(group.entry_ref(&Name(1)).begin());
    let _waiter = waiter(group.entry_ref(&Name(1)).begin());
    assert_eq!(CLONES.with_borrow(|clones| *clones), 1);
    for (name, why) in [(1, Rejected::TooManyWaiters), (2, Rejected::TooManyFlights)] {
        assert_eq!(rejected(group.entry_ref(&Name(name)).begin()), why);
    }
    group.close();
    drop(guard);
    assert_eq!(
        rejected(group.entry_ref(&Name(3)).begin()),
        Rejected::Closed
    );
    assert_eq!(CLONES.with_borrow(|clones| *clones), 1);
}
