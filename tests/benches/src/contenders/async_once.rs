//! `Mutex<HashMap<K, Arc<async_lock::OnceCell>>>`, by hand.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use async_lock::OnceCell;
use parking_lot::Mutex;

use super::{Contender, Hasher, Key, Value};

pub struct AsyncOnce<K, V, S> {
    map: Mutex<HashMap<K, Arc<OnceCell<V>>, S>>,
}

impl<K: Key, V: Value, S: Hasher> AsyncOnce<K, V, S> {
    fn cell(&self, key: &K) -> Arc<OnceCell<V>> {
        let mut map = self.map.lock();
        map.entry(key.clone())
            .or_insert_with(|| Arc::new(OnceCell::new()))
            .clone()
    }
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for AsyncOnce<K, V, S> {
    type Out = Arc<OnceCell<V>>;

    fn new() -> Self {
        Self {
            map: Mutex::default(),
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
            let cell = self.cell(key);
            let mut first = false;
            cell.get_or_init(|| {
                first = true;
                op
            })
            .await;
            if first {
                self.map.lock().remove(key);
            }
            cell
        }
    }

    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Out> + Send + 'a {
        let cell = self.cell(key);
        async move {
            cell.get_or_init(std::future::pending).await;
            cell
        }
    }
}
