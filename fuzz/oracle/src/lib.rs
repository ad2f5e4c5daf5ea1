//! What oneflight promises, as oracles that can be read.
//!
//! Each target reads bytes as a schedule, makes every step on the real thing and in an oracle, and compares all that can
//! be seen after each: who became primary, who was woken and who was not, every outcome, what is alive, every figure. A
//! fuzzer writes the bytes (`fuzz_targets`), and so does a test with fixed seeds.
//!
//! | target | what it drives | its oracle |
//! |---|---|---|
//! | `cell_ops` | the cell on its own | one optional number |
//! | `group_ops` | the registry with its limits, colliding hashes, fingerprints, stopping | `book` |
//! | `settle_cancel` | one flight: who is polled, dropped, woken, given another waker; who settles, aborts, panics | `book` |
//! | `work_ops` | operations that callers share, in both policies | `book` and `desk` |
//! | `spawn_ops` | operations on a runtime of the schedule's: to their end, and while they are wanted | `book` |
//! | `gate_ops` | one at a time | `gate_book` |
//! | `retain_ops` | the replay window on a hand clock | `book` |

#![forbid(unsafe_code)]

mod book;
mod calls;
mod check;
mod desk;
mod gate_book;
mod gate_ops;
mod ledger;
mod panics;
mod tally;
mod wakers;
mod world;

mod cell_ops;
mod group_ops;
mod inside;
mod keys;
mod operation;
mod retain_ops;
mod settle_cancel;
mod spawn_ops;
mod work_ops;

pub use cell_ops::run as cell_ops;
pub use gate_ops::run as gate_ops;
pub use group_ops::run as group_ops;
pub use retain_ops::run as retain_ops;
pub use settle_cancel::run as settle_cancel;
pub use spawn_ops::run as spawn_ops;
pub use work_ops::run as work_ops;

use arbitrary::{Arbitrary, Unstructured};

/// Runs bytes as a schedule; panics where the real thing and the oracle disagree.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 7] = [
    ("cell_ops", cell_ops),
    ("group_ops", group_ops),
    ("settle_cancel", settle_cancel),
    ("work_ops", work_ops),
    ("spawn_ops", spawn_ops),
    ("gate_ops", gate_ops),
    ("retain_ops", retain_ops),
];

/// More steps of one schedule than this are not made.
const MOST_STEPS: usize = 300;

/// Reads a setup and then steps, until the bytes are used up.
fn parse<'a, S: Arbitrary<'a>, O: Arbitrary<'a>>(bytes: &'a [u8]) -> (S, Vec<O>) {
    let mut bytes = Unstructured::new(bytes);
    let Ok(setup) = S::arbitrary(&mut bytes) else {
        unreachable!("plain data is made of any bytes")
    };
    let mut steps = Vec::new();
    while !bytes.is_empty() && steps.len() < MOST_STEPS {
        let Ok(step) = O::arbitrary(&mut bytes) else {
            break;
        };
        steps.push(step);
    }
    (setup, steps)
}

/// The target of `fuzz/README.md` is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
