//! A cache entry expires while two hundred requests want it. One of them loads it from the database.
//!
//! ```text
//! cargo run --release --example cache_fill
//! ```

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use oneflight::{Begin, Error, Group};

type Row = Arc<String>;

/// Rows of a slow database.
struct Rows {
    cache: Cache<u64, Row>,
    loads: Group<u64, Row>,
    queries: AtomicUsize,
}

impl Rows {
    async fn query(&self, id: u64) -> Row {
        self.queries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        Arc::new(format!("row {id}"))
    }

    async fn get(&self, id: u64) -> Result<Row, Error> {
        if let Some(row) = self.cache.get(&id) {
            return Ok(row);
        }
        let primary = match self.loads.begin(id) {
            Begin::Primary(primary) => primary,
            Begin::Waiter(waiter) => return waiter.await.map(|row| Row::clone(&row)),
            Begin::Rejected(why) => return Err(why.into()),
        };
        // Another caller can have filled the cache since the first look.
        if let Some(row) = self.cache.get(&id) {
            primary.settle(row.clone())?;
            return Ok(row);
        }
        let row = self.query(id).await;
        // Fill first, then settle. A `changed` that comes between the two is detected by the settle.
        self.cache.insert(id, row.clone());
        let settled = primary.settle_registered(row.clone());
        if !settled.is_ok_and(|(_, registered)| registered) {
            self.cache.invalidate(&id);
        }
        Ok(row)
    }

    /// After a write to the database.
    fn changed(&self, id: u64) {
        self.loads.forget(&id);
        self.cache.invalidate(&id);
    }
}

async fn burst(rows: &Arc<Rows>) {
    let gets: Vec<_> = (0..200)
        .map(|_| {
            let rows = rows.clone();
            tokio::spawn(async move { rows.get(7).await })
        })
        .collect();
    for get in gets {
        assert_eq!(*get.await.expect("no panic").expect("loaded"), "row 7");
    }
    println!("  queries so far: {}", rows.queries.load(Ordering::Relaxed));
}

#[tokio::main]
async fn main() {
    let rows = Arc::new(Rows {
        cache: Cache::new(1_000),
        loads: Group::new(),
        queries: AtomicUsize::new(0),
    });
    println!("200 requests for a row that is not in the cache:");
    burst(&rows).await;
    println!("200 more, now from the cache:");
    burst(&rows).await;
    println!("the row is changed, and 200 requests come:");
    rows.changed(7);
    burst(&rows).await;
    assert_eq!(rows.queries.load(Ordering::Relaxed), 2);
}
