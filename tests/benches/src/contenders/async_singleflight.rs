//! The crate `async_singleflight`.

use std::future::Future;

use async_singleflight::UnaryGroup;

use super::{Contender, Hasher, Key, Value};

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

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = V> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        self.group.work(key, op)
    }
}
