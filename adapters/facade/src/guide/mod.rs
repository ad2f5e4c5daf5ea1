//! The guide: one page for each question.
//!
//! | page | it answers |
//! |---|---|
//! | [`which_call`] | what happens to the operation if its caller goes away? |
//! | [`payments`] | how do I put it in front of a payment, over HTTP? |
//! | [`agents`] | how do I let one request in at a time, for each session? |
//! | [`caches`] | how do I load a cache entry only once? |
//! | [`production`] | which limits and alerts do I need, and what do I do after an error? |
//! | [`stopping`] | how do I stop a service? |
//! | [`paused_time`] | how do I test it? |
//! | [`habits`] | what else helps, and what surprises? |
//! | [`callers_context`] | where does my operation run? |
//! | [`self_waits`] | how can a call wait for itself? |
//! | [`migrating`] | how do I move here from another crate? |

#[doc = include_str!("which_call.md")]
pub mod which_call {}

#[doc = include_str!("payments.md")]
pub mod payments {}

#[doc = include_str!("agents.md")]
pub mod agents {}

#[doc = include_str!("caches.md")]
pub mod caches {}

#[doc = include_str!("production.md")]
pub mod production {}

#[doc = include_str!("stopping.md")]
pub mod stopping {}

#[doc = include_str!("paused_time.md")]
pub mod paused_time {}

#[doc = include_str!("habits.md")]
pub mod habits {}

#[doc = include_str!("callers_context.md")]
pub mod callers_context {}

#[doc = include_str!("self_waits.md")]
pub mod self_waits {}

#[doc = include_str!("migrating.md")]
pub mod migrating {}
