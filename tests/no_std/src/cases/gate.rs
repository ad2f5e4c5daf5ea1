//! One at a time.

use oneflight_core::Begin;
use oneflight_core::error::{Cause, Rejected};
use oneflight_core::gate::{Gate, Mode};

use crate::check::that;
use crate::executor::Executor;
use crate::user::{Value, is_aborted, key, number, primary, waiter};

pub(super) fn exclusive() {
    let gate = Gate::new(Mode::Exclusive);
    let mut executor = Executor::default();
    let first = primary(gate.begin(Some(key(1))));
    let retry = executor.spawn(waiter(gate.begin(Some(key(1)))));
    executor.run();
    that(
        "another token is turned away",
        matches!(gate.begin(Some(key(2))), Begin::Rejected(Rejected::Busy)),
    );
    that(
        "so is one without",
        matches!(gate.begin(None), Begin::Rejected(Rejected::Busy)),
    );
    that(
        "the gate is busy",
        gate.is_busy() && gate.waiters(&key(1)) == 1,
    );
    drop(first.settle(Value::new(7)));
    executor.run();
    that(
        "the retry shares it",
        retry
            .take()
            .is_some_and(|it| it.is_ok_and(|it| number(&it) == 7)),
    );
    let alone = primary(gate.begin(None));
    that(
        "one without a token is not joined",
        matches!(gate.begin(None), Begin::Rejected(Rejected::Busy)),
    );
    drop(alone);
    that("the gate is free", !gate.is_busy());
}

pub(super) fn queue() {
    let gate = Gate::new(Mode::Queue);
    let mut executor = Executor::default();
    let first = primary(gate.begin(Some(key(1))));
    let (second, third) = (
        executor.spawn(gate.turn(Some(key(2)))),
        executor.spawn(gate.turn(Some(key(3)))),
    );
    let of_second = executor.spawn(waiter(gate.begin(Some(key(2)))));
    let of_third = executor.spawn(waiter(gate.begin(Some(key(3)))));
    executor.run();
    that(
        "two wait for their turn",
        gate.queued() == 2 && second.take().is_none(),
    );
    executor.cancel(&second);
    executor.run();
    that("the queue is shorter", gate.queued() == 1);
    that(
        "a duplicate of who left is told",
        of_second
            .take()
            .is_some_and(|it| is_aborted(&it, Cause::Dropped)),
    );
    drop(first.settle(Value::new(1)));
    executor.run();
    let third = primary(third.take().expect("its turn has come"));
    drop(third.settle(Value::new(3)));
    executor.run();
    that(
        "a duplicate of who waited shares it",
        of_third
            .take()
            .is_some_and(|it| it.is_ok_and(|it| number(&it) == 3)),
    );
    that("the gate is free", !gate.is_busy() && gate.queued() == 0);
}

pub(super) fn reentrant() {
    let gate = Gate::<_, Value>::new(Mode::Open);
    let (first, second) = (
        primary(gate.begin(Some(key(1)))),
        primary(gate.begin(Some(key(1)))),
    );
    that(
        "both are in, as two",
        first.id() != second.id() && gate.stats().in_flight == 2,
    );
    drop((first, second));
    that("both are out", gate.stats().in_flight == 0);
}
