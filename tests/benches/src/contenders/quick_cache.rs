//! `quick_cache`: a cache whose entry is removed as soon as it has been handed out.

use std::future::Future;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, UnitWeighter};

use super::{Contender, Hasher, Key, Value};
use crate::poll::ready;

/// More than any workload has in flight, so that it never evicts.
const ROOM: usize = 2_000_000;

pub struct Quick<K, V, S> {
    cache: Cache<K, V, UnitWeighter, S, DefaultLifecycle<K, V>>,
}

impl<K: Key, V: Value, S: Hasher> Quick<K, V, S> {
    /// The guard itself.
    pub fn guard(&self, key: &K, value: V) -> V {
        match ready(self.cache.get_value_or_guard_async(key)) {
            Ok(value) => value,
            Err(guard) => {
                let _ = guard.insert(value.clone());
                self.cache.remove(key);
                value
            }
        }
    }
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for Quick<K, V, S> {
    type Out = V;

    fn new() -> Self {
        // The estimate sets the size of the table at the start, and a peer shall not pay for one that is too large.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(1_000)
            .weight_capacity(ROOM as u64)
            .build()
            .expect("both are given");
        Self {
            cache: Cache::with_options(
                options,
                UnitWeighter,
                S::default(),
                DefaultLifecycle::default(),
            ),
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
            match self.cache.get_value_or_guard_async(key).await {
                Ok(value) => value,
                Err(guard) => {
                    let value = op.await;
                    let _ = guard.insert(value.clone());
                    self.cache.remove(key);
                    value
                }
            }
        }
    }

    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = V> + Send + 'a {
        async move {
            match self.cache.get_value_or_guard_async(key).await {
                Ok(value) => value,
                Err(_guard) => unreachable!("it is in flight"),
            }
        }
    }
}
