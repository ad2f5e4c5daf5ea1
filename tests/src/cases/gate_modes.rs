//! The modes of a gate and of a call: who waits, who replaces, who is first, who is rejected. How a gate ends what it has,
//! and what outlives its end.

use std::future::pending;
use std::time::Duration;

use oneflight::error::{Aborted, Cause, Rejected};
use oneflight::gate::{GateBuilder, Mode, Turn};
use oneflight::{Begin, Error, Fingerprint};

use super::gate_policies::{ALL, By, Gate};
use crate::{
    CountingWaker, HandClock, TestRuntime, cause_of, poll, primary, rejected, scripted, until,
    waiter,
};

const MODES: [Mode; 4] = [Mode::Exclusive, Mode::Queue, Mode::Replace, Mode::Open];

/// What a turn that was ended from outside has come to.
async fn ended<R: TestRuntime>(rt: &R, turn: Turn<&'static str, usize>) -> Aborted {
    match waiter(rt.task(turn).await).await {
        Err(Error::Aborted(aborted)) => aborted,
        other => panic!("{other:?}"),
    }
}

/// Those who were queued before it and after it keep their order.
pub async fn the_newest_of_those_who_replace_is_first<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(Some("a")));
    let told = rt.task(waiter(gate.begin(Some("a"))));
    let queued = gate.turn(Some("b"));
    let replaces = |token| gate.entry(Some(token)).mode(Mode::Replace).turn();
    let second = replaces("c");
    assert_eq!(cause_of(told.await), Cause::Superseded);
    let of_second = rt.task(waiter(gate.begin(Some("c"))));
    let later = gate.turn(Some("d"));
    let third = replaces("e");
    assert_eq!(gate.queued(), 3);
    assert!(!second.is_queued() && third.is_queued());
    let never = Aborted::never_begun(Cause::Superseded);
    assert_eq!(ended(&rt, second).await, never);
    assert_eq!(of_second.await.unwrap_err(), never.into());

    // The guard has outlived its end, and holds the gate.
    assert!(gate.is_busy() && third.is_queued());
    let late = holder.settle(1).unwrap_err();
    assert_eq!(late.aborted, Aborted::new(Cause::Superseded));
    for turn in [third, queued, later] {
        assert!(!turn.is_queued());
        drop(primary(rt.task(turn).await));
    }
    assert!(!gate.is_busy());
}

/// It neither waits nor ends anybody.
pub async fn a_begin_never_waits_and_replaces_nobody<R: TestRuntime>(rt: R) {
    for mode in [Mode::Exclusive, Mode::Queue, Mode::Replace] {
        let gate = Gate::new(mode);
        let holder = primary(gate.begin(Some("a")));
        for of_call in [Mode::Exclusive, Mode::Queue, Mode::Replace] {
            let begun = gate.entry(Some("b")).mode(of_call).begin();
            assert_eq!(rejected(begun), Rejected::Busy);
        }
        assert_eq!(rejected(gate.begin(None)), Rejected::Busy);
        let duplicate = rt.task(waiter(gate.begin(Some("a"))));
        holder.settle(7).unwrap();
        assert_eq!(*duplicate.await.unwrap(), 7);
    }
}

/// The holder's, and that of a call that waits.
pub async fn a_call_with_the_token_of_another_shares_it_in_every_mode<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Queue);
    let holder = primary(gate.begin(Some("a")));
    let queued = gate.turn(Some("b"));
    for mode in [Mode::Exclusive, Mode::Queue, Mode::Replace] {
        for token in ["a", "b"] {
            // Without the one that would park a thread.
            for by in ALL.into_iter().filter(|by| *by != By::WorkBlocking) {
                let (_, operation) = scripted();
                drop(by.call(&rt, &gate, (token, mode), operation).await);
            }
        }
    }
    let stats = gate.stats();
    assert_eq!((stats.joined, stats.aborted), (36, 0));
    holder.settle(1).unwrap();
    primary(rt.task(queued).await).settle(2).unwrap();
    until(|| gate.stats().waiting == 0 && !gate.is_busy()).await;
}

/// A gate of any mode has calls of any mode.
pub async fn a_call_can_have_a_mode_of_its_own<R: TestRuntime>(rt: R) {
    for mode in MODES {
        let gate = Gate::new(mode);
        let call = |token, mode| gate.entry(Some(token)).mode(mode);
        let holder = primary(call("a", Mode::Exclusive).begin());
        assert!(gate.is_busy() && gate.mode() == mode);
        // Beside the gate, with the same token too.
        for token in ["a", "b"] {
            let alone = primary(rt.task(call(token, Mode::Open).turn()).await);
            assert_eq!(*alone.settle(7).unwrap(), 7);
        }
        assert!(call("a", Mode::Open).join().unwrap().is_none());
        let refused = rt.task(call("b", Mode::Exclusive).turn()).await;
        assert_eq!(rejected(refused), Rejected::Busy);
        let queued = call("b", Mode::Queue).turn();
        let replaces = call("c", Mode::Replace).turn();
        assert!(queued.is_queued() && replaces.is_queued());
        assert!(holder.settle(0).is_err());
        drop(primary(rt.task(replaces).await));
        drop(primary(rt.task(queued).await));
        assert!(!gate.is_busy());
    }
}

/// Whatever it is. Duplicates take no place, nor does one that replaces.
pub async fn a_queue_has_a_bound<R: TestRuntime>(rt: R) {
    for most in [0, 1, 3] {
        let gate = Gate::builder(Mode::Queue).max_queue(most).build();
        let holder = primary(gate.begin(None));
        let tokens = &["a", "b", "c"][..most];
        let mut queued: Vec<_> = tokens.iter().map(|token| gate.turn(Some(*token))).collect();
        for by in ALL {
            let call = by.call(&rt, &gate, ("d", Mode::Queue), scripted().1);
            let busy = Error::Rejected(Rejected::Busy);
            assert_eq!(call.await.await.unwrap_err(), busy, "{by:?}");
        }
        for token in tokens {
            drop(waiter(rt.task(gate.turn(Some(*token))).await));
        }
        let first = gate.entry(Some("e")).mode(Mode::Replace).turn();
        assert_eq!(gate.queued(), most + 1);
        // A place that is given up is free at once.
        if let Some(last) = queued.pop() {
            drop(last);
            queued.push(gate.turn(Some("f")));
        }
        assert_eq!(
            rejected(rt.task(gate.turn(None)).await),
            Rejected::Busy,
            "{most}"
        );
        drop(holder);
        for turn in [first].into_iter().chain(queued) {
            drop(primary(rt.task(turn).await));
        }
        assert!(!gate.is_busy());
    }
}

/// Without a builder too.
pub async fn a_queue_without_a_bound_does_not_exist<R: TestRuntime>(rt: R) {
    let gate = oneflight::gate::Gate::<usize, usize>::new(Mode::Queue);
    let _holder = gate.begin(None);
    let _turns: Vec<_> = (0..1_024).map(|token| gate.turn(Some(token))).collect();
    assert_eq!(gate.queued(), 1_024);
    let more = rt.task(gate.turn(Some(1_024)));
    assert_eq!(rejected(more.await), Rejected::Busy);
}

/// The old one is dropped when its poll returns, and the inner call with it.
pub async fn an_invocation_that_replaces_itself_is_over<R: TestRuntime>(rt: R) {
    let gate = Gate::new(Mode::Replace);
    let inside = gate.clone();
    let outcome = rt.task(gate.work(Some("a"), || async move {
        let inner = inside.work(Some("b"), std::future::pending);
        *inner.await.unwrap()
    }));
    assert_eq!(cause_of(outcome.await), Cause::Superseded);
    until(|| !gate.is_busy()).await;
    assert_eq!(gate.stats().aborted_by(Cause::Dropped), 1);
    assert!(matches!(gate.begin(None), Begin::Primary(_)));
}

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

/// Retries of one token can be all that comes while the holder hangs.
pub async fn a_retry_of_a_queued_call_ends_a_holder_that_hangs<R: TestRuntime>(rt: R) {
    for mode in [Mode::Exclusive, Mode::Queue, Mode::Replace] {
        let clock = HandClock::default();
        let gate = aged(mode, &clock).build();
        let mut hung = gate.work(Some("a"), pending);
        assert!(poll(&mut hung, CountingWaker::new().waker()).is_pending());
        let queued = gate.entry(Some("b")).mode(Mode::Queue).turn();
        clock.forward(11);
        assert!(gate.entry(Some("b")).join().is_ok_and(|it| it.is_some()));
        assert!(queued.is_queued(), "a join ends nothing");
        let retry = waiter(gate.begin(Some("b")));
        assert_eq!(cause_of(hung.await), Cause::Superseded);
        assert!(primary(rt.task(queued).await).settle(7).is_ok());
        assert_eq!(*retry.await.unwrap(), 7);
    }
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
        for (by, token) in [By::Turn, By::Work, By::TryWork, By::Spawn, By::WhileWanted]
            .into_iter()
            .zip(["b", "c", "d", "e", "f"])
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
