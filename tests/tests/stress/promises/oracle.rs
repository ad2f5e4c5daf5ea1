//! What a random run is held to: every flight has one outcome, whoever sees it, and nothing is
//! kept.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use oneflight::error::Cause;
use oneflight::{Error, FlightId, Settled};
use oneflight_conformance::quiet_panic;

/// What is alive, and what every flight came to.
#[derive(Default)]
pub(crate) struct Oracle {
    alive: AtomicIsize,
    next: AtomicU64,
    /// By registry and flight.
    outcomes: Mutex<HashMap<(bool, FlightId), Outcome>>,
    pub(crate) rejected: AtomicU64,
    /// Wakers that operations have left to be woken from outside.
    pub(crate) bells: Mutex<Vec<Waker>>,
    /// Handles that an operation drops while it is polled, their own ones too.
    pub(crate) attic: Mutex<Vec<Box<dyn Any + Send>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Settled(u64),
    Aborted(Cause),
}

impl Oracle {
    /// Somebody saw this outcome of a flight of the group, or of the gate.
    pub(crate) fn saw<K>(
        &self,
        gate: bool,
        id: FlightId,
        outcome: &Result<Settled<K, Value>, Error>,
    ) {
        let seen = match outcome {
            Ok(settled) => {
                assert_eq!(settled.flight_id(), id);
                Outcome::Settled(settled.tag)
            }
            Err(Error::Aborted(aborted)) => Outcome::Aborted(aborted.cause()),
            Err(other) => panic!("{other}"),
        };
        match self.outcomes.lock().expect("no panic").entry((gate, id)) {
            Entry::Vacant(entry) => drop(entry.insert(seen)),
            Entry::Occupied(entry) => assert_eq!(*entry.get(), seen, "{id:?} has two outcomes"),
        }
    }

    pub(crate) fn rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn alive(&self) -> isize {
        self.alive.load(Ordering::SeqCst)
    }

    /// Wakes what operations wait for. Returns whether there was any.
    pub(crate) fn ring(&self, most: usize) -> bool {
        for rung in 0..most {
            let bell = self.bells.lock().expect("no panic").pop();
            match bell {
                Some(bell) => bell.wake(),
                None => return rung > 0,
            }
        }
        true
    }
}

/// Counted while it is alive.
struct Life(Arc<Oracle>);

impl Life {
    fn new(oracle: &Arc<Oracle>) -> Self {
        oracle.alive.fetch_add(1, Ordering::SeqCst);
        Self(oracle.clone())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) struct Key {
    number: u32,
    life: Life,
}

impl Key {
    pub(crate) fn new(oracle: &Arc<Oracle>, number: u32) -> Self {
        let life = Life::new(oracle);
        Self { number, life }
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        Self::new(&self.life.0, self.number)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Some collide.
        (self.number / 2).hash(state);
    }
}

/// No two have the same tag.
pub(crate) struct Value {
    tag: u64,
    _life: Life,
}

impl Value {
    pub(crate) fn new(oracle: &Arc<Oracle>) -> Self {
        let tag = oracle.next.fetch_add(1, Ordering::Relaxed);
        let _life = Life::new(oracle);
        Self { tag, _life }
    }
}

/// What an operation does in each poll, and at the end.
pub(crate) struct Operation {
    rng: fastrand::Rng,
    busy: AtomicBool,
    life: Life,
}

impl Operation {
    pub(crate) fn new(oracle: &Arc<Oracle>, seed: u64) -> Self {
        let life = Life::new(oracle);
        let rng = fastrand::Rng::with_seed(seed);
        let busy = AtomicBool::new(false);
        Self { rng, busy, life }
    }
}

impl Future for Operation {
    type Output = Value;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Value> {
        let busy = self.busy.swap(true, Ordering::SeqCst);
        assert!(!busy, "polled by two at once");
        if self.rng.u32(0..8) == 0 {
            let dropped = self.life.0.attic.lock().expect("no panic").pop();
            drop(dropped);
        }
        match self.rng.u32(0..32) {
            0 => quiet_panic(),
            1..12 => return Poll::Ready(Value::new(&self.life.0)),
            12..20 => cx.waker().wake_by_ref(),
            _ => {
                let bell = cx.waker().clone();
                self.life.0.bells.lock().expect("no panic").push(bell);
            }
        }
        self.busy.store(false, Ordering::SeqCst);
        Poll::Pending
    }
}

/// Of a `try_work`: some of its values are errors.
pub(crate) struct Fallible(pub(crate) Operation);

/// Why a `try_work` has no value.
pub(crate) enum Failure {
    Own,
    Ours(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Future for Fallible {
    type Output = Result<Value, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.0).poll(cx);
        polled.map(|value| {
            if value.tag % 3 == 0 {
                Err(Failure::Own)
            } else {
                Ok(value)
            }
        })
    }
}

/// Whether a future that waits was woken since it was polled.
#[derive(Default)]
pub(crate) struct Bell(AtomicBool);

impl Bell {
    pub(crate) fn new() -> Arc<Self> {
        // A new one wants to be polled.
        Arc::new(Self(AtomicBool::new(true)))
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// True once after each wake.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
