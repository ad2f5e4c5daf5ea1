//! Closing, and waiting until nothing is left.

use loom::future::block_on;
use loom::thread;
use oneflight_core::Begin;
use oneflight_core::error::Rejected;

use crate::{bounded_model, group, primary};

#[test]
fn the_last_settle_and_the_close_meet_and_drain() {
    bounded_model(3, || {
        let group = group::<u32>();
        let last = primary(group.begin(1));
        let settle = thread::spawn(move || drop(last.settle(7)));
        group.close();
        block_on(group.drained());
        settle.join().unwrap();
        assert!(group.is_empty());
    });
}

#[test]
fn drained_waits_for_a_begin_that_came_before_the_close() {
    bounded_model(2, || {
        let group = group::<u32>();
        let (begins, closes) = (group.clone(), group.clone());
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let flag = ended.clone();
        let begin = thread::spawn(move || match begins.begin(1) {
            Begin::Primary(primary) => {
                flag.store(false, std::sync::atomic::Ordering::SeqCst);
                thread::yield_now();
                flag.store(true, std::sync::atomic::Ordering::SeqCst);
                drop(primary.settle(7));
            }
            other => assert!(matches!(other, Begin::Rejected(Rejected::Closed))),
        });
        let close = thread::spawn(move || closes.close());
        block_on(group.drained());
        let settled = ended.load(std::sync::atomic::Ordering::SeqCst);
        assert!(settled, "the flight had not come to its settle");
        close.join().unwrap();
        assert!(matches!(group.begin(2), Begin::Rejected(Rejected::Closed)));
        begin.join().unwrap();
        assert!(group.is_empty());
    });
}

#[test]
fn two_closes_drain_once() {
    bounded_model(3, || {
        let group = group::<u32>();
        let last = primary(group.begin(1));
        let other = group.clone();
        let thread = thread::spawn(move || {
            other.close();
            block_on(other.drained());
        });
        group.close();
        drop(last);
        block_on(group.drained());
        thread.join().unwrap();
    });
}

#[test]
fn a_forgotten_flight_that_is_aborted_and_dropped_at_once_drains() {
    bounded_model(3, || {
        let group = group::<u32>();
        let last = primary(group.begin(1));
        assert!(group.forget(&1));
        group.close();
        let lose = thread::spawn(move || drop(last));
        group.abort_all();
        block_on(group.drained());
        lose.join().unwrap();
        let stats = group.stats();
        assert_eq!((stats.begun, stats.aborted, stats.in_flight), (1, 1, 0));
    });
}
