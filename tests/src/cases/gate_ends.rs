//! How a gate ends what it has: too old, closed, all aborted; and what outlives its end.

use std::future::pending;
use std::time::Duration;

use oneflight::Fingerprint;
use oneflight::error::{Aborted, Cause, Rejected};
use oneflight::gate::{GateBuilder, Mode};

use super::gate_policies::{ALL, By, Gate};
use crate::{
    CountingWaker, HandClock, TestRuntime, cause_of, poll, primary, rejected, scripted, until,
    waiter,
};

fn aged(mode: Mode, clock: &HandClock) -> GateBuilder<&'static str, usize> {
    Gate::builder(mode)
        .supersede_after(Duration::from_secs(10))
        .clock(clock.clone())
}

/// By every call in every mode, `begin` too, and also by its own token. Its operation is gone at once, so they get the
/// gate at once.
pub async fn a_work_that_hangs_makes_room_for_the_next_call<R: TestRuntime>(rt: R) {
    for mode in [Mode::Exclusive, Mode::Queue, Mode::Replace] {
        for token in ["a", "b"] {
            let clock = HandClock::default();
            let gate = aged(mode, &clock).build();
            // Polled by hand, so that nobody polls it when the next call comes.
            let hang = || {
                let mut hung = gate.work(Some("a"), pending);
                assert!(poll(&mut hung, CountingWaker::new().waker()).is_pending());
                hung
            };
            let hung = hang();
            clock.forward(11);
            let next = primary(gate.begin(Some(token)));
            assert_eq!(cause_of(hung.await), Cause::Superseded);
            drop(next);
            for by in ALL {
                let hung = hang();
                clock.forward(11);
                let (remote, operation) = scripted();
                let outcome = by.call(&rt, &gate, (token, mode), operation).await;
                assert_eq!(cause_of(hung.await), Cause::Superseded);
                until(|| remote.polls() == 1).await;
                remote.finish();
                assert_eq!(*outcome.await.unwrap(), 2, "{by:?}");
                until(|| !gate.is_busy()).await;
            }
        }
    }
}

/// The head of the queue gets the gate when the guard is gone; the call that ended it is behind that.
pub async fn a_guard_that_hangs_is_ended_and_holds_the_gate<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let gate = aged(Mode::Queue, &clock).build();
    let hung = primary(gate.begin(Some("a")));
    let told = rt.task(waiter(gate.begin(Some("a"))));
    let head = gate.turn(Some("b"));
    clock.forward(10);
    assert_eq!(rejected(gate.begin(Some("c"))), Rejected::Busy);
    assert_eq!(gate.waiters("a"), 1);
    clock.forward(1);
    assert_eq!(rejected(gate.begin(Some("c"))), Rejected::Busy);
    assert_eq!(cause_of(told.await), Cause::Superseded);
    // Its own token is nobody's by now.
    let again = gate.turn(Some("a"));
    assert!(head.is_queued() && again.is_queued());
    assert!(hung.settle(1).is_err());
    drop(primary(rt.task(head).await));
    drop(primary(rt.task(again).await));
    assert_eq!(gate.stats().aborted_by(Cause::Superseded), 1);
}

/// However long it has waited before. A call that waits is never too old.
pub async fn an_invocation_ages_from_its_turn_on<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let gate = aged(Mode::Queue, &clock).build();
    let holder = primary(gate.begin(None));
    let mut second = gate.turn(Some("b"));
    let third = gate.turn(Some("c"));
    for _ in 0..3 {
        clock.forward(8);
        holder.touch();
        drop(waiter(gate.begin(Some("b"))));
        drop(waiter(gate.begin(Some("c"))));
    }
    let bell = CountingWaker::new();
    assert!(poll(&mut second, bell.waker()).is_pending());
    drop(holder);
    clock.forward(10);
    assert_eq!(rejected(gate.begin(Some("d"))), Rejected::Busy);
    assert!(gate.touch("b"), "a heartbeat");
    clock.forward(10);
    assert_eq!(rejected(gate.begin(Some("d"))), Rejected::Busy);
    assert_eq!((bell.wakes(), third.is_queued()), (1, true));
    clock.forward(1);
    // It has not begun, so it is over at once.
    assert_eq!(rejected(gate.begin(Some("d"))), Rejected::Busy);
    assert!(!third.is_queued());
    let told = waiter(rt.task(second).await).await.unwrap_err();
    assert_eq!(told, Aborted::never_begun(Cause::Superseded).into());
    drop(primary(rt.task(third).await));
}

/// A call that can begin nothing ends nothing.
pub async fn what_is_too_old_stays_at_a_closed_gate<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let gate = aged(Mode::Replace, &clock).build();
    let holder = primary(gate.begin(Some("a")));
    gate.close();
    clock.forward(11);
    assert_eq!(
        rejected(rt.task(gate.turn(Some("b"))).await),
        Rejected::Closed
    );
    let joined = rt.task(waiter(gate.begin(Some("a"))));
    holder.settle(7).unwrap();
    assert_eq!(*joined.await.unwrap(), 7);
}

/// Those who are queued have their turns, and the drain waits for them.
pub async fn a_closed_gate_serves_its_queue_and_drains<R: TestRuntime>(rt: R) {
    for by in ALL {
        let gate = Gate::new(Mode::Queue);
        let holder = primary(gate.begin(None));
        let (remote, operation) = scripted();
        let queued = by.call(&rt, &gate, ("a", Mode::Queue), operation).await;
        gate.close();
        assert_eq!(rejected(gate.begin(Some("b"))), Rejected::Closed);
        drop(waiter(gate.begin(Some("a"))));
        let bell = CountingWaker::new();
        let mut drained = gate.drained();
        assert!(poll(&mut drained, bell.waker()).is_pending());
        drop(holder);
        until(|| remote.polls() == 1).await;
        assert!(poll(&mut drained, bell.waker()).is_pending());
        remote.finish();
        assert!(queued.await.is_ok(), "{by:?}");
        rt.task(drained).await;
        assert!(!gate.is_busy());
    }
}

/// No call of the queue has its turn by that.
pub async fn a_gate_that_is_aborted_drains_when_its_holder_is_gone<R: TestRuntime>(rt: R) {
    for by in ALL {
        let gate = Gate::new(Mode::Queue);
        let (held, operation) = scripted();
        let outcome = by.call(&rt, &gate, ("a", Mode::Queue), operation).await;
        until(|| held.polls() == 1).await;
        let mut others = Vec::new();
        for (by, token) in [By::Turn, By::Work, By::TryWork, By::Spawn]
            .into_iter()
            .zip(["b", "c", "d", "e"])
        {
            let (remote, operation) = scripted();
            let call = by.call(&rt, &gate, (token, Mode::Queue), operation);
            others.push((remote, call.await));
        }
        gate.close();
        gate.abort_all();
        assert_eq!(gate.queued(), 0);
        for (remote, other) in others {
            assert_eq!(cause_of(other.await), Cause::AbortedAll);
            assert_eq!(remote.polls(), 0);
        }
        if matches!(by, By::WorkBlocking | By::SpawnBlocking) {
            assert!(gate.is_busy(), "it has not returned");
            held.finish();
        }
        assert_eq!(cause_of(outcome.await), Cause::AbortedAll, "{by:?}");
        rt.task(gate.drained()).await;
        assert!(!gate.is_busy() && held.dropped());
    }
}

/// Its waker is not kept, and it yields the error.
pub async fn a_turn_that_is_ended_is_woken<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(None));
    for end in 0..3 {
        let mut turn = if end == 2 {
            gate.entry(Some("a")).mode(Mode::Replace).turn()
        } else {
            gate.turn(Some("a"))
        };
        let bell = CountingWaker::new();
        assert!(poll(&mut turn, bell.waker()).is_pending());
        let cause = match end {
            0 => {
                gate.abort("a");
                Cause::Cancelled
            }
            1 => {
                gate.abort_all();
                Cause::AbortedAll
            }
            _ => {
                drop(gate.entry(Some("b")).mode(Mode::Replace).turn());
                Cause::Superseded
            }
        };
        assert_eq!((bell.wakes(), bell.kept()), (1, 0));
        assert!(!turn.is_queued());
        let told = waiter(rt.task(turn).await).await.unwrap_err();
        assert_eq!(told, Aborted::never_begun(cause).into());
    }
    assert!(gate.is_busy());
    drop(holder);
    assert!(!gate.is_busy());
}

/// The next call with a forgotten token is another one, and waits.
pub async fn a_forgotten_token_keeps_its_place<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(Some("a")));
    let queued = gate.turn(Some("b"));
    assert!(gate.forget("a") && gate.forget("b") && !gate.forget("c"));
    assert_eq!(rejected(gate.begin(Some("a"))), Rejected::Busy);
    let again = gate.turn(Some("b"));
    assert_eq!(gate.queued(), 2);
    assert!(!gate.abort("a") && gate.abort("b"));
    assert_eq!(gate.queued(), 1);
    holder.settle(1).unwrap();
    drop(primary(rt.task(queued).await));
    let told = waiter(rt.task(again).await).await;
    assert_eq!(cause_of(told), Cause::Cancelled);
}

/// A late duplicate gets it, whoever holds the gate; limits and payloads are those of a group.
pub async fn a_gate_has_the_rules_of_a_group<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let gate = aged(Mode::Queue, &clock)
        .retain_for(Duration::from_secs(5))
        .max_retained(1)
        .max_waiters(1)
        .build();
    primary(gate.begin(Some("a"))).settle(1).unwrap();
    primary(gate.begin(Some("b"))).settle(2).unwrap();
    primary(gate.begin(None)).settle(3).unwrap();
    assert_eq!((gate.stats().retained, gate.stats().given_up), (1, 1));
    let holder = primary(gate.begin(Some("c")));
    let replay = rt.task(gate.turn(Some("b"))).await;
    assert_eq!(*waiter(replay).await.unwrap(), 2);
    let print = |bytes: &[u8]| Fingerprint::of_bytes(bytes);
    let queued = gate.entry(Some("d")).fingerprint(print(b"1")).turn();
    let mismatch = gate.entry(Some("d")).fingerprint(print(b"2"));
    let mismatch = rt.task(mismatch.mode(Mode::Replace).turn()).await;
    assert_eq!(rejected(mismatch), Rejected::Mismatch);
    let one = waiter(gate.begin(Some("d")));
    assert_eq!(rejected(gate.begin(Some("d"))), Rejected::TooManyWaiters);
    clock.forward(6);
    assert!(gate.stats().retained == 0 && gate.turn(Some("b")).is_queued());
    drop((holder, one, queued));
}
