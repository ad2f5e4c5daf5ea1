//! Everything that is measured, behind one trait, one file each.

use std::fmt::Debug;
use std::future::Future;
use std::hash::{BuildHasher, Hash};

mod async_once;
mod async_singleflight;
mod asyncband;
pub mod broadcast;
mod dash;
mod foyer;
pub mod limits;
mod moka;
pub mod oneflight;
pub mod quick_cache;
mod rs_singleflight;
mod shared;
mod singleflight_async;
pub mod watch;

use ::quick_cache::DefaultHashBuilder as Own;

use crate::op::Op;

/// What a flight is found by.
pub trait Key: Hash + Eq + Clone + Debug + Send + Sync + Unpin + 'static {
    /// The one with this number.
    fn nth(number: u64) -> Self;
}

impl Key for u64 {
    fn nth(number: u64) -> Self {
        number
    }
}

impl Key for String {
    /// As long as a UUID in text.
    fn nth(number: u64) -> Self {
        format!("{number:036}")
    }
}

/// What a flight ends with. `Clone`, since most peers demand it.
pub trait Value: Clone + Debug + PartialEq + Send + Sync + Unpin + 'static {}
impl<V: Clone + Debug + PartialEq + Send + Sync + Unpin + 'static> Value for V {}

/// A hasher, in the contenders that take one.
pub trait Hasher: BuildHasher + Default + Clone + Send + Sync + 'static {}
impl<S: BuildHasher + Default + Clone + Send + Sync + 'static> Hasher for S {}

/// One way to have an operation run once for all its callers. A key is borrowed for a call, and cloned as often as a user of the
/// contender has to.
pub trait Contender<K: Key, V: Value>: Send + Sync + 'static {
    /// How a caller holds the outcome: by reference where the contender can, else as a copy.
    type Out: Send;

    /// Empty.
    fn new() -> Self;

    /// The value in it.
    fn value(out: &Self::Out) -> &V;

    /// A call: the first one for a key runs `op`, the others get its outcome.
    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static;

    /// A call of which it is known that it is not the first, as a guard knows. The key is looked up here or at the first poll,
    /// as the contender has it.
    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Out> + Send + 'a {
        self.call(key, std::future::pending())
    }
}

/// A contender whose duplicates make whole calls, as users of a closure do: they can not know that they are not the first.
pub struct Whole<C>(C);

impl<K: Key, V: Value, C: Contender<K, V>> Contender<K, V> for Whole<C> {
    type Out = C::Out;

    fn new() -> Self {
        Self(C::new())
    }

    fn value(out: &Self::Out) -> &V {
        C::value(out)
    }

    fn call<'a, F>(&'a self, key: &'a K, op: F) -> impl Future<Output = Self::Out> + Send + 'a
    where
        F: Future<Output = V> + Send + 'static,
    {
        self.0.call(key, op)
    }

    fn join<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Out> + Send + 'a {
        self.0.call(key, Op::never())
    }
}

/// What a contender is to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one that is compared.
    Ours,
    /// Another way to use it, for information.
    Variant,
    /// A crate that a user could take instead, as it is shipped.
    Crate,
    /// What a user could write instead, of parts as they are shipped.
    Hand,
    /// One of both with foldhash.
    Tuned,
    /// Something that does less, to show how far it is to the ground.
    Limit,
}

/// What can be had as it is shipped.
pub const SHIPPED: &[Kind] = &[Kind::Crate, Kind::Hand];

/// Name and kind.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// As in the tables.
    pub name: &'static str,
    /// What it is to the comparison.
    pub kind: Kind,
}

/// One of a kind.
#[must_use]
pub const fn who(name: &'static str, kind: Kind) -> Who {
    Who { name, kind }
}

/// Does something with each contender's type.
pub trait Visitor<K: Key, V: Value> {
    /// Called once for each.
    fn visit<C: Contender<K, V>>(&mut self, who: Who);
}

/// The guard and `work`, and their peers, as shipped and with foldhash where they take a hasher. Duplicates begin as those of a
/// guard do.
pub fn each<K: Key, V: Value>(visitor: &mut impl Visitor<K, V>) {
    visitor.visit::<oneflight::Guard<K, V>>(who(GUARD, Kind::Ours));
    visitor.visit::<oneflight::Work<K, V>>(who(WORK, Kind::Variant));
    peers(visitor);
}

/// The closure calls: `work`, and its peers by whole calls.
pub fn each_closure<K: Key, V: Value>(visitor: &mut impl Visitor<K, V>) {
    struct Wholly<'v, W>(&'v mut W);

    impl<K: Key, V: Value, W: Visitor<K, V>> Visitor<K, V> for Wholly<'_, W> {
        fn visit<C: Contender<K, V>>(&mut self, who: Who) {
            self.0.visit::<Whole<C>>(who);
        }
    }

    let visitor = &mut Wholly(visitor);
    visitor.visit::<oneflight::Work<K, V>>(who(WORK, Kind::Ours));
    peers(visitor);
}

/// The other closures of ours.
pub fn each_variant<K: Key, V: Value>(visitor: &mut impl Visitor<K, V>) {
    visitor.visit::<oneflight::TryWork<K, V>>(who("try_work", Kind::Variant));
    visitor.visit::<oneflight::Run<K, V>>(who("begin + run", Kind::Variant));
    visitor.visit::<oneflight::Guard<K, V>>(who("guard in async", Kind::Variant));
}

fn peers<K: Key, V: Value>(visitor: &mut impl Visitor<K, V>) {
    use std::hash::RandomState as Sip;

    use Kind::{Crate, Hand, Tuned};
    use foldhash::fast::RandomState as Fold;

    visitor.visit::<dash::Dash<K, V, Sip>>(who("dash", Hand));
    visitor.visit::<dash::Dash<K, V, Fold>>(who("dash tuned", Tuned));
    visitor.visit::<shared::SharedMap<K, V, Sip>>(who("Shared", Hand));
    visitor.visit::<shared::SharedMap<K, V, Fold>>(who("Shared tuned", Tuned));
    visitor.visit::<broadcast::Broadcast<K, V, Sip>>(who("broadcast", Hand));
    visitor.visit::<broadcast::Broadcast<K, V, Fold>>(who("broadcast tuned", Tuned));
    visitor.visit::<watch::Watch<K, V, Sip>>(who("watch", Hand));
    visitor.visit::<watch::Watch<K, V, Fold>>(who("watch tuned", Tuned));
    visitor.visit::<async_once::AsyncOnce<K, V, Sip>>(who("async-lock", Hand));
    visitor.visit::<async_once::AsyncOnce<K, V, Fold>>(who("async-lock tuned", Tuned));
    visitor.visit::<quick_cache::Quick<K, V, Own>>(who("quick_cache", Crate));
    visitor.visit::<quick_cache::Quick<K, V, Fold>>(who("quick_cache tuned", Tuned));
    visitor.visit::<moka::Moka<K, V, Sip>>(who("moka", Crate));
    visitor.visit::<moka::Moka<K, V, Fold>>(who("moka tuned", Tuned));
    visitor.visit::<singleflight_async::Singleflight<K, V>>(who("singleflight-async", Crate));
    visitor.visit::<async_singleflight::Singleflight<K, V, Sip>>(who("async_singleflight", Crate));
    let tuned = who("async_singleflight tuned", Tuned);
    visitor.visit::<async_singleflight::Singleflight<K, V, Fold>>(tuned);
    visitor.visit::<rs_singleflight::Singleflight<K, V>>(who("rs-singleflight", Crate));
    visitor.visit::<asyncband::Band<K, V, Sip>>(who("asyncband", Crate));
    visitor.visit::<asyncband::Band<K, V, Fold>>(who("asyncband tuned", Tuned));
}

/// Those that run operations as tasks of tokio.
pub fn each_that_spawns<K: Key, V: Value>(visitor: &mut impl Visitor<K, V>) {
    use ::foldhash::fast::RandomState as Fold;

    visitor.visit::<foyer::Foyer<K, V, ::foyer::DefaultHasher>>(who("foyer", Kind::Crate));
    visitor.visit::<foyer::Foyer<K, V, Fold>>(who("foyer tuned", Kind::Tuned));
}

/// The guard of ours, where it is judged.
pub const GUARD: &str = "oneflight";
/// The closure of ours, where it is judged.
pub const WORK: &str = "work";
