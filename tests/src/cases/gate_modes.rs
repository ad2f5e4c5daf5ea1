//! The modes of a gate and of a call: who waits, who replaces, who is first, who is rejected.

use oneflight::error::{Aborted, Cause, Rejected};
use oneflight::gate::{Mode, Turn};
use oneflight::{Begin, Error};

use super::gate_policies::{ALL, By, Gate};
use crate::{TestRuntime, cause_of, primary, rejected, scripted, until, waiter};

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
    assert_eq!((stats.joined, stats.aborted), (30, 0));
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
        let inner = inside.work(Some("b"), || std::future::pending());
        *inner.await.unwrap()
    }));
    assert_eq!(cause_of(outcome.await), Cause::Superseded);
    until(|| !gate.is_busy()).await;
    assert_eq!(gate.stats().aborted_by(Cause::Dropped), 1);
    assert!(matches!(gate.begin(None), Begin::Primary(_)));
}
