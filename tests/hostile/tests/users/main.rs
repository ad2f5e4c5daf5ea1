//! Keys, values, closures, operations, clocks, hashers and runtimes that attack: at every call that a long script
//! makes of each of them, every attack. Each case has a name and a time limit, and the number of cases is asserted.

mod attack;
mod plan;
mod script;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use attack::{Attack, REENTERING};
use oneflight_hostile::{
    ENOUGH, ISOLATES_PANICS, Wrong, outside_of_every_section, quiet_panic, within_limit,
};
use plan::{PARTS, Part, Plan, key};
use script::{Registry, Stage};

/// Panics of the sweep that panics which came out of the call that ran the code.
static CAME_OUT: AtomicUsize = AtomicUsize::new(0);

/// How often the script runs each part, when nothing attacks.
fn rehearsal() -> [usize; PARTS.len()] {
    let plan = Arc::new(Plan::default());
    let stage = Stage::new(&plan);
    assert_eq!(stage.play(), 0);
    drop(stage);
    assert_eq!(plan.alive(), 0);
    PARTS.map(|part| plan.calls(part))
}

/// The script, with one attack at one call of one part.
fn perform(part: Part, at: usize, attack: Attack) {
    let plan = Arc::new(Plan::default());
    let stage = Arc::new(Stage::new(&plan));
    let inside = Arc::new(AtomicBool::new(false));
    let (weak, found) = (Arc::downgrade(&stage), inside.clone());
    plan.arm(part, at, move || {
        found.store(!outside_of_every_section(), Ordering::SeqCst);
        match weak.upgrade() {
            Some(stage) => attack.perform(&stage),
            // While the groups themselves are dropped, there is nothing left to call.
            None if attack == Attack::Panic => quiet_panic(),
            None => {}
        }
    });
    let mut panicked = stage.play();

    for group in [&stage.plain, &stage.ruled] {
        assert_idle(group);
    }
    let stats = stage.gate.stats();
    assert!(!stage.gate.is_busy(), "{:?}", stage.gate);
    assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
    panicked += usize::from(oneflight_hostile::panics(|| drop(stage)));
    assert!(!plan.disarm(), "never reached");
    assert!(!inside.load(Ordering::SeqCst), "inside a critical section");
    assert_eq!(plan.alive(), 0, "something of the user's is kept");
    assert_eq!(Arc::strong_count(&plan), 1, "something keeps the plan");
    match attack {
        // How many end in a task is asserted for all together.
        Attack::Panic => {
            assert!(panicked <= 1, "{panicked} panics");
            CAME_OUT.fetch_add(panicked, Ordering::SeqCst);
        }
        #[cfg(feature = "std")]
        Attack::PanicTwice => assert!(panicked <= 1, "{panicked} panics"),
        _ => assert_eq!(panicked, 0, "panics that nobody asked for"),
    }
}

/// Nothing is left, and every figure adds up.
fn assert_idle(group: &Registry) {
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
    assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
    assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats:?}");
    assert!(group.is_empty(), "{stats:?}");
    // The script has closed it, but for a call of that which panicked. A key of another plan: what is armed may be the
    // drop of what is retained.
    let key = key(&Arc::default(), 1);
    drop(group.begin(key));
    assert!(group.is_empty());
}

/// Every call of these parts, with each of the attacks.
fn sweep(parts: &[Part], attacks: &[Attack], expected: usize) {
    let calls = rehearsal();
    let (mut ran, mut wrong) = (0, Vec::new());
    'all: for part in parts.iter().copied() {
        let calls = calls[part as usize];
        assert_ne!(calls, 0, "the script never reaches {part:?}");
        for at in 1..=calls {
            for attack in attacks.iter().copied() {
                let name = format!("{part:?} {at} / {attack:?}");
                ran += 1;
                if let Err((how, text)) = within_limit(&name, move || perform(part, at, attack)) {
                    wrong.push(text);
                    if how == Wrong::Hung || wrong.len() == ENOUGH {
                        break 'all;
                    }
                }
            }
        }
    }
    println!("cases survived: {}", ran - wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(ran, expected);
}

#[test]
fn user_code_may_come_back_at_every_call_of_it() {
    sweep(&PARTS, &REENTERING, 10_901);
}

#[test]
fn user_code_may_panic_at_every_call_of_it() {
    sweep(&PARTS, &[Attack::Panic], 991);
    // With `std` the others end in the tasks and calls that a runtime was given.
    let came_out = if ISOLATES_PANICS { 964 } else { 991 };
    assert_eq!(CAME_OUT.load(Ordering::SeqCst), came_out);
}

/// Not without `std`: nothing can end the second panic there, and it aborts the process, as documented.
#[test]
#[cfg(feature = "std")]
fn an_operation_may_panic_and_panic_again_when_it_is_dropped_for_that() {
    sweep(&[Part::Poll], &[Attack::PanicTwice], 51);
}
