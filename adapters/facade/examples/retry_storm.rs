//! Thousands of retries of one request while the first still runs: one execution, every retry gets
//! its outcome, and none holds a thread while it waits.
//!
//! ```text
//! cargo run --release --example retry_storm
//! cargo run --release --example retry_storm -- --help
//! ```
//!
//! This file holds every use of a [`Group`]. The library in `tests/storm` does the rest: it reads
//! the arguments, starts the executors, makes the requests, counts what happens and prints it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use oneflight::{Error, Group};
use oneflight_storm::{Policy, Replay, Storm, StormRow, TraceRow};

/// The token of the storm: all requests carry it, so all but the first are duplicates.
const TOKEN: &str = "charge:42";

fn main() -> ExitCode {
    oneflight_storm::main(storm, replay)
}

/// One slow blocking call, and thousands of duplicates of it while it runs.
///
/// `run` calls the closure for each request, in a task of its own, and awaits what it returns. The
/// first request makes the charge. The charge of a duplicate is dropped: its task waits for the
/// receipt of the first one, and no thread waits.
async fn storm(storm: Storm) -> StormRow {
    let group = Group::new();
    match storm.policy() {
        // The callers drive the operation. If the one that drives it leaves, another goes on.
        Policy::Continue => {
            let run = storm.run(group, |group, _, charge| {
                group.work(TOKEN, || charge.make_on_pool())
            });
            run.await
        }
        // The caller that runs the operation drives it alone. If it leaves, another begins its own.
        Policy::Rerun => {
            let run = storm.run(group, |group, _, charge| {
                group.try_work(TOKEN, || async {
                    Ok::<_, Error>(charge.make_on_pool().await)
                })
            });
            run.await
        }
        // The executor's blocking pool runs the call, and no caller can stop it by leaving. On one
        // executor alone, this is `group.spawn_blocking(TOKEN, || ..)` of its `GroupExt`.
        Policy::Detach => {
            let run = storm.run(group, |group, executor, charge| {
                group
                    .entry(TOKEN)
                    .spawn_blocking_on(executor, || charge.make())
            });
            run.await
        }
    }
}

/// Recorded requests with many tokens, in real time. The group keeps each outcome for a while if
/// `--retain` says so: a late duplicate gets it at once.
async fn replay(replay: Replay) -> TraceRow {
    let group = Group::builder().retain_for(replay.retain()).build();
    match replay.policy() {
        Policy::Continue => {
            let run = replay.run(group, |group, _, request| {
                group.work(request.token(), || request.execute())
            });
            run.await
        }
        Policy::Rerun => {
            let run = replay.run(group, |group, _, request| {
                group.try_work(request.token(), || async {
                    request.execute().await;
                    Ok::<_, Error>(())
                })
            });
            run.await
        }
        Policy::Detach => {
            let run = replay.run(group, |group, executor, request| {
                group
                    .entry(request.token())
                    .spawn_on(executor, || request.execute())
            });
            run.await
        }
    }
}
