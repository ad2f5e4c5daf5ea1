//! The shared operation of `work`.

use std::future::poll_fn;

use oneflight_core::Error;
use oneflight_core::error::Cause;
use shuttle::future::block_on;
use shuttle::thread;

use crate::{
    Count, Counted, Registry, Signal, check, choose, group, join, poll_once, threads, waiter,
};

/// An operation that waits for the signal, and is polled by one at a time.
async fn operation(signal: Signal, polled: Count, live: Counted) -> u64 {
    let _live = live;
    poll_fn(|cx| {
        assert_eq!(polled.enter(), 0, "two poll the operation at once");
        thread::yield_now();
        let poll = signal.poll(cx);
        polled.leave();
        poll
    })
    .await;
    7
}

fn assert_idle(group: &Registry) {
    assert!(group.is_empty());
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.joined, stats.waited + stats.cancelled);
}

#[test]
fn drivers_that_leave_hand_the_same_operation_on() {
    check(|| {
        let (group, signal) = (group(), Signal::default());
        let (made, polled, live) = (Count::default(), Count::default(), Count::default());
        // All of them take part before anybody moves.
        let works: Vec<_> = (0..5)
            .map(|_| {
                let (made, polled) = (made.clone(), polled.clone());
                let (live, waits) = (live.clone(), signal.clone());
                group.work(1, move || {
                    made.enter();
                    operation(waits, polled, Counted::new(&live))
                })
            })
            .collect();
        let mut all = Vec::new();
        for (index, mut work) in works.into_iter().enumerate() {
            all.push(thread::spawn(move || {
                if index < 3 {
                    // Drives, or waits, and leaves.
                    let _ = poll_once(&mut work);
                    drop(work);
                } else {
                    assert_eq!(*block_on(work).unwrap(), 7);
                }
            }));
        }
        signal.wake(false);
        signal.wake(true);
        join(all);
        assert_eq!((made.get(), live.get()), (1, 0));
        assert_idle(&group);
        assert_eq!((group.stats().begun, group.stats().settled), (1, 1));
    });
}

#[test]
fn newcomers_continue_or_begin_anew_when_the_last_participant_leaves() {
    check(|| {
        let (group, live, made) = (group(), Count::default(), Count::default());
        let (calls, operations, count) = (group.clone(), live.clone(), made.clone());
        join(threads(5, move |index| {
            let signal = Signal::default();
            signal.wake(true);
            let (value, polled) = (Counted::new(&operations), Count::default());
            let count = count.clone();
            let mut work = calls.work(1, move || {
                count.enter();
                operation(signal, polled, value)
            });
            if index < 3 {
                if choose(2) == 0 {
                    let _ = poll_once(&mut work);
                }
                drop(work);
            } else {
                // Whoever stays never inherits that another has left.
                assert_eq!(*block_on(work).unwrap(), 7);
            }
        }));
        assert_eq!(live.get(), 0);
        assert_idle(&group);
        let stats = group.stats();
        assert_eq!(stats.begun, made.get() as u64);
        assert_eq!(stats.aborted, stats.aborted_by(Cause::Dropped));
        assert_eq!(stats.begun + stats.joined, 5);
    });
}

#[test]
fn an_operation_woken_again_and_again_is_polled_to_its_end() {
    check(|| {
        let (group, signal, polled) = (group(), Signal::default(), Count::default());
        let live = Count::default();
        let (waits, value) = (signal.clone(), Counted::new(&live));
        let first = group.work(1, move || operation(waits, polled, value));
        let second = group.work(1, || async { unreachable!("never made") });
        let plain = waiter(group.begin(1));
        let mut all = threads(2, {
            let signal = signal.clone();
            move |_| signal.wake(false)
        });
        let last = signal.clone();
        all.push(thread::spawn(move || last.wake(true)));
        for work in [first, second] {
            all.push(thread::spawn(move || {
                assert_eq!(*block_on(work).unwrap(), 7)
            }));
        }
        assert_eq!(*block_on(plain).unwrap(), 7);
        join(all);
        assert_eq!(live.get(), 0);
        assert_idle(&group);
        assert_eq!((group.stats().begun, group.stats().waited), (1, 2));
    });
}

#[test]
fn an_abort_from_outside_ends_a_work_once_and_drops_its_operation() {
    check(|| {
        let (group, signal, polled) = (group(), Signal::default(), Count::default());
        let live = Count::default();
        let works: Vec<_> = (0..3)
            .map(|_| {
                let (waits, value) = (signal.clone(), Counted::new(&live));
                let polled = polled.clone();
                group.work(1, move || operation(waits, polled, value))
            })
            .collect();
        let mut all = Vec::new();
        for work in works {
            all.push(thread::spawn(move || match block_on(work) {
                Ok(settled) => {
                    assert_eq!(*settled, 7);
                    true
                }
                Err(Error::Aborted(why)) => {
                    assert_eq!(why.cause(), Cause::AbortedAll);
                    false
                }
                Err(other) => panic!("{other}"),
            }));
        }
        let plain = waiter(group.begin(1));
        let aborts = group.clone();
        let abort = thread::spawn(move || aborts.abort_all());
        let wakes = signal.clone();
        let wake = thread::spawn(move || wakes.wake(true));
        let settled = block_on(plain).is_ok();
        assert!(join(all).into_iter().all(|ok| ok == settled));
        abort.join().unwrap();
        wake.join().unwrap();
        drop(signal);
        assert_eq!(live.get(), 0, "the operation is dropped");
        assert_idle(&group);
        let stats = group.stats();
        let wanted = if settled { (1, 0) } else { (0, 1) };
        assert_eq!((stats.settled, stats.aborted_by(Cause::AbortedAll)), wanted);
    });
}
