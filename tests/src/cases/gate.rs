//! `Gate`: one invocation at a time; turns, claims, and those who leave the queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use oneflight::error::{Aborted, Cause, Rejected};
use oneflight::gate::{Mode, Turn};
use oneflight::{Begin, Error};

use crate::{CountingWaker, TestRuntime, poll, primary, quiet_panic, rejected, until, waiter};

type Gate = oneflight::gate::Gate<&'static str, usize>;

/// In `Exclusive`, by `begin` and by `turn`; in `Queue`, by `begin`.
pub async fn a_gate_that_is_held_turns_another_token_away<R: TestRuntime>(rt: R) {
    for mode in [Mode::Exclusive, Mode::Queue] {
        let gate = Gate::new(mode);
        let holder = primary(gate.begin(Some("a")));
        assert!(gate.is_busy());
        assert_eq!(rejected(gate.begin(Some("b"))), Rejected::Busy);
        assert_eq!(rejected(gate.begin(None)), Rejected::Busy);
        if mode == Mode::Exclusive {
            let turn = rt.task(gate.turn(Some("b")));
            assert_eq!(rejected(turn.await), Rejected::Busy);
        }
        // The same token shares.
        let duplicates: Vec<_> = (0..3)
            .map(|_| rt.task(waiter(gate.begin(Some("a")))))
            .collect();
        assert_eq!(gate.waiters(&"a"), 3);
        holder.settle(7).unwrap();
        for duplicate in duplicates {
            assert_eq!(*duplicate.await.unwrap(), 7);
        }
        assert!(!gate.is_busy());
        drop(primary(gate.begin(Some("b"))));
        let busy = 2 + u64::from(mode == Mode::Exclusive);
        assert_eq!(gate.stats().rejected_by(Rejected::Busy), busy);
    }
}

/// Not by another one without a token either.
pub async fn a_holder_without_a_token_is_never_joined<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Exclusive);
    let holder = primary(gate.begin(None));
    for token in [None, Some("a")] {
        assert_eq!(rejected(gate.begin(token)), Rejected::Busy);
        assert_eq!(rejected(rt.task(gate.turn(token)).await), Rejected::Busy);
    }
    holder.settle(1).unwrap();
    assert!(!gate.is_busy());

    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(None));
    let turns = [gate.turn(None), gate.turn(None)];
    assert_eq!(gate.queued(), 2);
    drop(holder);
    for turn in turns {
        primary(rt.task(turn).await).settle(2).unwrap();
    }
    assert_eq!(gate.stats().joined, 0);
}

/// Threads race for a token while another one holds the gate: each is refused or gets a value, none an abort.
pub async fn a_refusal_is_never_inherited_as_an_outcome<R: TestRuntime>(_: R) {
    for _ in 0..20 {
        let gate = Gate::new(Mode::Exclusive);
        let holder = primary(gate.begin(Some("a")));
        let refused = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        match gate.begin(Some("b")) {
                            Begin::Primary(mine) => {
                                mine.settle(1).unwrap();
                                break;
                            }
                            Begin::Waiter(theirs) => {
                                assert_eq!(*theirs.wait_blocking().expect("no abort"), 1);
                                break;
                            }
                            Begin::Rejected(why) => assert_eq!(why, Rejected::Busy),
                        }
                        refused.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                    }
                });
            }
            while refused.load(Ordering::SeqCst) < 6 {
                thread::yield_now();
            }
            holder.settle(0).unwrap();
        });
        let stats = gate.stats();
        assert_eq!((stats.aborted, stats.in_flight), (0, 0));
        let refused = refused.into_inner() as u64;
        assert_eq!(stats.rejected_by(Rejected::Busy), refused);
    }
}

/// Its settle, its abort, its drop, its panic; nothing that others do.
pub async fn only_the_holder_releases_the_gate<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Queue);
    for end in 0..4 {
        let holder = primary(gate.begin(Some("a")));
        drop(gate.begin(Some("a")));
        drop(gate.begin(Some("b")));
        drop(gate.turn(Some("a")));
        drop(gate.turn(Some("b")));
        drop(gate.clone());
        assert_eq!(rejected(gate.begin(Some("c"))), Rejected::Busy);
        let next = gate.turn(Some("d"));
        assert!(next.is_queued());
        match end {
            0 => drop(holder.settle(1).unwrap()),
            1 => holder.abort(),
            2 => drop(holder),
            _ => {
                let unwound = catch_unwind(AssertUnwindSafe(|| {
                    let _holder = holder;
                    quiet_panic()
                }));
                assert!(unwound.is_err());
            }
        }
        assert!(!next.is_queued());
        assert!(gate.is_busy(), "promised to the next one");
        drop(primary(rt.task(next).await));
        assert!(!gate.is_busy());
    }
    let stats = gate.stats();
    assert_eq!(stats.settled, 1);
    assert_eq!(stats.aborted_by(Cause::Cancelled), 1);
    assert_eq!(stats.aborted_by(Cause::Panicked), 1);
}

/// Every caller runs, whatever its token.
pub async fn a_reentrant_gate_lets_everyone_in<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Open);
    assert_eq!(gate.mode(), Mode::Open);
    let holders: Vec<_> = [Some("a"), Some("a"), None, Some("b")]
        .into_iter()
        .map(|token| primary(gate.begin(token)))
        .collect();
    let also = primary(rt.task(gate.turn(Some("a"))).await);
    assert!(!gate.is_busy());
    for (nth, holder) in holders.into_iter().enumerate() {
        assert_eq!(*holder.settle(nth).unwrap(), nth);
    }
    // From within its own invocation, too.
    let inside = gate.clone();
    let run = also.run(async move { *primary(inside.begin(Some("a"))).settle(9).unwrap() });
    assert_eq!(*rt.task(run).await.unwrap(), 9);
    let stats = gate.stats();
    assert_eq!((stats.begun, stats.joined, stats.settled), (6, 0, 6));
}

const REENTRANT: Error = Error::Rejected(Rejected::Reentrant);

/// Waiting for one's own token would be waiting for oneself.
pub async fn an_invocation_that_waits_for_its_own_token_is_told<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Exclusive);
    let inside = gate.clone();
    let run = primary(gate.begin(Some("a"))).run(async move {
        let own = waiter(inside.begin(Some("a")));
        assert_eq!(
            (inside.waiters(&"a"), own.await.unwrap_err()),
            (0, REENTRANT)
        );
        assert_eq!(rejected(inside.begin(Some("b"))), Rejected::Busy);
        7
    });
    assert_eq!(*rt.task(run).await.unwrap(), 7);
    until(|| !gate.is_busy()).await;

    let gate = Gate::new(Mode::Queue);
    let inside = gate.clone();
    let run = primary(gate.begin(Some("a"))).run(async move {
        let own = waiter(inside.turn(Some("a")).await);
        assert_eq!(own.await.unwrap_err(), REENTRANT);
        assert!(inside.turn(Some("b")).is_queued());
        7
    });
    assert_eq!(*rt.task(run).await.unwrap(), 7);
    until(|| !gate.is_busy()).await;
}

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
