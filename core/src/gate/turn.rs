//! [`Turn`]: a caller that waits for its turn and has no operation yet.

use core::fmt;
use core::future::Future;
use core::hash::Hash;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::gate::Gate;
use crate::group::shard::Ticket;
use crate::group::{Begin, Entry, Primary};

impl<K: Hash + Eq, T> Entry<'_, Gate<K, T>> {
    /// Takes the gate, waiting for its turn if the mode says so, or joins the invocation with this
    /// token. See [`Gate::turn`].
    pub fn turn(self) -> Turn<K, T> {
        let state = match self.begin_in_turn() {
            (Begin::Primary(primary), ticket) => {
                // Nothing of its caller's runs before it has the primary.
                primary.flight().cell.set_unbegun();
                TurnState::Waits(primary, ticket)
            }
            (begin, _) => TurnState::Ready(begin),
        };
        Turn { state }
    }
}

/// Waits for its turn at a [`Gate`]. From [`Gate::turn`].
///
/// It is a future that yields [`Begin`]. If something else ends its flight before it is polled with
/// its turn, it is woken, and yields a [`Begin::Waiter`] that is ready with the error.
/// [`has_begun`](crate::error::Aborted::has_begun) of that error is false.
///
/// # Cancel safety
///
/// Dropping it gives the place up, and the gate with it if its turn had come. Duplicates of its
/// token get an error that says that nothing
/// [has begun](crate::error::Aborted::has_begun).
///
/// # Panics
///
/// Polling it again after it was ready panics.
#[must_use = "futures do nothing unless polled or awaited; dropping this one gives the place up"]
pub struct Turn<K, T> {
    state: TurnState<K, T>,
}

enum TurnState<K, T> {
    /// Without a ticket it has its turn.
    Waits(Primary<Option<K>, T>, Option<Ticket>),
    Ready(Begin<Option<K>, T>),
    Done,
}

impl<K, T> Turn<K, T> {
    /// Returns true if it still waits for its turn.
    pub fn is_queued(&self) -> bool {
        matches!(&self.state, TurnState::Waits(_, Some(ticket)) if !ticket.is_called())
    }
}

// Nothing in it is pinned.
impl<K, T> Unpin for Turn<K, T> {}

impl<K, T> Future for Turn<K, T> {
    type Output = Begin<Option<K>, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let TurnState::Waits(_, Some(ticket)) = &mut self.state {
            if ticket.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        match core::mem::replace(&mut self.state, TurnState::Done) {
            TurnState::Waits(primary, _) => Poll::Ready(primary.take_turn()),
            TurnState::Ready(begin) => Poll::Ready(begin),
            TurnState::Done => panic!("`Turn` polled after it was ready"),
        }
    }
}

impl<K, T> UnwindSafe for Turn<K, T> {}
impl<K, T> RefUnwindSafe for Turn<K, T> {}

impl<K, T> fmt::Debug for Turn<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("queued", &self.is_queued())
            .finish_non_exhaustive()
    }
}
