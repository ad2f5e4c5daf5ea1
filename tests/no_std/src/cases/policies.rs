//! The three policies on a lost primary.

use core::future::Future;

use oneflight_core::Error;
use oneflight_core::error::Cause;

use crate::check::that;
use crate::executor::Executor;
use crate::user::{
    Manual, Map, Value, Yield, after, is_aborted, key, number, operations, raise, signal, waiter,
};

fn is<K>(outcome: Option<Result<oneflight_core::Settled<K, Value>, Error>>, wanted: u32) -> bool {
    outcome.is_some_and(|it| it.is_ok_and(|it| number(&it) == wanted))
}

fn ended<K>(
    outcome: Option<Result<oneflight_core::Settled<K, Value>, Error>>,
    wanted: Cause,
) -> bool {
    outcome.is_some_and(|it| is_aborted(&it, wanted))
}

async fn fine(operation: impl Future<Output = Value>) -> Result<Value, Error> {
    Ok(operation.await)
}

pub(super) fn work() {
    let group = Map::new();
    let mut executor = Executor::default();
    let go = signal();
    let operation = || {
        let go = go.clone();
        async move {
            go.wait().await;
            for _ in 0..10 {
                Yield::default().await;
            }
            Value::new(7)
        }
    };
    let first = executor.spawn(group.work(key(1), operation));
    let second = executor.spawn(group.work(key(1), operation));
    let plain = executor.spawn(waiter(group.begin(key(1))));
    executor.run();
    that("each parks with one poll", executor.polls == 3);
    raise(&go);
    executor.run();
    that("all have it", is(first.take(), 7) && is(second.take(), 7));
    that(
        "a plain waiter has it",
        plain
            .take()
            .is_some_and(|it| it.is_ok_and(|it| number(&it) == 7)),
    );
    that(
        "progress wakes the driver alone",
        executor.polls == 3 + 11 + 2,
    );
}

pub(super) fn work_carried_on() {
    let group = Map::new();
    let mut executor = Executor::default();
    let go = signal();
    let first = executor.spawn(group.work(key(1), || after(&go, 7)));
    let second = executor.spawn(group.work(key(1), || after(&go, 8)));
    executor.run();
    that("one operation was made", operations() == 1);
    executor.cancel(&first);
    that(
        "it outlives its driver",
        operations() == 1 && group.contains(&key(1)),
    );
    executor.run();
    raise(&go);
    executor.run();
    that("the other carries it on", is(second.take(), 7));
    that("the key is free", group.is_empty());
}

pub(super) fn work_nobody_left() {
    let group = Map::new();
    let mut executor = Executor::default();
    let go = signal();
    let first = executor.spawn(group.work(key(1), || after(&go, 7)));
    let second = executor.spawn(group.work(key(1), || after(&go, 8)));
    let plain = executor.spawn(waiter(group.begin(key(1))));
    executor.run();
    executor.cancel(&second);
    executor.cancel(&first);
    that("the operation is dropped", operations() == 0);
    that("the key is free", group.is_empty());
    executor.run();
    that(
        "the plain waiter is told",
        plain
            .take()
            .is_some_and(|it| is_aborted(&it, Cause::Dropped)),
    );
    let newcomer = executor.spawn(group.work(key(1), || after(&go, 9)));
    raise(&go);
    executor.run();
    that("a newcomer begins anew", is(newcomer.take(), 9));
}

pub(super) fn try_work() {
    let group = Map::new();
    let mut executor = Executor::default();
    let (never, go) = (signal(), signal());
    let call = |signal: &crate::user::Signal, value: u32| {
        let signal = signal.clone();
        group.try_work(key(1), move || fine(after(&signal, value)))
    };
    let first = executor.spawn(call(&never, 7));
    let second = executor.spawn(call(&go, 8));
    let third = executor.spawn(call(&go, 9));
    executor.run();
    that("one operation was made", operations() == 1);
    executor.cancel(&first);
    that("the lost operation is dropped first", operations() == 0);
    that("the flight stays", group.contains(&key(1)));
    executor.run();
    that("one other was made", operations() == 1);
    raise(&go);
    executor.run();
    that(
        "it is the second's",
        is(second.take(), 8) && is(third.take(), 8),
    );
    that(
        "it is counted",
        (group.stats().begun, group.stats().reruns) == (1, 1),
    );
}

pub(super) fn try_work_exhausted() {
    let group = Map::builder().max_reruns(1).build();
    let mut executor = Executor::default();
    let go = signal();
    let call = |value: u32| {
        let go = go.clone();
        group.try_work(key(1), move || fine(after(&go, value)))
    };
    let tasks = [
        executor.spawn(call(7)),
        executor.spawn(call(8)),
        executor.spawn(call(9)),
    ];
    executor.run();
    executor.cancel(&tasks[0]);
    executor.run();
    executor.cancel(&tasks[1]);
    executor.run();
    that(
        "the last one is told",
        ended(tasks[2].take(), Cause::Exhausted),
    );
    that(
        "nothing runs, the key is free",
        operations() == 0 && group.is_empty(),
    );
}

/// The error is a type of the caller's own.
#[derive(Debug, PartialEq)]
enum Mine {
    Own(u32),
    OfFlight(Error),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::OfFlight(error)
    }
}

pub(super) fn try_work_failed() {
    let group = Map::new();
    let mut executor = Executor::default();
    let fails = |number| group.try_work(key(1), move || async move { Err(Mine::Own(number)) });
    let (first, second) = (fails(7), fails(8));
    let plain = executor.spawn(waiter(group.begin(key(1))));
    let (first, second) = (executor.spawn(first), executor.spawn(second));
    executor.run();
    let own = |outcome: Option<Result<_, Mine>>, number| matches!(outcome, Some(Err(Mine::Own(it))) if it == number);
    that("the first one has its error", own(first.take(), 7));
    that("the second one ran its own", own(second.take(), 8));
    that(
        "the plain waiter is told",
        plain
            .take()
            .is_some_and(|it| is_aborted(&it, Cause::Failed)),
    );
    that("nothing is left", group.is_empty() && operations() == 0);
}

pub(super) fn spawn() {
    let group = Map::new();
    let mut executor = Executor::default();
    let (runtime, go) = (Manual::default(), signal());
    let make = {
        let go = go.clone();
        move || after(&go, 7)
    };
    drop(group.entry(key(1)).spawn_on(&runtime, make));
    let task = executor.spawn(runtime.task().expect("the operation is a task"));
    let second = executor.spawn(
        group
            .entry(key(1))
            .spawn_on(&runtime, || core::future::pending()),
    );
    executor.run();
    that(
        "the operation outlives its caller",
        operations() == 1 && group.contains(&key(1)),
    );
    raise(&go);
    executor.run();
    that(
        "it ran to its end",
        task.take().is_some() && is(second.take(), 7),
    );

    let aborted = group
        .entry(key(2))
        .spawn_on(&runtime, || core::future::pending());
    let handle = aborted.abort_handle().expect("it is the owner's");
    let waiting = executor.spawn(aborted);
    let task = executor.spawn(runtime.task().expect("the operation is a task"));
    executor.run();
    handle.abort();
    executor.run();
    that(
        "an aborted one is told",
        ended(waiting.take(), Cause::Cancelled) && task.take().is_some(),
    );
    drop(handle);

    let lost = executor.spawn(
        group
            .entry(key(3))
            .spawn_on(&runtime, || core::future::pending()),
    );
    executor.run();
    drop(runtime.task());
    executor.run();
    that(
        "one whose task is dropped is told",
        ended(lost.take(), Cause::Dropped),
    );

    let blocking = executor.spawn(
        group
            .entry(key(4))
            .spawn_blocking_on(&runtime, || Value::new(9)),
    );
    executor.run();
    that(
        "a blocking call has its value",
        is(blocking.take(), 9) && runtime.blocking.get() == 1,
    );
}
