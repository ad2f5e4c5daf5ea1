//! What is given to a runtime: an operation, a call, or a participant of a `work`. None of them
//! unwinds, neither when it runs nor when the runtime drops it: some runtimes abort the process
//! then.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::flight::loss;
use crate::group::shard::Ticket;
use crate::group::{Primary, Run};
use crate::policy::participant::Participant;
use crate::rt::Spawn;
use crate::unwind::{Fragile, isolate};

/// What was given to a runtime and has not begun: a call, or what makes an operation. It begins
/// once or, if its flight ends before that, never.
///
/// The begin and the end are read-modify-writes of one atomic word, the flight's state. So what the
/// callers were told has never begun does not begin later.
pub(super) struct Unbegun<K, T, M>(Option<(Primary<K, T>, Fragile<M>)>);

impl<K, T, M> Unbegun<K, T, M> {
    pub(super) fn new(primary: Primary<K, T>, make: M) -> Self {
        Self(Some((primary, Fragile(Some(make)))))
    }

    /// Returns `None` if the flight has ended.
    pub(super) fn begin(mut self) -> Option<(Primary<K, T>, M)> {
        if !self.0.as_ref()?.0.flight().cell.begin() {
            return None;
        }
        let (primary, mut make) = self.0.take()?;
        Some((primary, make.0.take()?))
    }
}

impl<K, T, M> Drop for Unbegun<K, T, M> {
    fn drop(&mut self) {
        if let Some((primary, make)) = self.0.take() {
            isolate(|| primary.lose(loss(), make));
        }
    }
}

pin_project! {
    /// The operation as a task. Making, polling and dropping it are isolated one by one, so that
    /// each panic of it ends here, and two of them never meet.
    pub(super) struct Task<K, T, M, F> {
        start: Option<Unbegun<K, T, M>>,
        #[pin]
        run: Option<Run<K, T, F>>,
    }

    impl<K, T, M, F> PinnedDrop for Task<K, T, M, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            isolate(|| this.run.set(None));
        }
    }
}

impl<K, T, M, F> Task<K, T, M, F> {
    pub(super) fn new(primary: Primary<K, T>, make: M) -> Self {
        Self {
            start: Some(Unbegun::new(primary, make)),
            run: None,
        }
    }
}

impl<K, T, M: FnOnce() -> F, F: Future<Output = T>> Future for Task<K, T, M, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if let Some(unbegun) = this.start.take() {
            let run = isolate(|| {
                let (primary, make) = unbegun.begin()?;
                let operation = primary.guarded(make);
                Some(primary.run(operation))
            });
            let Some(run) = run.flatten() else {
                return Poll::Ready(());
            };
            this.run.set(Some(run));
        }
        let Some(run) = this.run.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        if let Some(Poll::Pending) = isolate(|| run.poll(cx).map(drop)) {
            return Poll::Pending;
        }
        isolate(|| this.run.set(None));
        Poll::Ready(())
    }
}

/// A participant of a `work`, which a `spawn` has added. It is ready when the flight has ended.
pub(super) struct Drives<K, T>(Option<Participant<K, T>>);

impl<K, T> Drives<K, T> {
    pub(super) fn new(participant: Participant<K, T>) -> Self {
        Self(Some(participant))
    }
}

impl<K, T> Future for Drives<K, T>
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(participant) = &mut self.0 else {
            return Poll::Ready(());
        };
        // A panic of the operation has ended the flight. After one of the waker, this leaves it.
        if let Some(Poll::Pending) = isolate(|| participant.poll_as_task(cx)) {
            return Poll::Pending;
        }
        self.leave();
        Poll::Ready(())
    }
}

impl<K, T> Drives<K, T> {
    /// It can be the last participant, and the last handle of its flight.
    fn leave(&mut self) {
        isolate(|| drop(self.0.take()));
    }
}

impl<K, T> Drop for Drives<K, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Gives a task to a runtime: it begins at once, or when its turn at a gate has come.
pub(super) fn give<R: Spawn>(
    runtime: &R,
    ticket: Option<Ticket>,
    task: impl Future<Output = ()> + Send + 'static,
) {
    match ticket {
        None => runtime.spawn(task),
        Some(ticket) => runtime.spawn(InTurn {
            ticket,
            task: Some(task),
        }),
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
    struct InTurn<F> {
        ticket: Ticket,
        #[pin]
        task: Option<F>,
    }

    impl<F> PinnedDrop for InTurn<F> {
        fn drop(this: Pin<&mut Self>) {
            let ticket = this.project().ticket;
            isolate(|| ticket.leave());
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
