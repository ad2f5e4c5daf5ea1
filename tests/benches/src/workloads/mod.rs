//! What is measured, one file each.

mod amplify;
mod cancel;
mod executors;
mod fan;
mod flight;
mod join;
mod keys;
mod settle_call;
mod settle_resume;
mod solo;
mod threads;
mod value;

use crate::rounds::Group;

/// What every operation gives, where its size does not matter.
pub const VALUE: u64 = 1_999;

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
    ("solo", solo::groups),
    ("join", join::groups),
    ("settle_resume", settle_resume::groups),
    ("fan", fan::groups),
    ("settle_call", settle_call::groups),
    ("amplify", amplify::groups),
    ("cancel", cancel::groups),
    ("keys", keys::groups),
    ("threads", threads::groups),
    ("value", value::groups),
];

/// Who is not everywhere, and why: said in every run, never left out in silence.
pub const NOTES: &[&str] = &[
    "foyer: in solo and on tokio alone, since it runs every operation as a task of tokio; its solo has that task in it",
    "quick_cache: not in cancel above 10,000, where each drop walks all waiters",
    "moka: not in keys above 100,000 (kilobytes a key); moka, watch and the single-flight crates not in fan above 100,000",
    "moka: not in fan on tokio-2, where a waiter that looks again during the removal takes the operation for itself",
    "limits: not in keys, threads/hot and value, since they have no keys and no values",
    "async-lock, tokio Notify, Event: no hasher, no registry of their own; the table around them is by hand",
    "singleflight-async and rs-singleflight: take no hasher, so they have no tuned row",
];
