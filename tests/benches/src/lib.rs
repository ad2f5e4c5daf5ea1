//! oneflight beside its peers and its limits, measured in one run.

#![allow(
    missing_docs,
    reason = "nothing here is for others; what is not obvious is said"
)]

pub mod contenders;
pub mod counted;
pub mod meter;
pub mod op;
pub mod poll;
pub mod rounds;
pub mod row;
pub mod table;
pub mod verify;
pub mod workloads;

/// What is written from the rows: the verdicts, `BENCHMARKS.md` and the plots.
pub mod report {
    mod figures;
    mod goals;
    mod markdown;
    mod plots;

    pub use figures::Figures;
    pub use goals::{Goal, all as goals};
    pub use markdown::render;
    pub use plots::draw;
}
