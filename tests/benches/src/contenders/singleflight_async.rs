//! The crate `singleflight-async`.

use std::future::Future;

use singleflight_async::SingleFlight;

use super::{Contender, Key, Value};

pub struct Singleflight<K, V> {
    group: SingleFlight<K, V>,
}

impl<K: Key, V: Value> Contender<K, V> for Singleflight<K, V> {
    type Out = V;

    fn new() -> Self {
        Self {
            group: SingleFlight::new(),
        }
    }

    fn value(out: &V) -> &V {
        out
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = V> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        self.group.work(key.clone(), || op)
    }
}
