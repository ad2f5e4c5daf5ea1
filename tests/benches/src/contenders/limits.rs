//! What stands below every contender: no key, no table, one flight after another in a row of slots. The numbers of the keys
//! are the places in the row.

use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};

use event_listener::{Event, listener};
use hashbrown::HashTable;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Contender, Kind, Visitor, Who};

/// More flights than any workload has at once of a limit.
const SLOTS: usize = 1_024;

/// Waiting, as bare as it gets.
pub trait Bare: Default + Send + Sync + 'static {
    /// Resumes everyone.
    fn fire(&self);
    /// Returns when `done` is set, which `fire` follows.
    fn wait<'a>(&'a self, done: &'a AtomicU64) -> impl Future<Output = u64> + Send + 'a;
}

#[derive(Default)]
struct Slot<B> {
    /// The value plus one, once there is one.
    done: AtomicU64,
    bare: B,
}

/// A row of slots as a contender.
pub struct Row<B> {
    slots: Box<[Slot<B>]>,
}

impl<B> Row<B> {
    fn slot(&self, key: u64) -> &Slot<B> {
        &self.slots[key as usize % SLOTS]
    }
}

impl<B: Bare> Contender<u64, u64> for Row<B> {
    type Out = u64;

    fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
        }
    }

    fn value(out: &u64) -> &u64 {
        out
    }

    fn call<'a, F>(&'a self, key: &'a u64, op: F) -> impl Future<Output = u64> + Send + 'a
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let slot = self.slot(*key);
        slot.done.store(0, Ordering::Release);
        async move {
            let value = op.await;
            slot.done.store(value + 1, Ordering::Release);
            slot.bare.fire();
            value
        }
    }

    fn join<'a>(&'a self, key: &'a u64) -> impl Future<Output = u64> + Send + 'a {
        let slot = self.slot(*key);
        slot.bare.wait(&slot.done)
    }
}

fn seen(done: &AtomicU64) -> Option<u64> {
    done.load(Ordering::Acquire).checked_sub(1)
}

/// `event_listener::Event`, the listener on the stack of the waiter.
#[derive(Default)]
pub struct EventStack(Event);

impl Bare for EventStack {
    fn fire(&self) {
        self.0.notify(usize::MAX);
    }

    async fn wait<'a>(&'a self, done: &'a AtomicU64) -> u64 {
        loop {
            if let Some(value) = seen(done) {
                return value;
            }
            listener!(self.0 => listener);
            if let Some(value) = seen(done) {
                return value;
            }
            listener.await;
        }
    }
}

/// `event_listener::Event`, the listener in a box of its own.
#[derive(Default)]
pub struct EventBoxed(Event);

impl Bare for EventBoxed {
    fn fire(&self) {
        self.0.notify(usize::MAX);
    }

    async fn wait<'a>(&'a self, done: &'a AtomicU64) -> u64 {
        loop {
            if let Some(value) = seen(done) {
                return value;
            }
            let listener = self.0.listen();
            if let Some(value) = seen(done) {
                return value;
            }
            listener.await;
        }
    }
}

/// `tokio::sync::Notify`.
#[derive(Default)]
pub struct Notified(Notify);

impl Bare for Notified {
    fn fire(&self) {
        self.0.notify_waiters();
    }

    async fn wait<'a>(&'a self, done: &'a AtomicU64) -> u64 {
        loop {
            let notified = self.0.notified();
            if let Some(value) = seen(done) {
                return value;
            }
            notified.await;
        }
    }
}

/// A vector of wakers under a lock: no cancel, no key. The ground.
#[derive(Default)]
pub struct Wakers(Mutex<Vec<Waker>>);

impl Bare for Wakers {
    fn fire(&self) {
        let wakers = std::mem::take(&mut *self.0.lock());
        for waker in wakers {
            waker.wake();
        }
    }

    fn wait<'a>(&'a self, done: &'a AtomicU64) -> impl Future<Output = u64> + Send + 'a {
        std::future::poll_fn(move |cx| {
            if let Some(value) = seen(done) {
                return Poll::Ready(value);
            }
            let mut wakers = self.0.lock();
            if let Some(value) = seen(done) {
                return Poll::Ready(value);
            }
            wakers.push(cx.waker().clone());
            Poll::Pending
        })
    }
}

/// What may not cost less: hash, lock, find and insert, lock, remove, and one allocation with a count.
pub struct Floor<K> {
    hasher: foldhash::fast::RandomState,
    table: Mutex<HashTable<(u64, Arc<Entry<K>>)>>,
    key: PhantomData<K>,
}

/// A key, a value, and whether it is there: the least a flight can hold.
pub struct Entry<K> {
    key: K,
    value: AtomicU64,
    done: AtomicBool,
}

impl<K: Hash + Eq + Clone> Floor<K> {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hasher: foldhash::fast::RandomState::default(),
            table: Mutex::new(HashTable::new()),
            key: PhantomData,
        }
    }

    /// One call.
    pub fn guard(&self, key: &K, value: u64) -> u64 {
        let key = key.clone();
        let hash = self.hasher.hash_one(&key);
        let entry = {
            let mut table = self.table.lock();
            assert!(
                table
                    .find(hash, |(h, there)| *h == hash && there.key == key)
                    .is_none()
            );
            let entry = Arc::new(Entry {
                key,
                value: AtomicU64::new(0),
                done: AtomicBool::new(false),
            });
            table.insert_unique(hash, (hash, entry.clone()), |(h, _)| *h);
            entry
        };
        entry.value.store(value, Ordering::Relaxed);
        entry.done.store(true, Ordering::Release);
        let mut table = self.table.lock();
        let found = table.find_entry(hash, |(_, there)| Arc::ptr_eq(there, &entry));
        let Ok(found) = found else {
            unreachable!("put there above")
        };
        let removed = found.remove().0;
        drop(table);
        drop(removed);
        entry.value.load(Ordering::Relaxed)
    }
}

impl<K: Hash + Eq + Clone> Default for Floor<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// Each of them that waits.
pub fn each(visitor: &mut impl Visitor<u64, u64>) {
    let limit = |name| Who {
        name,
        kind: Kind::Limit,
    };
    visitor.visit::<Row<EventStack>>(limit("Event on the stack"));
    visitor.visit::<Row<EventBoxed>>(limit("Event boxed"));
    visitor.visit::<Row<Notified>>(limit("Notify"));
    visitor.visit::<Row<Wakers>>(limit(WAKERS));
}

/// The limit that ratios refer to, where nobody is alone.
pub const WAKERS: &str = "Vec<Waker>";
/// The limit that ratios refer to, for a call that is alone.
pub const FLOOR: &str = "floor";
