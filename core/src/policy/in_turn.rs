//! What was given to a runtime and waits there for its turn at a gate.

use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use core::task::{Context, Poll};

use equivalent::Equivalent;
use pin_project_lite::pin_project;

use crate::group::shard::Ticket;
use crate::group::{Begin, Entry, Registry};
use crate::unwind::isolate;

/// What a call has become, and what it has if it waits for its turn.
pub(super) type Begun<G> = (
    Begin<<G as Registry>::Key, <G as Registry>::Value>,
    Option<Ticket>,
);

impl<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Entry<'_, G, Q> {
    /// Begins a call that waits for its turn on a thread. Where no thread can wait, it never waits.
    pub(super) fn begin_on_thread(self) -> Begun<G> {
        #[cfg(all(feature = "std", not(target_family = "wasm")))]
        return self.begin_in_turn();
        #[cfg(not(all(feature = "std", not(target_family = "wasm"))))]
        return (self.begin(), None);
    }
}

/// On a thread that can be blocked.
pub(super) fn wait_for_turn(ticket: Option<Ticket>) {
    #[cfg(all(feature = "std", not(target_family = "wasm")))]
    if let Some(ticket) = ticket {
        ticket.wait_blocking();
    }
    #[cfg(not(all(feature = "std", not(target_family = "wasm"))))]
    drop(ticket);
}

pin_project! {
    /// A task that waits for its turn at a gate. None when it is ready.
    pub(super) struct InTurn<F> {
        ticket: Ticket,
        #[pin]
        task: Option<F>,
    }
}

impl<F> InTurn<F> {
    pub(super) fn new(ticket: Ticket, task: F) -> Self {
        Self {
            ticket,
            task: Some(task),
        }
    }
}

impl<F: Future<Output = ()>> Future for InTurn<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        // The runtime's waker can panic. Without a waker the turn would not be seen.
        let ready = match isolate(|| this.ticket.poll(cx)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(())) => match this.task.as_mut().as_pin_mut() {
                Some(task) => task.poll(cx),
                None => Poll::Ready(()),
            },
            None => Poll::Ready(()),
        };
        if ready.is_ready() {
            isolate(|| this.task.set(None));
        }
        ready
    }
}
