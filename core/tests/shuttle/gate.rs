//! The gate: its holder, its line and the hand-over.

use oneflight_core::Begin;
use oneflight_core::error::{Cause, Rejected};
use oneflight_core::gate::{Gate, Mode};
use shuttle::future::block_on;
use shuttle::thread;

use crate::{Book, Count, check, choose, join, poll_once, primary, threads};

type Turnstile = Gate<u8, u64>;

/// Holds the gate for a while, alone.
fn hold(inside: &Count) {
    assert_eq!(inside.enter(), 0, "two hold the gate");
    thread::yield_now();
    inside.leave();
}

fn assert_free(gate: &Turnstile) {
    assert!(!gate.is_busy());
    let stats = gate.stats();
    assert_eq!((gate.queued(), stats.in_flight, stats.waiting), (0, 0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
    drop(primary(gate.begin(None)));
}

#[test]
fn turns_of_tokens_retries_and_strangers_pass_one_at_a_time() {
    check(|| {
        let (gate, book, inside) = (
            Turnstile::new(Mode::Queue),
            Book::default(),
            Count::default(),
        );
        let (visits, pages) = (gate.clone(), book.clone());
        join(threads(6, move |index| {
            // Two tokens with a retry each, and two callers without one.
            let token = [Some(1), Some(2), None][index % 3];
            match block_on(visits.turn(token)) {
                Begin::Primary(primary) => {
                    hold(&inside);
                    pages.settle(primary);
                }
                Begin::Waiter(retry) => pages.wait(retry),
                Begin::Rejected(why) => panic!("{why}"),
            }
        }));
        book.balance(gate.stats());
        assert_free(&gate);
    });
}

#[test]
fn turns_given_up_pass_the_gate_on() {
    check(|| {
        let (gate, inside) = (Turnstile::new(Mode::Queue), Count::default());
        let visits = gate.clone();
        let passed = join(threads(6, move |index| {
            let token = [Some(1), None, Some(2)][index % 3];
            let mut turn = visits.turn(token);
            if index < 3 {
                // Gives up: in the line, or when its turn has come.
                if choose(2) == 0 {
                    let _ = poll_once(&mut turn);
                }
                drop(turn);
                return 0;
            }
            match block_on(turn) {
                Begin::Primary(primary) => {
                    hold(&inside);
                    if choose(3) == 0 {
                        drop(primary);
                        return 0;
                    }
                    let id = primary.id().get();
                    assert_eq!(*primary.settle(id).unwrap(), id);
                    1
                }
                Begin::Waiter(retry) => {
                    let id = retry.id().get();
                    let told = crate::told(block_on(retry));
                    assert!(told == Ok(id) || told == Err(Cause::Dropped));
                    0
                }
                Begin::Rejected(why) => panic!("{why}"),
            }
        }));
        assert_eq!(gate.stats().settled, passed.into_iter().sum::<u64>());
        assert_free(&gate);
    });
}

#[test]
fn a_busy_gate_turns_others_away_and_shares_its_token() {
    check(|| {
        let (gate, book) = (Turnstile::new(Mode::Exclusive), Book::default());
        let (inside, away) = (Count::default(), Count::default());
        let (visits, pages, refused) = (gate.clone(), book.clone(), away.clone());
        join(threads(6, move |index| {
            let token = [Some(1), Some(2), None][index % 3];
            for _ in 0..2 {
                match visits.begin(token) {
                    Begin::Primary(primary) => {
                        hold(&inside);
                        pages.settle(primary);
                    }
                    Begin::Waiter(retry) => pages.wait(retry),
                    Begin::Rejected(why) => {
                        assert_eq!(why, Rejected::Busy);
                        refused.enter();
                    }
                }
            }
        }));
        let stats = gate.stats();
        assert_eq!(stats.rejected_by(Rejected::Busy), away.get() as u64);
        book.balance(stats);
        assert_free(&gate);
    });
}

#[test]
fn holders_that_leave_and_begins_that_push_in_never_pass_the_line() {
    check(|| {
        let (gate, inside) = (Turnstile::new(Mode::Queue), Count::default());
        let holder = primary(gate.begin(Some(9)));
        // In the line before anybody else moves: nobody may pass these two.
        let line = [gate.turn(Some(1)), gate.turn(None)];
        let order = Count::default();
        let mut all = Vec::new();
        for (place, turn) in line.into_iter().enumerate() {
            let (inside, order) = (inside.clone(), order.clone());
            all.push(thread::spawn(move || {
                let primary = primary(block_on(turn));
                hold(&inside);
                assert_eq!(order.enter(), place, "first come, first served");
                drop(primary.settle(7));
            }));
        }
        let (pushes, alone, done) = (gate.clone(), inside.clone(), order.clone());
        all.extend(threads(2, move |_| match pushes.begin(Some(3)) {
            Begin::Primary(primary) => {
                assert_eq!(done.get(), 2, "it passed the line");
                hold(&alone);
                drop(primary.settle(7));
            }
            Begin::Waiter(retry) => assert_eq!(*block_on(retry).unwrap(), 7),
            Begin::Rejected(why) => assert_eq!(why, Rejected::Busy),
        }));
        let lose = thread::spawn(move || drop(holder));
        join(all);
        lose.join().unwrap();
        assert_free(&gate);
    });
}

#[test]
fn calls_that_replace_queue_and_abort_hold_the_gate_one_at_a_time() {
    check(|| {
        let (gate, inside) = (Turnstile::new(Mode::Queue), Count::default());
        let visits = gate.clone();
        let settled = join(threads(6, move |index| {
            let token = [Some(1), Some(2), None][index % 3];
            let mode = [Mode::Queue, Mode::Replace][choose(2)];
            if choose(4) == 0 {
                visits.abort(&2);
            }
            match block_on(visits.entry(token).mode(mode).turn()) {
                Begin::Primary(primary) => {
                    hold(&inside);
                    let id = primary.id().get();
                    match primary.settle(id) {
                        Ok(_) => 1,
                        Err(late) => {
                            let cause = late.aborted.cause();
                            assert!(matches!(cause, Cause::Superseded | Cause::Cancelled));
                            0
                        }
                    }
                }
                Begin::Waiter(retry) => {
                    let id = retry.id().get();
                    match crate::told(block_on(retry)) {
                        Ok(value) => assert_eq!(value, id),
                        Err(cause) => {
                            assert!(matches!(cause, Cause::Superseded | Cause::Cancelled));
                        }
                    }
                    0
                }
                Begin::Rejected(why) => panic!("{why}"),
            }
        }));
        assert_eq!(gate.stats().settled, settled.into_iter().sum::<u64>());
        assert_free(&gate);
    });
}
