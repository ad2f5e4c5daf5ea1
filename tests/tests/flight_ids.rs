//! The ids of flights: of one group they never repeat, and two groups start at different numbers.

use std::collections::HashSet;

use oneflight::{FlightId, Group};
use oneflight_conformance::primary;

/// The ids of a thousand flights of a new group.
fn ids() -> HashSet<FlightId> {
    let group: Group<u32, ()> = Group::new();
    (0..1_000)
        .map(|key| primary(group.begin(key)).id())
        .collect()
}

#[test]
fn two_groups_have_no_id_in_common() {
    let (one, other) = (ids(), ids());
    assert_eq!((one.len(), other.len()), (1_000, 1_000));
    assert!(one.is_disjoint(&other));
}

#[test]
fn a_json_number_holds_an_id() {
    assert!(ids().iter().all(|id| id.get() < 1 << 53));
}
