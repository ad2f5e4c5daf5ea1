//! A `tokio::sync::watch` channel for each key, by hand.

use std::collections::HashMap;
use std::future::Future;

use parking_lot::Mutex;
use tokio::sync::watch::{Receiver, Sender, channel};

use super::{Contender, Hasher, Key, Value};
use crate::poll::ready;

pub struct Watch<K, V, S> {
    map: Mutex<HashMap<K, Receiver<Option<V>>, S>>,
}

impl<K: Key, V: Value, S: Hasher> Watch<K, V, S> {
    fn enter(&self, key: &K) -> Result<Sender<Option<V>>, Receiver<Option<V>>> {
        let mut map = self.map.lock();
        if let Some(receiver) = map.get(key) {
            return Err(receiver.clone());
        }
        let (sender, receiver) = channel(None);
        map.insert(key.clone(), receiver);
        Ok(sender)
    }
}

/// Waits for the value and copies it.
async fn receive<V: Value>(mut receiver: Receiver<Option<V>>) -> V {
    let there = receiver.wait_for(Option::is_some).await.expect("sent");
    there.clone().expect("just seen")
}

impl<K: Key, V: Value, S: Hasher> Contender<K, V> for Watch<K, V, S> {
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
            let sender = match self.enter(&key) {
                Ok(sender) => sender,
                Err(receiver) => return receive(receiver).await,
            };
            let value = op.await;
            self.map.lock().remove(&key);
            // Nobody may be listening.
            let _ = sender.send(Some(value.clone()));
            value
        }
    }

    fn join<'a>(&'a self, key: K) -> impl Future<Output = V> + Send + 'a {
        receive(self.map.lock().get(&key).expect("it is in flight").clone())
    }
}
