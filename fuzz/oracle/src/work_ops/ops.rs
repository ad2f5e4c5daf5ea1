//! The steps that the bytes become, and the limits of their group.

use arbitrary::Arbitrary;

use crate::book::Rules;
use crate::operation::{Act, Making};
use crate::world::{KEYS, Setup};

#[derive(Arbitrary, Debug)]
pub(crate) struct Limits {
    pub(super) same_hash: bool,
    /// One schedule in four is limited.
    pub(super) limited: u8,
    pub(super) max_waiters: u8,
    pub(super) max_flights: u8,
    pub(super) supersede_after: Option<u8>,
    pub(super) retain: bool,
    pub(super) max_reruns: Option<u8>,
}

impl Limits {
    pub(crate) fn setup(&self) -> Setup {
        let limited = self.limited % 4 == 1;
        let limit = |most: u8| if limited { most.into() } else { usize::MAX };
        Setup {
            rules: Rules {
                max_waiters: limit(self.max_waiters % 4),
                max_flights: limit(self.max_flights % 4),
                max_reruns: self
                    .max_reruns
                    .map_or(usize::MAX, |most| usize::from(most % 3)),
                supersede_after: self.supersede_after.map(|age| u64::from(age % 32)),
                retain: self.retain.then_some((40, 2)),
                max_weight: None,
            },
            classes: if self.same_hash { 1 } else { KEYS + 1 },
            shards: 1,
            hostile: false,
        }
    }
}

#[derive(Arbitrary, Debug)]
pub(super) enum Op {
    Work(u8, Making),
    TryWork(u8, Making),
    /// Several callers at once, each polled once.
    Party(u8, u8, bool, u8),
    Poll(u8, u8, Act),
    /// If it polls an operation of the caller's own, that fails. It can end every flight before.
    PollAndFail(u8, u8, bool),
    PollSome(u8, u8),
    Drop(u8, bool),
    Ring(u8),
    Guard(u8),
    EndGuard(u8, bool),
    PollWaiter(u8, u8),
    DropWaiter(u8),
    Rare(Rare),
}

#[derive(Arbitrary, Debug)]
pub(super) enum Rare {
    WorkWithPayload(u8, bool),
    TryWorkWithPayload(u8, bool),
    Forget(u8),
    Tick(u8),
    AbortAll,
    Close,
    AwaitDrain,
    PollDrain(u8, u8),
}
