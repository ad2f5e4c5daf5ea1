//! [`Operation`]: what participants drive.

use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::unwind::Fragile;

/// The operation of a flight; with nothing in it, the right to run one. A panic of its drop is
/// caught if this thread already unwinds.
pub(crate) struct Operation<T>(Fragile<Boxed<T>>);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T> Operation<T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Fragile(Some(Box::pin(future))))
    }

    /// The right to run one: each participant of a *Rerun* flight has its own.
    pub(crate) fn elsewhere() -> Self {
        Self(Fragile(None))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0.0 {
            Some(future) => future.as_mut().poll(cx),
            None => unreachable!("the driver of a `try_work` polls its own"),
        }
    }
}
