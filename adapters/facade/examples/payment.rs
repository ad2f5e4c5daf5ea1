//! A payment whose client hangs up half-way. The charge continues, the retry gets the receipt, and the same token with another
//! amount is rejected.
//!
//! ```text
//! cargo run --release --example payment
//! ```

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oneflight::rt::tokio::{EntryExt, HandleExt};
use oneflight::{Error, Fingerprint, Group};

type Outcome = Result<u64, String>;

/// How often the bank was called.
static CHARGES: AtomicUsize = AtomicUsize::new(0);

/// The bank. It is slow, and it gets the token, so that it can recognise a charge that it has seen.
async fn charge(token: String, cents: u64) -> Outcome {
    println!("  bank: charging {cents} cents for {token}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(41 + CHARGES.fetch_add(1, Ordering::Relaxed) as u64 + 1)
}

struct Shop {
    charges: Group<String, Outcome>,
}

impl Shop {
    fn new() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        let charges = Group::builder().retain_ok_for(day).name("charges").build();
        Self { charges }
    }

    /// One request. The client waits for `patience` and then hangs up.
    async fn pay(&self, token: &str, cents: u64, patience: Duration) -> Result<u64, String> {
        let payload = Fingerprint::of(&cents);
        let bank_token = token.to_string();
        let entry = self.charges.entry_ref(token).fingerprint(payload);
        let mut call = entry.spawn(move || charge(bank_token, cents));
        match call.wait_timeout(patience).await {
            Ok(outcome) => outcome.as_ref().copied().map_err(String::clone),
            Err(Error::TimedOut) => Err("the client hung up".to_string()),
            Err(why) => Err(why.to_string()),
        }
    }
}

#[tokio::main]
async fn main() {
    let shop = Shop::new();
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(10));

    println!("a request of 1999 cents, whose client is impatient:");
    println!("  {:?}", shop.pay("token-1", 1999, short).await);
    println!("two retries, one while the charge runs:");
    let retries = tokio::join!(
        shop.pay("token-1", 1999, long),
        shop.pay("token-1", 1999, long)
    );
    println!("  {:?} and {:?}", retries.0, retries.1);
    println!("a retry after that:");
    println!("  {:?}", shop.pay("token-1", 1999, long).await);
    println!("the same token with 2999 cents:");
    println!("  {:?}", shop.pay("token-1", 2999, long).await);

    let charged = CHARGES.load(Ordering::Relaxed);
    println!("five requests, {charged} charge");
    assert_eq!(charged, 1);
}
