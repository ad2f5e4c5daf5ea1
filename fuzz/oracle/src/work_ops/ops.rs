//! The steps that the bytes become, and the limits of their group.

use arbitrary::Arbitrary;

use crate::operation::{Act, Making};

#[derive(Arbitrary, Debug)]
pub(super) struct Limits {
    pub(super) same_hash: bool,
    /// One schedule in four is limited.
    pub(super) limited: u8,
    pub(super) max_waiters: u8,
    pub(super) max_flights: u8,
    pub(super) supersede_after: Option<u8>,
    pub(super) retain: bool,
    pub(super) max_reruns: Option<u8>,
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
