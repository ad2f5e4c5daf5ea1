//! What is read from outside: memory, and the settings of a run.

use std::{env, fs};

/// The setting, or what stands for it.
pub fn or(name: &str, default: usize) -> usize {
    let given = env::var(name).ok();
    given.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
    })
}

/// Resident memory, in KiB; zero where the system does not tell.
#[derive(Clone, Copy, Debug)]
pub struct Rss(i64);

impl Rss {
    /// As it is now.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Self(figure.unwrap_or(0))
    }

    /// How much it has grown.
    pub fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}
