//! oneflight, by its guard and by `work`.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use oneflight::{Begin, Group, Settled};

use super::{Contender, Key, Value};
use crate::poll::ready;

/// `begin`, and then what the role asks for.
pub struct Guard<K, V> {
    group: Group<K, V>,
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

    fn solo(&self, key: &K, value: V) -> V {
        match self.group.begin(key.clone()) {
            Begin::Primary(primary) => (*primary.settle(value).expect("settled once")).clone(),
            _ => unreachable!("nobody else is about"),
        }
    }

    fn call<'a, F>(&'a self, key: K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        async move {
            match self.group.begin(key) {
                Begin::Primary(primary) => primary.settle(op.await).expect("settled once"),
                Begin::Waiter(waiter) => waiter.await.expect("settled"),
                Begin::Rejected(why) => panic!("{why}"),
            }
        }
    }

    fn join<'a>(&'a self, key: K) -> impl Future<Output = Self::Out> + Send + 'a {
        match self.group.begin(key) {
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

    const WAKING: bool = true;

    fn new() -> Self {
        Self {
            group: Group::new(),
        }
    }

    fn value(out: &Self::Out) -> &V {
        out
    }

    fn solo(&self, key: &K, value: V) -> V {
        let out = ready(self.group.work(key.clone(), || std::future::ready(value)));
        (*out.expect("settled")).clone()
    }

    fn call<'a, F>(&'a self, key: K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        let future = self.group.work(key, || op);
        Outcome { future }
    }

    fn join<'a>(&'a self, key: K) -> impl Future<Output = Self::Out> + Send + 'a {
        self.call(key, std::future::pending())
    }
}
