//! Threads that meet in one flight, without any executor: small enough for a sanitizer or an emulator to watch each step.
//!
//! The models in `loom` try every schedule of two threads; here the real locks, atomics and allocator are on the way.

#[path = "support/fine.rs"]
mod fine;

use std::sync::Barrier;
use std::thread;

use futures_lite::future::block_on;
use oneflight_core::gate::{Gate, Mode};
use oneflight_core::{Begin, Group, SettleCell};

use fine::fine;

const ROUNDS: usize = 200;
const THREADS: usize = 4;

/// A value in a block of its own: a copy that is torn, lost or freed twice is one that a sanitizer sees.
type Value = Box<usize>;

/// Each thread calls `each` with its number, at once with the others.
fn at_once<R: Send>(each: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (barrier, each) = (&barrier, &each);
                scope.spawn(move || {
                    barrier.wait();
                    each(number)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn a_value_that_is_seen_is_whole() {
    for round in 0..ROUNDS {
        let cell = SettleCell::<Value>::new();
        let seen = at_once(|number| {
            if number == 0 {
                assert!(cell.settle(Box::new(round)).is_ok());
            }
            loop {
                // Nothing but the cell orders this read after the write.
                match cell.get() {
                    Some(value) => return **value,
                    None => thread::yield_now(),
                }
            }
        });
        assert_eq!(seen, [round; THREADS]);
    }
}

#[test]
fn one_of_many_settles_wins() {
    for _ in 0..ROUNDS {
        let cell = SettleCell::<Value>::new();
        let won = at_once(|number| {
            let won = cell.settle(Box::new(number)).is_ok();
            (won, **block_on(cell.wait()))
        });
        let winner = won.iter().position(|(won, _)| *won).unwrap();
        assert!(
            won.iter()
                .enumerate()
                .all(|(number, outcome)| *outcome == (number == winner, winner))
        );
    }
}

#[test]
fn one_of_many_begins_is_primary() {
    let group = Group::<u8, Value>::new();
    for round in 0..ROUNDS {
        let outcomes = at_once(|number| match group.begin(1) {
            Begin::Primary(primary) => **primary.settle(Box::new(round)).unwrap(),
            Begin::Waiter(waiter) if number % 2 == 0 => **waiter.wait_blocking().unwrap(),
            Begin::Waiter(waiter) => **block_on(waiter).unwrap(),
            Begin::Rejected(why) => panic!("{why}"),
        });
        assert_eq!(outcomes, [round; THREADS]);
    }
    assert!(group.is_empty());
}

#[test]
fn a_lost_primary_and_those_who_leave() {
    let group = Group::<u8, Value>::new();
    for _ in 0..ROUNDS {
        at_once(|number| match group.begin(1) {
            Begin::Primary(primary) => drop(primary),
            Begin::Waiter(waiter) if number % 2 == 0 => assert!(block_on(waiter).is_err()),
            Begin::Waiter(mut waiter) => {
                block_on(futures_lite::future::poll_once(&mut waiter));
            }
            Begin::Rejected(why) => panic!("{why}"),
        });
    }
    assert!(group.is_empty());
}

#[test]
fn an_operation_that_changes_hands() {
    let group = Group::<u8, Value>::new();
    for round in 0..ROUNDS {
        let outcomes = at_once(|number| {
            let operation = || async move {
                futures_lite::future::yield_now().await;
                Box::new(round)
            };
            let mut work = group.work(1, operation);
            if number == 0 {
                block_on(futures_lite::future::poll_once(&mut work));
                return round;
            }
            **block_on(work).unwrap()
        });
        assert_eq!(outcomes, [round; THREADS]);
    }
    assert!(group.is_empty());
}

#[test]
fn an_operation_that_runs_again() {
    let group = Group::<u8, Value>::new();
    for round in 0..ROUNDS {
        at_once(|number| {
            let operation = || async move {
                futures_lite::future::yield_now().await;
                Box::new(round)
            };
            let mut rerun = Box::pin(group.try_work(1, fine(operation)));
            if number % 2 == 0 {
                block_on(futures_lite::future::poll_once(&mut rerun));
                return;
            }
            assert_eq!(**block_on(rerun).unwrap(), round);
        });
    }
    assert!(group.is_empty());
}

#[test]
fn a_gate_lets_one_in_at_a_time() {
    let gate = Gate::<usize, Value>::new(Mode::Queue);
    let inside = std::sync::atomic::AtomicUsize::new(0);
    for round in 0..ROUNDS {
        at_once(|number| {
            let turn = block_on(gate.turn(Some(number)));
            let Begin::Primary(primary) = turn else {
                panic!("{turn:?}")
            };
            assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::Relaxed), 0);
            inside.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            assert!(primary.settle(Box::new(round)).is_ok());
        });
    }
    assert!(!gate.is_busy());
}

#[test]
fn a_group_that_is_closed_while_it_works() {
    for round in 0..ROUNDS {
        let group = Group::<usize, Value>::builder().shards(2).build();
        at_once(|number| {
            if number == 0 {
                group.close();
                group.abort_all();
                block_on(group.drained());
                return;
            }
            if let Begin::Primary(primary) = group.begin(number) {
                // Refused if it was aborted before.
                drop(primary.settle(Box::new(round)));
            }
        });
        assert!(group.is_empty());
    }
}
