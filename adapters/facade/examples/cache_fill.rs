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
use oneflight::{Begin, Error, Group, Settled};

type Row = Settled<u64, String>;

/// Rows of a slow database.
struct Rows {
    /// It stores the outcomes of flights: one pointer each.
    cache: Cache<u64, Row>,
    loads: Group<u64, String>,
    queries: AtomicUsize,
}

impl Rows {
    async fn query(&self, id: u64) -> String {
        self.queries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        format!("row {id}")
    }

    async fn get(&self, id: u64) -> Result<Row, Error> {
        let cached = || self.cache.get(&id);
        if let Some(row) = cached() {
            return Ok(row);
        }
        let primary = match self.loads.begin(id) {
            Begin::Primary(primary) => primary,
            Begin::Waiter(waiter) => return waiter.await,
            Begin::Rejected(why) => return Err(why.into()),
        };
        // Another caller can have filled it between the look and the begin.
        if let Some(row) = cached() {
            primary.abort();
            return Ok(row);
        }
        let (row, registered) = primary.settle_registered(self.query(id).await)?;
        self.cache.insert(id, row.clone());
        if !registered {
            // The row was changed while this loaded the old one.
            self.cache.invalidate(&id);
        }
        Ok(row)
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
    rows.loads.forget(&7);
    rows.cache.invalidate(&7);
    burst(&rows).await;
    assert_eq!(rows.queries.load(Ordering::Relaxed), 2);
}
