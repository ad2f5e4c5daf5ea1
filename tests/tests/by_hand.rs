//! Every case on the executor that is none: `hand::a_waiter_may_be_dropped_at_any_point`, and so on.
//!
//! Apart from the other executors, since it compiles in a fraction of their time: whoever builds the core again and
//! again (the planted faults, the mutants) runs this.

#[macro_use]
mod list;

use oneflight_conformance::executors::Hand;
use oneflight_conformance::{cases, conform};

on!(hand, Hand, and_not_send);
