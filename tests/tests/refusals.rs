//! A refusal is at once and free: nothing is allocated, and nothing is kept.

use std::time::Duration;

use allocation_counter::measure;
use oneflight::{Begin, Fingerprint, Gate, Group, Mode, Rejected};
use oneflight_conformance::{elsewhere, primary, rejected, waiter};

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
        .retain(Duration::from_secs(60))
        .max_age(Duration::from_secs(60))
        .build();
    let ten = Fingerprint::new(10);
    let guard = primary(group.fingerprinted(ten).begin(1));
    let twenty = Fingerprint::new(20);
    costs_nothing(Rejected::Mismatch, || group.fingerprinted(twenty).begin(1));
    let joined = waiter(group.begin(1));
    costs_nothing(Rejected::Full, || group.begin(1));
    costs_nothing(Rejected::Full, || group.begin(2));
    group.close();
    costs_nothing(Rejected::Closed, || group.begin(2));
    guard.settle(7).unwrap();
    costs_nothing(Rejected::Mismatch, || group.fingerprinted(twenty).begin(1));
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
