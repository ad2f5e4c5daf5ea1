//! A program of threads, without an executor. Eight threads want the same file parsed. One parses it, and seven park.
//!
//! ```text
//! cargo run --release --example blocking
//! ```

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use oneflight::{Error, Group};

static PARSED: AtomicUsize = AtomicUsize::new(0);

fn parse(file: &str) -> usize {
    PARSED.fetch_add(1, Ordering::Relaxed);
    thread::sleep(Duration::from_millis(200)); // It is a large file.
    file.len()
}

fn main() {
    let group: Group<&str, usize> = Group::new();
    let start = Instant::now();
    println!("eight threads want one file:");
    thread::scope(|scope| {
        for number in 0..8 {
            let group = &group;
            scope.spawn(move || {
                let length = group.work_blocking("config.toml", || parse("config.toml"));
                let length = length.expect("it does not panic");
                println!("  thread {number}: {} after {:?}", *length, start.elapsed());
            });
        }
    });
    println!("  parsed {} time", PARSED.load(Ordering::Relaxed));
    assert_eq!(PARSED.load(Ordering::Relaxed), 1);

    println!("a call that asks for its own key would wait for itself. It is told:");
    let outcome = group.work_blocking("a", || match group.work_blocking("a", || 1) {
        Err(why @ Error::Rejected(_)) => {
            println!("  {why}");
            7
        }
        _ => unreachable!("the same thread runs both"),
    });
    assert_eq!(*outcome.expect("the outer call returns"), 7);
}
