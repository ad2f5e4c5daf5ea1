//! A begin on the heels of a flight's end, while the one who ended it has yet to take it out of the registry.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use oneflight::{Begin, Group, Primary};

use crate::{TestRuntime, primary, until, waiter};

const RACES: usize = 60;
/// Other keys in flight, so that reading the registry's figures takes its lock for a while.
const OTHERS: usize = 300;
const KEY: usize = OTHERS;

/// A registry whose only lock is hardly ever free: whoever ends a flight has to wait before he can take it out.
struct Busy {
    group: Group<usize, usize>,
    others: Vec<Primary<usize, usize>>,
    stop: Arc<AtomicBool>,
}

impl Busy {
    fn new() -> Self {
        let group: Group<usize, usize> = Group::<usize, usize>::builder().shards(1).build();
        let others = (0..OTHERS).map(|key| primary(group.begin(key))).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (reads, stopped) = (group.clone(), stop.clone());
        thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                hint::black_box(reads.stats());
                thread::yield_now();
            }
        });
        Self {
            group,
            others,
            stop,
        }
    }

    /// The flight ends on a thread; a task begins its key as soon as it sees the end.
    async fn begin_after<R: TestRuntime>(
        &self,
        rt: &R,
        end: impl FnOnce(Primary<usize, usize>) + Send + 'static,
    ) -> Begin<usize, usize> {
        let first = primary(self.group.begin(KEY));
        let witness = waiter(self.group.begin(KEY));
        let start = Arc::new(Barrier::new(2));
        let thread = {
            let start = start.clone();
            thread::spawn(move || {
                start.wait();
                end(first);
            })
        };
        let next = rt.task({
            let group = self.group.clone();
            async move {
                start.wait();
                let mut spins = 0;
                while witness.get().is_none() {
                    hint::spin_loop();
                    spins += 1;
                    // The other one may need this core.
                    if spins % 500 == 0 {
                        thread::yield_now();
                    }
                }
                group.begin(KEY)
            }
        });
        let next = next.await;
        until(|| thread.is_finished()).await;
        thread.join().unwrap();
        next
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.others.clear();
    }
}

/// It is the next primary, and what the late remover does to the registry does not touch it.
pub async fn a_begin_that_finds_an_aborted_flight_replaces_it<R: TestRuntime>(rt: R) {
    let busy = Busy::new();
    let group = &busy.group;
    for _ in 0..RACES {
        // A waiter here would be one of a flight that had ended before.
        let next = primary(busy.begin_after(&rt, drop).await);
        assert!(group.contains(&KEY), "the late remover took the newer one");
        let waiter = waiter(group.begin(KEY));
        next.settle(2).unwrap();
        assert_eq!(*waiter.await.unwrap(), 2);
        assert_eq!(group.len(), OTHERS);
    }
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (OTHERS, 0));
    assert_eq!((stats.aborted, stats.settled), (RACES as u64, RACES as u64));
}

/// After a settle a waiter is ready, and a primary is safe from the late remover.
pub async fn a_begin_that_finds_a_settled_flight_is_ready_or_the_next<R: TestRuntime>(rt: R) {
    let busy = Busy::new();
    let group = &busy.group;
    for _ in 0..RACES {
        let settle = |first: Primary<_, _>| drop(first.settle(1));
        match busy.begin_after(&rt, settle).await {
            Begin::Waiter(late) => assert_eq!(*late.get().expect("ready").unwrap(), 1),
            next => {
                let next = primary(next);
                assert!(group.contains(&KEY), "the late remover took the newer one");
                next.settle(2).unwrap();
            }
        }
        assert_eq!(group.len(), OTHERS);
    }
    let stats = group.stats();
    assert_eq!((stats.in_flight, stats.waiting), (OTHERS, 0));
    assert_eq!(stats.begun, stats.settled + OTHERS as u64);
    assert_eq!(stats.joined, stats.waited);
}
