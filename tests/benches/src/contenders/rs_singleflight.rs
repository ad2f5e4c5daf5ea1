//! The crate `rs-singleflight`.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use rs_singleflight::Group;

use super::{Contender, Key, Value};

pub struct Singleflight<K, V> {
    group: Group<K, V, Infallible>,
}

impl<K: Key, V: Value> Singleflight<K, V> {
    async fn work<F: Future<Output = V>>(&self, key: K, op: F) -> Arc<V> {
        let outcome = self
            .group
            .do_call_shared(key, || async { Ok(op.await) })
            .await;
        outcome.unwrap_or_else(|never| match *never {})
    }
}

impl<K: Key, V: Value> Contender<K, V> for Singleflight<K, V> {
    type Out = Arc<V>;

    fn new() -> Self {
        Self {
            group: Group::new(),
        }
    }

    fn value(out: &Arc<V>) -> &V {
        out
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = Arc<V>> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        self.work(key.clone(), op)
    }
}
