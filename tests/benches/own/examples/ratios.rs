//! What a join and a cycle by `work` take over the guard's, in time. A store that waits for two others shows in no count of
//! instructions: `bash .ci/deep` prints these. `cargo run --profile bench --example ratios`, with this crate's manifest.

use std::time::{Duration, Instant};

use oneflight_own_benches as own;

const ROUNDS: usize = 2_000;

/// How long a piece of work takes, of what was set up for it.
fn timed<I, O>(input: I, piece: impl FnOnce(I) -> O) -> Duration {
    let begun = Instant::now();
    let output = piece(input);
    let took = begun.elapsed();
    drop(output);
    took
}

/// The medians of two pieces of work, of `each` calls. They take turns, so that what disturbs one disturbs both.
fn compare(
    name: &str,
    each: f64,
    mut guard: impl FnMut() -> Duration,
    mut work: impl FnMut() -> Duration,
) {
    let (mut guards, mut works): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| (guard(), work())).unzip();
    let ns = [&mut guards, &mut works].map(|times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_nanos() as f64 / each
    });
    let [guard, work] = ns;
    println!(
        "ratios: {name}: {work:.1} ns by `work`, {guard:.1} ns by the guard: {:.2}",
        work / guard
    );
}

fn main() {
    let group = own::warm();
    compare(
        "join",
        own::WAITERS as f64,
        || timed(own::begun(), own::joined),
        || timed(own::work_begun(), own::work_joined),
    );
    compare(
        "cycle",
        own::CALLS as f64,
        || timed(&group, own::cycle),
        || timed(&group, own::work_cycle),
    );
}
