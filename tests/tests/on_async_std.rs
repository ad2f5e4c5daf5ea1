//! Every case on the executor of async-std: `async_std::a_waiter_may_be_dropped_at_any_point`, and so on. The cases on the executors
//! of each kind are a program of their own, since one of all of them compiles on one core only.

#[macro_use]
mod list;

use oneflight_conformance::executors::AsyncStd;
use oneflight_conformance::{cases, conform};

on!(async_std, AsyncStd,);
