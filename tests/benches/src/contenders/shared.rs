//! `Mutex<HashMap<K, Shared<BoxFuture>>>`, by hand.

use std::collections::HashMap;
use std::future::Future;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use super::{Contender, Hasher, Key, Value};
use crate::poll::ready;

pub struct SharedMap<K, V: Clone, S> {
    map: Mutex<HashMap<K, Shared<BoxFuture<'static, V>>, S>>,
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for SharedMap<K, V, S> {
    type Out = V;

    fn new() -> Self {
        Self {
            map: Mutex::default(),
        }
    }

    fn value(out: &V) -> &V {
        out
    }

    fn solo(&self, key: &K, value: V) -> V {
        ready(self.call(key.clone(), std::future::ready(value)))
    }

    fn call<'a, F>(&'a self, key: K, op: F) -> impl Future<Output = V> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        async move {
            let mut first = false;
            let shared = {
                let mut map = self.map.lock();
                let entry = map.entry(key.clone());
                let make = || {
                    first = true;
                    op.boxed().shared()
                };
                entry.or_insert_with(make).clone()
            };
            let mine = shared.clone();
            let value = shared.await;
            if first {
                let mut map = self.map.lock();
                if map.get(&key).is_some_and(|there| there.ptr_eq(&mine)) {
                    map.remove(&key);
                }
            }
            value
        }
    }

    fn join<'a>(&'a self, key: K) -> impl Future<Output = V> + Send + 'a {
        self.map.lock().get(&key).expect("it is in flight").clone()
    }
}
