//! What is done by key or by a closure: abort, renew, forget one flight, list; and what a settle says of its key.

use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oneflight::Begin;
use oneflight::error::Cause;

use super::Group;
use crate::{HandClock, TestRuntime, cause_of, primary, scripted, until, waiter};

fn aged(clock: &HandClock) -> Group {
    let age = Duration::from_secs(10);
    Group::builder()
        .supersede_after(age)
        .clock(clock.clone())
        .build()
}

fn retaining() -> Group {
    let window = Duration::from_secs(60);
    Group::builder()
        .retain_for(window)
        .clock(HandClock::default())
        .build()
}

/// However its operation is run: everyone who waits is told, and the operation is dropped.
pub async fn an_abort_by_key_ends_the_flight_and_drops_the_operation<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let guard = primary(group.begin("guard"));
    let (in_run, operation) = scripted();
    let run = rt.task(primary(group.begin("run")).run(operation));
    let (in_task, operation) = scripted();
    let spawned = rt.detach(&group, "spawn", || operation);
    let (in_work, operation) = scripted();
    let work = rt.task(group.work("work", || operation));
    let remotes = [in_run, in_task, in_work];
    until(|| remotes.iter().all(|remote| remote.polls() == 1)).await;

    let keys = ["guard", "run", "spawn", "work"];
    let told = keys.map(|key| rt.task(waiter(group.begin(key))));
    assert_eq!(keys.map(|key| group.abort(key)), [true; 4]);
    assert!(group.is_empty());
    assert_eq!(keys.map(|key| group.abort(key)), [false; 4]);
    for told in told {
        assert_eq!(cause_of(told.await), Cause::Cancelled);
    }
    assert_eq!(cause_of(run.await), Cause::Cancelled);
    assert_eq!(cause_of(spawned.await), Cause::Cancelled);
    assert_eq!(cause_of(work.await), Cause::Cancelled);
    until(|| remotes.iter().all(|remote| remote.dropped())).await;
    let late = guard.settle(7).unwrap_err();
    assert_eq!((late.value, late.aborted.cause()), (7, Cause::Cancelled));
    assert_eq!(group.stats().aborted_by(Cause::Cancelled), 4);
}

/// It is the key's flight that is aborted: no older one, and no outcome.
pub async fn an_abort_by_key_leaves_forgotten_flights_and_outcomes_alone<R: TestRuntime>(rt: R) {
    let group = retaining();
    let old = primary(group.begin("k"));
    let of_old = rt.task(waiter(group.begin("k")));
    assert!(group.forget("k"));
    assert!(!group.abort("k"));
    assert_eq!(group.abort_if(|_| true), 0);
    let new = primary(group.begin("k"));
    assert!(group.abort("k"));
    assert!(new.settle(2).is_err());
    old.settle(1).unwrap();
    assert_eq!(*of_old.await.unwrap(), 1);

    primary(group.begin("k")).settle(3).unwrap();
    assert!(!group.abort("k"));
    assert_eq!(group.abort_if(|_| true), 0);
    assert_eq!(*group.peek("k").expect("retained still"), 3);
}

/// The operation of a `work` that aborts itself is dropped when its poll returns.
pub async fn an_operation_may_abort_its_own_key<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let inside = group.clone();
    let work = group.work("k", || async move {
        assert!(inside.abort("k"));
        pending::<usize>().await
    });
    assert_eq!(cause_of(rt.task(work).await), Cause::Cancelled);
    assert!(group.is_empty());
}

/// An operation that takes longer than the age, and says now and then that it is alive.
pub async fn a_flight_that_is_touched_does_not_grow_old<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let group = aged(&clock);
    assert!(!group.touch("k"));
    let owner = primary(group.begin("k"));
    for second in 0..100 {
        clock.forward(1);
        if second % 5 == 0 {
            assert!(group.touch("k"));
        }
        drop(waiter(group.begin("k")));
    }
    for _ in 0..20 {
        clock.forward(9);
        owner.touch();
        drop(waiter(group.begin("k")));
    }
    let told = rt.task(waiter(group.begin("k")));
    owner.settle(7).unwrap();
    assert_eq!(*told.await.unwrap(), 7);
    assert!(!group.touch("k"), "touched after its end");
    assert_eq!(group.stats().begun, 1);

    // From inside its own operation, which knows its key.
    let (inside, time) = (group.clone(), clock.clone());
    let work = rt.task(group.work("work", || async move {
        time.forward(11);
        assert!(inside.touch("work"));
        inside.stats().begun as usize
    }));
    assert_eq!(*work.await.unwrap(), 2);

    // Without it, it is superseded as ever; and a flight that has lost its key is not renewed.
    let old = primary(group.begin("k"));
    clock.forward(11);
    let new = primary(group.begin("k"));
    old.touch();
    clock.forward(11);
    assert!(group.touch("k"), "in flight, and too old until now");
    drop(waiter(group.begin("k")));
    assert!(old.settle(0).is_err());
    assert!(new.settle(1).is_ok());
}

/// One caller a second, and an operation that takes longer than the age: it is finished once it says that it is alive.
pub async fn a_slow_operation_is_finished_under_steady_callers<R: TestRuntime>(_: R) {
    const TAKES: usize = 15;
    for touches in [false, true] {
        let clock = HandClock::default();
        let group = aged(&clock);
        let mut running = Vec::new();
        let (mut runs, mut finished) = (0, 0);
        for second in 0..100 {
            clock.forward(1);
            match group.begin("k") {
                Begin::Primary(owner) => {
                    runs += 1;
                    running.push((second, owner));
                }
                Begin::Waiter(waiter) => drop(waiter),
                Begin::Rejected(why) => panic!("{why}"),
            }
            let (over, still): (Vec<_>, Vec<_>) = running
                .into_iter()
                .partition(|(begun, _)| second - begun >= TAKES);
            running = still;
            let settled = over
                .into_iter()
                .filter_map(|(_, owner)| owner.settle(0).ok());
            finished += settled.count();
            if touches {
                running.iter().for_each(|(_, owner)| owner.touch());
            }
        }
        assert_eq!(finished > 0, touches, "{runs} runs, {finished} finished");
        assert!(!touches || runs == finished + running.len());
    }
}

/// Without an age there is nothing to renew, and the answer is the same.
pub async fn a_touch_says_whether_the_key_is_in_flight<R: TestRuntime>(_: R) {
    for group in [Group::new(), retaining()] {
        assert!(!group.touch("k"));
        let owner = primary(group.begin("k"));
        assert!(group.touch("k"));
        assert!(!group.touch("other"));
        owner.touch();
        owner.settle(1).unwrap();
        assert!(!group.touch("k"), "in flight no longer");
    }
}

/// Only the one that was seen: in flight or retained.
pub async fn only_the_flight_that_was_seen_is_forgotten<R: TestRuntime>(rt: R) {
    let group = retaining();
    let old = primary(group.begin("k"));
    let seen = old.id();
    let other = primary(group.begin("other"));
    assert!(!group.forget_flight("k", other.id()), "another key's");
    assert!(group.forget_flight("k", seen));
    assert!(!group.forget_flight("k", seen), "forgotten twice");
    let of_old = rt.task(async move { old.settle(1).map(|it| *it).ok() });
    assert_eq!(of_old.await, Some(1));

    let new = primary(group.begin("k"));
    assert!(!group.forget_flight("k", seen), "an older one");
    assert!(group.contains("k"));
    let refused = new.settle(2).unwrap().flight_id();
    assert!(!group.forget_flight("k", seen));
    assert!(group.peek("k").is_some());
    assert!(group.forget_flight("k", refused));
    assert!(group.peek("k").is_none());
    assert!(!group.forget_flight("k", refused));

    // An id that this group has not given.
    let foreign = primary(Group::new().begin("k"));
    let here = primary(group.begin("k"));
    if here.id() != foreign.id() {
        assert!(!group.forget_flight("k", foreign.id()));
    }
    assert!(group.contains("k"));
}

/// Fill the cache, then settle: on `false` the fill is taken out again.
pub async fn a_settle_says_whether_the_key_was_forgotten<R: TestRuntime>(rt: R) {
    for group in [Group::new(), retaining()] {
        let told = |group: &Group| rt.task(waiter(group.begin("k")));
        let owner = primary(group.begin("k"));
        let waits = told(&group);
        let (settled, registered) = owner.settle_registered(1).unwrap();
        assert_eq!((*settled, registered), (1, true));
        assert_eq!(*waits.await.unwrap(), 1);
        group.forget("k");

        let owner = primary(group.begin("k"));
        let waits = told(&group);
        group.forget("k");
        let newer = primary(group.begin("k"));
        let (settled, registered) = owner.settle_registered(2).unwrap();
        assert_eq!((*settled, registered), (2, false));
        assert_eq!(*waits.await.unwrap(), 2);
        assert!(group.contains("k"));

        assert!(group.abort("k"));
        let late = newer.settle_registered(3).unwrap_err();
        assert_eq!((late.value, late.aborted.cause()), (3, Cause::Cancelled));
    }
}

/// Keys in flight, and no others.
pub async fn the_keys_in_flight_are_listed<R: TestRuntime>(rt: R) {
    let group = retaining();
    assert!(group.keys().is_empty());
    let owners = ["a", "b", "c"].map(|key| primary(group.begin(key)));
    let _forgotten = primary(group.begin("forgotten"));
    group.forget("forgotten");
    primary(group.begin("retained")).settle(1).unwrap();
    let spawned = rt.detach(&group, "d", pending);
    let mut keys = group.keys();
    keys.sort_unstable();
    assert_eq!(keys, ["a", "b", "c", "d"]);
    assert_eq!(keys.len(), group.len());
    drop(owners);
    assert_eq!(group.keys(), ["d"]);
    assert!(group.abort("d"));
    assert_eq!(cause_of(spawned.await), Cause::Cancelled);
}

/// A tenant, a tag: those that the closure picks, each asked for once.
pub async fn a_closure_picks_what_is_forgotten_or_aborted<R: TestRuntime>(rt: R) {
    let group = retaining();
    let keys = ["a/1", "a/2", "b/1", "b/2"];
    let mut owners = keys.map(|key| Some(primary(group.begin(key))));
    let told = keys.map(|key| rt.task(waiter(group.begin(key))));
    for key in ["a/retained", "b/retained"] {
        primary(group.begin(key)).settle(0).unwrap();
    }
    let asked = AtomicUsize::new(0);
    let of = |tenant: &'static str| {
        let asked = &asked;
        move |key: &&str| {
            asked.fetch_add(1, Ordering::SeqCst);
            key.starts_with(tenant)
        }
    };
    assert_eq!(group.abort_if(of("a/")), 2);
    assert_eq!(asked.swap(0, Ordering::SeqCst), 4, "of keys in flight");
    assert_eq!(group.abort_if(of("a/")), 0);
    assert_eq!(asked.swap(0, Ordering::SeqCst), 2);
    assert_eq!(group.forget_if(of("b/")), 3);
    assert_eq!(asked.swap(0, Ordering::SeqCst), 4, "of retained ones, too");
    assert!(group.is_empty());
    assert!(group.peek("b/retained").is_none());
    assert!(group.peek("a/retained").is_some());
    for (at, told) in told.into_iter().enumerate() {
        let owner = owners[at].take().expect("not yet settled");
        assert_eq!(owner.settle(at).is_ok(), at >= 2);
        match told.await {
            Ok(settled) => assert!(at >= 2 && *settled == at),
            lost => assert!(at < 2 && cause_of(lost) == Cause::Cancelled),
        }
    }
}

/// What is woken by an abort begins again, and is left alone.
pub async fn flights_that_begin_in_an_abort_by_a_closure_are_left_alone<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let owners = ["a", "b", "c"].map(|key| primary(group.begin(key)));
    let inside = group.clone();
    let mut again = Vec::new();
    let aborted = group.abort_if(|key| {
        // Another shard perhaps, perhaps the same one.
        let next = inside.begin(["x", "y", "z"][again.len()]);
        again.push((*key, primary(next)));
        true
    });
    assert_eq!((aborted, again.len(), group.len()), (3, 3, 3));
    for (_, owner) in again {
        assert!(rt.task(owner.run(ready(1))).await.is_ok());
    }
    assert!(owners.into_iter().all(|owner| owner.settle(0).is_err()));
}
