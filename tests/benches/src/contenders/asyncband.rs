//! The crate `asyncband`, formerly `mea`.

use std::future::Future;

use asyncband::singleflight::Group;

use super::{Contender, Hasher, Key, Value};

pub struct Band<K, V, S> {
    group: Group<K, V, S>,
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for Band<K, V, S> {
    type Out = V;

    fn new() -> Self {
        Self {
            group: Group::with_hasher(S::default()),
        }
    }

    fn value(out: &V) -> &V {
        out
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = V> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        self.group.work(key.clone(), async || op.await)
    }
}
