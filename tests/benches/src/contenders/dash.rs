//! `DashMap<K, Arc<tokio::sync::OnceCell>>`, by hand.

use std::future::Future;
use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::OnceCell;

use super::{Contender, Hasher, Key, Value};
use crate::poll::ready;

pub struct Dash<K, V, S> {
    map: DashMap<K, Arc<OnceCell<V>>, S>,
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for Dash<K, V, S> {
    type Out = Arc<OnceCell<V>>;

    fn new() -> Self {
        Self {
            map: DashMap::with_hasher(S::default()),
        }
    }

    fn value(out: &Self::Out) -> &V {
        out.get().expect("set")
    }

    fn solo(&self, key: &K, value: V) -> V {
        let out = ready(self.call(key.clone(), std::future::ready(value)));
        Self::value(&out).clone()
    }

    fn call<'a, F>(&'a self, key: K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        async move {
            let cell = self.map.entry(key.clone()).or_default().clone();
            let mut first = false;
            cell.get_or_init(|| {
                first = true;
                op
            })
            .await;
            if first {
                self.map
                    .remove_if(&key, |_, there| Arc::ptr_eq(there, &cell));
            }
            cell
        }
    }

    fn join<'a>(&'a self, key: K) -> impl Future<Output = Self::Out> + Send + 'a {
        let cell = self.map.entry(key).or_default().clone();
        async move {
            cell.get_or_init(std::future::pending).await;
            cell
        }
    }
}
