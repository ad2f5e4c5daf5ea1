//! Keys that attack: their `Hash`, `Eq`, `Clone` or `Drop` panics or re-enters the group at the k-th call, for every k
//! that a long script of calls reaches. Keys that collide are in `colliding_keys`.

mod support;

use std::borrow::ToOwned;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use oneflight_core::{Begin, Cause, Group};
use support::{assert_idle, assert_ledger, panics, poll_idly, primary, waiter, within_limit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Hash,
    Eq,
    Clone,
    Drop,
}

const PARTS: [Part; 4] = [Part::Hash, Part::Eq, Part::Clone, Part::Drop];

type Attack = Arc<dyn Fn() + Send + Sync>;

/// When which part of a key attacks, and how.
#[derive(Default)]
struct Plan {
    calls: [AtomicUsize; PARTS.len()],
    armed: Mutex<Option<(Part, usize, Attack)>>,
}

impl Plan {
    /// At the `call`-th call of `part` from now on, counted from 1.
    fn arm(&self, part: Part, call: usize, attack: Attack) {
        self.calls[part as usize].store(0, Ordering::SeqCst);
        *self.armed.lock().expect("never held over an attack") = Some((part, call, attack));
    }

    /// True if the attack was never reached.
    fn disarm(&self) -> bool {
        self.armed
            .lock()
            .expect("never held over an attack")
            .take()
            .is_some()
    }

    fn reached(&self, part: Part) {
        let call = self.calls[part as usize].fetch_add(1, Ordering::SeqCst) + 1;
        let attack = {
            let mut armed = self.armed.lock().expect("never held over an attack");
            armed
                .take_if(|(armed, at, _)| *armed == part && *at == call)
                .map(|(_, _, attack)| attack)
        };
        if let Some(attack) = attack {
            attack();
        }
    }
}

/// A key that follows a plan. All keys of a plan share one hash, so that every search compares.
struct Key {
    id: u32,
    plan: Arc<Plan>,
}

fn key(plan: &Arc<Plan>, id: u32) -> Key {
    let plan = plan.clone();
    Key { id, plan }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.plan.reached(Part::Hash);
        state.write_u32(0);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.plan.reached(Part::Eq);
        self.id == other.id
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Self {
        self.plan.reached(Part::Clone);
        key(&self.plan, self.id)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.plan.reached(Part::Drop);
    }
}

type Registry = Group<Key, u32>;

/// Every call of the group, on keys that collide, each on its own: a panic of one does not keep the next from running.
/// Returns how many panicked.
fn script(group: &Registry, plan: &Arc<Plan>) -> usize {
    let panicked = AtomicUsize::new(0);
    let attempt = |call: &mut dyn FnMut()| {
        panicked.fetch_add(usize::from(panics(call)), Ordering::SeqCst);
    };
    let held: Mutex<Vec<Begin<Key, u32>>> = Mutex::default();
    let hold = |begin| held.lock().expect("never held over user code").push(begin);

    for id in [1, 2, 1, 2, 1, 3] {
        attempt(&mut || hold(group.begin(key(plan, id))));
    }
    for id in [1, 4, 4] {
        attempt(&mut || {
            let asked = key(plan, id);
            let begin = group.begin_ref::<Key>(&asked);
            hold(begin);
        });
    }
    for id in [1, 5] {
        attempt(&mut || {
            let mut work = group.work(key(plan, id), || async { 7 });
            drop(poll_idly(&mut work));
        });
    }
    attempt(&mut || {
        group.contains(&key(plan, 3));
    });
    attempt(&mut || {
        group.waiters(&key(plan, 1));
    });
    attempt(&mut || {
        group.forget(&key(plan, 2));
    });
    attempt(&mut || hold(group.begin(key(plan, 2))));
    assert_ledger(group);

    // One half is settled or left, the other dropped as it is.
    let mut turn = 0;
    loop {
        let next = held.lock().expect("never held over user code").pop();
        let Some(begin) = next else { break };
        let mut begin = Some(begin);
        turn += 1;
        attempt(&mut || match begin.take() {
            Some(Begin::Primary(primary)) if turn % 2 == 0 => drop(primary.settle(turn)),
            begin => drop(begin),
        });
    }
    panicked.into_inner()
}

/// Runs the script for every call of every part, with an attack at that call.
fn sweep(attack: impl Fn(&Registry, &Arc<Plan>) -> Attack + Send + 'static, panicking: bool) {
    within_limit(move || {
        for part in PARTS {
            let mut calls = 0;
            loop {
                calls += 1;
                let group = Registry::new();
                let plan = Arc::new(Plan::default());
                plan.arm(part, calls, attack(&group, &plan));
                let panicked = script(&group, &plan);
                let missed = plan.disarm();
                let expected = usize::from(panicking && !missed);
                assert_eq!(panicked, expected, "{part:?} {calls}");
                assert_idle(&group);

                // Usable, for a key of the script and for a new one.
                for id in [1, 99] {
                    let owner = primary(&group, key(&plan, id));
                    let waiting = waiter(&group, key(&plan, id));
                    assert_eq!(*owner.settle(id).expect("first"), id);
                    assert_eq!(*waiting.get().expect("ended").expect("settled"), id);
                }
                assert_idle(&group);
                if missed {
                    break;
                }
            }
            assert!(calls > 1, "the script never reached {part:?}");
        }
    });
}

#[test]
fn a_key_that_panics_at_any_call_leaves_the_group_usable() {
    sweep(|_, _| Arc::new(|| panic!("a key attacks")), true);
}

/// Attacks that call back into the group.
fn sweep_reentering(call: impl Fn(&Registry, &Arc<Plan>) + Clone + Send + Sync + 'static) {
    sweep(
        move |group, plan| {
            let (call, group, plan) = (call.clone(), group.clone(), plan.clone());
            Arc::new(move || call(&group, &plan))
        },
        false,
    );
}

#[test]
fn a_key_may_begin_and_drop_at_any_call() {
    sweep_reentering(|group, plan| {
        for id in 1..7 {
            drop(group.begin(key(plan, id)));
        }
    });
}

#[test]
fn a_key_may_begin_and_settle_at_any_call() {
    sweep_reentering(|group, plan| {
        for id in 1..7 {
            if let Begin::Primary(primary) = group.begin_ref(&key(plan, id)) {
                assert!(primary.settle(id).is_ok());
            }
        }
    });
}

#[test]
fn a_key_may_work_at_any_call() {
    sweep_reentering(|group, plan| {
        for id in 1..7 {
            let mut work = group.work(key(plan, id), || async { 7 });
            drop(poll_idly(&mut work));
        }
    });
}

#[test]
fn a_key_may_forget_every_key_at_any_call() {
    sweep_reentering(|group, plan| {
        for id in 1..7 {
            group.forget(&key(plan, id));
            assert!(!group.contains(&key(plan, id)));
        }
    });
}

#[test]
fn a_key_may_ask_at_any_call() {
    sweep_reentering(|group, plan| {
        assert!(group.is_empty() || (1..=6).contains(&group.len()));
        assert!(group.waiters(&key(plan, 1)) <= 6);
        assert_ledger(group);
        assert!(!format!("{group:?}").is_empty());
    });
}

#[test]
fn a_duplicates_key_that_panics_in_its_drop_takes_its_waiter_along() {
    within_limit(|| {
        let group = Registry::new();
        let plan = Arc::new(Plan::default());
        let owner = primary(&group, key(&plan, 1));
        plan.arm(Part::Drop, 1, Arc::new(|| panic!("a duplicate's key")));
        assert!(panics(|| group.begin(key(&plan, 1))));
        assert_eq!((owner.waiters(), group.stats().cancelled), (0, 1));

        let mut driver = group.work(key(&plan, 2), std::future::pending);
        assert!(poll_idly(&mut driver).is_pending());
        plan.arm(Part::Drop, 1, Arc::new(|| panic!("a participant's key")));
        assert!(panics(|| group.work(key(&plan, 2), std::future::pending)));
        drop(driver);
        assert!(
            !group.contains(&key(&plan, 2)),
            "the last participant has left"
        );
        drop(owner);
        assert_idle(&group);
    });
}

#[test]
fn a_participant_lost_to_a_panic_of_an_old_key_still_leaves_its_flight() {
    within_limit(|| {
        let group = Registry::new();
        let plan = Arc::new(Plan::default());
        let lost = Mutex::new(Some(group.work(key(&plan, 1), std::future::pending)));
        let heir = Arc::new(Mutex::new(None));

        // While the newcomer compares its key, the flight it found loses its last participant and another begins.
        // The newcomer is left with the last handle on the old flight, whose key panics when it is dropped.
        let (inner, plans, next) = (group.clone(), plan.clone(), heir.clone());
        plan.arm(
            Part::Eq,
            1,
            Arc::new(move || {
                drop(lost.lock().expect("not poisoned").take());
                let work = inner.work(key(&plans, 1), std::future::pending);
                *next.lock().expect("not poisoned") = Some(work);
                plans.arm(Part::Drop, 1, Arc::new(|| panic!("the old key")));
            }),
        );
        assert!(panics(|| group.work(key(&plan, 1), std::future::pending)));

        let heir = heir
            .lock()
            .expect("not poisoned")
            .take()
            .expect("begun in the attack");
        assert!(group.contains(&key(&plan, 1)));
        assert_eq!(group.waiters(&key(&plan, 1)), 0);
        drop(heir);
        assert!(
            !group.contains(&key(&plan, 1)),
            "its last participant has left"
        );
        assert_idle(&group);
    });
}

/// Runs `newcomer`; while it compares its key, the flight it found is abandoned, and perhaps forgotten before.
fn while_comparing(newcomer: impl FnOnce(&Registry, Key), forget: bool) {
    let group = Registry::new();
    let plan = Arc::new(Plan::default());
    let first = Mutex::new(Some(group.work(key(&plan, 1), std::future::pending)));
    let (inner, plans) = (group.clone(), plan.clone());
    plan.arm(
        Part::Eq,
        1,
        Arc::new(move || {
            if forget {
                assert!(inner.forget(&key(&plans, 1)));
            }
            drop(first.lock().expect("not poisoned").take());
        }),
    );
    newcomer(&group, key(&plan, 1));
    assert_idle(&group);
}

#[test]
fn a_participant_that_comes_as_the_last_one_leaves_does_not_inherit_the_cancel() {
    for forget in [false, true] {
        while_comparing(
            |group, key| {
                let mut work = group.work(key, || async { 7 });
                match poll_idly(&mut work) {
                    Poll::Ready(Ok(settled)) => assert_eq!(*settled, 7),
                    _ => panic!("it must run its own operation"),
                }
                assert_eq!(group.stats().begun, 2);
            },
            forget,
        );
    }
}

#[test]
fn a_plain_waiter_that_was_counted_before_the_last_participant_left_is_told() {
    for forget in [false, true] {
        while_comparing(
            |group, key| match group.begin(key) {
                Begin::Waiter(waiter) => {
                    let aborted = waiter.get().expect("ended").unwrap_err();
                    assert_eq!(aborted.cause(), Cause::Dropped);
                    assert_eq!((group.stats().joined, group.stats().waited), (1, 1));
                }
                _ => panic!("it was counted before the flight ended"),
            },
            forget,
        );
    }
}

#[test]
fn a_borrowed_key_is_cloned_only_by_the_primary() {
    let group = Registry::new();
    let plan = Arc::new(Plan::default());
    let asked = key(&plan, 1);
    let first = group.begin_ref(&asked);
    let second = group.begin_ref(&asked);
    assert!(matches!(
        (&first, &second),
        (Begin::Primary(_), Begin::Waiter(_))
    ));
    assert_eq!(plan.calls[Part::Clone as usize].load(Ordering::SeqCst), 1);
    assert_eq!(ToOwned::to_owned(&asked).id, 1);
    drop((first, second));
    assert_idle(&group);
}
