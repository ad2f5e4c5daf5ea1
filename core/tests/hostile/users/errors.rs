//! Operations of `try_work` that fail, with errors, destructors and wakers that attack.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use oneflight_core::error::Cause;
use oneflight_core::handle::TryWork;

use super::operations::PollsItself;
use super::plan::{Key, Mistake, Part, Plan, Trying, Value, key, trier};
#[cfg(feature = "std")]
use super::poll;
use super::{Registry, assert_idle, poll_idly, waiter};
use crate::limit::{panics, quiet_panic};
use crate::outcome::cause_of;

type Make = Box<dyn FnOnce() -> Trying + Send>;
type Call = Pin<Box<TryWork<Key, Value, Make, Trying>>>;

/// Panics when it is woken.
#[cfg(feature = "std")]
struct Bomb;

#[cfg(feature = "std")]
impl std::task::Wake for Bomb {
    fn wake(self: Arc<Self>) {
        quiet_panic();
    }
}

fn setup() -> (Arc<Plan>, Registry) {
    let plan = Arc::<Plan>::default();
    plan.is_here();
    (plan, Registry::builder().build())
}

fn call(group: &Registry, plan: &Arc<Plan>, pending: usize, fails: bool) -> Call {
    let make: Make = Box::new(trier(plan, pending, fails));
    Box::pin(group.try_work(key(plan, 1), make))
}

/// It fails at its next poll.
fn about_to_fail(group: &Registry, plan: &Arc<Plan>) -> Call {
    let mut driver = call(group, plan, 1, true);
    assert!(poll_idly(&mut driver).is_pending());
    driver
}

fn is_own(polled: &Poll<Result<oneflight_core::Settled<Key, Value>, Mistake>>) -> bool {
    matches!(polled, Poll::Ready(Err(mistake)) if mistake.own)
}

#[test]
fn an_operation_that_fails_and_panics_when_dropped_passes_the_run_on() {
    for heirs in [1, 0] {
        let (plan, group) = setup();
        let mut driver = about_to_fail(&group, &plan);
        let heir = (heirs == 1).then(|| call(&group, &plan, 0, false));
        let plain = waiter(&group, &plan, 1);
        plan.arm_next(Part::OperationDrop, || quiet_panic());
        assert!(panics(|| drop(poll_idly(&mut driver))));
        assert_eq!(plan.calls(Part::ErrorDrop), 1, "the panic took its place");
        if let Some(mut heir) = heir {
            assert!(matches!(poll_idly(&mut heir), Poll::Ready(Ok(_))));
            assert!(plain.get().is_some_and(|outcome| outcome.is_ok()));
        } else {
            // The operation had failed before.
            assert_eq!(plain.get().map(cause_of), Some(Cause::Failed));
        }
        drop((driver, plain));
        assert_idle(&group);
        assert_eq!(plan.alive(), 0);
    }
}

/// A destructor or a waker panics at the failure, and so does the drop of the error in turn. Not without `std`: nothing can
/// end the second panic there.
#[cfg(feature = "std")]
#[test]
fn an_error_that_panics_where_a_panic_takes_its_place_does_not_abort() {
    for wakes in [false, true] {
        let (plan, group) = setup();
        let mut driver = about_to_fail(&group, &plan);
        let (mut bomb, mut heir) = (call(&group, &plan, 0, false), call(&group, &plan, 0, false));
        if wakes {
            assert!(poll(&mut bomb, &Arc::new(Bomb).into()).is_pending());
        } else {
            plan.arm_next(Part::OperationDrop, || quiet_panic());
        }
        plan.arm_next(Part::ErrorDrop, || quiet_panic());
        assert!(panics(|| drop(poll_idly(&mut driver))));
        assert!(plan.is_over());
        assert!(matches!(poll_idly(&mut heir), Poll::Ready(Ok(_))));
        drop((driver, bomb, heir));
        assert_idle(&group);
        assert_eq!(plan.alive(), 0);
    }
}

/// The wake that a failure makes runs the next operation. The one that failed is gone by then.
#[test]
fn a_waker_that_takes_over_inline_at_a_failure_finds_no_other_operation() {
    let (plan, group) = setup();
    let mut driver = about_to_fail(&group, &plan);
    let heir = call(&group, &plan, 0, false);
    let heir = async move { drop(heir.await) };
    let heir = Arc::new(PollsItself(Mutex::new(Some(Box::pin(heir)))));
    assert!(!heir.poll(&heir.clone().into()));
    let plans = plan.clone();
    plan.arm(Part::Make, 2, move || {
        assert_eq!(plans.calls(Part::OperationDrop), 1, "two at once");
    });
    assert!(is_own(&poll_idly(&mut driver)));
    assert!(plan.is_over());
    drop((driver, heir));
    assert_eq!(group.stats().settled, 1);
    assert_idle(&group);
}

/// Where an error is made of the crate's, the operation is gone and the call is over.
#[test]
fn an_error_that_comes_back_while_it_is_made_finds_nothing_left_of_the_call() {
    for attack_panics in [false, true] {
        let (plan, group) = setup();
        let mut driver = call(&group, &plan, 9, false);
        assert!(poll_idly(&mut driver).is_pending());
        group.close();
        group.abort_all();
        let (plans, inner) = (plan.clone(), group.clone());
        plan.arm_next(Part::ErrorFrom, move || {
            assert_eq!(plans.calls(Part::OperationDrop), 1);
            assert!(poll_idly(&mut inner.drained()).is_ready());
            if attack_panics {
                quiet_panic();
            }
        });
        assert_eq!(panics(|| drop(poll_idly(&mut driver))), attack_panics);
        assert!(plan.is_over());
        assert!(panics(|| drop(poll_idly(&mut driver))), "it was ready");
        drop(driver);
        assert_idle(&group);
        assert_eq!(plan.alive(), 0);
    }
}
