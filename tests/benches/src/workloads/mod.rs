//! What is measured, one file each.

mod amplify;
mod cancel;
mod closure;
mod executors;
mod fan;
mod flight;
mod guard;
mod hold;
mod join;
mod keys;
mod settle_resume;
mod spawn;
mod tail;
mod threads;
mod value;

use crate::rounds::Group;

pub use spawn::RUNTIME;

/// What every operation gives, where its size does not matter.
pub const VALUE: u64 = 1_999;

/// What every flight is found by, where there is one.
pub static KEY: u64 = 7;

/// Calls in one run of a case that is about a call alone; each has a key of its own, from a set that stays in the cache.
pub const CALLS: u64 = 256;

/// How far the sizes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// What can be had in seconds.
    Quick,
    /// Everything.
    Full,
}

/// Builds a group when its turn has come: most of them hold memory.
pub type Make = Box<dyn FnOnce() -> Group>;

/// A workload: its name, and its groups.
pub type Workload = (&'static str, fn(Scale) -> Vec<Make>);

/// All of them.
pub const ALL: &[Workload] = &[
    ("closure", closure::groups),
    ("guard", guard::groups),
    ("spawn", spawn::groups),
    ("join", join::groups),
    ("settle_resume", settle_resume::groups),
    ("fan", fan::groups),
    ("hold", hold::groups),
    ("tail", tail::groups),
    ("amplify", amplify::groups),
    ("cancel", cancel::groups),
    ("keys", keys::groups),
    ("threads", threads::groups),
    ("value", value::groups),
];

/// Who is not everywhere, and why: said in every run, never left out in silence.
pub const NOTES: &[&str] = &[
    "foyer: in spawn and in fan on tokio alone, since it runs every operation as a task of tokio",
    "quick_cache: not in cancel above 10,000, where each drop walks all waiters",
    "moka: not in keys above 100,000 (kilobytes a key); moka, watch and the single-flight crates not in fan above 100,000",
    "hold and tail: oneflight, the best peer, the limit, and in hold a chain up to 100,000",
    "moka: not in fan on tokio-2, where a waiter that looks again during the removal takes the operation for itself",
    "limits: not in keys, threads/hot and value, since they have no keys and no values",
    "async-lock, tokio Notify, Event: no hasher, no registry of their own; the table around them is by hand",
    "singleflight-async and rs-singleflight: take no hasher, so they have no tuned row",
];
