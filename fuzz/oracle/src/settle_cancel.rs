//! Settling against cancelling: the bytes say which participant is polled, dropped, woken for no reason or given another
//! waker, and who settles, aborts, panics or forgets. Crowds are larger than a batch of wakers, and one waker panics.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use arbitrary::Arbitrary;
use oneflight_core::Error;
use oneflight_core::error::Cause;
use oneflight_core::handle::Run;

use crate::book::{Outcome, Rules};
use crate::inside::inside;
use crate::ledger::{Key, Ledger, Value, Wish};
use crate::operation::{Act, Hand, Operation};
use crate::panics::{caught, dropped_by_a_panic};
use crate::parse;
use crate::wakers::{Room, WAKERS};
use crate::world::{KEYS, Seated, Setup, World, outcome_of, pick};

/// Few, so that old and new flights of one key meet.
const NAMES: u8 = 2;

#[derive(Arbitrary, Debug)]
struct Scene {
    hostile: bool,
    same_hash: bool,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Begin(u8),
    Poll(u8, u8),
    DropWaiter(u8),
    Crowd(u8, u8, u8),
    DropSome(u8, u8),
    WakeSpuriously(u8),
    BlockForNoTime(u8),
    Settle(u8),
    Abort(u8, bool),
    PanicPrimary(u8),
    Run(u8),
    PollRun(u8, u8, Act),
    DropRun(u8, bool),
    Outcome(u8, bool),
    Rare(Rare),
}

#[derive(Arbitrary, Debug)]
enum Rare {
    Forget(u8),
    ForgetBoth,
    BeginRef(u8),
    AbortAll,
}

type Running = Pin<Box<Run<Key, Value, Operation>>>;

/// A world with primaries that run operations.
struct Schedule {
    world: World,
    runs: Vec<Seated<Running>>,
    hand: Arc<Hand>,
    operations: Arc<Ledger>,
}

/// Runs the bytes.
pub fn run(bytes: &[u8]) {
    let (scene, ops) = parse::<Scene, Op>(bytes);
    let mut schedule = Schedule {
        world: World::new(Setup {
            rules: Rules::NONE,
            classes: if scene.same_hash { 1 } else { KEYS + 1 },
            shards: 1,
            hostile: scene.hostile,
        }),
        runs: Vec::new(),
        hand: Arc::default(),
        operations: Arc::default(),
    };
    for op in ops {
        schedule.step(op);
        schedule.check();
    }
    while !schedule.runs.is_empty() {
        schedule.drop_run(0, false);
        schedule.check();
    }
    schedule.world.finish();
}

impl Schedule {
    fn step(&mut self, op: Op) {
        let world = &mut self.world;
        let waker = |waker: u8| usize::from(waker) % WAKERS;
        match op {
            Op::Begin(name) => world.begin(name % NAMES, None, false),
            Op::Poll(index, with) => world.poll_waiter(index, waker(with)),
            Op::DropWaiter(index) => world.drop_waiter(index),
            Op::Crowd(name, count, with) => crowd(world, name % NAMES, count, waker(with)),
            Op::DropSome(first, count) => {
                for _ in 0..count % 80 {
                    world.drop_waiter(first);
                }
            }
            Op::WakeSpuriously(with) => {
                world
                    .wakers
                    .wake_spuriously(waker(with), &mut world.book.parked);
            }
            Op::BlockForNoTime(index) => block_for_no_time(world, index),
            Op::Settle(index) => world.settle(index, Wish::Keep),
            Op::Abort(index, true) => world.abort(index, Cause::Cancelled),
            Op::Abort(index, false) => world.abort(index, Cause::Dropped),
            Op::PanicPrimary(index) => world.abort(index, Cause::Panicked),
            Op::Run(index) => self.run(index),
            Op::PollRun(index, with, act) => self.poll_run(index, waker(with), act),
            Op::DropRun(index, panics) => self.drop_run(index, panics),
            Op::Rare(Rare::Forget(name)) => world.forget(name % NAMES),
            Op::Rare(Rare::ForgetBoth) => (0..NAMES).for_each(|name| world.forget(name)),
            Op::Rare(Rare::BeginRef(name)) => world.begin(name % NAMES, None, true),
            Op::Rare(Rare::AbortAll) => world.abort_all(),
            Op::Outcome(index, true) => world.keep_outcome(index),
            Op::Outcome(index, false) => world.drop_outcome(index),
        }
    }

    fn check(&mut self) {
        self.world.check();
        // Each running primary holds its operation until it is done or dropped, or has panicked.
        let panicked = Some(Outcome::Aborted(Cause::Panicked));
        let flights = self
            .runs
            .iter()
            .map(|run| &self.world.book.flights[run.flight]);
        let running = flights.filter(|flight| flight.outcome != panicked).count();
        assert_eq!(self.operations.count(), running, "operations alive");
    }

    fn run(&mut self, index: u8) {
        let world = &mut self.world;
        let (Some(index), Some(group)) = (pick(index, world.primaries.len()), &world.group) else {
            return;
        };
        let operation = Operation {
            name: world.primaries[index].it.key().name,
            group: group.clone(),
            hand: self.hand.clone(),
            bell: None,
            keys: world.keys.clone(),
            values: world.values.clone(),
            _life: self.operations.life(),
        };
        let held = world.primaries.swap_remove(index);
        let who = world.somebody_new();
        self.runs.push(Seated {
            flight: held.flight,
            who,
            it: Box::pin(held.it.run(operation)),
        });
    }

    fn poll_run(&mut self, index: u8, waker: usize, act: Act) {
        let Some(index) = pick(index, self.runs.len()) else {
            return;
        };
        // Its waker is the task's: to wake itself is the task's matter.
        let act = if act == Act::Wake { Act::Pending } else { act };
        self.hand.cue(act);
        let world = &mut self.world;
        let Seated { flight, who, it } = &mut self.runs[index];
        let (flight, who) = (*flight, *who);
        let before = world.book.flights[flight].outcome;
        let real = caught(|| world.wakers.poll(waker, |cx| it.as_mut().poll(cx)));
        assert_eq!(
            self.hand.cues().polled,
            before.is_none(),
            "polled while it is needed"
        );
        if before.is_none() {
            // It is not parked while it is polled.
            world.book.parked.leave(Room::Flight(flight), who);
            inside(world, &self.hand, flight, act);
        }
        let after = world.book.flights[flight].outcome;
        let finished = before.is_none() && matches!(act, Act::Finish | Act::AbortAll(true));
        if let (Some(Outcome::Aborted(cause)), false) = (after, finished) {
            // Ended before this poll or in it: the primary and the operation are gone.
            assert!(!world.book.parked.provoked());
            match real {
                Some(Poll::Ready(Err(error))) => {
                    assert_eq!(outcome_of(&Err(error)), Outcome::Aborted(cause));
                    world.book.let_go(flight);
                    self.forget_run(index);
                }
                // A panic in its poll goes on in its caller. The operation is gone.
                None => assert_eq!((before, act), (None, Act::Panic)),
                real => panic!("{cause:?} expected, not {real:?}"),
            }
            return;
        }
        if !finished {
            world.book.parked.park(Room::Flight(flight), who, waker);
            assert!(
                matches!(real, Some(Poll::Pending)),
                "pending expected, not {real:?}"
            );
            return;
        }
        let serial = self.hand.cues().made;
        let won = world.book.settle(flight, serial, None);
        world.agree_on_panic(real.is_none());
        match real {
            // The run is over: what it holds is dropped with it.
            None => {}
            Some(Poll::Ready(Ok(it))) => {
                assert!(won.is_some() && it.life.serial == serial);
                world.book.flights[flight].handles += 1;
                world.outcomes.push(crate::world::Held { flight, it });
            }
            Some(Poll::Ready(Err(error))) => {
                assert_eq!(Some(outcome_of(&Err(error))), after);
            }
            real => panic!("an end expected, not {real:?}"),
        }
        self.forget_run(index);
    }

    fn forget_run(&mut self, index: usize) {
        let run = self.runs.swap_remove(index);
        self.world
            .book
            .parked
            .leave(Room::Flight(run.flight), run.who);
        self.world.book.flights[run.flight].handles -= 1;
    }

    fn drop_run(&mut self, index: u8, panics: bool) {
        let Some(index) = pick(index, self.runs.len()) else {
            return;
        };
        let Seated { flight, who, it } = self.runs.swap_remove(index);
        let world = &mut self.world;
        // It is not woken by its own end.
        world.book.parked.leave(Room::Flight(flight), who);
        world.book.abort(
            flight,
            if panics {
                Cause::Panicked
            } else {
                Cause::Dropped
            },
        );
        world.book.flights[flight].handles -= 1;
        let done = if panics {
            world.book.parked.provoked();
            dropped_by_a_panic(it);
            Some(())
        } else {
            caught(|| drop(it))
        };
        world.agree_on_panic(done.is_none());
    }
}

fn crowd(world: &mut World, name: u8, count: u8, waker: usize) {
    for _ in 0..count {
        let before = world.waiters.len();
        world.begin(name, None, false);
        if world.waiters.len() > before {
            world.poll_last_waiter(waker);
        }
    }
}

/// A thread's wait whose deadline has come already: it leaves no trace.
fn block_for_no_time(world: &mut World, index: u8) {
    let Some(index) = pick(index, world.waiters.len()) else {
        return;
    };
    let Seated { flight, it, .. } = &mut world.waiters[index];
    let expected = world.book.flights[*flight].outcome;
    let real = match it.wait_deadline(Instant::now()) {
        Err(Error::TimedOut) => None,
        outcome => Some(outcome_of(&outcome)),
    };
    assert_eq!(real, expected, "a wait without time");
}
