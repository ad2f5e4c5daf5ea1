//! Random calls on few keys, under a cap of waiters and with two payloads: what the callers counted
//! themselves and what the group says must come to the same. On one thread to the last figure; on
//! more, up to what nobody can tell from outside (whether an outcome came just before a waiter
//! left).

mod caller;
mod operation;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use fastrand::Rng;
use oneflight::Group;
use oneflight::error::{Cause, Rejected};

use caller::{Caller, Saw};
use operation::Ledger;

const KEYS: u8 = 6;
const CAP: usize = 3;
const RERUNS: usize = 2;

/// How a caller asks for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Begin,
    Work,
    TryWork,
}

impl Ask {
    pub(crate) const ALL: &[Self] = &[Self::Begin, Self::Work, Self::TryWork];
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) threads: usize,
    /// Of all threads together.
    pub(crate) calls: usize,
    pub(crate) asks: &'static [Ask],
}

impl Setting {
    pub(crate) fn play(self, seed: u64) {
        let group = Group::builder().max_waiters(CAP).max_reruns(RERUNS).build();
        let (works, tries) = (Arc::<Ledger>::default(), Arc::<Ledger>::default());
        let ended = Arc::new(Barrier::new(self.threads));
        let mut rng = Rng::with_seed(seed);
        let callers: Vec<_> = (0..self.threads)
            .map(|_| {
                let mut caller = Caller {
                    group: group.clone(),
                    rng: rng.fork(),
                    asks: self.asks,
                    alone: self.threads == 1,
                    primaries: Vec::new(),
                    calls: Vec::new(),
                    works: works.clone(),
                    tries: tries.clone(),
                    saw: Saw::default(),
                };
                let ended = ended.clone();
                thread::spawn(move || {
                    for step in 0..self.calls / self.threads {
                        caller.step();
                        if caller.alone && step % 100 == 0 {
                            caller.look();
                        }
                    }
                    caller.end_all();
                    ended.wait();
                    caller.leave_all();
                    caller.saw
                })
            })
            .collect();
        let mut saw = Saw::default();
        for caller in callers {
            saw.add(caller.join().unwrap());
        }
        self.compare(&group, &saw, &works, &tries);
    }

    fn compare(self, group: &Group<u8, u64>, saw: &Saw, works: &Ledger, tries: &Ledger) {
        let alone = self.threads == 1;
        let count = |word: &AtomicU64| word.load(Ordering::SeqCst);
        let stats = group.stats();
        println!("{stats:?}");
        let begun = saw.flights.len() as u64;
        assert_eq!((stats.begun, stats.joined), (begun, saw.accepted - begun));
        assert_eq!((stats.in_flight, stats.waiting, group.len()), (0, 0, 0));
        let settled = saw.settled + count(&works.finished) + count(&tries.finished);
        assert_eq!((stats.settled, stats.aborted), (settled, begun - settled));
        let by = |cause| stats.aborted_by(cause);
        assert_eq!(by(Cause::Cancelled), saw.cancelled);
        // A flight of `try_work` that nobody finished, and that was not exhausted, was left by
        // everyone. Its cause is a panic or a failure if its last run ended with that.
        let by_try_work = begun - saw.by_begin - saw.by_work;
        let abandoned = by_try_work - count(&tries.finished) - by(Cause::Exhausted);
        let last_by_panic = by(Cause::Panicked) - count(&works.panicked);
        assert!(last_by_panic <= abandoned.min(count(&tries.panicked)));
        assert!(last_by_panic + by(Cause::Failed) <= abandoned);
        assert!(by(Cause::Failed) <= count(&tries.failed));
        assert_eq!(
            by(Cause::Dropped) + by(Cause::Failed),
            saw.dropped + count(&works.lost) + abandoned - last_by_panic
        );
        // One operation for each flight of `work`, and of `try_work` one for each loss or failure
        // and one more.
        assert_eq!(count(&works.made), saw.by_work);
        assert_eq!(count(&tries.made), saw.run.len() as u64 + stats.reruns);
        assert_eq!((works.alive(), tries.alive()), (0, 0));
        assert!(by(Cause::Exhausted) >= saw.exhausted.len() as u64);
        let full = stats.rejected_by(Rejected::TooManyWaiters)
            + stats.rejected_by(Rejected::TooManyFlights);
        assert_eq!(full, saw.full);
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
        let asks = |ask| self.asks.contains(&ask);
        let shown = [
            (Ask::Begin, saw.full),
            (Ask::Begin, saw.mismatched),
            (Ask::Begin, saw.left),
            (Ask::Begin, by(Cause::Cancelled)),
            (Ask::Begin, by(Cause::Dropped)),
            (Ask::Work, by(Cause::Panicked)),
            (Ask::Work, count(&works.lost)),
            (Ask::TryWork, stats.reruns),
            (Ask::TryWork, abandoned),
            (Ask::TryWork, by(Cause::Exhausted)),
            (Ask::TryWork, by(Cause::Failed)),
        ];
        assert!(
            shown.iter().all(|(ask, n)| !asks(*ask) || *n > 50),
            "{shown:?}"
        );
    }
}
