//! A stop while begins and settles race with it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use oneflight::Begin;
use oneflight::error::{Cause, Rejected};

use crate::{TestRuntime, cause_of, until};

type Group = oneflight::Group<usize, usize>;

/// When `drained` resolves nothing runs, and nothing runs after it.
pub async fn a_drain_races_with_begins_and_settles<R: TestRuntime>(rt: R) {
    for round in 0..10 {
        let group = Group::new();
        let running = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|nth| {
                let (group, running, begun) = (group.clone(), running.clone(), begun.clone());
                thread::spawn(move || {
                    for step in nth.. {
                        running.fetch_add(1, Ordering::SeqCst);
                        let begin = group.begin(step % 7);
                        if matches!(begin, Begin::Rejected(Rejected::Closed)) {
                            running.fetch_sub(1, Ordering::SeqCst);
                            return;
                        }
                        begun.fetch_add(1, Ordering::SeqCst);
                        if step % 5 == 0 {
                            group.forget(&(step % 7));
                        }
                        thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        match begin {
                            Begin::Primary(mine) if step % 2 == 0 => {
                                drop(mine.settle(step).unwrap())
                            }
                            other => drop(other),
                        }
                    }
                })
            })
            .collect();
        let drained = rt.task(group.drained());
        until(|| begun.load(Ordering::SeqCst) > 40 * (round % 3)).await;
        group.close();
        drained.await;
        // Who begins and is refused runs for a moment; who was let in does not.
        assert_eq!(group.stats().in_flight, 0);
        assert!(group.is_empty());
        let begun = group.stats().begun;
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(running.load(Ordering::SeqCst), 0);
        assert_eq!(group.stats().begun, begun, "begun after the drain");
    }
}

/// Each flight ends once: by its settle, or by the abort.
pub async fn an_abort_of_all_races_with_settles<R: TestRuntime>(rt: R) {
    for _ in 0..10 {
        let group = Group::new();
        let start = Arc::new(Barrier::new(4));
        let threads: Vec<_> = (0..4)
            .map(|nth| {
                let (group, start) = (group.clone(), start.clone());
                thread::spawn(move || {
                    let (mut settled, mut aborted, mut joined) = (0, 0, Vec::new());
                    start.wait();
                    for step in 0..200 {
                        if nth == 3 && step % 10 == 0 {
                            group.abort_all();
                        }
                        match group.begin((nth + step) % 5) {
                            Begin::Primary(mine) => {
                                thread::yield_now();
                                match mine.settle(step) {
                                    Ok(_) => settled += 1,
                                    Err(late) => {
                                        assert_eq!(late.aborted.cause(), Cause::AbortedAll);
                                        assert_eq!(late.value, step);
                                        aborted += 1;
                                    }
                                }
                            }
                            Begin::Waiter(theirs) => joined.push(theirs),
                            Begin::Rejected(why) => panic!("{why}"),
                        }
                    }
                    (settled, aborted, joined)
                })
            })
            .collect();
        let (mut settled, mut aborted, mut joined) = (0, 0, Vec::new());
        for thread in threads {
            let (its_settled, its_aborted, its_joined) = thread.join().unwrap();
            settled += its_settled;
            aborted += its_aborted;
            joined.extend(its_joined);
        }
        for waiter in joined {
            let outcome = rt.task(waiter).await;
            if outcome.is_err() {
                assert_eq!(cause_of(outcome), Cause::AbortedAll);
            }
        }
        let stats = group.stats();
        assert_eq!(
            (stats.settled, stats.aborted_by(Cause::AbortedAll)),
            (settled, aborted)
        );
        assert_eq!((stats.begun, stats.in_flight), (settled + aborted, 0));
        assert_eq!(stats.joined, stats.waited);
    }
}
