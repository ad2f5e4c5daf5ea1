//! oneflight, by its guard and by its closures.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use oneflight::{Begin, Error, Group, Settled};

use super::{Contender, Key, Value};

/// `begin`, and then what the role asks for, in an `async` block.
pub struct Guard<K, V> {
    group: Group<K, V>,
}

impl<K: Key, V: Value> Guard<K, V> {
    /// The guard itself, without a future.
    pub fn guard(&self, key: &K, value: V) -> V {
        match self.group.begin(key.clone()) {
            Begin::Primary(primary) => (*primary.settle(value).expect("settled once")).clone(),
            _ => unreachable!("nobody else is about"),
        }
    }
}

impl<K: Key, V: Value> Contender<K, V> for Guard<K, V> {
    type Out = Settled<K, V>;

    fn new() -> Self {
        Self {
            group: Group::new(),
        }
    }

    fn value(out: &Self::Out) -> &V {
        out
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        async move {
            match self.group.begin(key.clone()) {
                Begin::Primary(primary) => primary.settle(op.await).expect("settled once"),
                Begin::Waiter(waiter) => waiter.await.expect("settled"),
                Begin::Rejected(why) => panic!("{why}"),
            }
        }
    }

    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Out> + Send + 'a {
        match self.group.begin(key.clone()) {
            Begin::Waiter(future) => Outcome { future },
            _ => unreachable!("it is in flight"),
        }
    }
}

pin_project_lite::pin_project! {
    /// A waiter or a participant, and that no flight is lost here. As small as what is in it.
    struct Outcome<F> {
        #[pin]
        future: F,
    }
}

impl<S, E: Debug, F: Future<Output = Result<S, E>>> Future for Outcome<F> {
    type Output = S;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S> {
        let polled = self.project().future.poll(cx);
        polled.map(|outcome| outcome.expect("settled"))
    }
}

/// `work`: every caller the same code, and any of them may drive.
pub struct Work<K, V> {
    group: Group<K, V>,
}

impl<K: Key, V: Value> Contender<K, V> for Work<K, V> {
    type Out = Settled<K, V>;

    fn new() -> Self {
        Self {
            group: Group::new(),
        }
    }

    fn value(out: &Self::Out) -> &V {
        out
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        let future = self.group.work(key.clone(), || op);
        Outcome { future }
    }
}

/// `try_work`: the operation can fail, and then another caller runs its own.
pub struct TryWork<K, V> {
    group: Group<K, V>,
}

impl<K: Key, V: Value> Contender<K, V> for TryWork<K, V> {
    type Out = Settled<K, V>;

    fn new() -> Self {
        Self {
            group: Group::new(),
        }
    }

    fn value(out: &Self::Out) -> &V {
        out
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        let make = || async { Ok::<V, Error>(op.await) };
        let future = self.group.try_work(key.clone(), make);
        Outcome { future }
    }
}

/// `begin`, and `run` for the primary.
pub struct Run<K, V> {
    group: Group<K, V>,
}

impl<K: Key, V: Value> Contender<K, V> for Run<K, V> {
    type Out = Settled<K, V>;

    fn new() -> Self {
        Self {
            group: Group::new(),
        }
    }

    fn value(out: &Self::Out) -> &V {
        out
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        async move {
            match self.group.begin(key.clone()) {
                Begin::Primary(primary) => primary.run(op).await.expect("settled"),
                Begin::Waiter(waiter) => waiter.await.expect("settled"),
                Begin::Rejected(why) => panic!("{why}"),
            }
        }
    }
}
