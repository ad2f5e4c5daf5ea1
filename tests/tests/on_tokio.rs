//! Every case on the executors of tokio: `tokio_multi::a_waiter_may_be_dropped_at_any_point`, and so on. Those of smol and
//! async-std are a program of their own, since one of all of them compiles on one core only.

#[macro_use]
mod list;

use oneflight_conformance::executors::{TokioCurrent, TokioLocal, TokioMulti};
use oneflight_conformance::{cases, conform};

on!(tokio_multi, TokioMulti,);
on!(tokio_current, TokioCurrent,);
on!(tokio_local, TokioLocal, and_not_send);
