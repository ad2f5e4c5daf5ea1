//! The registry: begin, settle, abort, forget, close and the limits, on keys whose hashes collide.

use arbitrary::Arbitrary;
use oneflight_core::error::Cause;

use crate::book::Rules;
use crate::keys::KIN;
use crate::ledger::Wish;
use crate::parse;
use crate::wakers::WAKERS;
use crate::world::{KEYS, Setup, World};

#[derive(Arbitrary, Debug)]
struct Limits {
    classes: u8,
    shards: u8,
    max_waiters: Option<u8>,
    max_flights: Option<u8>,
    supersede_after: Option<u8>,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Begin(u8),
    BeginRef(u8),
    BeginWithPayload(u8, bool, bool),
    Settle(u8),
    Abort(u8),
    DropPrimary(u8),
    PanicPrimary(u8),
    Poll(u8, u8),
    DropWaiter(u8),
    KeepOutcome(u8),
    DropOutcome(u8),
    Forget(u8),
    Tick(u8),
    Rare(Rare),
}

#[derive(Arbitrary, Debug)]
enum Rare {
    Close,
    AbortAll,
    Orphan(bool),
    AwaitDrain,
    PollDrain(u8, u8),
    DropDrain(u8),
}

/// Runs the bytes.
pub fn run(bytes: &[u8]) {
    let (limits, ops) = parse::<Limits, Op>(bytes);
    let mut world = World::new(Setup {
        rules: Rules {
            max_waiters: limits
                .max_waiters
                .map_or(usize::MAX, |most| usize::from(most % 4)),
            max_flights: limits
                .max_flights
                .map_or(usize::MAX, |most| usize::from(most % 5)),
            max_reruns: usize::MAX,
            supersede_after: limits.supersede_after.map(|age| u64::from(age % 32)),
            retain: None,
            max_weight: None,
        },
        classes: limits.classes % (KEYS + 1) + 1,
        shards: usize::from(limits.shards % 8),
        hostile: false,
    });
    for op in ops {
        step(&mut world, op);
        world.check();
    }
    world.finish();
}

fn step(world: &mut World, op: Op) {
    let waker = |waker: u8| usize::from(waker) % WAKERS;
    match op {
        Op::Begin(key) if key >= KIN => world.join(key % KEYS, None),
        Op::BeginWithPayload(key, _, print) if key >= KIN => {
            world.join(key % KEYS, Some(print.into()));
        }
        Op::Forget(key) if key >= KIN => world.forget_flight(key % KEYS, key / KEYS),
        Op::Abort(key) if key >= KIN => world.abort_key(key % KEYS),
        Op::Tick(key) if key >= KIN => world.touch(key % KEYS),
        Op::Begin(key) => world.begin(key % KEYS, None, false),
        Op::BeginRef(key) => world.begin(key % KEYS, None, true),
        Op::BeginWithPayload(key, by_ref, print) => {
            world.begin(key % KEYS, Some(print.into()), by_ref)
        }
        Op::Settle(index) => world.settle(index, Wish::Keep),
        Op::Abort(index) => world.abort(index, Cause::Cancelled),
        Op::DropPrimary(index) => world.abort(index, Cause::Dropped),
        Op::PanicPrimary(index) => world.abort(index, Cause::Panicked),
        Op::Poll(index, with) => world.poll_waiter(index, waker(with)),
        Op::DropWaiter(index) => world.drop_waiter(index),
        Op::KeepOutcome(index) => world.keep_outcome(index),
        Op::DropOutcome(index) => world.drop_outcome(index),
        Op::Forget(key) => world.forget(key % KEYS),
        Op::Tick(time) => world.tick(time % 32),
        Op::Rare(Rare::Close) => world.close(),
        Op::Rare(Rare::AbortAll) => world.abort_all(),
        Op::Rare(Rare::Orphan(really)) => {
            if really {
                world.orphan();
            }
        }
        Op::Rare(Rare::AwaitDrain) => world.await_drain(),
        Op::Rare(Rare::PollDrain(index, with)) => world.poll_drain(index, waker(with)),
        Op::Rare(Rare::DropDrain(index)) => world.drop_drain(index),
    }
}
