//! Random calls from many threads, in rounds; each of a seed of its own. The arguments come from
//! the environment:
//!
//! - `ONEFLIGHT_STRESS_SECONDS`: how long each test goes on. Without it, a second, and `promises`
//!   three.
//! - `ONEFLIGHT_STRESS_SEED`: where the seeds begin. A round that fails says its own.
//!
//! | module | what must hold |
//! |---|---|
//! | `counts` | what the callers have counted themselves is what the group says, to the last figure |
//! | `promises` | with every rule, stop and gate: each flight has one outcome, each wake arrives, nothing is kept |
//! | `reruns` | a lost driver is run again by exactly one of those who race for it |

mod counts;
mod promises;
mod reruns;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use oneflight_conformance::figures::or;
use oneflight_conformance::watched;

use counts::{Ask, Setting};

/// Runs rounds for as long as is asked for, and at least one.
fn rounds(name: &str, seconds: usize, round: impl Fn(u64) + Clone + Send + 'static) {
    let time = Duration::from_secs(or("ONEFLIGHT_STRESS_SECONDS", seconds) as u64);
    let first = or("ONEFLIGHT_STRESS_SEED", 1) as u64;
    let began = Instant::now();
    let mut seed = first;
    while seed == first || began.elapsed() < time {
        let round = round.clone();
        let round = move || {
            let played = catch_unwind(std::panic::AssertUnwindSafe(|| round(seed)));
            played.unwrap_or_else(|_| panic!("ONEFLIGHT_STRESS_SEED={seed} failed"));
        };
        watched(&format!("{name}, ONEFLIGHT_STRESS_SEED={seed}"), round);
        seed += 1;
    }
    println!(
        "stress: {name}: {} rounds in {:.0?}",
        seed - first,
        began.elapsed()
    );
}

fn counts_add_up(threads: usize, calls: usize, asks: &'static [Ask]) {
    let setting = Setting {
        threads,
        calls,
        asks,
    };
    rounds(&format!("{threads} threads, {asks:?}"), 1, move |seed| {
        setting.play(seed)
    });
}

#[test]
fn begun_and_joined_flights_add_up() {
    counts_add_up(4, 100_000, &[Ask::Begin]);
}

#[test]
fn an_operation_of_work_is_made_once_and_polled_by_one_at_a_time() {
    counts_add_up(4, 100_000, &[Ask::Work, Ask::Work, Ask::Work, Ask::Begin]);
}

#[test]
fn an_operation_of_try_work_is_made_once_for_each_end() {
    counts_add_up(
        4,
        100_000,
        &[Ask::TryWork, Ask::TryWork, Ask::TryWork, Ask::Begin],
    );
}

#[test]
fn calls_of_every_kind_add_up_exactly_on_one_thread() {
    counts_add_up(1, 100_000, Ask::ALL);
}

#[test]
fn calls_of_every_kind_add_up_on_four_threads() {
    counts_add_up(4, 100_000, Ask::ALL);
}

#[test]
fn random_calls_from_many_threads_keep_every_promise() {
    promises::measured(|| rounds("promises", 3, promises::play));
}

#[test]
fn heirs_that_race_for_a_lost_flight_run_it_once() {
    rounds("reruns", 1, |_| reruns::race());
}
