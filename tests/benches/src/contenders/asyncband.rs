//! The crate `asyncband`, formerly `mea`.

use std::future::Future;

use asyncband::singleflight::Group;

use super::{Contender, Hasher, Key, Value};
use crate::poll::ready;

pub struct Band<K, V, S> {
    group: Group<K, V, S>,
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for Band<K, V, S> {
    type Out = V;

    fn new() -> Self {
        Self {
            group: Group::with_hasher(S::default()),
        }
    }

    fn value(out: &V) -> &V {
        out
    }

    fn solo(&self, key: &K, value: V) -> V {
        ready(self.group.work(key.clone(), async || value))
    }

    fn call<'a, F>(&'a self, key: K, op: F) -> impl Future<Output = V> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        self.group.work(key, async || op.await)
    }

    fn join<'a>(&'a self, key: K) -> impl Future<Output = V> + Send + 'a {
        self.group.work(key, async || std::future::pending().await)
    }
}
