//! The contrast: de-duplication that parks a thread of the pool for each duplicate.
//!
//! The same job, as it is often written: the first request's blocking call goes to the runtime's
//! pool, and a duplicate goes there too and waits on a condition variable. It works until the
//! duplicates fill the pool: then the call that they all wait for has no thread to run on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::rows::{Outcome, ParkedRow};
use crate::tally::Tally;

/// How long the primary's call may wait for a thread. If it waits longer, the duplicates hold the
/// whole pool. The call itself takes no time.
const LIMIT: Duration = Duration::from_secs(2);

/// One execution in progress, the way that parks threads.
struct ParkedFlight {
    parked: Tally,
    end: Mutex<Option<End>>,
    ended: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Charged,
    /// Set from outside, to free the threads of a full pool.
    GivenUp,
}

impl ParkedFlight {
    /// A duplicate: holds its thread until the flight has ended. True if the charge was made.
    fn wait(&self) -> bool {
        self.parked.add();
        let mut end = self.end.lock();
        self.ended.wait_while(&mut end, |end| end.is_none());
        *end == Some(End::Charged)
    }

    fn settle(&self, value: End) {
        self.end.lock().get_or_insert(value);
        self.ended.notify_all();
    }
}

/// Runs `duplicates` parked duplicates and their primary on a pool of `pool` threads.
pub(crate) fn run(pool: usize, duplicates: usize) -> io::Result<ParkedRow> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(pool)
        .enable_time()
        .build()?;
    let flight = Arc::new(ParkedFlight {
        parked: Tally::new(duplicates),
        end: Mutex::new(None),
        ended: Condvar::new(),
    });

    // The primary comes first, and has something to do before its blocking call: duplicates come
    // meanwhile.
    let (submit, submitted) = oneshot::channel::<()>();
    let mut primary = {
        let flight = flight.clone();
        runtime.spawn(async move {
            if submitted.await.is_ok() {
                let call = move || flight.settle(End::Charged);
                drop(spawn_blocking(call).await);
            }
        })
    };
    let waiting: Vec<JoinHandle<bool>> = (0..duplicates)
        .map(|_| {
            let flight = flight.clone();
            runtime.spawn_blocking(move || flight.wait())
        })
        .collect();
    let parked = flight.parked.wait(Duration::from_secs(30));
    let _ = submit.send(());

    let outcome = runtime.block_on(async {
        let in_time = timeout(LIMIT, &mut primary).await.is_ok();
        if !in_time {
            flight.settle(End::GivenUp);
            // With the threads free again it runs: nothing but the full pool was in its way.
            drop(primary.await);
        }
        let mut charged = 0;
        for duplicate in waiting {
            charged += usize::from(duplicate.await.unwrap_or(false));
        }
        match in_time && charged == duplicates {
            true => Outcome::Ok,
            false => Outcome::Deadlock,
        }
    });
    Ok(ParkedRow {
        pool,
        duplicates,
        outcome,
        parked,
    })
}
