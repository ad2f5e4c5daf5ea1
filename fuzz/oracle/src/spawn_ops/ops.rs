//! The steps that the bytes become.

use arbitrary::Arbitrary;

use crate::operation::{Act, Making};

#[derive(Arbitrary, Debug)]
pub(super) enum Op {
    /// By `spawn_while_wanted`, or else by `spawn`.
    Spawn(u8, bool, Making),
    Poll(u8, u8),
    Drop(u8, bool),
    /// The runtime polls a task.
    Run(u8, u8, Act),
    /// The runtime drops a task.
    Lose(u8, bool),
    Guard(u8),
    EndGuard(u8, bool),
    PollWaiter(u8, u8),
    DropWaiter(u8),
    Rare(Rare),
}

#[derive(Arbitrary, Debug)]
pub(super) enum Rare {
    SpawnWithPayload(u8, bool, bool),
    /// The runtime has shut down.
    SpawnInVain(u8, bool),
    AbortByHandle(u8),
    Forget(u8),
    Tick(u8),
    AbortAll,
    Close,
    AwaitDrain,
    PollDrain(u8, u8),
}
