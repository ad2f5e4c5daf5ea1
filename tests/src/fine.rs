//! Operations that cannot fail, for `try_work`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use oneflight::Error;

/// An operation that cannot fail. It is dropped with this, and not when it is ready.
#[derive(Debug)]
pub struct Fine<F>(Pin<Box<F>>);

impl<F: Future> Future for Fine<F> {
    type Output = Result<F::Output, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

/// The maker of an operation that cannot fail.
pub fn fine<F: Future>(make: impl FnOnce() -> F) -> impl FnOnce() -> Fine<F> {
    || Fine(Box::pin(make()))
}
