//! Operations and values that end, and go, as they are told; and how a flight of theirs was aborted.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use oneflight_core::{Aborted, Cause, WorkError};

use super::Act;

/// Pending, and at once awake again, until its last poll; then it ends as told. Its drop does what it is told.
pub(crate) struct Operation {
    polls_left: usize,
    end: Option<u32>,
    on_drop: Option<Act>,
}

impl Operation {
    pub(crate) fn ready(polls: usize) -> Self {
        Self {
            polls_left: polls,
            end: Some(7),
            on_drop: None,
        }
    }

    pub(crate) fn panics(polls: usize) -> Self {
        Self {
            polls_left: polls,
            end: None,
            on_drop: None,
        }
    }

    pub(crate) fn on_drop(mut self, act: impl FnOnce() + Send + 'static) -> Self {
        self.on_drop = Some(Box::new(act));
        self
    }
}

impl Future for Operation {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        self.polls_left = self
            .polls_left
            .checked_sub(1)
            .expect("polled after its end");
        cx.waker().wake_by_ref();
        if self.polls_left > 0 {
            return Poll::Pending;
        }
        Poll::Ready(self.end.expect("the operation panics"))
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(act) = self.on_drop.take() {
            act();
        }
    }
}

pub(crate) fn aborted(outcome: Option<Result<impl Sized, Aborted>>) -> Cause {
    match outcome {
        Some(Err(aborted)) => aborted.cause(),
        Some(Ok(_)) => panic!("settled"),
        None => panic!("still in flight"),
    }
}

pub(crate) fn work_aborted(outcome: Option<Result<impl Sized, WorkError>>) -> Cause {
    match outcome {
        Some(Err(WorkError::Aborted(aborted))) => aborted.cause(),
        _ => panic!("not aborted"),
    }
}

/// A value whose drop does what it was told.
pub(crate) struct Bomb(pub(crate) Option<Act>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

pub(crate) fn bomb(act: impl FnOnce() + Send + 'static) -> Mutex<Bomb> {
    Mutex::new(Bomb(Some(Box::new(act))))
}
