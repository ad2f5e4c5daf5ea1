//! One flight, and callers of it on every executor and on bare threads at once.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use oneflight::rt::tokio::Tokio;
use oneflight_conformance::executors::{
    AsyncStd, Hand, SmolGlobal, SmolLocal, TokioCurrent, TokioLocal, TokioMulti,
};
use oneflight_conformance::{Remote, TestRuntime, primary, scripted, until, waiter, watched};
use tokio::runtime::{Handle, RuntimeFlavor};

type Group = oneflight::Group<&'static str, usize>;

const EXECUTORS: usize = 7;
const TASKS: usize = 50;
const THREADS: usize = 8;

/// Whether the caller runs on the executor it should; given the thread that drives the executor.
type IsHome = fn(ThreadId) -> bool;

fn in_tokio(flavor: RuntimeFlavor) -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == flavor)
}

fn on_thread(home: ThreadId) -> bool {
    thread::current().id() == home
}

fn named(prefix: &str) -> bool {
    thread::current()
        .name()
        .is_some_and(|name| name.starts_with(prefix))
}

/// An executor on a thread of its own, with tasks that wait.
fn tasks_on<R: TestRuntime>(
    group: &Group,
    resumed: &Arc<AtomicUsize>,
    is_home: IsHome,
) -> thread::JoinHandle<()> {
    let (group, resumed) = (group.clone(), resumed.clone());
    thread::spawn(move || {
        let home = thread::current().id();
        R::run(|rt| async move {
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let (waiter, resumed) = (waiter(group.begin("k")), resumed.clone());
                    rt.task(async move {
                        let outcome = waiter.await;
                        assert!(is_home(home), "{}: resumed elsewhere", R::NAME);
                        resumed.fetch_add(1, Ordering::SeqCst);
                        *outcome.unwrap()
                    })
                })
                .collect();
            for task in tasks {
                assert_eq!(task.await, 7);
            }
        });
    })
}

#[test]
fn waiters_of_one_flight_resume_each_on_its_own_executor() {
    watched("everywhere", || {
        let group = Group::new();
        let first = primary(group.begin("k"));
        let resumed = Arc::new(AtomicUsize::new(0));
        let (g, r) = (&group, &resumed);
        let mut threads = vec![
            tasks_on::<TokioMulti>(g, r, |_| in_tokio(RuntimeFlavor::MultiThread)),
            tasks_on::<TokioCurrent>(g, r, |home| {
                on_thread(home) && in_tokio(RuntimeFlavor::CurrentThread)
            }),
            tasks_on::<TokioLocal>(g, r, |home| {
                on_thread(home) && in_tokio(RuntimeFlavor::CurrentThread)
            }),
            tasks_on::<SmolGlobal>(g, r, |_| named("smol-")),
            tasks_on::<SmolLocal>(g, r, on_thread),
            // Panics where it is not async-std's.
            tasks_on::<AsyncStd>(g, r, |home| {
                async_std::task::current().name().is_none()
                    && (on_thread(home) || named("async-std"))
            }),
            tasks_on::<Hand>(g, r, on_thread),
        ];
        threads.extend((0..THREADS).map(|_| {
            let (waiter, resumed) = (waiter(group.begin("k")), resumed.clone());
            thread::spawn(move || {
                assert_eq!(*waiter.wait_blocking().unwrap(), 7);
                resumed.fetch_add(1, Ordering::SeqCst);
            })
        }));
        let all = EXECUTORS * TASKS + THREADS;
        smol::block_on(until(|| group.waiters("k") == all));
        first.settle(7).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(resumed.load(Ordering::SeqCst), all);
        assert_eq!(group.stats().waited as usize, all);
    });
}

/// Drives for two steps, then leaves.
fn steps_on<R: TestRuntime>(work: oneflight::handle::Work<&'static str, usize>, remote: &Remote) {
    let remote = remote.clone();
    R::run(|rt| async move {
        let before = remote.polls();
        let (task, cancel) = rt.cancellable(work);
        until(|| remote.polls() == before + 1).await;
        remote.wake();
        until(|| remote.polls() == before + 2).await;
        cancel.cancel();
        assert!(task.await.is_none());
        // For whoever comes next.
        remote.wake();
    });
}

#[test]
fn one_operation_is_carried_from_executor_to_executor() {
    watched("carried", || {
        let group = Group::new();
        let (remote, operation) = scripted();
        let first = group.work("k", || operation);
        let next = || group.work("k", || ready(0));
        let last = next();
        steps_on::<TokioMulti>(first, &remote);
        steps_on::<SmolLocal>(next(), &remote);
        steps_on::<TokioCurrent>(next(), &remote);
        steps_on::<SmolGlobal>(next(), &remote);
        steps_on::<Hand>(next(), &remote);
        steps_on::<AsyncStd>(next(), &remote);
        steps_on::<TokioLocal>(next(), &remote);
        remote.finish();
        let settled = smol::block_on(last).unwrap();
        assert_eq!(*settled, EXECUTORS * 2 + 1);
    });
}

/// Driven for a while by a caller on `R`, which is not the runtime the operation needs.
fn tokio_needed_on<R: TestRuntime>(tokio: &Tokio) {
    let tokio = tokio.clone();
    R::run(|rt| async move {
        let group = Group::new();
        let sleeps = move || {
            tokio.in_context(async {
                tokio::time::sleep(Duration::from_millis(1)).await; // about time, not order
                tokio::spawn(async { 7 }).await.expect("runs on tokio")
            })
        };
        let task = rt.task(group.work("k", sleeps));
        assert_eq!(*group.work("k", || ready(0)).await.unwrap(), 7);
        assert_eq!(*task.await.unwrap(), 7);
    });
}

#[test]
fn an_operation_that_needs_tokio_is_polled_anywhere_in_its_context() {
    watched("in_context", || {
        TokioMulti::run(|rt| async move {
            let tokio = rt.adapter();
            let elsewhere = thread::spawn(move || {
                tokio_needed_on::<SmolGlobal>(&tokio);
                tokio_needed_on::<SmolLocal>(&tokio);
                tokio_needed_on::<AsyncStd>(&tokio);
                tokio_needed_on::<Hand>(&tokio);
                tokio_needed_on::<TokioCurrent>(&tokio);
            });
            until(|| elsewhere.is_finished()).await;
            elsewhere.join().unwrap();
        });
    });
}
