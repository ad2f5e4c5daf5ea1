//! Keys, values, clocks and closures of `retain_by` that attack while another attack is under way,
//! or two at once: what the table, which makes one attack in each case, does not reach.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use oneflight_core::error::{Cause, Rejected};
#[cfg(feature = "std")]
use oneflight_core::gate::{Gate, Mode};
use oneflight_core::handle::Work;
use oneflight_core::{Begin, Error, Fingerprint, Group};

use super::plan::{Key, Part, Plan, Ticks, Value, key, maker, value};
use super::{Registry, assert_idle, poll_idly, primary, waiter};
use crate::fine::fine;
use crate::limit::{alone, lock, panics, quiet_panic};
use crate::outcome::cause_of;

const WINDOW: Duration = Duration::from_secs(60);
const AGE: Duration = Duration::from_secs(10);

/// All the flights that there may be can be begun: none that is over is still counted.
fn assert_room(group: &Registry, flights: u32) {
    let plan = Arc::default();
    let taken: Vec<_> = (0..flights)
        .map(|id| primary(group, &plan, 1_000 + id))
        .collect();
    assert!(matches!(
        group.begin(key(&plan, 999)),
        Begin::Rejected(Rejected::TooManyFlights)
    ));
    drop(taken);
}

fn participant(group: &Registry, plan: &Arc<Plan>) -> Work<Key, Value> {
    group.work(key(plan, 1), pending)
}

#[test]
fn a_participant_lost_to_a_panic_of_an_old_key_still_leaves_its_flight() {
    let (plan, group) = (Arc::<Plan>::default(), Group::builder().build());
    let lost = participant(&group, &plan);
    let heir = Arc::new(Mutex::new(None));
    // While the newcomer compares its key, the flight it found loses its last participant and
    // another begins. The newcomer is left with the last handle on the old flight, whose key panics
    // when it is dropped.
    let (inner, plans, next) = (group.clone(), plan.clone(), heir.clone());
    plan.arm_next(Part::Eq, move || {
        drop(lost);
        *lock(&next) = Some(participant(&inner, &plans));
        plans.arm_next(Part::KeyDrop, || quiet_panic());
    });
    assert!(panics(|| drop(participant(&group, &plan))));
    let heir = lock(&heir).take().expect("begun in the attack");
    assert!(group.contains(&key(&plan, 1)));
    assert_eq!(group.waiters(&key(&plan, 1)), 0);
    drop(heir);
    // Its last participant has left.
    assert_idle(&group);
}

/// Runs `newcomer`; while it compares its key, the flight it found is abandoned, and perhaps
/// forgotten before.
fn while_comparing(newcomer: impl Fn(&Registry, &Arc<Plan>)) {
    for forget in [false, true] {
        let (plan, group) = (Arc::<Plan>::default(), Group::builder().build());
        let first = participant(&group, &plan);
        let (inner, plans) = (group.clone(), plan.clone());
        plan.arm_next(Part::Eq, move || {
            if forget {
                assert!(inner.forget(&key(&plans, 1)));
            }
            drop(first);
        });
        newcomer(&group, &plan);
        assert!(plan.is_over());
        assert_idle(&group);
    }
}

#[test]
fn a_participant_that_comes_as_the_last_one_leaves_does_not_inherit_the_cancel() {
    while_comparing(|group, plan| {
        let mut work = group.work(key(plan, 1), maker(plan, 0));
        assert!(matches!(poll_idly(&mut work), Poll::Ready(Ok(_))));
        assert_eq!((group.stats().begun, plan.calls(Part::Make)), (2, 1));
    });
}

#[test]
fn a_plain_waiter_that_was_counted_before_the_last_participant_left_is_told() {
    while_comparing(|group, plan| {
        let waiter = waiter(group, plan, 1);
        let outcome = waiter.get().expect("ended");
        assert_eq!(cause_of(outcome), Cause::Dropped);
        assert_eq!((group.stats().joined, group.stats().waited), (1, 1));
    });
}

#[test]
fn a_flight_that_settles_while_it_is_found_too_old_is_dropped_under_no_lock() {
    alone(|| {
        let plan = Arc::<Plan>::default();
        let clock = Ticks::new(&plan);
        let group: Registry = Group::builder()
            .supersede_after(AGE)
            .clock(clock.clone())
            .build();
        let old = primary(&group, &plan, 1);
        clock.turn(11);
        let (inner, plans) = (group.clone(), plan.clone());
        plan.arm_next(Part::Eq, move || {
            drop(old.settle(value(&plans)));
            plans.arm_next(Part::KeyDrop, move || {
                assert_eq!(inner.waiters(&key(&Arc::default(), 1)), 0);
            });
        });
        drop(primary(&group, &plan, 1));
        assert!(plan.is_over());
        assert_idle(&group);
    });
}

#[test]
fn a_retain_by_that_supersedes_its_own_flight_and_panics_gives_it_back() {
    let plan = Arc::<Plan>::default();
    let clock = Ticks::new(&plan);
    let how_long = plan.clone();
    let builder = Group::builder().supersede_after(AGE).max_flights(2);
    let builder = builder.retain_by(move |_: &Value| {
        how_long.reached(Part::HowLong);
        Some(WINDOW)
    });
    let group: Registry = builder.clock(clock.clone()).build();
    let (inner, plans) = (group.clone(), plan.clone());
    plan.arm_next(Part::HowLong, move || {
        clock.turn(11);
        drop(primary(&inner, &plans, 1));
        quiet_panic();
    });
    let own = primary(&group, &plan, 1);
    assert!(panics(|| drop(own.settle(value(&plan)))));
    assert_eq!(group.stats().aborted_by(Cause::Superseded), 1);
    assert_idle(&group);
    assert_room(&group, 2);
}

#[test]
fn a_caller_that_is_only_compared_takes_nobodys_place() {
    let plan = Arc::<Plan>::default();
    let group: Registry = Group::builder().max_waiters(1).build();
    let with = |payload: &[u8]| {
        let entry = group.entry(key(&plan, 1));
        entry.fingerprint(Fingerprint::of_bytes(payload))
    };
    let begun = with(b"one").begin();
    assert!(matches!(begun, Begin::Primary(_)));
    let joined = Arc::new(Mutex::new(None));
    let (inner, plans, result) = (group.clone(), plan.clone(), joined.clone());
    plan.arm_next(Part::Eq, move || {
        *lock(&result) = Some(inner.begin(key(&plans, 1)))
    });
    let refused = with(b"two").begin();
    assert!(matches!(refused, Begin::Rejected(Rejected::Mismatch)));
    assert!(matches!(lock(&joined).take(), Some(Begin::Waiter(_))));
}

/// Not without `std`: nothing can end the second panic there.
#[test]
#[cfg(feature = "std")]
fn two_retained_values_that_panic_when_dropped_do_not_abort_the_process() {
    let plan = Arc::<Plan>::default();
    let builder = Group::builder().shards(1).retain_for(WINDOW);
    let group: Registry = builder.clock(Ticks::new(&plan)).build();
    for id in 0..3 {
        drop(primary(&group, &plan, id).settle(value(&plan)));
        plan.arm_next(Part::ValueDrop, || quiet_panic());
    }
    assert!(panics(|| drop(group)));
    assert!(plan.is_over());
}

#[test]
fn a_retained_value_that_panics_when_dropped_keeps_no_shard_from_being_cleared() {
    let plan = Arc::<Plan>::default();
    let builder = Group::builder().shards(16).retain_for(WINDOW);
    let group: Registry = builder.clock(Ticks::new(&plan)).build();
    // The primaries keep their shards.
    let primaries: Vec<_> = (1000..1100).map(|id| primary(&group, &plan, id)).collect();
    for id in 0..64 {
        drop(primary(&group, &plan, id).settle(value(&plan)));
    }
    plan.arm_next(Part::ValueDrop, || quiet_panic());
    assert!(panics(|| drop(group)));
    assert_eq!(plan.calls(Part::ValueDrop), 64);
    drop(primaries);
}

#[test]
fn a_value_whose_drop_begins_again_is_expired_under_no_lock() {
    alone(|| {
        let plan = Arc::<Plan>::default();
        let clock = Ticks::new(&plan);
        let builder = Group::builder()
            .shards(1)
            .retain_for(WINDOW)
            .max_retained(2);
        let group: Registry = builder.clock(clock.clone()).build();
        let settle = |id| {
            let (inner, plans) = (group.clone(), plan.clone());
            plan.arm_next(Part::ValueDrop, move || drop(inner.begin(key(&plans, 77))));
            drop(primary(&group, &plan, id).settle(value(&plan)));
        };
        // By capacity, by expiry, and by a forget.
        (0..4).for_each(settle);
        assert_eq!(group.stats().retained, 2);
        clock.turn(61);
        settle(3);
        assert_eq!(group.stats().retained, 1);
        assert!(group.forget(&key(&plan, 3)));
        assert!(!group.forget(&key(&plan, 3)));
        assert_eq!(group.stats().retained, 0);
        assert!(plan.is_over());
        assert_idle(&group);
    });
}

#[test]
fn a_value_that_comes_too_late_and_panics_when_dropped_is_dropped_once() {
    let (plan, group) = (Arc::<Plan>::default(), Registry::builder().build());
    let inner = group.clone();
    plan.arm_next(Part::Poll, move || inner.abort_all());
    plan.arm_next(Part::ValueDrop, || quiet_panic());
    let call = group.try_work(key(&plan, 1), fine(maker(&plan, 0)));
    let mut call = Box::pin(call);
    assert!(panics(|| drop(poll_idly(&mut call))));
    let polled = poll_idly(&mut call);
    assert!(matches!(polled, Poll::Ready(Err(Error::Aborted(_)))));
    assert_eq!(plan.calls(Part::ValueDrop), 1);
    drop(call);
    drop(primary(&group, &plan, 1));
    assert_idle(&group);
}

/// Not without `std`: nothing can end the second panic there.
#[cfg(feature = "std")]
mod two_panics {
    use std::task::{Wake, Waker};

    use super::*;
    use crate::limit::while_unwinding;
    use crate::users::poll;
    use crate::wakers::Shelf;

    /// A waker that does this and then panics.
    struct Hostile<F>(F);

    impl<F: Fn() + Send + Sync + 'static> Wake for Hostile<F> {
        fn wake(self: Arc<Self>) {
            self.0();
            quiet_panic();
        }
    }

    fn panicking() -> Waker {
        Arc::new(Hostile(|| {})).into()
    }

    #[test]
    fn a_key_that_panics_when_dropped_beside_a_waker_that_does_does_not_abort_the_process() {
        let plan = Arc::<Plan>::default();
        let group: Registry = Group::builder().shards(1).build();
        let owners: Vec<_> = (0..4).map(|id| primary(&group, &plan, id)).collect();
        let owners = Mutex::new(owners);
        let first = primary(&group, &plan, 10);
        let mut duplicate = waiter(&group, &plan, 10);
        // Its waker drops the other primaries, each of which may be the last handle of its flight.
        let rest = Hostile(move || {
            for owner in lock(&owners).drain(..) {
                panics(|| drop(owner));
            }
        });
        assert!(poll(&mut duplicate, &Arc::new(rest).into()).is_pending());
        (0..4).for_each(|_| plan.arm_next(Part::KeyDrop, || quiet_panic()));
        assert!(panics(|| group.abort_all()));
        assert!(plan.is_over());
        drop((first, duplicate));
        assert_idle(&group);
    }

    #[test]
    fn a_run_dropped_among_wakers_and_drops_that_panic_does_not_abort_the_process() {
        let (plan, group) = (Arc::<Plan>::default(), Registry::new());
        let mut run = primary(&group, &plan, 1).run(maker(&plan, 1)());
        assert!(poll_idly(&mut run).is_pending());
        let mut duplicate = waiter(&group, &plan, 1);
        assert!(poll(&mut duplicate, &panicking()).is_pending());
        plan.arm_next(Part::OperationDrop, || quiet_panic());
        assert!(panics(|| drop(run)));
        let outcome = duplicate.get().expect("ended");
        assert_eq!(cause_of(outcome), Cause::Dropped);
        drop(duplicate);
        assert_idle(&group);
    }

    #[test]
    fn a_task_dropped_among_wakers_and_drops_that_panic_does_not_abort_the_process() {
        for started in [false, true] {
            let (plan, group) = (Arc::<Plan>::default(), Registry::new());
            let shelf = Shelf::default();
            let mut call = group.entry(key(&plan, 1)).spawn_on(&shelf, maker(&plan, 1));
            assert!(poll(&mut call, &panicking()).is_pending());
            let mut task = shelf.take().remove(0);
            if started {
                assert!(poll_idly(&mut task).is_pending());
                plan.arm_next(Part::OperationDrop, || quiet_panic());
            } else {
                plan.arm_next(Part::MakerDrop, || quiet_panic());
            }
            panics(|| drop(task));
            assert!(plan.is_over());
            let outcome = call.get().expect("ended");
            let Err(Error::Aborted(aborted)) = outcome else {
                panic!("not aborted")
            };
            assert_eq!(aborted.cause(), Cause::Dropped);
            drop(call);
            assert_idle(&group);
        }
    }

    #[test]
    fn an_operation_dropped_by_a_panic_may_panic() {
        let (plan, group) = (Arc::<Plan>::default(), Registry::new());
        let mut last = group.work(key(&plan, 1), maker(&plan, 9));
        assert!(poll_idly(&mut last).is_pending());
        plan.arm_next(Part::OperationDrop, || quiet_panic());
        while_unwinding(move || drop(last));
        assert!(plan.is_over());
        assert_idle(&group);
    }

    #[test]
    fn a_primary_may_be_settled_by_a_panic() {
        let (plan, group) = (Arc::<Plan>::default(), Registry::new());
        let owner = primary(&group, &plan, 1);
        let waiting = waiter(&group, &plan, 1);
        while_unwinding(|| drop(owner.settle(value(&plan))));
        assert!(waiting.get().is_some_and(|outcome| outcome.is_ok()));
        drop(waiting);
        assert_idle(&group);
    }

    #[test]
    fn a_gate_may_be_handed_over_by_a_panic_to_a_clock_that_panics() {
        let plan = Arc::<Plan>::default();
        let gate = Gate::<u8, u8>::builder(Mode::Queue)
            .supersede_after(AGE)
            .clock(Ticks::new(&plan))
            .build();
        let holder = gate.begin(Some(1));
        let next = gate.turn(Some(2));
        plan.arm_next(Part::Clock, || quiet_panic());
        while_unwinding(|| drop(holder));
        assert!(plan.is_over() && !next.is_queued());
        drop(next);
        assert!(!gate.is_busy());
    }
}
