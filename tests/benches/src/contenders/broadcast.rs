//! A `tokio::sync::broadcast` channel for each key, by hand.

use std::collections::HashMap;
use std::future::Future;

use parking_lot::Mutex;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use super::{Contender, Hasher, Key, Value};
use crate::poll::ready;

pub struct Broadcast<K, V, S> {
    map: Mutex<HashMap<K, Sender<V>, S>>,
}

impl<K: Key, V: Value, S: Hasher> Broadcast<K, V, S> {
    /// A receiver if the key is in flight; else it is from now on.
    fn enter(&self, key: &K) -> Option<Receiver<V>> {
        let mut map = self.map.lock();
        match map.get(key) {
            Some(sender) => Some(sender.subscribe()),
            None => {
                map.insert(key.clone(), channel(1).0);
                None
            }
        }
    }
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for Broadcast<K, V, S> {
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
            if let Some(mut receiver) = self.enter(&key) {
                return receiver.recv().await.expect("sent");
            }
            let value = op.await;
            let sender = self
                .map
                .lock()
                .remove(&key)
                .expect("put there by this call");
            // Nobody may be listening.
            let _ = sender.send(value.clone());
            value
        }
    }

    fn join<'a>(&'a self, key: K) -> impl Future<Output = V> + Send + 'a {
        let mut receiver = self
            .map
            .lock()
            .get(&key)
            .expect("it is in flight")
            .subscribe();
        async move { receiver.recv().await.expect("sent") }
    }
}
