//! Wakers, tokens and callers that attack the queue of a gate.

mod support;

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use oneflight_core::{Begin, Cause, Gate, Mode, Primary, Rejected, Turn};
use support::hand::Key;
use support::operation::aborted;
use support::{Spy, panics, poll, poll_idly, while_unwinding, within_limit};

type Line = Gate<u32, u32>;

/// Where a waker finds its own turn.
type Chair = Arc<Mutex<Option<Turn<u32, u32>>>>;

fn taken<K, T>(begin: Begin<K, T>) -> Primary<K, T> {
    match begin {
        Begin::Primary(primary) => primary,
        other => panic!("{other:?}"),
    }
}

fn holder(gate: &Line) -> Primary<Option<u32>, u32> {
    taken(gate.begin(Some(0)))
}

fn come(turn: &mut Turn<u32, u32>) -> Primary<Option<u32>, u32> {
    match poll_idly(turn) {
        Poll::Ready(begin) => taken(begin),
        Poll::Pending => panic!("its turn has not come"),
    }
}

/// Nobody holds it, nobody waits, and it can be taken.
fn assert_free(gate: &Line) {
    assert!(!gate.is_busy());
    assert_eq!(gate.queued(), 0);
    let stats = gate.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
    assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
    drop(taken(gate.begin(None)));
}

#[test]
fn a_waker_that_panics_at_its_turn_has_its_turn_all_the_same() {
    for end in 0..3 {
        let gate = Line::new(Mode::Queue);
        let first = holder(&gate);
        let (mut second, mut third) = (gate.turn(Some(2)), gate.turn(None));
        let spy = Spy::on_wake(|| panic!("hostile"));
        assert!(poll(&mut second, &Waker::from(spy)).is_pending());
        assert!(poll_idly(&mut third).is_pending());
        match end {
            0 => assert!(panics(|| first.settle(7))),
            1 => assert!(panics(|| drop(first))),
            // While the thread unwinds, the panic of the waker ends there.
            _ => while_unwinding(move || drop(first)),
        }
        let second = come(&mut second);
        assert!(poll_idly(&mut third).is_pending());
        drop(second);
        drop(come(&mut third));
        assert_free(&gate);
    }
}

#[test]
fn a_duplicate_whose_waker_panics_does_not_keep_the_gate() {
    let gate = Line::new(Mode::Queue);
    let first = holder(&gate);
    let Begin::Waiter(mut duplicate) = gate.begin(Some(0)) else {
        unreachable!()
    };
    let mut second = gate.turn(Some(2));
    let hostile = || Waker::from(Spy::on_wake(|| panic!("hostile")));
    assert!(poll(&mut duplicate, &hostile()).is_pending());
    assert!(poll(&mut second, &hostile()).is_pending());
    assert!(panics(|| first.settle(7)));
    drop(come(&mut second));
    drop(duplicate);
    assert_free(&gate);
}

#[test]
fn a_turn_dropped_by_its_own_waker_passes_the_gate_on() {
    within_limit(|| {
        let gate = Line::new(Mode::Queue);
        let first = holder(&gate);
        let seats: Vec<Chair> = (1..50)
            .map(|token| Arc::new(Mutex::new(Some(gate.turn(Some(token))))))
            .collect();
        for seat in &seats {
            let mine = seat.clone();
            let spy = Spy::on_wake(move || {
                let turn = mine.lock().unwrap().take();
                drop(turn);
            });
            let mut turn = seat.lock().unwrap().take().unwrap();
            assert!(poll(&mut turn, &Waker::from(spy)).is_pending());
            *seat.lock().unwrap() = Some(turn);
        }
        let mut last = gate.turn(None);
        assert!(poll_idly(&mut last).is_pending());
        drop(first.settle(7));
        drop(come(&mut last));
        assert_free(&gate);
    });
}

#[test]
fn a_turn_taken_and_settled_by_its_own_waker_lets_the_next_one_in() {
    within_limit(|| {
        let gate = Line::new(Mode::Queue);
        let first = holder(&gate);
        let order = Arc::new(Mutex::new(Vec::new()));
        for token in 1..50 {
            let seat = Arc::new(Mutex::new(None));
            let (mine, order) = (seat.clone(), order.clone());
            let spy = Spy::on_wake(move || {
                let mut turn: Turn<u32, u32> = mine.lock().unwrap().take().expect("woken once");
                let primary = come(&mut turn);
                order.lock().unwrap().push(token);
                drop(primary.settle(token));
            });
            let mut turn = gate.turn(Some(token));
            assert!(poll(&mut turn, &Waker::from(spy)).is_pending());
            *seat.lock().unwrap() = Some(turn);
        }
        drop(first.settle(7));
        assert_eq!(*order.lock().unwrap(), (1..50).collect::<Vec<u32>>());
        assert_free(&gate);
    });
}

#[test]
fn a_waker_that_queues_again_waits_behind_the_others() {
    within_limit(|| {
        let gate = Line::new(Mode::Queue);
        let first = holder(&gate);
        let (mut second, mut third) = (gate.turn(Some(2)), gate.turn(Some(3)));
        let (inner, again) = (gate.clone(), Arc::new(Mutex::new(None)));
        let result = again.clone();
        let spy = Spy::on_wake(move || *result.lock().unwrap() = Some(inner.turn(Some(4))));
        assert!(poll(&mut second, &Waker::from(spy)).is_pending());
        drop(first);
        let mut fourth = again.lock().unwrap().take().expect("woken");
        assert!(fourth.is_queued() && third.is_queued());
        drop(come(&mut second));
        assert!(poll_idly(&mut fourth).is_pending());
        drop(come(&mut third));
        drop(come(&mut fourth));
        assert_free(&gate);
    });
}

#[test]
fn a_turn_dropped_at_any_point_leaves_its_duplicates_and_its_place() {
    // Never polled, parked, come but not polled, come and taken.
    for point in 0..4 {
        let gate = Line::new(Mode::Queue);
        let mut first = Some(holder(&gate));
        let mut second = gate.turn(Some(2));
        let Begin::Waiter(duplicate) = gate.begin(Some(2)) else {
            panic!("a queued token is claimed")
        };
        let mut third = gate.turn(Some(3));
        assert!(poll_idly(&mut third).is_pending());
        if point > 0 {
            assert!(poll_idly(&mut second).is_pending());
        }
        if point > 1 {
            drop(first.take());
        }
        if point > 2 {
            drop(come(&mut second));
        }
        drop(second);
        assert_eq!(aborted(duplicate.get()), Cause::Dropped);
        assert_eq!(poll_idly(&mut third).is_pending(), first.is_some());
        drop((first, third, duplicate));
        assert_free(&gate);
    }
}

#[test]
fn a_token_whose_drop_or_comparison_comes_back_to_the_gate_finds_no_lock_held() {
    within_limit(|| {
        let gate: Gate<Key, u32> = Gate::new(Mode::Queue);
        let inner = gate.clone();
        let first = taken(gate.begin(Some(Key::on_drop(1, move || {
            assert_eq!((inner.queued(), inner.waiters(&Key::new(1))), (0, 0));
            drop(inner.begin(None));
        }))));
        let inner = gate.clone();
        let retry = Key::new(1).on_eq(move || {
            let third = inner.begin(Some(Key::new(3)));
            assert!(matches!(third, Begin::Rejected(Rejected::Busy)));
            assert!(inner.turn(Some(Key::new(4))).is_queued());
        });
        assert!(matches!(gate.begin(Some(retry)), Begin::Waiter(_)));
        let inner = gate.clone();
        let queued = gate.turn(Some(Key::on_drop(2, move || assert_eq!(inner.queued(), 0))));
        drop(queued);
        drop(first.settle(7));
        assert!(!gate.is_busy());
    });
}

#[test]
fn a_token_that_panics_when_compared_or_dropped_holds_nothing() {
    let gate: Gate<Key, u32> = Gate::new(Mode::Queue);
    let first = taken(gate.begin(Some(Key::new(1))));
    let hostile = || Key::new(1).on_eq(|| panic!("hostile"));
    assert!(panics(|| gate.begin(Some(hostile()))));
    assert!(panics(|| gate.turn(Some(hostile()))));
    // A duplicate's token is dropped in the call.
    assert!(panics(
        || gate.begin(Some(Key::on_drop(1, || panic!("hostile"))))
    ));
    assert!(panics(
        || gate.turn(Some(Key::on_drop(1, || panic!("hostile"))))
    ));
    assert_eq!((gate.waiters(&Key::new(1)), gate.queued()), (0, 0));
    let queued = gate.turn(Some(Key::on_drop(2, || panic!("hostile"))));
    let mut last = gate.turn(Some(Key::new(3)));
    assert!(panics(|| drop(queued)));
    drop(first);
    assert!(matches!(
        poll_idly(&mut last),
        Poll::Ready(Begin::Primary(_))
    ));
    assert!(!gate.is_busy());
}

#[test]
fn an_invocation_that_comes_with_its_own_token_is_told() {
    let gate = Line::new(Mode::Queue);
    let inner = gate.clone();
    let mut run = Box::pin(holder(&gate).run(async move {
        let own = inner.begin(Some(0));
        assert!(matches!(own, Begin::Rejected(Rejected::Reentrant)));
        let own = inner.turn(Some(0)).await;
        assert!(matches!(own, Begin::Rejected(Rejected::Reentrant)));
        let other = inner.begin(Some(1));
        assert!(matches!(other, Begin::Rejected(Rejected::Busy)));
        assert!(inner.turn(Some(1)).is_queued());
        7
    }));
    assert!(matches!(poll_idly(&mut run), Poll::Ready(Ok(settled)) if *settled == 7));
    assert_free(&gate);
}
