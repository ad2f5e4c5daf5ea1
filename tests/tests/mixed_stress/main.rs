//! Random calls of every kind on few keys, under a cap of waiters and with two payloads: what the callers counted
//! themselves and what the group says must come to the same. On one thread to the last figure; on four, up to what
//! nobody can tell from outside (whether an outcome came just before a waiter left).

mod caller;
mod operation;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fastrand::Rng;
use oneflight::{Cause, Group, Rejected};
use oneflight_conformance::watched;

use caller::{Caller, Saw};
use operation::Ledger;

const OPERATIONS: usize = 100_000;
const KEYS: u8 = 6;
const CAP: usize = 3;

#[test]
fn calls_of_every_kind_add_up_exactly_on_one_thread() {
    watched("mixed, alone", || round(1));
}

#[test]
fn calls_of_every_kind_add_up_on_four_threads() {
    watched("mixed stress", || round(4));
}

fn round(threads: usize) {
    let group = Group::builder().max_waiters(CAP).build();
    let (works, reruns) = (Arc::<Ledger>::default(), Arc::<Ledger>::default());
    let callers: Vec<_> = (0..threads)
        .map(|seed| {
            let mut caller = Caller {
                group: group.clone(),
                rng: Rng::with_seed(seed as u64),
                alone: threads == 1,
                primaries: Vec::new(),
                calls: Vec::new(),
                works: works.clone(),
                reruns: reruns.clone(),
                saw: Saw::default(),
            };
            thread::spawn(move || {
                for step in 0..OPERATIONS / threads {
                    caller.step();
                    if caller.alone && step % 100 == 0 {
                        caller.look();
                    }
                }
                while !caller.primaries.is_empty() {
                    caller.end();
                }
                while !caller.calls.is_empty() {
                    caller.leave();
                }
                caller.saw
            })
        })
        .collect();
    let mut saw = Saw::default();
    for caller in callers {
        saw.add(caller.join().unwrap());
    }
    compare(&group, &saw, &works, &reruns, threads == 1);
}

fn compare(group: &Group<u8, u64>, saw: &Saw, works: &Ledger, reruns: &Ledger, alone: bool) {
    let count = |word: &AtomicU64| word.load(Ordering::SeqCst);
    let stats = group.stats();
    println!("{stats:?}");
    let begun = saw.flights.len() as u64;
    assert_eq!((stats.begun, stats.joined), (begun, saw.accepted - begun));
    assert_eq!((stats.in_flight, stats.waiting, group.len()), (0, 0, 0));
    let settled = saw.settled + count(&works.finished) + count(&reruns.finished);
    assert_eq!((stats.settled, stats.aborted), (settled, begun - settled));
    let by = |cause| stats.aborted_by(cause);
    assert_eq!(by(Cause::Cancelled), saw.cancelled);
    // Of a re-run, a panic is a loss and no end.
    assert_eq!(by(Cause::Panicked), count(&works.panicked));
    // A re-run that nobody finished, and for which the budget was not used up, was left by everyone.
    let by_rerun = begun - saw.by_begin - saw.by_work;
    let abandoned = by_rerun - count(&reruns.finished) - by(Cause::Exhausted);
    assert_eq!(
        by(Cause::Dropped),
        saw.dropped + count(&works.lost) + abandoned
    );
    assert_eq!(
        stats.reruns,
        saw.runs.values().map(|runs| runs - 1).sum::<u64>()
    );
    assert!(by(Cause::Exhausted) >= saw.exhausted.len() as u64);
    assert_eq!(stats.rejected_by(Rejected::Full), saw.full);
    assert_eq!(stats.rejected_by(Rejected::Mismatch), saw.mismatched);
    assert_eq!(stats.rejected, saw.full + saw.mismatched);
    assert!(stats.largest_flight <= CAP);
    assert_eq!(stats.waited + stats.cancelled, stats.joined);
    if alone {
        assert_eq!((stats.waited, stats.cancelled), (saw.waited, saw.left));
        assert_eq!(by(Cause::Exhausted), saw.exhausted.len() as u64);
    } else {
        assert!(stats.waited >= saw.waited && stats.cancelled <= saw.left);
        assert!(stats.waited <= saw.waited + saw.unknown + saw.left);
    }
    // Otherwise it shows little.
    let shown = [saw.full, saw.mismatched, saw.left, stats.reruns, abandoned];
    let causes = [
        Cause::Dropped,
        Cause::Panicked,
        Cause::Cancelled,
        Cause::Exhausted,
    ]
    .map(by);
    assert!(
        shown.iter().chain(&causes).all(|&n| n > 50),
        "{shown:?} {causes:?}"
    );
}
