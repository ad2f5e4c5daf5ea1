//! The crate `async_singleflight`.

use std::future::Future;

use async_singleflight::UnaryGroup;

use super::{Contender, Hasher, Key, Value};
use crate::poll::ready_or_later;

pub struct Singleflight<K, V, S> {
    group: UnaryGroup<K, V, S>,
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for Singleflight<K, V, S> {
    type Out = V;

    fn new() -> Self {
        Self {
            group: UnaryGroup::new(),
        }
    }

    fn value(out: &V) -> &V {
        out
    }

    fn solo(&self, key: &K, value: V) -> V {
        // Its registry is behind an asynchronous lock.
        ready_or_later(self.group.work(key, std::future::ready(value)))
    }

    fn call<'a, F>(&'a self, key: K, op: F) -> impl Future<Output = V> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        async move { self.group.work(&key, op).await }
    }

    fn join<'a>(&'a self, key: K) -> impl Future<Output = V> + Send + 'a {
        async move { self.group.work(&key, std::future::pending()).await }
    }
}
