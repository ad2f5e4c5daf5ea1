//! Random operations on few keys from four threads. Each thread counts what it saw itself; the group's own figures must
//! come to the same.

use std::ops::AddAssign;
use std::sync::{Arc, Barrier};
use std::thread;

use fastrand::Rng;
use oneflight::{Aborted, Begin, Cause, Group, Primary, Settled, Waiter};
use oneflight_conformance::{CountingWaker, poll, watched};

const THREADS: u64 = 4;
const OPERATIONS: usize = 25_000;
const KEYS: u8 = 8;
const ROUNDS: u64 = 5;
/// What a thread holds at most: enough to let others' flights pile up, little enough to end many.
const HELD: usize = 12;

#[derive(Default)]
struct Saw {
    begun: u64,
    joined: u64,
    settled: u64,
    cancelled: u64,
    dropped: u64,
    /// Waiters dropped with their outcome at hand: these the group can not count as cancelled.
    waited: u64,
    /// Waiters dropped without one: ended or not by then, nobody can tell from outside.
    left: u64,
}

impl AddAssign for Saw {
    fn add_assign(&mut self, other: Self) {
        self.begun += other.begun;
        self.joined += other.joined;
        self.settled += other.settled;
        self.cancelled += other.cancelled;
        self.dropped += other.dropped;
        self.waited += other.waited;
        self.left += other.left;
    }
}

struct Joined {
    waiter: Waiter<u8, u64>,
    bell: CountingWaker,
    parked: bool,
}

impl Joined {
    fn poll(&mut self) {
        match poll(&mut self.waiter, self.bell.waker()) {
            std::task::Poll::Ready(outcome) => self.check(&outcome),
            std::task::Poll::Pending => self.parked = true,
        }
    }

    /// A flight settles with its own id, and ends only in the ways this test ends it.
    fn check(&self, outcome: &Result<Settled<u8, u64>, Aborted>) {
        match outcome {
            Ok(settled) => {
                assert_eq!(**settled, self.waiter.id().get(), "another flight's value");
                assert_eq!(settled.id(), self.waiter.id());
            }
            Err(aborted) => {
                assert!(matches!(aborted.cause(), Cause::Dropped | Cause::Cancelled));
            }
        }
    }
}

struct Caller {
    group: Group<u8, u64>,
    rng: Rng,
    primaries: Vec<Primary<u8, u64>>,
    waiters: Vec<Joined>,
    saw: Saw,
}

impl Caller {
    fn new(group: Group<u8, u64>, seed: u64) -> Self {
        Self {
            group,
            rng: Rng::with_seed(seed),
            primaries: Vec::new(),
            waiters: Vec::new(),
            saw: Saw::default(),
        }
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..40 => self.begin(),
            40..60 => self.poll_one(),
            60..75 => self.leave(),
            75..96 => self.end(),
            _ => {
                self.group.forget(&self.rng.u8(..KEYS));
            }
        }
        while self.waiters.len() > HELD {
            self.leave();
        }
        while self.primaries.len() > HELD {
            self.end();
        }
    }

    fn begin(&mut self) {
        match self.group.begin(self.rng.u8(..KEYS)) {
            Begin::Primary(primary) => {
                self.saw.begun += 1;
                self.primaries.push(primary);
            }
            Begin::Waiter(waiter) => {
                self.saw.joined += 1;
                self.waiters.push(Joined {
                    waiter,
                    bell: CountingWaker::new(),
                    parked: false,
                });
            }
            Begin::Rejected(why) => panic!("{why}"),
        }
    }

    fn poll_one(&mut self) {
        if !self.waiters.is_empty() {
            let at = self.rng.usize(..self.waiters.len());
            self.waiters[at].poll();
        }
    }

    fn leave(&mut self) {
        if self.waiters.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.waiters.len());
        let joined = self.waiters.swap_remove(at);
        match joined.waiter.get() {
            Some(outcome) => {
                joined.check(&outcome);
                self.saw.waited += 1;
            }
            None => self.saw.left += 1,
        }
    }

    fn end(&mut self) {
        if self.primaries.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.primaries.len());
        let primary = self.primaries.swap_remove(at);
        match self.rng.u8(..4) {
            0 => {
                primary.abort();
                self.saw.cancelled += 1;
            }
            1 => {
                drop(primary);
                self.saw.dropped += 1;
            }
            _ => {
                let id = primary.id().get();
                primary.settle(id).expect("nobody else ends it");
                self.saw.settled += 1;
            }
        }
    }
}

#[test]
fn a_hundred_thousand_operations_add_up() {
    watched("stress", || (0..ROUNDS).for_each(round));
}

fn round(nth: u64) {
    let group = Group::new();
    let ended = Arc::new(Barrier::new(THREADS as usize));
    let threads: Vec<_> = (0..THREADS)
        .map(|seed| {
            let (group, ended) = (group.clone(), ended.clone());
            let seed = nth * THREADS + seed;
            thread::spawn(move || run(Caller::new(group, seed), &ended))
        })
        .collect();
    let mut saw = Saw::default();
    for thread in threads {
        saw += thread.join().unwrap();
    }

    let stats = group.stats();
    println!("{stats:?}");
    assert_eq!((stats.begun, stats.joined), (saw.begun, saw.joined));
    assert_eq!(stats.settled, saw.settled);
    assert_eq!(stats.aborted_by(Cause::Cancelled), saw.cancelled);
    assert_eq!(stats.aborted_by(Cause::Dropped), saw.dropped);
    assert_eq!(stats.aborted, saw.cancelled + saw.dropped);
    assert_eq!(stats.begun, stats.settled + stats.aborted);
    assert_eq!(stats.waited + stats.cancelled, saw.waited + saw.left);
    assert!(stats.waited >= saw.waited && stats.cancelled <= saw.left);
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    assert!(group.is_empty());
    // Otherwise it shows little.
    assert!(stats.joined > stats.begun / 2 && stats.cancelled > 0);
}

/// One thread's part. At the end every flight ends; whoever is parked then has been woken, once.
fn run(mut caller: Caller, ended: &Barrier) -> Saw {
    for _ in 0..OPERATIONS {
        caller.step();
    }
    while !caller.primaries.is_empty() {
        caller.end();
    }
    ended.wait();
    for joined in &mut caller.waiters {
        assert_eq!(joined.bell.wakes(), usize::from(joined.parked));
        joined.poll();
        assert!(joined.waiter.get().is_some(), "left in a flight for ever");
    }
    while !caller.waiters.is_empty() {
        caller.leave();
    }
    caller.saw
}
