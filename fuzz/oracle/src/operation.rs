//! An operation that follows the schedule: what it does in a poll is said just before that poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use arbitrary::Arbitrary;
use oneflight_core::error::Rejected;
use oneflight_core::{Begin, Error};

use crate::ledger::{Key, Ledger, Life, Value, Wish};
use crate::panics::{caught, planned};
use crate::world::Registry;

/// What an operation does when it is polled.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Pending,
    Finish,
    Panic,
    /// Wakes itself while it is polled.
    Wake,
    /// Begins its own key from within itself.
    BeginOwn,
    /// Ends every flight, its own too, and then finishes or does not.
    AbortAll(bool),
    /// Takes its own key from the group.
    Forget,
}

/// What a begin from within came to; primaries and waiters with their flight's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Primary(u64),
    Waiter(u64),
    /// A waiter that was told as soon as it was polled.
    Reentrant(u64),
    Rejected(Rejected),
}

/// The schedule's hand on operations: shared by all of one world, since one is polled at a time.
#[derive(Default)]
pub(crate) struct Hand(Mutex<Cues>);

#[derive(Default)]
pub(crate) struct Cues {
    /// What the next poll is to do.
    pub(crate) act: Option<Act>,
    /// Whether the next poll happened.
    pub(crate) polled: bool,
    /// The serial number of the value made last.
    pub(crate) made: u64,
    pub(crate) seen: Option<Seen>,
    /// As `seen`, while the operation was made.
    pub(crate) seen_in_making: Option<Seen>,
    /// If it is ready, it has failed. Only an operation of a caller's own can fail.
    pub(crate) fails: bool,
    /// A hostile waker's panic came out of a call that the operation made.
    pub(crate) provoked: bool,
}

impl Hand {
    pub(crate) fn cues(&self) -> MutexGuard<'_, Cues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what the next poll is to do.
    pub(crate) fn cue(&self, act: Act) {
        self.cue_end(act, false);
    }

    /// As `cue`, and whether the value that it makes is an error.
    pub(crate) fn cue_end(&self, act: Act, fails: bool) {
        *self.cues() = Cues {
            act: Some(act),
            fails,
            ..Cues::default()
        };
    }
}

/// Where an operation leaves its waker.
pub(crate) type Bell = Arc<Mutex<Option<Waker>>>;

pub(crate) struct Operation {
    pub(crate) name: u8,
    pub(crate) group: Registry,
    pub(crate) hand: Arc<Hand>,
    /// If it has one, it keeps the waker it is polled with.
    pub(crate) bell: Option<Bell>,
    pub(crate) keys: Arc<Ledger>,
    pub(crate) values: Arc<Ledger>,
    pub(crate) _life: Life,
}

/// How an operation comes to be.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Making {
    Fine,
    Panic,
    BeginOwn,
}

/// What makes an operation.
pub(crate) struct Plan {
    pub(crate) name: u8,
    pub(crate) group: Registry,
    pub(crate) hand: Arc<Hand>,
    pub(crate) bell: Option<Bell>,
    pub(crate) keys: Arc<Ledger>,
    pub(crate) values: Arc<Ledger>,
    pub(crate) operations: Arc<Ledger>,
    pub(crate) making: Making,
    pub(crate) _life: Life,
}

impl Plan {
    pub(crate) fn make(self) -> Operation {
        match self.making {
            Making::Fine => {}
            Making::Panic => planned(),
            Making::BeginOwn => {
                let seen = begin(&self.group, self.name, &self.keys, None);
                self.hand.cues().seen_in_making = Some(seen);
            }
        }
        Operation {
            name: self.name,
            group: self.group,
            hand: self.hand,
            bell: self.bell,
            keys: self.keys,
            values: self.values,
            _life: self.operations.life(),
        }
    }
}

fn begin(group: &Registry, name: u8, keys: &Arc<Ledger>, cx: Option<&mut Context<'_>>) -> Seen {
    match group.begin(Key::new(name, keys)) {
        Begin::Primary(primary) => Seen::Primary(primary.id().get()),
        Begin::Waiter(mut waiter) => {
            let id = waiter.id().get();
            let polled = cx.map(|cx| Pin::new(&mut waiter).poll(cx));
            match polled {
                Some(Poll::Ready(Err(Error::Rejected(Rejected::Reentrant)))) => Seen::Reentrant(id),
                _ => Seen::Waiter(id),
            }
        }
        Begin::Rejected(why) => Seen::Rejected(why),
    }
}

impl Future for Operation {
    type Output = Value;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Value> {
        let act = {
            let mut cues = self.hand.cues();
            cues.polled = true;
            cues.act.take()
        };
        if let Some(bell) = &self.bell {
            let old = bell
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .replace(cx.waker().clone());
            // The flight's own waker is the same one at every poll.
            assert!(
                old.is_none_or(|old| old.will_wake(cx.waker())),
                "another waker"
            );
        }
        let finishes = match act.unwrap_or_else(|| panic!("polled twice in one step")) {
            Act::Pending => false,
            Act::Finish => true,
            Act::Panic => planned(),
            Act::Wake => {
                cx.waker().wake_by_ref();
                false
            }
            Act::BeginOwn => {
                let seen = begin(&self.group, self.name, &self.keys, Some(cx));
                self.hand.cues().seen = Some(seen);
                false
            }
            Act::AbortAll(finishes) => {
                let done = caught(|| self.group.abort_all());
                self.hand.cues().provoked = done.is_none();
                finishes
            }
            Act::Forget => {
                self.group.forget(&self.name);
                false
            }
        };
        if !finishes {
            return Poll::Pending;
        }
        let value = Value::new(Wish::Keep, &self.values);
        self.hand.cues().made = value.life.serial;
        Poll::Ready(value)
    }
}

/// Why a caller of `try_work` has no value.
pub(crate) enum Mine {
    Own(Value),
    OfFlight(Error),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::OfFlight(error)
    }
}

/// An operation of a caller's own, which can fail.
pub(crate) struct Trying(pub(crate) Operation);

impl Future for Trying {
    type Output = Result<Value, Mine>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ready = Pin::new(&mut self.0).poll(cx);
        let fails = self.0.hand.cues().fails;
        ready.map(|value| {
            if fails {
                Err(Mine::Own(value))
            } else {
                Ok(value)
            }
        })
    }
}
