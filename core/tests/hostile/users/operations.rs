//! Operations that attack those who take part with them, and the ways to lose a driver.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};
use std::thread;

use oneflight_core::Error;
use oneflight_core::error::Cause;

use super::plan::{Inline, Part, Plan, key, maker};
use super::{Registry, assert_idle, poll, poll_idly, primary, waiter};
use crate::fine::fine;
#[cfg(feature = "std")]
use crate::limit::while_unwinding;
use crate::limit::{lock, panics, quiet_panic};
use crate::outcome::cause_of;

/// How a driver of `try_work` is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Made,
    Polled,
    Dropped,
    /// And dropped for that, with a panic.
    #[cfg(feature = "std")]
    PolledAndDropped,
    #[cfg(feature = "std")]
    DroppedByAPanic,
}

const LOSSES: &[Loss] = &[
    Loss::Made,
    Loss::Polled,
    Loss::Dropped,
    #[cfg(feature = "std")]
    Loss::PolledAndDropped,
    #[cfg(feature = "std")]
    Loss::DroppedByAPanic,
];

impl Loss {
    /// A driver comes and is lost in this way.
    fn come(self, group: &Registry, plan: &Arc<Plan>) {
        let panic_in = |part| plan.arm_next(part, || quiet_panic());
        let mut driver = Box::pin(group.try_work(key(plan, 1), fine(maker(plan, 1))));
        match self {
            Loss::Made => panic_in(Part::Make),
            Loss::Polled => panic_in(Part::Poll),
            #[cfg(feature = "std")]
            Loss::PolledAndDropped => {
                panic_in(Part::Poll);
                panic_in(Part::OperationDrop);
            }
            _ => {
                assert!(poll_idly(&mut driver).is_pending());
                panic_in(Part::OperationDrop);
            }
        }
        match self {
            Loss::Dropped => assert!(panics(|| drop(driver))),
            #[cfg(feature = "std")]
            Loss::DroppedByAPanic => while_unwinding(move || drop(driver)),
            _ => {
                assert!(panics(|| drop(poll_idly(&mut driver))));
                // Polled on: it has nothing left to run.
                let polled = poll_idly(&mut driver);
                assert!(matches!(polled, Poll::Ready(Err(Error::Aborted(_)))));
            }
        }
        assert!(plan.is_over());
    }
}

#[test]
fn however_the_driver_is_lost_exactly_one_other_runs_its_own() {
    for loss in LOSSES {
        let (plan, group) = (Arc::<Plan>::default(), Registry::builder().build());
        let call = |pending| {
            let call = group.try_work(key(&plan, 1), fine(maker(&plan, pending)));
            Box::pin(call)
        };
        // It keeps the flight going, and is polled only after the loss.
        let (mut next, mut idle) = (call(1), call(0));
        let plain = waiter(&group, &plan, 1);
        loss.come(&group, &plan);
        assert!(group.contains(&key(&plan, 1)), "{loss:?}");
        assert_eq!(group.waiters(&key(&plan, 1)), 2);
        assert!(poll_idly(&mut next).is_pending());
        assert!(poll_idly(&mut idle).is_pending());
        assert!(poll_idly(&mut next).is_ready());
        assert!(poll_idly(&mut idle).is_ready());
        assert!(plain.get().is_some_and(|outcome| outcome.is_ok()));
        drop((next, idle, plain));
        assert_eq!(group.stats().reruns, 1);
        // With nobody else there, its flight ends.
        loss.come(&group, &plan);
        assert_eq!((group.stats().reruns, group.stats().aborted), (1, 1));
        assert_idle(&group);
    }
}

#[test]
fn however_the_driver_is_lost_the_flight_ends_if_no_run_is_left() {
    for loss in LOSSES {
        let group = Registry::builder().max_reruns(0).build();
        let plan = Arc::<Plan>::default();
        let call = || Box::pin(group.try_work(key(&plan, 1), fine(maker(&plan, 0))));
        let (mut first, mut second) = (call(), call());
        let plain = waiter(&group, &plan, 1);
        loss.come(&group, &plan);
        for call in [&mut first, &mut second] {
            let Poll::Ready(outcome) = poll_idly(call) else {
                panic!("{loss:?}: not aborted")
            };
            assert_eq!(cause_of(outcome), Cause::Exhausted);
        }
        drop((first, second, plain));
        assert_idle(&group);
    }
}

/// Polls what sits there, whenever it is woken.
pub(super) struct PollsItself(pub(super) Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl PollsItself {
    /// Whether it is there, and ready.
    pub(super) fn poll(&self, waker: &Waker) -> bool {
        let Some(mut future) = lock(&self.0).take() else {
            return false;
        };
        let ready = poll(&mut future, waker).is_ready();
        *lock(&self.0) = Some(future);
        ready
    }
}

impl Wake for PollsItself {
    fn wake(self: Arc<Self>) {
        self.poll(Waker::noop());
    }
}

#[test]
fn a_waker_that_takes_over_inline_at_the_loss_is_the_only_one() {
    let (plan, group) = (Arc::<Plan>::default(), Registry::builder().build());
    let mut driver = Box::pin(group.try_work(key(&plan, 1), fine(pending)));
    assert!(poll_idly(&mut driver).is_pending());
    let others = (0..100).map(|_| {
        let call = group.try_work(key(&plan, 1), fine(maker(&plan, 1)));
        let call = async move { drop(call.await) };
        let other = Arc::new(PollsItself(Mutex::new(Some(Box::pin(call)))));
        assert!(!other.poll(&other.clone().into()));
        other
    });
    let others: Vec<_> = others.collect();
    drop(driver);
    assert_eq!(plan.calls(Part::Make), 1);
    // One of them drives; the others are ready after that.
    let ready = others
        .iter()
        .filter(|other| other.poll(Waker::noop()))
        .count();
    assert!(ready > 0);
    assert_eq!(plan.calls(Part::Make), 1);
    drop(others);
    assert_eq!(group.stats().settled, 1);
    assert_idle(&group);
}

#[test]
fn an_operation_that_panics_when_it_is_dropped_takes_no_outcome_along() {
    let (plan, group) = (Arc::<Plan>::default(), Registry::builder().build());
    let mut driver = group.work(key(&plan, 1), maker(&plan, 0));
    let other = group.work(key(&plan, 1), maker(&plan, 0));
    plan.arm_next(Part::OperationDrop, || quiet_panic());
    assert!(panics(|| drop(poll_idly(&mut driver))));
    for work in [driver, other] {
        assert!(work.get().is_some_and(|outcome| outcome.is_ok()));
    }
    // With the last participant: the flight has ended before.
    let mut last = group.work(key(&plan, 1), maker(&plan, 9));
    let waiting = waiter(&group, &plan, 1);
    assert!(poll_idly(&mut last).is_pending());
    plan.arm_next(Part::OperationDrop, || quiet_panic());
    assert!(panics(|| drop(last)));
    let outcome = waiting.get().expect("ended");
    assert_eq!(cause_of(outcome), Cause::Dropped);
    drop(waiting);
    assert_idle(&group);
}

#[test]
fn an_operation_dropped_by_its_run_may_panic() {
    for polls in [0, 9] {
        let (plan, group) = (Arc::<Plan>::default(), Registry::builder().build());
        let mut run = primary(&group, &plan, 1).run(maker(&plan, polls)());
        let waiting = waiter(&group, &plan, 1);
        assert_eq!(poll_idly(&mut run).is_ready(), polls == 0);
        plan.arm_next(Part::OperationDrop, || quiet_panic());
        assert!(panics(|| drop(run)));
        assert_eq!(
            waiting.get().is_some_and(|outcome| outcome.is_ok()),
            polls == 0
        );
        drop(waiting);
        assert_idle(&group);
    }
}

/// Another thread's calls join, where the operation's own are turned away.
#[test]
fn an_operation_may_join_its_own_flight_from_another_thread_and_leave_it() {
    let (plan, group) = (Arc::<Plan>::default(), Registry::builder().build());
    let (inner, plans) = (group.clone(), plan.clone());
    let attack = move || {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut joined = waiter(&inner, &plans, 1);
                assert!(poll_idly(&mut joined).is_pending());
                let mut work = inner.work(key(&plans, 1), maker(&plans, 0));
                assert!(poll_idly(&mut work).is_pending(), "it is being polled");
                drop(work);
                assert!(inner.waiters(&key(&plans, 1)) >= 1);
            });
        });
    };
    let mut driver = group.work(key(&plan, 1), maker(&plan, 2));
    let mut other = group.work(key(&plan, 1), maker(&plan, 0));
    (0..3).for_each(|_| plan.arm_next(Part::Poll, attack.clone()));
    assert!(poll_idly(&mut driver).is_pending());
    drop(driver);
    assert!(poll_idly(&mut other).is_pending());
    assert!(matches!(poll_idly(&mut other), Poll::Ready(Ok(_))));
    assert!(plan.is_over());
    drop(other);
    assert_idle(&group);
}

#[test]
fn an_operation_that_stops_its_group_is_ended_by_the_poll_that_does() {
    for attempt in 0..3 {
        let (plan, group) = (Arc::<Plan>::default(), Registry::builder().build());
        let inner = group.clone();
        plan.arm_next(Part::Poll, move || {
            inner.close();
            inner.abort_all();
        });
        let (key, make) = (key(&plan, 1), maker(&plan, 9));
        let aborted = match attempt {
            0 => poll_idly(&mut group.work(key, make)),
            1 => poll_idly(&mut Box::pin(group.try_work(key, fine(make)))),
            _ => poll_idly(&mut group.entry(key).spawn_on(&Inline::new(&plan), make)),
        };
        let Poll::Ready(Err(Error::Aborted(aborted))) = aborted else {
            panic!("not ended")
        };
        assert_eq!(aborted.cause(), Cause::AbortedAll);
        assert!(poll_idly(&mut group.drained()).is_ready());
        assert_eq!(plan.calls(Part::Poll), 1);
        assert_idle(&group);
    }
}

#[test]
fn an_operation_may_drop_all_other_participants() {
    let (plan, group) = (Arc::<Plan>::default(), Registry::builder().build());
    let mut driver = group.work(key(&plan, 1), maker(&plan, 0));
    let others: Vec<_> = (0..100)
        .map(|_| group.work(key(&plan, 1), pending))
        .collect();
    plan.arm_next(Part::Poll, move || drop(others));
    assert!(poll_idly(&mut driver).is_ready());
    drop(driver);
    assert_eq!(group.stats().cancelled, 100);
    assert_idle(&group);
}
