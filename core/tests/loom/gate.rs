//! The hand-over of a gate.

use loom::future::block_on;
use loom::thread;
use oneflight_core::Begin;
use oneflight_core::error::{Cause, Rejected};
use oneflight_core::gate::{Gate, Mode};

use crate::{Counter, bounded_model, cause_of, primary};

fn gate() -> Gate<u8, u32> {
    Gate::new(Mode::Queue)
}

fn assert_free(gate: &Gate<u8, u32>) {
    assert!(!gate.is_busy());
    assert_eq!((gate.queued(), gate.stats().in_flight), (0, 0));
    drop(primary(gate.begin(None)));
}

#[test]
fn a_turn_that_queues_while_the_holder_settles_has_its_turn() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let settle = thread::spawn(move || drop(holder.settle(7)));
        drop(primary(block_on(gate.turn(Some(2)))));
        settle.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn a_turn_dropped_while_the_gate_is_handed_over_passes_it_on() {
    bounded_model(2, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let mut second = gate.turn(Some(2));
        let third = gate.turn(None);
        assert!(Counter::default().poll(&mut second).is_pending());
        let leave = thread::spawn(move || drop(second));
        let settle = thread::spawn(move || drop(holder.settle(7)));
        drop(primary(block_on(third)));
        leave.join().unwrap();
        settle.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn another_token_is_busy_or_takes_the_gate_while_the_holder_settles() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let settle = thread::spawn(move || drop(holder.settle(7)));
        match gate.begin(Some(2)) {
            Begin::Primary(second) => {
                assert!(gate.is_busy());
                let third = gate.begin(Some(3));
                assert!(matches!(third, Begin::Rejected(Rejected::Busy)));
                drop(second);
            }
            other => assert!(matches!(other, Begin::Rejected(Rejected::Busy))),
        }
        settle.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn a_retry_that_races_with_the_hand_over_shares_or_queues_again() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let settle = thread::spawn(move || drop(holder.settle(7)));
        match block_on(gate.turn(Some(1))) {
            Begin::Waiter(retry) => assert_eq!(*block_on(retry).unwrap(), 7),
            other => drop(primary(other)),
        }
        settle.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn two_turns_never_hold_the_gate_at_once() {
    bounded_model(2, || {
        let gate = gate();
        let inside = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let visit = |gate: &Gate<u8, u32>, token, inside: &std::sync::atomic::AtomicUsize| {
            let primary = primary(block_on(gate.turn(Some(token))));
            assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
            thread::yield_now();
            inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            drop(primary.settle(7));
        };
        let (other, count) = (gate.clone(), inside.clone());
        let thread = thread::spawn(move || visit(&other, 1, &count));
        visit(&gate, 2, &inside);
        thread.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn a_retry_of_a_queued_token_is_told_when_its_claim_is_given_up() {
    bounded_model(2, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let claim = gate.turn(Some(2));
        let leave = thread::spawn(move || drop(claim));
        let settle = thread::spawn(move || drop(holder.settle(7)));
        match block_on(gate.turn(Some(2))) {
            Begin::Waiter(retry) => {
                assert_eq!(cause_of(block_on(retry)), Cause::Dropped);
            }
            other => drop(primary(other)),
        }
        leave.join().unwrap();
        settle.join().unwrap();
        assert_free(&gate);
    });
}
