//! Ten thousand duplicates wait, and the process has not one thread more. A process of its own, and one test: the
//! threads of the whole process are counted.

use std::sync::mpsc::channel;

use oneflight::Group;
use oneflight_conformance::executors::{
    AsyncStd, Hand, SmolGlobal, SmolLocal, TokioCurrent, TokioLocal, TokioMulti,
};
use oneflight_conformance::{Counted, TestRuntime, conform, until, waiter};

const DUPLICATES: usize = 10_000;

#[test]
fn ten_thousand_waiters_hold_no_thread_on_any_executor() {
    if threads().is_none() {
        eprintln!("not supported: this platform does not tell the threads of a process");
        return;
    }
    conform::<TokioMulti, _>("threads", storm);
    conform::<TokioCurrent, _>("threads", storm);
    conform::<TokioLocal, _>("threads", storm);
    conform::<SmolGlobal, _>("threads", storm);
    conform::<SmolLocal, _>("threads", storm);
    conform::<AsyncStd, _>("threads", storm);
    conform::<Hand, _>("threads", storm);
}

/// The primary blocks a thread of the pool all the while: that one thread is there before.
async fn storm<R: TestRuntime>(rt: R) {
    let group = Group::<&str, u64>::new();
    let (go, wait) = channel::<()>();
    let (started, start) = channel::<()>();
    // Executors start their threads when they have something to do.
    rt.task(async {}).await;
    let first = rt.detach_blocking(&group, "k", move || {
        started.send(()).expect("the case waits for it");
        wait.recv().expect("told to go on");
        7
    });
    until(|| start.try_recv().is_ok()).await;

    let before = threads().expect("supported");
    let mut tasks = Vec::with_capacity(DUPLICATES);
    let mut counts = Vec::with_capacity(DUPLICATES);
    for _ in 0..DUPLICATES {
        let (duplicate, polls) = Counted::new(waiter(group.begin("k")));
        tasks.push(rt.task(duplicate));
        counts.push(polls);
    }
    let mut parked = 0;
    until(|| {
        while counts.get(parked).is_some_and(|c| c.polls() == 1) {
            parked += 1;
        }
        parked == DUPLICATES
    })
    .await;
    assert_eq!(group.waiters("k"), DUPLICATES);
    let waiting = threads().expect("supported");
    println!(
        "{}: {before} threads before, {waiting} while {DUPLICATES} wait",
        R::NAME
    );
    assert!(
        waiting <= before,
        "{before} threads before, {waiting} while waiting"
    );

    go.send(()).expect("the call waits for it");
    for task in tasks {
        assert_eq!(*task.await.unwrap(), 7);
    }
    assert_eq!(*first.await.unwrap(), 7);
    assert!(counts.iter().all(|c| (c.polls(), c.wakes()) == (2, 1)));
}

/// The threads of this process, where the platform tells.
fn threads() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))?;
    line.trim().parse().ok()
}
