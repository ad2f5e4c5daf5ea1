//! Stopping, limits, and what a group may be asked for.

use core::time::Duration;

use oneflight_core::error::{Cause, Rejected};
use oneflight_core::{Begin, Fingerprint, Group};

use crate::check::{that, user_code};
use crate::executor::Executor;
use crate::user::{Hand, Map, Value, is_aborted, key, number, primary, turn, waiter};

pub(super) fn close_and_drain() {
    let group = Map::new();
    let mut executor = Executor::default();
    let (first, forgotten) = (primary(group.begin(key(1))), primary(group.begin(key(2))));
    group.forget(&key(2));
    group.close();
    that(
        "a new key is turned away",
        matches!(group.begin(key(3)), Begin::Rejected(Rejected::Closed)),
    );
    let joined = executor.spawn(waiter(group.begin(key(1))));
    let drained = executor.spawn(group.drained());
    executor.run();
    drop(first.settle(Value::new(7)));
    executor.run();
    that(
        "a duplicate still shares it",
        joined.take().is_some_and(|it| it.is_ok()),
    );
    that("a forgotten flight is waited for", drained.take().is_none());
    drop(forgotten);
    executor.run();
    that("then it is drained", drained.take().is_some());
}

pub(super) fn abort_all() {
    let group = Map::new();
    let mut executor = Executor::default();
    let first = primary(group.begin(key(1)));
    let joined = executor.spawn(waiter(group.begin(key(1))));
    let worked = executor.spawn(group.work(key(2), || core::future::pending()));
    executor.run();
    group.close();
    group.abort_all();
    executor.run();
    that(
        "the waiter is told",
        joined
            .take()
            .is_some_and(|it| is_aborted(&it, Cause::AbortedAll)),
    );
    that(
        "so is the driver",
        worked.take().is_some_and(|it| it.is_err()),
    );
    that(
        "the late value comes back",
        first
            .settle(Value::new(7))
            .is_err_and(|it| it.value == Value::new(7)),
    );
    let drained = executor.spawn(group.drained());
    executor.run();
    that("it is drained", drained.take().is_some());
}

pub(super) fn limits() {
    let group: Map = Group::builder()
        .max_waiters(1)
        .max_flights(2)
        .shards(4)
        .build();
    let ten = Fingerprint::of_bytes(b"amount=10");
    let twenty = Fingerprint::of(&20);
    let first = primary(group.entry(key(1)).fingerprint(ten).begin());
    that(
        "another payload is turned away",
        matches!(
            group.entry(key(1)).fingerprint(twenty).begin(),
            Begin::Rejected(Rejected::Mismatch)
        ),
    );
    let retry = waiter(group.entry(key(1)).fingerprint(ten).begin());
    that(
        "a second waiter is too many",
        matches!(
            group.begin(key(1)),
            Begin::Rejected(Rejected::TooManyWaiters)
        ),
    );
    drop(retry);
    let again = waiter(group.begin(key(1)));
    let second = primary(group.begin(key(2)));
    that(
        "a third flight is too many",
        matches!(
            group.begin(key(3)),
            Begin::Rejected(Rejected::TooManyFlights)
        ),
    );
    drop(second);
    let third = primary(group.begin(key(3)));
    drop((first, again, third));
    that(
        "nothing is in flight",
        group.is_empty() && group.stats().rejected == 3,
    );
}

pub(super) fn retained() {
    let group: Map = Group::builder()
        .clock(Hand)
        .retain_by(|value: &Value| {
            user_code();
            (*value != Value::new(0)).then_some(Duration::from_secs(60))
        })
        .build();
    drop(primary(group.begin(key(1))).settle(Value::new(7)));
    drop(primary(group.begin(key(2))).settle(Value::new(0)));
    let late = waiter(group.begin(key(1)));
    that(
        "a late duplicate has it",
        late.get()
            .is_some_and(|it| it.is_ok_and(|it| number(&it) == 7)),
    );
    that(
        "it can be looked at",
        group.peek(&key(1)).is_some_and(|it| number(&it) == 7),
    );
    that(
        "what is not kept runs again",
        matches!(group.begin(key(2)), Begin::Primary(_)),
    );
    turn(61);
    that(
        "after the window it runs again",
        matches!(group.begin(key(1)), Begin::Primary(_)),
    );
    drop(primary(group.begin(key(3))).settle(Value::new(8)));
    that(
        "it can be forgotten",
        group.forget(&key(3)) && group.stats().retained == 0,
    );
    drop(primary(group.begin(key(4))).settle(Value::new(9)));
    that(
        "what is retained goes with the group",
        group.stats().retained == 1,
    );
}

pub(super) fn too_old() {
    let group: Map = Group::builder()
        .clock(Hand)
        .supersede_after(Duration::from_secs(60))
        .build();
    let mut executor = Executor::default();
    let old = primary(group.begin(key(1)));
    let of_old = executor.spawn(waiter(group.begin(key(1))));
    executor.run();
    turn(61);
    let new = primary(group.begin(key(1)));
    executor.run();
    that(
        "its waiter is told",
        of_old
            .take()
            .is_some_and(|it| is_aborted(&it, Cause::Superseded)),
    );
    that("its value comes back", old.settle(Value::new(1)).is_err());
    that("the new flight stays", group.contains(&key(1)));
    drop(new.settle(Value::new(2)));
    that("and settles", group.is_empty());
}
