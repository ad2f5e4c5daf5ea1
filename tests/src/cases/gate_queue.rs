//! `Gate` with `Mode::Queue`: turns, claims, and those who leave the queue.

use std::sync::{Arc, Mutex};

use oneflight::Error;
use oneflight::error::{Aborted, Cause};
use oneflight::gate::{Mode, Turn};

use crate::{CountingWaker, TestRuntime, poll, primary, waiter};

type Gate = oneflight::gate::Gate<&'static str, usize>;

fn parked(turn: &mut Turn<&'static str, usize>) -> CountingWaker {
    let bell = CountingWaker::new();
    assert!(poll(turn, bell.waker()).is_pending());
    bell
}

/// The order of the calls, whatever is polled first.
pub async fn turns_come_in_the_order_of_asking<R: TestRuntime>(rt: R) {
    const TOKENS: [&str; 5] = ["a", "b", "c", "d", "e"];
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(None));
    let turns: Vec<_> = TOKENS.map(|token| gate.turn(Some(token))).into();
    assert_eq!(gate.queued(), 5);
    let came = Arc::new(Mutex::new(Vec::new()));
    // Spawned, and so polled, in the wrong order.
    let tasks: Vec<_> = turns
        .into_iter()
        .rev()
        .map(|turn| {
            let came = came.clone();
            rt.task(async move {
                let mine = primary(turn.await);
                came.lock().unwrap().push(mine.key().expect("a token"));
                drop(mine);
            })
        })
        .collect();
    holder.settle(0).unwrap();
    for task in tasks {
        task.await;
    }
    assert_eq!(*came.lock().unwrap(), TOKENS);
    assert!(!gate.is_busy());
}

/// Nobody passes the queue, not even in the moment in which the gate changes hands.
pub async fn a_newcomer_does_not_pass_those_who_wait<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(Some("a")));
    let second = gate.turn(Some("b"));
    drop(holder);
    // `b` has its turn and has not heard of it.
    let third = gate.turn(Some("c"));
    assert!(third.is_queued() && !second.is_queued());
    let second = primary(rt.task(second).await);
    assert!(third.is_queued());
    drop(second);
    assert!(!third.is_queued());
}

/// By `begin` and by `turn`: they share what that caller will run.
pub async fn duplicates_of_a_queued_token_wait_for_that_claim<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(Some("a")));
    let queued = gate.turn(Some("b"));
    let by_begin = rt.task(waiter(gate.begin(Some("b"))));
    let by_turn = rt.task(waiter(rt.task(gate.turn(Some("b"))).await));
    assert_eq!((gate.queued(), gate.waiters(&"b")), (1, 2));
    holder.settle(1).unwrap();
    primary(rt.task(queued).await).settle(2).unwrap();
    assert_eq!(*by_begin.await.unwrap(), 2);
    assert_eq!(*by_turn.await.unwrap(), 2);
}

/// Its duplicates are told; the one behind it moves up.
pub async fn a_queued_caller_that_leaves_takes_its_claim_with_it<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(Some("a")));
    let (leaves, cancel) = rt.cancellable(gate.turn(Some("b")));
    let behind = gate.turn(Some("c"));
    let duplicate = rt.task(waiter(gate.begin(Some("b"))));
    cancel.cancel();
    assert!(leaves.await.is_none());
    // Nothing of it has run.
    let never = Error::Aborted(Aborted::never_begun(Cause::Dropped));
    assert_eq!(duplicate.await.unwrap_err(), never);
    assert_eq!(gate.queued(), 1);
    // The token is free again, at the end of the queue.
    let again = gate.turn(Some("b"));
    drop(holder);
    let behind = primary(rt.task(behind).await);
    assert!(again.is_queued());
    // Its caller has the gate now, and can have run anything.
    let duplicate = rt.task(waiter(gate.begin(Some("c"))));
    drop(behind);
    let begun = Error::Aborted(Aborted::new(Cause::Dropped));
    assert_eq!(duplicate.await.unwrap_err(), begun);
    drop(primary(rt.task(again).await));
    assert!(!gate.is_busy());
}

/// Queued, parked, granted and not polled, granted and taken: the next one always has its turn.
pub async fn a_turn_may_be_dropped_at_any_point<R: TestRuntime>(rt: R) {
    for point in 0..5 {
        let gate = Gate::new(Mode::Queue);
        let holder = primary(gate.begin(Some("a")));
        let mut turn = gate.turn(Some("b"));
        let mut next = gate.turn(Some("c"));
        let waits = parked(&mut next);
        match point {
            // Queued, and never polled.
            0 => {
                drop(turn);
                drop(holder);
            }
            // Parked.
            1 => {
                let bell = parked(&mut turn);
                drop(turn);
                assert_eq!((bell.wakes(), bell.kept()), (0, 0));
                drop(holder);
            }
            // Granted, and not polled since.
            2 => {
                let bell = parked(&mut turn);
                drop(holder);
                assert_eq!((bell.wakes(), waits.wakes()), (1, 0));
                drop(turn);
                assert_eq!(bell.kept(), 0);
            }
            // Granted, and never polled.
            3 => {
                drop(holder);
                drop(turn);
            }
            // Taken.
            _ => {
                drop(holder);
                drop(primary(rt.task(turn).await));
            }
        }
        assert_eq!((waits.wakes(), waits.kept()), (1, 0));
        assert!(!next.is_queued());
        drop(primary(rt.task(next).await));
        assert!(!gate.is_busy());
        assert_eq!(gate.stats().in_flight, 0);
    }
}
