//! Random calls of everything there is, from many threads, in rounds. After each round everything
//! that still waits is brought to its end, polled only when it was woken; then every figure must
//! add up and nothing may be left.

mod caller;
mod oracle;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use oneflight::Group;
use oneflight::gate::{Gate, Mode};
use oneflight_conformance::HandClock;
use oneflight_conformance::figures::Rss;

use caller::{Held, Round, Shelf, poll};
use oracle::{Bell, Key, Oracle, Value};

const THREADS: usize = 6;

/// Runs rounds, and says how much memory they have left behind.
pub(crate) fn measured(rounds: impl FnOnce()) {
    let memory = Rss::now();
    rounds();
    let grown = Rss::now().since(memory);
    println!("stress: resident {grown:+} KiB");
}

/// One round, on a group whose rules the seed decides.
pub(crate) fn play(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let oracle = Arc::new(Oracle::default());
    let clock = HandClock::default();
    let mut builder = Group::<Key, Value>::builder()
        .clock(clock.clone())
        .shards(if rng.bool() { 1 } else { 8 });
    if rng.bool() {
        builder = builder
            .retain_for(Duration::from_secs(3))
            .max_retained(rng.usize(1..40));
    }
    if rng.bool() {
        builder = builder.supersede_after(Duration::from_secs(5));
    }
    if rng.bool() {
        builder = builder.max_waiters(rng.usize(1..40));
    }
    if rng.bool() {
        builder = builder.max_flights(rng.usize(1..100));
    }
    if rng.bool() {
        builder = builder.max_reruns(rng.usize(0..4));
    }
    let modes = [Mode::Queue, Mode::Queue, Mode::Exclusive, Mode::Open];
    let round = Round {
        oracle: oracle.clone(),
        group: builder.build(),
        gate: Gate::new(modes[rng.usize(0..modes.len())]),
        clock,
        shelf: Shelf::default(),
    };
    let held: Vec<Held> = thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|_| {
                let (round, rng) = (round.clone(), rng.fork());
                scope.spawn(move || round.call_at_random(rng))
            })
            .collect();
        let joined = callers.into_iter().map(|caller| caller.join());
        joined
            .flat_map(|held| held.expect("no caller panics"))
            .collect()
    });
    round.bring_to_an_end(held, &mut rng);

    let (group, gate) = (round.group.stats(), round.gate.stats());
    for stats in [group, gate] {
        assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
        assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
        assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats:?}");
    }
    assert!(round.group.is_empty());
    assert!(!round.gate.is_busy());
    assert_eq!(round.gate.queued(), 0);
    let rejected = oracle.rejected.load(Ordering::Relaxed);
    assert_eq!(group.rejected + gate.rejected, rejected);
    assert!(group.begun + gate.begun > 0);
    drop(round);
    assert_eq!(oracle.alive(), 0, "a key, a value or an operation is kept");
}

impl Round {
    /// Ends what is in flight. Who waits is polled when it was woken and not otherwise: a wake that
    /// was lost shows.
    fn bring_to_an_end(&self, held: Vec<Held>, rng: &mut fastrand::Rng) {
        let closes = rng.bool();
        if closes {
            self.group.close();
        }
        let drained = Bell::new();
        let mut drain = self.group.drained();
        let mut futures = Vec::new();
        for one in held {
            match one {
                Held::Primary(primary) => self.settle(primary),
                Held::Holder(primary) => self.settle_at_the_gate(primary),
                Held::Waiter(waiter) => futures.push(self.wait(waiter)),
                Held::Future(..) => futures.push(one),
                Held::Abort(_) => {}
            }
        }
        let mut drains = |waker: &Waker| {
            let mut cx = Context::from_waker(waker);
            Pin::new(&mut drain).poll(&mut cx).is_ready()
        };
        drained.take();
        let at_once = drains(&Waker::from(drained.clone()));
        let mut moved = true;
        while moved {
            moved = false;
            let tasks = std::mem::take(&mut *self.shelf.0.lock().expect("no panic"));
            for mut task in tasks {
                moved = true;
                let mut cx = Context::from_waker(Waker::noop());
                if task.as_mut().poll(&mut cx).is_pending() {
                    self.shelf.0.lock().expect("no panic").push(task);
                }
            }
            self.oracle.ring(usize::MAX);
            futures.retain_mut(|one| match one {
                Held::Future(future, bell) if bell.is_rung() => {
                    moved = true;
                    !poll(future, bell)
                }
                _ => true,
            });
        }
        assert_eq!(futures.len(), 0, "woken no more, and not ready");
        self.oracle.bells.lock().expect("no panic").clear();
        if closes {
            let told = at_once || drained.take();
            assert!(
                told,
                "nobody told that it is drained: {:?}",
                self.group.stats()
            );
            assert!(drains(Waker::noop()), "not drained");
        }
    }
}
