//! Stopping a service: nothing new begins, what runs may finish, and what takes too long is stopped.
//!
//! ```text
//! cargo run --release --example shutdown
//! ```

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use oneflight::Group;
use oneflight::rt::tokio::GroupExt;

#[tokio::main]
async fn main() {
    let group: Group<&str, u64> = Group::new();
    let start = Instant::now();
    let say = |what: &str| println!("{:>4} ms  {what}", start.elapsed().as_millis());

    let quick = group.spawn("quick", || async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        7
    });
    let hangs = group.spawn("hangs", std::future::pending);
    say("two operations run; the service is told to stop");

    group.close();
    let late = group.spawn("new", || async { 8 }).await;
    say(&format!(
        "a new key: {}",
        late.expect_err("the group is closed")
    ));
    let joined = group.spawn("quick", || async { unreachable!("it runs already") });
    say("a retry of what runs still joins");

    let deadline = Duration::from_millis(500);
    if tokio::time::timeout(deadline, group.drained())
        .await
        .is_err()
    {
        say(&format!("the deadline; still in flight: {}", group.len()));
        group.abort_all();
        group.drained().await;
    }
    say(&format!(
        "drained; quick: {}, its retry: {}",
        *quick.await.expect("ran"),
        *joined.await.expect("ran")
    ));
    say(&format!(
        "hangs: {}",
        hangs.await.expect_err("it was stopped")
    ));
    assert_eq!(group.stats().in_flight, 0);
}
