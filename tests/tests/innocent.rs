//! Tasks that an executor runs inside of an operation have nothing to do with it: they are
//! duplicates like any other, and so is what they do through other keys.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use oneflight::rt::smol::GroupExt;
use oneflight::{Begin, Group};
use oneflight_conformance::{waiter, watched};
use smol::{Executor, block_on};

const TASKS: usize = 100;

/// Starts an operation that runs, from inside itself, the executor whose tasks begin the same key.
/// Returns how many of them get its outcome in the end.
fn served(
    start: impl FnOnce(Group<&'static str, u64>, Box<dyn FnOnce() -> u64 + Send>),
    through_another_key: bool,
) -> usize {
    let (executor, group) = (Arc::new(Executor::new()), Group::new());
    let others = Group::<usize, bool>::new();
    let begun = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (begun, group, others) = (begun.clone(), group.clone(), others.clone());
            executor.spawn(async move {
                let waits = async move {
                    let begin = group.begin("k");
                    begun.fetch_add(1, Ordering::SeqCst);
                    let Begin::Waiter(waiter) = begin else {
                        return false;
                    };
                    waiter.await.is_ok_and(|outcome| *outcome == 7)
                };
                if through_another_key {
                    *others.work(task, || waits).await.unwrap()
                } else {
                    waits.await
                }
            })
        })
        .collect();
    let inner = executor.clone();
    let operation = move || {
        block_on(inner.run(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if begun.load(Ordering::SeqCst) == TASKS {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })));
        7
    };
    start(group, Box::new(operation));
    block_on(executor.run(async {
        let mut served = 0;
        for task in tasks {
            served += usize::from(task.await);
        }
        served
    }))
}

#[test]
fn tasks_that_run_inside_of_an_operation_are_duplicates_like_any_other() {
    for through_another_key in [false, true] {
        watched("tasks inside of a call", move || {
            let served = served(
                |group, operation| {
                    let outcome = block_on(group.spawn_blocking("k", operation)).unwrap();
                    assert_eq!(*outcome, 7);
                },
                through_another_key,
            );
            assert_eq!(served, TASKS);
        });
        watched("tasks inside of a poll", move || {
            let served = served(
                |group, operation| {
                    let outcome = block_on(group.work("k", || async { operation() }));
                    assert_eq!(*outcome.unwrap(), 7);
                },
                through_another_key,
            );
            assert_eq!(served, TASKS);
        });
    }
}

/// A thread that is inside of one flight and joins another is counted there.
#[test]
fn a_duplicate_of_another_flight_is_counted() {
    watched("another flight", || {
        let group = Group::<&str, u32>::new();
        let Begin::Primary(other) = group.begin("other") else {
            panic!("the key is free")
        };
        let inside = group.clone();
        let work = group.work("k", move || async move {
            let duplicate = waiter(inside.begin("other"));
            assert_eq!(inside.waiters("other"), 1);
            other.settle(3).unwrap();
            *duplicate.await.unwrap()
        });
        assert_eq!(*block_on(work).unwrap(), 3);
        let stats = group.stats();
        assert_eq!((stats.joined, stats.waited), (1, 1));
    });
}
