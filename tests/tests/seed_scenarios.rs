//! What the system that this one replaces was tested for, scenario by scenario, on three runtimes.

use std::future::ready;
use std::sync::{Arc, Barrier, Mutex};
use std::task::Waker;
use std::thread;

use oneflight::error::Cause;
use oneflight::{Begin, SettleCell};
use oneflight_conformance::executors::{AsyncStd, SmolGlobal, TokioMulti};
use oneflight_conformance::{
    Counted, TestRuntime, cause_of, conform, poll, primary, until, waiter,
};

type Group = oneflight::Group<String, Result<u64, String>>;

const TOKEN: &str = "retry-42";

macro_rules! scenarios {
    ($($scenario:ident)*) => {
        $(
            #[test]
            fn $scenario() {
                conform::<TokioMulti, _>(stringify!($scenario), scenario::$scenario);
                conform::<SmolGlobal, _>(stringify!($scenario), scenario::$scenario);
                conform::<AsyncStd, _>(stringify!($scenario), scenario::$scenario);
            }
        )*
    };
}

scenarios! {
    the_first_call_is_primary
    a_duplicate_waits
    a_settle_from_another_thread_resumes_a_duplicate
    a_settle_before_registration_resolves_at_once
    one_cancelled_duplicate_strands_nobody
    settling_twice_keeps_the_first
    completing_with_neither_value_nor_error_is_an_abort
    the_key_is_free_afterwards
    ten_threads_racing_give_one_primary_and_nine_duplicates
    a_storm_of_64_whose_primary_needs_the_blocking_pool_ends
}

mod scenario {
    use super::*;

    pub(super) async fn the_first_call_is_primary<R: TestRuntime>(rt: R) {
        let group = Group::new();
        let call = rt.task({
            let group = group.clone();
            async move { matches!(group.begin(TOKEN.into()), Begin::Primary(_)) }
        });
        assert!(call.await);
    }

    pub(super) async fn a_duplicate_waits<R: TestRuntime>(rt: R) {
        let group = Group::new();
        let first = primary(group.begin(TOKEN.into()));
        let (duplicate, counts) = Counted::new(waiter(group.begin(TOKEN.into())));
        let duplicate = rt.task(duplicate);
        until(|| counts.polls() == 1).await;
        assert_eq!(group.waiters(TOKEN), 1);
        first.settle(Ok(1)).unwrap();
        assert_eq!(*duplicate.await.unwrap(), Ok(1));
    }

    pub(super) async fn a_settle_from_another_thread_resumes_a_duplicate<R: TestRuntime>(rt: R) {
        let group = Group::new();
        let first = primary(group.begin(TOKEN.into()));
        let (duplicate, counts) = Counted::new(waiter(group.begin(TOKEN.into())));
        let duplicate = rt.task(duplicate);
        until(|| counts.polls() == 1).await;
        let thread = thread::spawn(move || first.settle(Err("declined".into())).is_ok());
        assert_eq!(*duplicate.await.unwrap(), Err("declined".into()));
        assert!(thread.join().unwrap());
    }

    pub(super) async fn a_settle_before_registration_resolves_at_once<R: TestRuntime>(_: R) {
        let group = Group::new();
        let first = primary(group.begin(TOKEN.into()));
        let mut duplicate = waiter(group.begin(TOKEN.into()));
        first.settle(Ok(1)).unwrap();
        assert!(poll(&mut duplicate, Waker::noop()).is_ready());
        assert_eq!(*duplicate.await.unwrap(), Ok(1));
    }

    pub(super) async fn one_cancelled_duplicate_strands_nobody<R: TestRuntime>(rt: R) {
        for place in 0..5 {
            let group = Group::new();
            let first = primary(group.begin(TOKEN.into()));
            let mut duplicates: Vec<_> = (0..5)
                .map(|_| Counted::new(waiter(group.begin(TOKEN.into()))))
                .map(|(duplicate, counts)| (rt.cancellable(duplicate), counts))
                .collect();
            until(|| duplicates.iter().all(|(_, counts)| counts.polls() == 1)).await;
            let ((cancelled, cancel), _) = duplicates.remove(place);
            cancel.cancel();
            assert!(cancelled.await.is_none());
            assert_eq!(group.waiters(TOKEN), 4);
            first.settle(Ok(1)).unwrap();
            for ((duplicate, _cancel), _) in duplicates {
                assert_eq!(*duplicate.await.expect("not cancelled").unwrap(), Ok(1));
            }
        }
    }

    pub(super) async fn settling_twice_keeps_the_first<R: TestRuntime>(rt: R) {
        let cell = Arc::new(SettleCell::new());
        let waits = rt.task({
            let cell = cell.clone();
            async move { *cell.wait().await }
        });
        assert_eq!(cell.settle(1).ok(), Some(&1));
        assert_eq!(cell.settle(2).unwrap_err().value, 2);
        assert_eq!(waits.await, 1);
        assert_eq!(cell.get(), Some(&1));
    }

    pub(super) async fn completing_with_neither_value_nor_error_is_an_abort<R: TestRuntime>(rt: R) {
        let group = Group::new();
        let first = primary(group.begin(TOKEN.into()));
        let duplicate = rt.task(waiter(group.begin(TOKEN.into())));
        rt.task(async move { drop(first) }).await;
        assert_eq!(cause_of(duplicate.await), Cause::Dropped);
    }

    pub(super) async fn the_key_is_free_afterwards<R: TestRuntime>(rt: R) {
        let group = Group::new();
        for settles in [true, false, true] {
            let first = primary(group.begin(TOKEN.into()));
            let duplicate = rt.task(waiter(group.begin(TOKEN.into())));
            if settles {
                let run = rt.task(first.run(ready(Ok(1))));
                assert!(run.await.is_ok());
            } else {
                first.abort();
            }
            assert_eq!(duplicate.await.is_ok(), settles);
            assert!(group.is_empty() && !group.contains(TOKEN));
        }
    }

    pub(super) async fn ten_threads_racing_give_one_primary_and_nine_duplicates<R: TestRuntime>(
        rt: R,
    ) {
        const THREADS: usize = 10;
        let group = Group::new();
        let start = Arc::new(Barrier::new(THREADS));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (group, start, calls) = (group.clone(), start.clone(), calls.clone());
                thread::spawn(move || {
                    start.wait();
                    let call = group.begin(TOKEN.into());
                    calls.lock().unwrap().push(call);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let calls = std::mem::take(&mut *calls.lock().unwrap());
        let (first, duplicates): (Vec<_>, Vec<_>) = calls
            .into_iter()
            .partition(|call| matches!(call, Begin::Primary(_)));
        assert_eq!((first.len(), duplicates.len()), (1, THREADS - 1));
        let tasks: Vec<_> = duplicates
            .into_iter()
            .map(|call| rt.task(waiter(call)))
            .collect();
        for first in first {
            primary(first).settle(Ok(1)).unwrap();
        }
        for task in tasks {
            assert_eq!(*task.await.unwrap(), Ok(1));
        }
    }

    /// On tokio: two workers, and a blocking pool of two.
    pub(super) async fn a_storm_of_64_whose_primary_needs_the_blocking_pool_ends<R: TestRuntime>(
        rt: R,
    ) {
        const STORM: usize = 64;
        let group = Group::new();
        let tasks: Vec<_> = (0..STORM)
            .map(|_| {
                let (group, rt_group) = (group.clone(), group.clone());
                let gate = move || {
                    // Not before the whole storm is waiting: the pool is needed while they do.
                    while rt_group.waiters(TOKEN) < STORM - 1 {
                        thread::yield_now();
                    }
                    Ok(1)
                };
                let call = rt.detach_blocking(&group, TOKEN.into(), gate);
                rt.task(call)
            })
            .collect();
        for task in tasks {
            assert_eq!(*task.await.unwrap(), Ok(1));
        }
        let stats = group.stats();
        assert_eq!((stats.begun, stats.waited), (1, STORM as u64 - 1));
    }
}
