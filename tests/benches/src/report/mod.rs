//! What is written from the rows: `BENCHMARKS.md` and the plots.

mod figures;
mod goals;
mod markdown;
mod plots;

pub use figures::Figures;
pub use markdown::render;
pub use plots::draw;
