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
