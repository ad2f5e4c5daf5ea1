//! `moka`: a cache whose entry is invalidated as soon as it has been handed out.

use std::future::Future;

use moka::future::Cache;

use super::{Contender, Hasher, Key, Value};

pub struct Moka<K, V, S> {
    cache: Cache<K, V, S>,
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for Moka<K, V, S> {
    type Out = V;

    fn new() -> Self {
        Self {
            cache: Cache::builder().build_with_hasher(S::default()),
        }
    }

    fn value(out: &V) -> &V {
        out
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = V> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        async move {
            let entry = self.cache.entry_by_ref(key).or_insert_with(op).await;
            if entry.is_fresh() {
                self.cache.invalidate(key).await;
            }
            entry.into_value()
        }
    }

    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = V> + Send + 'a {
        self.cache.get_with_by_ref(key, std::future::pending())
    }
}
