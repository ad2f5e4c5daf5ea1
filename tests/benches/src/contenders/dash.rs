//! `DashMap<K, Arc<tokio::sync::OnceCell>>`, by hand.

use std::future::Future;
use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::OnceCell;

use super::{Contender, Hasher, Key, Value};

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

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
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
                self.map.remove(key);
            }
            cell
        }
    }

    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Out> + Send + 'a {
        let cell = self.map.entry(key.clone()).or_default().clone();
        async move {
            cell.get_or_init(std::future::pending).await;
            cell
        }
    }
}
