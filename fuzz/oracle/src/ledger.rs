//! Counted keys, values and operations: which are alive, and that none is dropped twice.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All that were made of one kind.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Lives>);

#[derive(Default)]
struct Lives {
    made: u64,
    live: BTreeSet<u64>,
}

impl Ledger {
    fn lives(&self) -> MutexGuard<'_, Lives> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn life(self: &Arc<Self>) -> Life {
        let mut lives = self.lives();
        lives.made += 1;
        let serial = lives.made;
        lives.live.insert(serial);
        Life {
            serial,
            ledger: self.clone(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.lives().live.len()
    }

    pub(crate) fn lives_on(&self, serial: u64) -> bool {
        self.lives().live.contains(&serial)
    }
}

/// One that is alive until it is dropped. A clone is another one.
pub(crate) struct Life {
    pub(crate) serial: u64,
    ledger: Arc<Ledger>,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.serial)
    }
}

impl Clone for Life {
    fn clone(&self) -> Self {
        self.ledger.life()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let was_alive = self.ledger.lives().live.remove(&self.serial);
        assert!(was_alive, "dropped twice");
    }
}

/// A key: equal by its name, counted by its life.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) name: u8,
    _life: Life,
}

impl Key {
    pub(crate) fn new(name: u8, keys: &Arc<Ledger>) -> Self {
        Self {
            name,
            _life: keys.life(),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Borrow<u8> for Key {
    fn borrow(&self) -> &u8 {
        &self.name
    }
}

/// What the closure of `retain_by` says of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub(crate) enum Wish {
    Keep,
    KeepNot,
    KeepFor(u8),
    Panic,
}

/// A value: told apart by its serial number.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) life: Life,
    pub(crate) wish: Wish,
}

impl Value {
    pub(crate) fn new(wish: Wish, values: &Arc<Ledger>) -> Self {
        Self {
            life: values.life(),
            wish,
        }
    }
}

/// A hasher with few distinct values: names that are equal modulo `classes` share the whole hash.
#[derive(Clone, Copy)]
pub(crate) struct FewHashes {
    pub(crate) classes: u8,
}

impl BuildHasher for FewHashes {
    type Hasher = FewHasher;

    fn build_hasher(&self) -> FewHasher {
        FewHasher {
            classes: self.classes,
            hash: 0,
        }
    }
}

pub(crate) struct FewHasher {
    classes: u8,
    hash: u64,
}

impl Hasher for FewHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = u64::from(byte % self.classes).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        }
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}
