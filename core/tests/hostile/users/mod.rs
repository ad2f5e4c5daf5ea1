//! Keys, values, closures, operations, clocks, hashers and runtimes that attack: at every call that
//! a long script makes of each of them, every attack. Each case has a name and a time limit.

mod attack;
mod errors;
mod keys;
mod nested;
mod operations;
mod plan;
mod script;

use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use oneflight_core::{Begin, Group, Primary, Waiter};

use self::attack::{Attack, REENTERING};
use self::plan::{Key, PARTS, Part, Plan, Value, key};
use self::script::Setup;
use crate::limit::{ISOLATES_PANICS, outside_of_every_section, panics, quiet_panic, survive};

/// Cases whose panic came out of the call that ran the code, and cases whose panic ended inside of
/// it.
static CAME_OUT: AtomicUsize = AtomicUsize::new(0);
static STAYED: AtomicUsize = AtomicUsize::new(0);

/// How often the script runs each part, when nothing attacks.
fn count_calls() -> [usize; PARTS.len()] {
    let plan = Arc::new(Plan::default());
    let setup = Setup::new(&plan);
    assert_eq!(setup.run(), 0);
    drop(setup);
    assert_eq!(plan.alive(), 0);
    PARTS.map(|part| plan.calls(part))
}

/// The script, with one attack at one call of one part.
fn perform(part: Part, at: usize, attack: Attack) {
    let plan = Arc::new(Plan::default());
    let setup = Arc::new(Setup::new(&plan));
    let inside = Arc::new(AtomicBool::new(false));
    let (weak, found) = (Arc::downgrade(&setup), inside.clone());
    plan.arm(part, at, move || {
        found.store(!outside_of_every_section(), Ordering::SeqCst);
        match weak.upgrade() {
            Some(setup) => attack.perform(&setup),
            // While the groups themselves are dropped, there is nothing left to call.
            None if attack == Attack::Panic => quiet_panic(),
            None => {}
        }
    });
    let mut panicked = setup.run();

    for group in [&setup.plain, &setup.ruled] {
        assert_idle(group);
        // The script has closed it, but for a call of that which panicked. A key of another plan:
        // what is armed may be the drop of what is retained.
        drop(group.begin(key(&Arc::default(), 1)));
        assert!(group.is_empty());
    }
    let stats = setup.gate.stats();
    assert!(!setup.gate.is_busy(), "{:?}", setup.gate);
    assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
    panicked += usize::from(panics(|| drop(setup)));
    assert!(plan.has_attacked(), "never reached");
    assert!(!inside.load(Ordering::SeqCst), "inside a critical section");
    assert_eq!(plan.alive(), 0, "something of the user's is kept");
    assert_eq!(Arc::strong_count(&plan), 1, "something keeps the plan");
    match attack {
        // How many end in a task is asserted for all together.
        Attack::Panic => {
            assert!(panicked <= 1, "{panicked} panics");
            let end = if panicked == 1 { &CAME_OUT } else { &STAYED };
            end.fetch_add(1, Ordering::SeqCst);
        }
        #[cfg(feature = "std")]
        Attack::PanicTwice => assert!(panicked <= 1, "{panicked} panics"),
        _ => assert_eq!(panicked, 0, "panics that nobody asked for"),
    }
}

/// Nothing is left, and every figure adds up.
fn assert_idle<S: BuildHasher>(group: &Group<Key, Value, S>) {
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
    assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
    assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats:?}");
    assert!(group.is_empty(), "{stats:?}");
}

type Registry = Group<Key, Value>;

fn primary(group: &Registry, plan: &Arc<Plan>, id: u32) -> Primary<Key, Value> {
    match group.begin(key(plan, id)) {
        Begin::Primary(primary) => primary,
        other => panic!("expected the primary: {other:?}"),
    }
}

fn waiter(group: &Registry, plan: &Arc<Plan>, id: u32) -> Waiter<Key, Value> {
    match group.begin(key(plan, id)) {
        Begin::Waiter(waiter) => waiter,
        other => panic!("expected a waiter: {other:?}"),
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn poll_idly<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll(future, Waker::noop())
}

/// Every call of these parts, with each of the attacks.
fn sweep(parts: &[Part], attacks: &'static [Attack], at_least: usize) {
    let calls = count_calls();
    let cases = parts.iter().flat_map(|part| {
        let (part, calls) = (*part, calls[*part as usize]);
        assert_ne!(calls, 0, "the script never reaches {part:?}");
        (1..=calls).flat_map(move |at| {
            attacks.iter().map(move |attack| {
                let case = move || perform(part, at, *attack);
                (format!("{part:?} {at} / {attack:?}"), case)
            })
        })
    });
    survive(cases, at_least);
}

#[test]
fn user_code_may_come_back_at_every_call_of_it() {
    sweep(&PARTS, &REENTERING, 21_944);
}

#[test]
fn user_code_may_panic_at_every_call_of_it() {
    sweep(&PARTS, &[Attack::Panic], 1_688);
    let count = |end: &AtomicUsize| end.load(Ordering::SeqCst);
    assert!(count(&CAME_OUT) >= 1_593, "{} came out", count(&CAME_OUT));
    // With `std` a panic ends in the task or the call that a runtime was given.
    let stayed = if ISOLATES_PANICS { 95 } else { 0 };
    assert!(count(&STAYED) >= stayed, "{} stayed", count(&STAYED));
    assert!(ISOLATES_PANICS || count(&STAYED) == 0);
}

/// Not without `std`: nothing can end the second panic there, and it aborts the process, as
/// documented.
#[test]
#[cfg(feature = "std")]
fn an_operation_may_panic_and_panic_again_when_it_is_dropped_for_that() {
    sweep(&[Part::Poll], &[Attack::PanicTwice], 86);
}
