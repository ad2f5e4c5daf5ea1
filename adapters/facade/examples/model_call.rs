//! A costly call of a model. Ten users ask the same thing, nine of them give up, and one call serves the tenth. When nobody waits any
//! more, the call is stopped and costs nothing further.
//!
//! ```text
//! cargo run --release --example model_call
//! ```

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oneflight::Group;
use oneflight::rt::tokio::GroupExt;

/// Tokens that were paid for.
static PAID: AtomicUsize = AtomicUsize::new(0);

/// The model: twenty tokens, one after the other. Each is paid for.
async fn model(prompt: &'static str) -> String {
    let mut answer = String::from(prompt);
    for word in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        PAID.fetch_add(1, Ordering::Relaxed);
        answer.push_str(if word == 19 { " 42" } else { " .." });
    }
    answer
}

#[tokio::main]
async fn main() {
    let answers: Group<&str, String> = Group::new();

    println!("ten users ask the same question; nine give up after 100 ms");
    let ask = || answers.spawn_while_wanted("6 * 7?", || model("6 * 7?"));
    let (mut impatient, patient) = ((0..9).map(|_| ask()).collect::<Vec<_>>(), ask());
    tokio::time::sleep(Duration::from_millis(100)).await;
    impatient.clear();
    println!(
        "  the tenth gets: {}",
        *patient.await.expect("nobody stops it")
    );
    println!(
        "  paid for {} tokens, not for 200",
        PAID.swap(0, Ordering::Relaxed)
    );

    println!("one user asks, and gives up after 100 ms");
    let call = answers.spawn_while_wanted("7 * 6?", || model("7 * 6?"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(call);
    assert!(answers.is_empty());
    answers.close();
    answers.drained().await;
    println!(
        "  paid for {} tokens, not for 20",
        PAID.load(Ordering::Relaxed)
    );
    assert!(PAID.load(Ordering::Relaxed) < 20);
}
