//! `foyer`: a cache that runs every operation as a task of tokio; its entry is removed as soon as it has been handed out.

use std::future::Future;

use foyer::{Cache, CacheBuilder, CacheEntry, CacheProperties};

use super::{Contender, Hasher, Key, Value};

/// More than any workload has in flight, so that it never evicts.
const ROOM: usize = 2_000_000;

pub struct Foyer<K: Key, V: Value, S: Hasher> {
    cache: Cache<K, V, S, CacheProperties>,
}

impl<K: Key, V: Value, S: Hasher + std::fmt::Debug> Contender<K, V> for Foyer<K, V, S> {
    type Out = CacheEntry<K, V, S, CacheProperties>;

    fn new() -> Self {
        Self {
            cache: CacheBuilder::new(ROOM)
                .with_hash_builder(S::default())
                .build(),
        }
    }

    fn value(out: &Self::Out) -> &V {
        out.value()
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        async move {
            let fetch = || async { Ok::<V, anyhow::Error>(op.await) };
            let entry = self.cache.get_or_fetch(key, fetch).await.expect("fetched");
            self.cache.remove(key);
            entry
        }
    }

    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Out> + Send + 'a {
        let never = || std::future::pending::<Result<V, anyhow::Error>>();
        let call = self.cache.get_or_fetch(key, never);
        async move { call.await.expect("fetched") }
    }
}
