//! What is written from the rows: the verdicts, `BENCHMARKS.md` and the plots.

mod figures;
mod goals;
mod markdown;
mod plots;

pub use figures::Figures;
pub use goals::{Goal, all as goals};
pub use markdown::render;
pub use plots::draw;
