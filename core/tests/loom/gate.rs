//! The hand-over of a gate, and a gate whose holder is replaced, too old or ended from outside, while others come, leave
//! and wait.

use std::future::{Future, Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use oneflight_core::error::{Aborted, Cause, Rejected};
use oneflight_core::gate::{Gate, Mode, Turn};
use oneflight_core::rt::Spawn;
use oneflight_core::{Begin, Error};

use crate::{Counter, Hand, Shelf, bounded_model, cause_of, group, primary, waiter};

fn gate() -> Gate<u8, u32> {
    Gate::new(Mode::Queue)
}

fn assert_free(gate: &Gate<u8, u32>) {
    assert!(!gate.is_busy());
    let stats = gate.stats();
    assert_eq!((gate.queued(), stats.in_flight, stats.ending), (0, 0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
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

fn replace(gate: &Gate<u8, u32>, token: u8) -> Turn<u8, u32> {
    gate.entry(Some(token)).mode(Mode::Replace).turn()
}

#[test]
fn of_a_replacement_and_the_settle_one_ends_the_holder() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let duplicate = waiter(gate.begin(Some(1)));
        let settle = thread::spawn(move || holder.settle(7).is_ok());
        drop(primary(block_on(replace(&gate, 2))));
        let outcome = block_on(duplicate);
        if settle.join().unwrap() {
            assert_eq!(*outcome.unwrap(), 7);
        } else {
            assert_eq!(cause_of(outcome), Cause::Superseded);
        }
        assert_free(&gate);
    });
}

#[test]
fn a_replacement_and_a_queued_caller_that_leaves_pass_each_other() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let leaver = gate.turn(Some(2));
        let behind = gate.turn(Some(3));
        let leave = thread::spawn(move || drop(leaver));
        let first = replace(&gate, 4);
        drop(holder);
        drop(primary(block_on(first)));
        drop(primary(block_on(behind)));
        leave.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn a_replacement_and_the_one_it_replaces_in_the_line_pass_each_other() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let older = replace(&gate, 2);
        let leave = thread::spawn(move || drop(older));
        let newer = replace(&gate, 3);
        let lose = thread::spawn(move || drop(holder));
        drop(primary(block_on(newer)));
        leave.join().unwrap();
        lose.join().unwrap();
        assert_free(&gate);
    });
}

/// Takes its turn and settles; or why it was ended.
fn visit(turn: Turn<u8, u32>) -> Result<(), Aborted> {
    match block_on(turn) {
        Begin::Primary(primary) => primary.settle(7).map(drop).map_err(|late| late.aborted),
        Begin::Waiter(told) => match block_on(told) {
            Err(Error::Aborted(told)) => Err(told),
            other => panic!("{other:?}"),
        },
        Begin::Rejected(why) => panic!("{why}"),
    }
}

#[test]
fn of_two_replacements_the_later_one_has_its_turn() {
    bounded_model(2, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let other = gate.clone();
        let thread = thread::spawn(move || visit(replace(&other, 2)));
        let mine = replace(&gate, 3);
        drop(holder);
        let both = [visit(mine), thread.join().unwrap()];
        let told = both.iter().filter_map(|ended| ended.err());
        let told: Vec<_> = told.map(|it| it.cause()).collect();
        assert!(told.len() < 2 && told.iter().all(|cause| *cause == Cause::Superseded));
        assert_free(&gate);
    });
}

#[test]
fn the_next_one_is_not_too_old_when_the_gate_is_handed_over() {
    bounded_model(3, || {
        let clock = Hand::default();
        let gate: Gate<u8, u32> = Gate::builder(Mode::Queue)
            .supersede_after(Duration::from_secs(10))
            .clock(clock.clone())
            .build();
        let holder = primary(gate.begin(Some(1)));
        let next = gate.turn(Some(2));
        clock.turn(11);
        let settle = thread::spawn(move || holder.settle(7).is_ok());
        let busy = gate.begin(Some(3));
        assert!(matches!(busy, Begin::Rejected(Rejected::Busy)));
        let settled = settle.join().unwrap();
        assert_eq!(gate.stats().aborted, u64::from(!settled));
        let next = primary(block_on(next));
        clock.turn(11);
        assert!(matches!(
            gate.begin(Some(3)),
            Begin::Rejected(Rejected::Busy)
        ));
        assert!(next.settle(7).is_err(), "its age has started");
        assert_free(&gate);
    });
}

#[test]
fn a_guard_that_outlives_its_end_is_gone_before_another_begins() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let inside = Arc::new(AtomicBool::new(true));
        let leaves = inside.clone();
        let lose = thread::spawn(move || {
            thread::yield_now();
            leaves.store(false, Ordering::SeqCst);
            drop(holder);
        });
        let other = gate.clone();
        let abort = thread::spawn(move || other.abort(&1));
        if let Begin::Primary(next) = gate.begin(Some(2)) {
            assert!(!inside.load(Ordering::SeqCst));
            drop(next);
        }
        lose.join().unwrap();
        abort.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn a_turn_that_waits_is_told_of_abort_all() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let turn = gate.turn(Some(2));
        let wait = thread::spawn(move || visit(turn));
        gate.abort_all();
        let told = Aborted::never_begun(Cause::AbortedAll);
        assert_eq!(wait.join().unwrap(), Err(told));
        drop(holder);
        assert_free(&gate);
    });
}

#[test]
fn a_turn_that_comes_while_all_is_aborted_begins_or_is_told() {
    bounded_model(2, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let turn = gate.turn(Some(2));
        let wait = thread::spawn(move || visit(turn));
        let lose = thread::spawn(move || drop(holder));
        gate.abort_all();
        if let Err(told) = wait.join().unwrap() {
            assert_eq!(told.cause(), Cause::AbortedAll);
        }
        lose.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn a_turn_that_comes_while_the_operation_is_made_is_not_lost() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let settle = thread::spawn(move || drop(holder.settle(7)));
        let work = gate.work(Some(2), || {
            thread::yield_now();
            ready(8)
        });
        assert_eq!(*block_on(work).unwrap(), 8);
        settle.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn a_participant_that_waits_for_the_turn_is_woken_or_the_last_to_leave() {
    bounded_model(2, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let first = gate.work(Some(2), || ready(8));
        let second = gate.work(Some(2), || -> Ready<u32> { unreachable!("made once") });
        let settle = thread::spawn(move || drop(holder.settle(7)));
        let leave = thread::spawn(move || drop(first));
        assert_eq!(*block_on(second).unwrap(), 8);
        settle.join().unwrap();
        leave.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn a_run_that_had_to_wait_begins_once_or_never() {
    bounded_model(3, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let made = Arc::new(AtomicBool::new(false));
        let makes = made.clone();
        let call = gate.try_work(Some(2), move || {
            makes.store(true, Ordering::SeqCst);
            ready(Ok::<_, Error>(8))
        });
        let other = gate.clone();
        let abort = thread::spawn(move || {
            drop(holder);
            other.abort(&2)
        });
        match block_on(Box::pin(call)) {
            Ok(value) => assert_eq!(*value, 8),
            Err(Error::Aborted(told)) => {
                let made = made.load(Ordering::SeqCst);
                assert_eq!((told.cause(), told.has_begun()), (Cause::Cancelled, made));
            }
            Err(other) => panic!("{other}"),
        }
        abort.join().unwrap();
        assert_free(&gate);
    });
}

/// A thread for each task.
struct Threads;

impl Spawn for Threads {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        thread::spawn(move || block_on(task));
    }
}

#[test]
fn a_task_that_waits_for_its_turn_is_woken_or_never_begins() {
    bounded_model(1, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let spawned = gate.entry(Some(2)).spawn_on(&Threads, || ready(8));
        let abort = spawned.abort_handle().unwrap();
        let abort = thread::spawn(move || abort.abort());
        drop(holder);
        match block_on(spawned) {
            Ok(value) => assert_eq!(*value, 8),
            other => assert_eq!(cause_of(other), Cause::Cancelled),
        }
        abort.join().unwrap();
        drop(primary(block_on(gate.turn(None))));
    });
}

#[test]
fn a_thread_that_waits_for_its_turn_has_it_or_is_told() {
    bounded_model(2, || {
        let gate = gate();
        let holder = primary(gate.begin(Some(1)));
        let other = gate.clone();
        let abort = thread::spawn(move || other.abort(&2));
        let settle = thread::spawn(move || drop(holder.settle(7)));
        let mut called = false;
        let outcome = gate.work_blocking(Some(2), || {
            called = true;
            8
        });
        match outcome {
            Ok(value) => assert!(*value == 8 && called),
            Err(Error::Aborted(told)) => assert!(told.has_begun() || !called),
            Err(other) => panic!("{other}"),
        }
        abort.join().unwrap();
        settle.join().unwrap();
        assert_free(&gate);
    });
}

/// Its task has not been polled.
fn assert_never_begun(outcome: Option<Result<impl Sized, Error>>) {
    match outcome {
        None => {}
        Some(Err(Error::Aborted(aborted))) => assert!(!aborted.has_begun()),
        Some(_) => panic!("nothing settles it"),
    }
}

#[test]
fn a_spawn_at_a_gate_that_is_ended_before_its_task_begins_says_so_and_frees_the_gate() {
    bounded_model(3, || {
        let (gate, shelf) = (gate(), Shelf::default());
        let other = gate.clone();
        let ends = thread::spawn(move || other.abort_all());
        let owner = gate.entry(Some(1)).spawn_on(&shelf, || ready(7));
        ends.join().unwrap();
        assert_never_begun(owner.get());
        assert!(owner.get().is_none() || !gate.is_busy());
        drop(shelf.take());
        assert_free(&gate);
    });
}

#[test]
fn a_spawn_in_a_group_that_is_ended_before_its_task_begins_says_so() {
    bounded_model(3, || {
        let (group, shelf) = (group::<u32>(), Shelf::default());
        let other = group.clone();
        let ends = thread::spawn(move || other.abort_all());
        let owner = group.entry(1).spawn_on(&shelf, || ready(7));
        ends.join().unwrap();
        assert_never_begun(owner.get());
        drop(shelf.take());
    });
}
