//! Keys whose hashes are of no use: all the same, or never the same twice.

mod support;

use std::cell::Cell;
use std::future::ready;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use oneflight_conformance::{fine, watched};
use oneflight_core::{Begin, Fingerprint, Group};
use support::{assert_idle, assert_ledger, primary, waiter};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Same(usize);

impl Hash for Same {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(0);
    }
}

#[test]
fn many_keys_with_one_hash_are_many_keys() {
    // Unoptimised, the search for one key among so many of its hash is too slow for the time limit.
    const KEYS: usize = if cfg!(debug_assertions) { 250 } else { 1_000 };
    watched("many keys", || {
        let group: Group<Same, usize> = Group::new();
        let owners: Vec<_> = (0..KEYS).map(|id| primary(&group, Same(id))).collect();
        assert_eq!(group.len(), KEYS);
        assert!(owners.is_sorted_by_key(|owner| owner.id()));
        assert!(owners.windows(2).all(|pair| pair[0].id() != pair[1].id()));
        let waiters: Vec<_> = (0..KEYS)
            .step_by(50)
            .map(|id| waiter(&group, Same(id)))
            .collect();
        for (index, waiting) in waiters.iter().enumerate() {
            assert_eq!(*waiting.key(), Same(index * 50));
            assert_eq!(group.waiters(&Same(index * 50)), 1);
            assert_eq!(group.waiters(&Same(index * 50 + 1)), 0);
        }
        // From both ends, so that the search meets gaps.
        for (id, owner) in owners.into_iter().enumerate().rev() {
            assert_eq!(*owner.settle(id).expect("first"), id);
        }
        for (index, waiting) in waiters.into_iter().enumerate() {
            let outcome = waiting.get().expect("ended");
            assert_eq!(*outcome.expect("settled"), index * 50);
        }
        assert_idle(&group);
    });
}

#[test]
fn passing_a_stranger_with_the_same_hash_is_not_waiting_on_it() {
    let group: Group<Same, usize> = Group::new();
    let owners: Vec<_> = (0..5).map(|id| primary(&group, Same(id))).collect();
    let stats = group.stats();
    assert_eq!(
        (stats.begun, stats.joined, stats.waited, stats.cancelled),
        (5, 0, 0, 0)
    );
    drop(owners);
    assert_idle(&group);
}

#[test]
fn colliding_keys_stay_apart_while_four_threads_begin_and_forget_them() {
    const KEYS: usize = 8;
    const ROUNDS: usize = 400;
    watched("colliding keys", || {
        let group: Group<Same, usize> = Group::new();
        let running: [AtomicBool; KEYS] = Default::default();
        thread::scope(|scope| {
            for worker in 0..4 {
                let (group, running) = (&group, &running);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let id = (round * 5 + worker * 3) % KEYS;
                        match group.begin(Same(id)) {
                            Begin::Primary(primary) => {
                                assert!(!running[id].swap(true, Ordering::SeqCst), "two primaries");
                                assert_eq!(*primary.key(), Same(id));
                                running[id].store(false, Ordering::SeqCst);
                                match round % 4 {
                                    0 => drop(primary),
                                    1 => primary.abort(),
                                    2 => {
                                        group.forget(&Same(id));
                                        assert!(primary.settle(id).is_ok());
                                    }
                                    _ => assert!(primary.settle(id).is_ok()),
                                }
                            }
                            Begin::Waiter(waiter) if round % 3 == 0 => drop(waiter),
                            Begin::Waiter(waiter) => {
                                assert_eq!(*waiter.key(), Same(id));
                                if let Ok(settled) = waiter.wait_blocking() {
                                    assert_eq!(*settled, id);
                                }
                            }
                            Begin::Rejected(why) => panic!("{why}"),
                        }
                    }
                });
            }
        });
        assert_idle(&group);
        let stats = group.stats();
        assert_eq!(stats.begun + stats.joined, (4 * ROUNDS) as u64);
    });
}

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

#[derive(PartialEq, Eq)]
struct Fickle(u32);

impl Hash for Fickle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(CALLS.replace(CALLS.get() + 1));
    }
}

#[test]
fn a_hash_that_changes_between_calls_neither_hangs_nor_leaks() {
    watched("a hash that changes", || {
        let group: Group<Fickle, u32> = Group::new();
        let mut begun: Vec<_> = (0..500).map(|id| group.begin(Fickle(id % 7))).collect();
        for id in 0..7 {
            group.forget(&Fickle(id));
            group.contains(&Fickle(id));
            group.waiters(&Fickle(id));
        }
        assert_ledger(&group);
        while let Some(begin) = begun.pop() {
            match begin {
                Begin::Primary(primary) if begun.len() % 2 == 0 => drop(primary.settle(1)),
                other => drop(other),
            }
        }
        assert_idle(&group);
    });
}

/// Equal to nothing, not even to itself.
struct Unequal(AtomicU64);

impl PartialEq for Unequal {
    fn eq(&self, _: &Self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        false
    }
}

impl Eq for Unequal {}

impl Hash for Unequal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(0);
    }
}

#[test]
fn a_key_that_equals_nothing_is_always_primary_and_leaves_nothing() {
    watched("a key that equals nothing", || {
        let group: Group<Unequal, u32> = Group::new();
        let owners: Vec<_> = (0..50)
            .map(|_| primary(&group, Unequal(AtomicU64::new(0))))
            .collect();
        assert_eq!(group.len(), 50);
        assert!(!group.forget(&Unequal(AtomicU64::new(0))));
        drop(owners);
        assert_idle(&group);
    });
}

thread_local! {
    static HASHES: Cell<usize> = const { Cell::new(0) };
}

#[derive(Clone, PartialEq, Eq)]
struct Counted(u32);

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        HASHES.set(HASHES.get() + 1);
        self.0.hash(state);
    }
}

type Call<'a> = (&'a str, &'a dyn Fn(&Group<Counted, u32>));

#[test]
fn a_call_hashes_its_key_once_whatever_the_rules_are() {
    let payload = Fingerprint::of(&1);
    let calls: [Call<'_>; 5] = [
        ("begin", &|group| drop(group.begin(Counted(1)))),
        ("entry_ref", &|group| {
            drop(group.entry_ref(&Counted(1)).begin())
        }),
        ("with a fingerprint", &|group| {
            drop(group.entry(Counted(1)).fingerprint(payload).begin());
        }),
        ("work", &|group| drop(group.work(Counted(1), || ready(1)))),
        ("try_work", &|group| {
            drop(group.try_work(Counted(1), fine(|| ready(1))));
        }),
    ];
    let groups: [Group<Counted, u32>; 3] = [
        Group::new(),
        Group::builder().max_waiters(9).build(),
        Group::builder().retain_for(Duration::from_secs(60)).build(),
    ];
    for group in &groups {
        for (name, call) in &calls {
            let before = HASHES.get();
            call(group);
            assert_eq!(HASHES.get() - before, 1, "{name}");
        }
    }
}
