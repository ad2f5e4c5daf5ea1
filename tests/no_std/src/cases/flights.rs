//! The cell, the two roles, and how a flight ends.

use alloc::vec::Vec;

use oneflight_core::error::Cause;
use oneflight_core::{Begin, Group};

use crate::check::that;
use crate::executor::Executor;
use crate::user::{
    Map, Value, Yield, after, is_aborted, key, number, primary, raise, signal, waiter,
};

pub(super) fn cell() {
    let cell = signal();
    let mut executor = Executor::default();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let cell = cell.clone();
            executor.spawn(async move { cell.wait().await == &() })
        })
        .collect();
    executor.run();
    that(
        "nobody has the value before it is there",
        waiting.iter().all(|task| task.take().is_none()),
    );
    executor.cancel(&waiting[0]);
    raise(&cell);
    executor.run();
    that("the cancelled one has nothing", waiting[0].take().is_none());
    that(
        "the others have it",
        waiting[1..].iter().all(|task| task.take() == Some(true)),
    );
    that("a second settle is refused", cell.settle(()).is_err());
    that("the value can be read", cell.get().is_some());
}

pub(super) fn begin_join_settle() {
    let group = Map::new();
    let mut executor = Executor::default();
    let first = primary(group.begin(key(1)));
    let tasks: Vec<_> = (0..3)
        .map(|_| executor.spawn(waiter(group.begin(key(1)))))
        .collect();
    executor.run();
    that("each parks with one poll", executor.polls == 3);
    that(
        "all are counted",
        first.waiters() == 3 && group.waiters(&key(1)) == 3,
    );
    that(
        "another key is another flight",
        matches!(group.begin(key(2)), Begin::Primary(_)),
    );
    let id = first.id();
    let settled = first.settle(Value::new(7)).expect("nobody was first");
    that(
        "the key is free",
        group.is_empty() && !group.contains(&key(1)),
    );
    executor.run();
    that("each resumes with one more poll", executor.polls == 6);
    let outcomes: Vec<_> = tasks
        .iter()
        .filter_map(|task| task.take())
        .filter_map(Result::ok)
        .collect();
    that("each has the outcome", outcomes.len() == 3);
    that(
        "it is one value",
        outcomes
            .iter()
            .all(|outcome| core::ptr::eq(&**outcome, &*settled)),
    );
    that("it is the right one", number(&settled) == 7);
    let next = primary(group.begin(key(1)));
    that("the next flight is another", next.id() > id);
    let stats = group.stats();
    that(
        "it is counted",
        (stats.begun, stats.joined, stats.settled, stats.waited) == (3, 3, 1, 3),
    );
}

/// More than one batch of wakes, and more than one growth of the slab.
pub(super) fn crowd() {
    let group = Map::new();
    let mut executor = Executor::default();
    let first = primary(group.begin(key(1)));
    let tasks: Vec<_> = (0..200)
        .map(|_| executor.spawn(waiter(group.begin(key(1)))))
        .collect();
    executor.run();
    for task in tasks.iter().step_by(3) {
        executor.cancel(task);
    }
    that("who left is not counted", first.waiters() == 133);
    let late: Vec<_> = (0..40)
        .map(|_| executor.spawn(waiter(group.begin(key(1)))))
        .collect();
    executor.run();
    drop(first.settle(Value::new(9)));
    executor.run();
    let resumed = tasks.iter().chain(&late).filter_map(|task| task.take());
    that(
        "everyone who stayed has it",
        resumed
            .filter(|outcome| outcome.as_ref().is_ok_and(|it| number(it) == 9))
            .count()
            == 173,
    );
    that("each was polled twice at most", executor.polls == 240 + 173);
}

pub(super) fn cancel() {
    let group = Map::new();
    let mut executor = Executor::default();
    let first = primary(group.begin(key(1)));
    let tasks: Vec<_> = (0..3)
        .map(|_| executor.spawn(waiter(group.begin(key(1)))))
        .collect();
    drop(group.begin(key(1)));
    executor.run();
    executor.cancel(&tasks[1]);
    executor.run();
    that("nobody else notices", executor.polls == 3);
    that("the count is exact", first.waiters() == 2);
    drop(first.settle(Value::new(7)));
    executor.run();
    that("the cancelled one has nothing", tasks[1].take().is_none());
    that(
        "the others have it",
        [0, 2]
            .iter()
            .all(|&task| tasks[task].take().is_some_and(|it| it.is_ok())),
    );
    that(
        "it is counted",
        (group.stats().joined, group.stats().cancelled) == (4, 2),
    );
}

pub(super) fn dropped() {
    let group = Map::new();
    let mut executor = Executor::default();
    let first = primary(group.begin(key(1)));
    let task = executor.spawn(waiter(group.begin(key(1))));
    executor.run();
    drop(first);
    that("the key is free", group.is_empty());
    executor.run();
    that(
        "the waiter is told",
        task.take()
            .is_some_and(|it| is_aborted(&it, Cause::Dropped)),
    );
    that(
        "the next caller is primary",
        matches!(group.begin(key(1)), Begin::Primary(_)),
    );
}

pub(super) fn aborted() {
    let group = Map::new();
    let mut executor = Executor::default();
    let first = primary(group.begin(key(1)));
    let task = executor.spawn(waiter(group.begin(key(1))));
    let unpolled = waiter(group.begin(key(1)));
    executor.run();
    first.abort();
    executor.run();
    that(
        "the waiter is told",
        task.take()
            .is_some_and(|it| is_aborted(&it, Cause::Cancelled)),
    );
    that(
        "one that was never polled too",
        unpolled.get().is_some_and(|it| it.is_err()),
    );
    that(
        "it is counted",
        group.stats().aborted_by(Cause::Cancelled) == 1,
    );
}

pub(super) fn run() {
    let group = Map::new();
    let mut executor = Executor::default();
    let go = signal();
    let first = executor.spawn(primary(group.begin(key(1))).run(after(&go, 7)));
    let second = executor.spawn(waiter(group.begin(key(1))));
    executor.run();
    that(
        "both wait",
        first.take().is_none() && second.take().is_none(),
    );
    raise(&go);
    executor.run();
    that(
        "the primary has it",
        first
            .take()
            .is_some_and(|it| it.is_ok_and(|it| number(&it) == 7)),
    );
    that(
        "the waiter has it",
        second
            .take()
            .is_some_and(|it| it.is_ok_and(|it| number(&it) == 7)),
    );
}

pub(super) fn run_dropped() {
    let group = Map::new();
    let mut executor = Executor::default();
    let go = signal();
    let first = executor.spawn(primary(group.begin(key(1))).run(after(&go, 7)));
    let second = executor.spawn(waiter(group.begin(key(1))));
    executor.run();
    executor.cancel(&first);
    that("the operation is dropped", crate::user::operations() == 0);
    executor.run();
    that(
        "the waiter is told",
        second
            .take()
            .is_some_and(|it| is_aborted(&it, Cause::Dropped)),
    );
}

pub(super) fn forget() {
    let group = Map::new();
    let mut executor = Executor::default();
    let old = primary(group.begin(key(1)));
    let of_old = executor.spawn(waiter(group.begin(key(1))));
    that("it was there", group.forget(&key(1)));
    that(
        "it is there no more",
        !group.forget(&key(1)) && !group.contains(&key(1)),
    );
    let new = primary(group.begin(key(1)));
    let of_new = executor.spawn(waiter(group.begin(key(1))));
    executor.run();
    drop(old.settle(Value::new(1)));
    that("the new flight stays", group.contains(&key(1)));
    executor.run();
    that(
        "the old waiter has the old outcome",
        of_old
            .take()
            .is_some_and(|it| it.is_ok_and(|it| number(&it) == 1)),
    );
    that("the new one waits on", of_new.take().is_none());
    drop(new.settle(Value::new(2)));
    executor.run();
    that(
        "and has the new outcome",
        of_new
            .take()
            .is_some_and(|it| it.is_ok_and(|it| number(&it) == 2)),
    );
}

pub(super) fn by_reference() {
    let group = Group::<alloc::string::String, Value>::new();
    let first = primary(group.entry_ref("token").begin());
    that("it cloned the key", first.key() == "token");
    let second = waiter(group.entry_ref("token").begin());
    let mut executor = Executor::default();
    let task = executor.spawn(async move {
        Yield::default().await;
        second.await
    });
    executor.run();
    drop(first.settle(Value::new(7)));
    executor.run();
    that(
        "and the waiter has it",
        task.take()
            .is_some_and(|it| it.is_ok_and(|it| number(&it) == 7)),
    );
}
