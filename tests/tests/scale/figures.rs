//! What is read from outside: memory, and the settings of a run.

use std::{env, fs};

/// The setting, or what stands for it.
pub(crate) fn or(name: &str, default: usize) -> usize {
    let given = env::var(name).ok();
    given.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
    })
}

/// The seed of a run: given, to run one again, or new.
pub(crate) fn seed() -> u64 {
    match or("ONEFLIGHT_STRESS_SEED", 0) {
        0 => fastrand::u64(1..u64::MAX / 2),
        given => given as u64,
    }
}

/// Resident memory, in KiB; zero where the system does not tell.
#[derive(Clone, Copy)]
pub(crate) struct Rss(i64);

impl Rss {
    pub(crate) fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Self(figure.unwrap_or(0))
    }

    pub(crate) fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}
