//! The steps that the bytes become, and the gate that they are made at.

use arbitrary::Arbitrary;
use oneflight_core::gate::Mode;

#[derive(Arbitrary, Debug)]
pub(super) struct Scene {
    pub(super) mode: Kind,
    pub(super) hostile: bool,
    pub(super) max_queue: Option<u8>,
    pub(super) max_waiters: Option<u8>,
    pub(super) supersede_after: Option<u8>,
}

/// A mode.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Kind {
    Exclusive,
    Queue,
    Replace,
    Open,
}

#[derive(Arbitrary, Debug)]
pub(super) enum Op {
    Begin(u8),
    Turn(u8),
    InMode(u8, Kind, bool),
    WithPayload(u8, bool, bool),
    PollTurn(u8, u8),
    DropTurn(u8),
    Settle(u8),
    Abort(u8),
    DropPrimary(u8, bool),
    Poll(u8, u8),
    DropWaiter(u8),
    WakeSpuriously(u8),
    DropOutcome(u8),
    Tick(u8),
    Token(u8, Deed),
    Rare(Rare),
}

/// What is done to a token.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Deed {
    Abort,
    Touch,
    Forget,
}

#[derive(Arbitrary, Debug)]
pub(super) enum Rare {
    AbortAll,
    Close,
    AwaitDrain,
    PollDrain(u8, u8),
}

impl From<Kind> for Mode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Exclusive => Mode::Exclusive,
            Kind::Queue => Mode::Queue,
            Kind::Replace => Mode::Replace,
            Kind::Open => Mode::Open,
        }
    }
}
