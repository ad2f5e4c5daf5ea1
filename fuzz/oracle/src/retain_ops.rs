//! The replay window, on a clock that the schedule turns: what is given out late, what goes, and when.

use arbitrary::Arbitrary;
use oneflight_core::error::Cause;

use crate::book::Rules;
use crate::keys::KIN;
use crate::ledger::Wish;
use crate::parse;
use crate::wakers::WAKERS;
use crate::world::{KEYS, Setup, World};

#[derive(Arbitrary, Debug)]
struct Window {
    time: u8,
    capacity: u8,
    classes: u8,
    shards: bool,
    max_flights: Option<u8>,
    supersede_after: Option<u8>,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Begin(u8),
    BeginRef(u8),
    BeginWithPayload(u8, bool, bool),
    Settle(u8, Wish),
    SettleNow(u8, Wish),
    DropPrimary(u8),
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
}

/// Runs the bytes.
pub fn run(bytes: &[u8]) {
    let (window, ops) = parse::<Window, Op>(bytes);
    let shards = if window.shards { 4 } else { 1 };
    let capacity = usize::from(window.capacity % 6);
    let mut world = World::new(Setup {
        rules: Rules {
            max_waiters: usize::MAX,
            max_flights: window
                .max_flights
                .map_or(usize::MAX, |most| usize::from(most % 5)),
            max_reruns: usize::MAX,
            supersede_after: window.supersede_after.map(|age| u64::from(age % 32)),
            retain: Some((u64::from(window.time % 64), capacity)),
            max_weight: match window.capacity / 6 % 4 {
                0 => None,
                most => Some(u64::from(most) * 2),
            },
        },
        classes: window.classes % (KEYS + 1) + 1,
        shards,
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
        Op::DropPrimary(key) if key >= KIN => world.abort_key(key % KEYS),
        Op::Tick(key) if key >= KIN => world.touch(key % KEYS),
        Op::Begin(key) => world.begin(key % KEYS, None, false),
        Op::BeginRef(key) => world.begin(key % KEYS, None, true),
        Op::BeginWithPayload(key, by_ref, print) => {
            world.begin(key % KEYS, Some(print.into()), by_ref)
        }
        Op::Settle(index, wish) => world.settle(index, wish),
        Op::SettleNow(key, wish) => {
            let primaries = world.primaries.len();
            world.begin(key % KEYS, None, false);
            if let (true, Ok(last)) = (world.primaries.len() > primaries, u8::try_from(primaries)) {
                world.settle(last, wish);
            }
        }
        Op::DropPrimary(index) => world.abort(index, Cause::Dropped),
        Op::Poll(index, with) => world.poll_waiter(index, waker(with)),
        Op::DropWaiter(index) => world.drop_waiter(index),
        Op::KeepOutcome(index) => world.keep_outcome(index),
        Op::DropOutcome(index) => world.drop_outcome(index),
        Op::Forget(key) => world.forget(key % KEYS),
        Op::Tick(time) => {
            world.tick(time % 64);
            if time >= 128 {
                world.purge();
            }
        }
        Op::Rare(Rare::Close) => world.close(),
        Op::Rare(Rare::AbortAll) => world.abort_all(),
        Op::Rare(Rare::Orphan(really)) => {
            if really {
                world.orphan();
            } else {
                world.clear();
            }
        }
        Op::Rare(Rare::AwaitDrain) => world.await_drain(),
        Op::Rare(Rare::PollDrain(index, with)) => world.poll_drain(index, waker(with)),
    }
}
