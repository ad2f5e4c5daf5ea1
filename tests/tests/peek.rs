//! What `peek` gives out: retained outcomes and nothing else. And the ids of flights: of one group they never repeat, and two
//! groups start at different numbers.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use oneflight::{FlightId, Group};
use oneflight_conformance::{primary, watched};

thread_local! {
    /// Runs once, when two keys are next compared.
    static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

#[derive(Debug)]
struct Key(u32);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        if let Some(meanwhile) = MEANWHILE.take() {
            meanwhile();
        }
        self.0 == other.0
    }
}

impl Eq for Key {}

/// The primary settles while `peek` compares keys. Returns what that `peek` gave out.
fn settled_during_a_peek(group: &Group<Key, u32>) -> Option<u32> {
    let running = primary(group.begin(Key(1)));
    MEANWHILE.set(Some(Box::new(|| drop(running.settle(7)))));
    let peeked = group.peek(&Key(1));
    assert!(MEANWHILE.take().is_none(), "the keys were compared");
    assert_eq!(group.peek(&Key(1)).is_some(), peeked.is_some());
    peeked.map(|value| *value)
}

#[test]
fn an_outcome_that_is_not_retained_is_not_given_out() {
    watched("peek during a settle", || {
        let hour = Duration::from_secs(3600);
        let groups: [Group<Key, u32>; 3] = [
            Group::new(),
            Group::builder().max_waiters(9).build(),
            Group::builder()
                .retain_by(move |value: &u32| (*value != 7).then_some(hour))
                .build(),
        ];
        assert_eq!(groups.map(|group| settled_during_a_peek(&group)), [None; 3]);
        let retains = Group::builder().retain_for(hour).build();
        assert_eq!(settled_during_a_peek(&retains), Some(7));
    });
}

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
