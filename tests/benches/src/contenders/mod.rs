//! Everything that is measured, behind one trait, one file each.

use std::fmt::Debug;
use std::future::Future;
use std::hash::{BuildHasher, Hash};

mod async_once;
mod async_singleflight;
mod asyncband;
mod broadcast;
mod dash;
mod foyer;
pub mod limits;
mod moka;
mod oneflight;
mod quick_cache;
mod rs_singleflight;
mod shared;
mod singleflight_async;
mod watch;

/// What a flight is found by.
pub trait Key: Hash + Eq + Clone + Debug + Send + Sync + Unpin + 'static {
    /// The one with this number.
    fn nth(number: u64) -> Self;
    /// Its number, for the limits that have a row of slots where others have a table.
    fn number(&self) -> u64;
}

impl Key for u64 {
    fn nth(number: u64) -> Self {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

impl Key for String {
    /// As long as a UUID in text.
    fn nth(number: u64) -> Self {
        format!("{number:036}")
    }

    fn number(&self) -> u64 {
        self.parse().expect("made of a number")
    }
}

/// What a flight ends with. `Clone`, since most peers demand it.
pub trait Value: Clone + Debug + PartialEq + Send + Sync + Unpin + 'static {}
impl<V: Clone + Debug + PartialEq + Send + Sync + Unpin + 'static> Value for V {}

/// A hasher, in the contenders that take one.
pub trait Hasher: BuildHasher + Default + Clone + Send + Sync + 'static {}
impl<S: BuildHasher + Default + Clone + Send + Sync + 'static> Hasher for S {}

/// One way to have an operation run once for all its callers.
pub trait Contender<K: Key, V: Value>: Send + Sync + 'static {
    /// How a caller holds the outcome: by reference where the contender can, else as a copy.
    type Out: Send;

    /// Whether it polls an operation only when that has asked for it.
    const WAKING: bool = false;

    /// Whether it runs operations as tasks of tokio, and so can not be polled by hand.
    const SPAWNS: bool = false;

    /// Empty.
    fn new() -> Self;

    /// The value in it.
    fn value(out: &Self::Out) -> &V;

    /// A call with nobody else about, whose operation is ready at once: begun, settled, gone.
    fn solo(&self, key: &K, value: V) -> V;

    /// A call: the first one for a key runs `op`, the others get its outcome.
    fn call<'a, F>(&'a self, key: K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static;

    /// A call of which it is known that it is not the first. The key is looked up here or at the first poll, as the contender
    /// has it.
    fn join<'a>(&'a self, key: K) -> impl Future<Output = Self::Out> + Send + 'a;
}

/// What a contender is to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one that is compared.
    Ours,
    /// Another way to use it, for information.
    Variant,
    /// What a user could take instead, as it is shipped.
    Peer,
    /// The same with foldhash.
    Tuned,
    /// Something that does less, to show how far it is to the ground.
    Limit,
}

/// How the names of those with foldhash end.
pub const TUNED: &str = " tuned";

/// Name and kind.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// As in the tables.
    pub name: &'static str,
    /// What it is to the comparison.
    pub kind: Kind,
}

/// Does something with each contender's type.
pub trait Visitor<K: Key, V: Value> {
    /// Called once for each.
    fn visit<C: Contender<K, V>>(&mut self, who: Who);
}

/// oneflight and its peers, as shipped and with foldhash where they take a hasher.
pub fn each<K: Key, V: Value>(visitor: &mut impl Visitor<K, V>) {
    use std::hash::RandomState as Sip;

    use foldhash::fast::RandomState as Fold;

    fn who(name: &'static str, kind: Kind) -> Who {
        Who { name, kind }
    }
    let peer = |name: &'static str| {
        let tuned = name.ends_with(TUNED);
        who(name, if tuned { Kind::Tuned } else { Kind::Peer })
    };
    visitor.visit::<oneflight::Guard<K, V>>(who("oneflight", Kind::Ours));
    visitor.visit::<oneflight::Work<K, V>>(who("oneflight work", Kind::Variant));
    visitor.visit::<dash::Dash<K, V, Sip>>(peer("dash"));
    visitor.visit::<dash::Dash<K, V, Fold>>(peer("dash tuned"));
    visitor.visit::<shared::SharedMap<K, V, Sip>>(peer("Shared"));
    visitor.visit::<shared::SharedMap<K, V, Fold>>(peer("Shared tuned"));
    visitor.visit::<broadcast::Broadcast<K, V, Sip>>(peer("broadcast"));
    visitor.visit::<broadcast::Broadcast<K, V, Fold>>(peer("broadcast tuned"));
    visitor.visit::<watch::Watch<K, V, Sip>>(peer("watch"));
    visitor.visit::<watch::Watch<K, V, Fold>>(peer("watch tuned"));
    visitor.visit::<async_once::AsyncOnce<K, V, Sip>>(peer("async-lock"));
    visitor.visit::<async_once::AsyncOnce<K, V, Fold>>(peer("async-lock tuned"));
    visitor
        .visit::<quick_cache::Quick<K, V, ::quick_cache::DefaultHashBuilder>>(peer("quick_cache"));
    visitor.visit::<quick_cache::Quick<K, V, Fold>>(peer("quick_cache tuned"));
    visitor.visit::<moka::Moka<K, V, Sip>>(peer("moka"));
    visitor.visit::<moka::Moka<K, V, Fold>>(peer("moka tuned"));
    visitor.visit::<singleflight_async::Singleflight<K, V>>(peer("singleflight-async"));
    visitor.visit::<async_singleflight::Singleflight<K, V, Sip>>(peer("async_singleflight"));
    visitor.visit::<async_singleflight::Singleflight<K, V, Fold>>(peer("async_singleflight tuned"));
    visitor.visit::<rs_singleflight::Singleflight<K, V>>(peer("rs-singleflight"));
    visitor.visit::<asyncband::Band<K, V, Sip>>(peer("asyncband"));
    visitor.visit::<asyncband::Band<K, V, Fold>>(peer("asyncband tuned"));
}

/// Those that run operations as tasks of tokio.
pub fn each_that_spawns<K: Key, V: Value>(visitor: &mut impl Visitor<K, V>) {
    use std::hash::RandomState as Sip;

    use ::foldhash::fast::RandomState as Fold;

    let name = "foyer";
    let kind = Kind::Peer;
    visitor.visit::<foyer::Foyer<K, V, Sip>>(Who { name, kind });
    let name = "foyer tuned";
    let kind = Kind::Tuned;
    visitor.visit::<foyer::Foyer<K, V, Fold>>(Who { name, kind });
}
