//! Calls that act by key or by a closure: their part of the script, and attacks inside of them that
//! the table does not reach.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneflight_core::error::Cause;
use oneflight_core::{Begin, Error, Fingerprint, FlightId, Group, Waiter};

use super::plan::{Key, Part, Plan, Shelf, Ticks, Value, key, maker, trier, value};
use super::script::{self, Setup};
use super::{Registry, assert_idle, primary, waiter};
use crate::limit::{alone, lock, panics, quiet_panic};

#[cfg(feature = "std")]
const WINDOW: Duration = Duration::from_secs(60);
const AGE: Duration = Duration::from_secs(10);

/// A closure that picks these keys.
fn pick(plan: &Arc<Plan>, ids: &'static [u32]) -> impl FnMut(&Key) -> bool + use<> {
    let plan = plan.clone();
    move |key| {
        plan.reached(Part::Pick);
        ids.contains(&key.id())
    }
}

impl Setup {
    /// Each of the calls, on keys that are in flight, retained and neither.
    pub(super) fn act_on_keys(&self, group: &script::Registry) {
        let key = |id| key(&self.plan, id);
        let pick = |ids| pick(&self.plan, ids);
        let mut held: Vec<Begin<Key, Value>> = Vec::new();
        let mut joined: Vec<Waiter<Key, Value>> = Vec::new();
        let mut ids: Vec<FlightId> = Vec::new();
        for id in [1, 2, 2, 3, 4, 5] {
            self.attempt(|| {
                held.push(group.begin(key(id)));
                if let Some(Begin::Primary(primary)) = held.last() {
                    ids.push(primary.id());
                }
            });
        }
        for id in [1, 2, 9] {
            self.attempt(|| joined.extend(group.join(&key(id)).ok().flatten()));
            self.attempt(|| joined.extend(group.entry(key(id)).join().ok().flatten()));
        }
        let mark = Fingerprint::of_bytes(b"one");
        self.attempt(|| group.entry_ref(&key(3)).fingerprint(mark).join().map(drop));
        self.attempt(|| group.touch(&key(1)));
        self.attempt(|| group.keys());
        for id in ids.drain(..).rev() {
            self.attempt(|| group.forget_flight(&key(2), id));
        }
        self.attempt(|| group.abort(&key(1)));
        self.attempt(|| group.abort_if(pick(&[3, 9])));
        self.attempt(|| group.forget_if(pick(&[4, 9])));
        let mut settled = Vec::new();
        for begin in held {
            self.attempt(|| match begin {
                Begin::Primary(primary) => {
                    primary.touch();
                    settled.extend(primary.settle_registered(value(&self.plan)).ok());
                }
                begin => drop(begin),
            });
        }
        for waiter in joined {
            self.attempt(|| drop(waiter));
        }
        for (settled, _) in settled {
            self.attempt(|| settled.try_unwrap().map(drop).map_err(drop));
        }
        // Where it is retained, that is all that is left.
        self.attempt(|| group.join(&key(5)).map(drop));
        self.attempt(|| group.abort(&key(5)));
        self.attempt(|| group.forget_if(pick(&[5])));
    }
}

fn aged(clock: &Ticks) -> Registry {
    Group::builder()
        .supersede_after(AGE)
        .clock(clock.clone())
        .build()
}

#[test]
fn a_flight_that_is_touched_while_it_is_found_too_old_is_joined() {
    alone(|| {
        let plan = Arc::<Plan>::default();
        let clock = Ticks::new(&plan);
        let group = aged(&clock);
        let old = primary(&group, &plan, 1);
        clock.turn(11);
        let (inner, plans) = (group.clone(), plan.clone());
        plan.arm_next(Part::Eq, move || assert!(inner.touch(&key(&plans, 1))));
        let joined = waiter(&group, &plan, 1);
        assert!(plan.is_over());
        assert!(old.settle(value(&plan)).is_ok());
        assert!(joined.get().is_some_and(|outcome| outcome.is_ok()));
        drop(joined);
        assert_idle(&group);
    });
}

#[test]
fn a_closure_that_panics_is_not_called_again_and_keeps_what_it_has_done() {
    for aborts in [false, true] {
        let (plan, group) = (Arc::<Plan>::default(), Registry::new());
        let owners: Vec<_> = (0..8).map(|id| primary(&group, &plan, id)).collect();
        let mut asked = 0;
        let which = |_: &Key| {
            asked += 1;
            if asked == 3 {
                quiet_panic();
            }
            true
        };
        let panicked = panics(|| {
            if aborts {
                group.abort_if(which);
            } else {
                group.forget_if(which);
            }
        });
        assert!(panicked);
        assert_eq!((asked, group.len()), (3, 6));
        let late = owners.into_iter().map(|owner| owner.settle(value(&plan)));
        let lost = late.filter(|settled| settled.is_err()).count();
        assert_eq!(lost, if aborts { 2 } else { 0 });
        assert_idle(&group);
    }
}

#[test]
fn a_closure_may_end_what_it_is_asked_about() {
    alone(|| {
        let (plan, group) = (Arc::<Plan>::default(), Registry::new());
        let owners: Vec<_> = (0..3).map(|id| primary(&group, &plan, id)).collect();
        // A forgotten flight is left alone, though the closure picks it.
        let aborted = group.abort_if(|picked| match picked.id() {
            0 => group.forget(picked),
            1 => group.abort(picked),
            _ => true,
        });
        assert_eq!(aborted, 1);
        let settled = owners
            .into_iter()
            .map(|owner| owner.settle(value(&plan)).is_ok());
        assert_eq!(settled.collect::<Vec<_>>(), [true, false, false]);
        assert_idle(&group);
    });
}

#[test]
fn a_join_that_loses_its_flight_while_it_compares_is_told() {
    for forgets in [false, true] {
        let (plan, group) = (Arc::<Plan>::default(), Registry::new());
        let owner = primary(&group, &plan, 1);
        let (inner, plans) = (group.clone(), plan.clone());
        plan.arm_next(Part::Eq, move || {
            if forgets {
                assert!(inner.forget(&key(&plans, 1)));
            }
            drop(owner);
        });
        // It was counted before its key was compared.
        let joined = group.join(&key(&plan, 1)).expect("not rejected");
        let joined = joined.expect("in flight when it came");
        let outcome = joined.get().expect("ended");
        assert!(matches!(outcome, Err(Error::Aborted(it)) if it.cause() == Cause::Dropped));
        drop(joined);
        assert_idle(&group);
    }
}

#[test]
fn a_join_compares_each_key_of_its_hash_once() {
    const KEYS: u32 = 20;
    let plan = Arc::<Plan>::default();
    let group: script::Registry = Group::with_hasher(super::plan::OneHash(plan.clone()));
    let owners: Vec<_> = (0..KEYS).map(|id| group.begin(key(&plan, id))).collect();
    for id in [KEYS - 1, KEYS] {
        let before = plan.calls(Part::Eq);
        let found = group.join(&key(&plan, id)).expect("not rejected");
        assert_eq!(found.is_some(), id < KEYS);
        let compared = plan.calls(Part::Eq) - before;
        // The one that a pass finds is compared once more when it has been joined.
        assert!(compared <= KEYS as usize + 1, "{compared} comparisons");
    }
    let stats = group.stats();
    assert_eq!((stats.joined, stats.cancelled), (1, 1));
    drop(owners);
}

#[test]
fn a_join_from_inside_of_the_operation_is_no_deadlock() {
    alone(|| {
        let (plan, group) = (Arc::<Plan>::default(), Registry::new());
        let own = primary(&group, &plan, 1);
        let (inner, plans) = (group.clone(), plan.clone());
        let joined = Arc::new(Mutex::new(None));
        let result = joined.clone();
        plan.arm_next(Part::Poll, move || {
            let waiter = inner.join(&key(&plans, 1)).expect("not rejected");
            let counted = inner.waiters(&key(&plans, 1));
            *lock(&result) = Some((waiter.is_some(), counted));
        });
        let mut run = Box::pin(own.run(super::plan::maker(&plan, 0)()));
        assert!(super::poll_idly(&mut run).is_ready());
        drop(run);
        // It counts for nothing, where that can be known.
        let counted = usize::from(!cfg!(feature = "std"));
        assert_eq!(lock(&joined).take(), Some((true, counted)));
        assert_idle(&group);
    });
}

#[test]
fn keys_of_another_groups_flights_are_no_keys_here() {
    let (plan, group, other) = (Arc::default(), Registry::new(), Registry::new());
    let (here, there) = (primary(&group, &plan, 1), primary(&other, &plan, 1));
    for (registry, id) in [(&group, there.id()), (&other, here.id())] {
        let same = here.id() == there.id();
        assert_eq!(registry.forget_flight(&key(&plan, 1), id), same);
        assert!(!registry.forget_flight(&key(&plan, 2), id));
    }
}

/// Not without `std`: nothing can end the second panic there.
#[test]
#[cfg(feature = "std")]
fn keys_that_panic_when_they_are_cloned_and_dropped_do_not_abort_the_process() {
    let plan = Arc::<Plan>::default();
    let group: Registry = Group::builder()
        .retain_for(WINDOW)
        .clock(Ticks::new(&plan))
        .build();
    let owners: Vec<_> = (0..4).map(|id| primary(&group, &plan, id)).collect();
    let owners = Mutex::new(owners);
    // The third clone drops all flights, which then have their last handles in the call, and panics.
    let clones = plan.calls(Part::KeyClone);
    let plans = plan.clone();
    plan.arm(Part::KeyClone, clones + 3, move || {
        lock(&owners).clear();
        plans.arm_next(Part::KeyDrop, || quiet_panic());
        quiet_panic();
    });
    assert!(panics(|| drop(group.keys())));
    assert!(plan.is_over());
    assert_eq!(plan.calls(Part::KeyClone), clones + 3);
    assert_eq!(plan.alive(), 0, "something of the user's is kept");
    assert_idle(&group);
}

/// A call whose key panics when it is compared. It has been counted by then.
fn join_by_a_key_that_panics(plan: &Arc<Plan>, group: &Registry, tries: bool) {
    plan.arm_next(Part::Eq, || quiet_panic());
    let joins = || {
        if tries {
            drop(group.try_work(key(plan, 1), trier(plan, 1, false)));
        } else {
            drop(group.work(key(plan, 1), maker(plan, 1)));
        }
    };
    assert!(panics(joins));
    assert_eq!(group.stats().waiting, 0);
}

#[test]
fn a_participant_whose_key_panics_does_not_want_the_flight() {
    for tries in [false, true] {
        let (plan, group) = (Arc::<Plan>::default(), Registry::new());
        let shelf = Shelf::new(&plan);
        let entry = group.entry(key(&plan, 1));
        let owner = entry.spawn_while_wanted_on(&shelf, maker(&plan, 1));
        join_by_a_key_that_panics(&plan, &group, tries);
        drop(owner);
        assert_idle(&group);
        drop(shelf.take());
    }
}

#[test]
fn a_participant_whose_key_panics_does_not_leave_the_operation() {
    for tries in [false, true] {
        let (plan, group) = (Arc::<Plan>::default(), Registry::new());
        let mut owner = group.work(key(&plan, 1), maker(&plan, 0));
        join_by_a_key_that_panics(&plan, &group, tries);
        assert!(owner.get().is_none(), "the flight is open");
        assert!(super::poll_idly(&mut owner).is_ready());
        drop(owner);
        assert_idle(&group);
    }
}
