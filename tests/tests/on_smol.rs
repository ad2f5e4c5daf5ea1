//! Every case on the executors of smol, and on async-std, which is built like them: `smol_global::a_waiter_may_be_dropped_at_any_point`,
//! and so on. Those of tokio are a program of their own, since one of all of them compiles on one core only.

#[macro_use]
mod list;

use oneflight_conformance::executors::{AsyncStd, SmolGlobal, SmolLocal};
use oneflight_conformance::{cases, conform};

on!(smol_global, SmolGlobal,);
on!(smol_local, SmolLocal, and_not_send);
on!(async_std, AsyncStd,);
