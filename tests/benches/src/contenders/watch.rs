//! A `tokio::sync::watch` channel for each key, by hand. A first caller that is dropped leaves its channel in the map, and
//! everyone who comes later waits forever.

use std::collections::HashMap;
use std::future::Future;

use parking_lot::Mutex;
use tokio::sync::watch::{Receiver, Sender};

use super::{Contender, Hasher, Key, Value};

pub struct Watch<K, V, S> {
    map: Mutex<HashMap<K, Sender<Option<V>>, S>>,
}

impl<K: Key, V: Value, S: Hasher> Watch<K, V, S> {
    /// A receiver if the key is in flight; else it is from now on.
    fn enter(&self, key: &K) -> Option<Receiver<Option<V>>> {
        let mut map = self.map.lock();
        match map.get(key) {
            Some(sender) => Some(sender.subscribe()),
            None => {
                map.insert(key.clone(), Sender::new(None));
                None
            }
        }
    }

    fn leave(&self, key: &K, value: V) -> V {
        let sender = self.map.lock().remove(key);
        // Nobody may be listening.
        let _ = sender
            .expect("put there by this call")
            .send(Some(value.clone()));
        value
    }

    /// The guard itself, without a future.
    pub fn guard(&self, key: &K, value: V) -> V {
        assert!(self.enter(key).is_none(), "nobody else is about");
        self.leave(key, value)
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

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = V> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        async move {
            if let Some(receiver) = self.enter(key) {
                return receive(receiver).await;
            }
            let value = op.await;
            self.leave(key, value)
        }
    }

    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = V> + Send + 'a {
        let map = self.map.lock();
        receive(map.get(key).expect("it is in flight").subscribe())
    }
}
