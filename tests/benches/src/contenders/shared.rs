//! `Mutex<HashMap<K, Shared<BoxFuture>>>`, by hand. A first caller that is dropped leaves its entry in the map, with an
//! outcome that later calls get.

use std::collections::HashMap;
use std::future::Future;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use super::{Contender, Hasher, Key, Value};

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

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = V> + Send + 'a
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
            let value = shared.await;
            if first {
                self.map.lock().remove(key);
            }
            value
        }
    }

    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = V> + Send + 'a {
        self.map.lock().get(key).expect("it is in flight").clone()
    }
}
