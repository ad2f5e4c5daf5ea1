//! `join`: a call that waits for the flight there is and begins none.

use std::time::Duration;

use oneflight::error::{Cause, Rejected};
use oneflight::gate::{Gate, Mode};
use oneflight::{Begin, Error, Fingerprint};

use super::Group;
use crate::{HandClock, TestRuntime, cause_of, primary, scripted, until};

/// It is a waiter as any other one.
pub async fn a_join_waits_for_the_flight_there_is<R: TestRuntime>(rt: R) {
    let group = Group::new();
    assert!(group.join("k").unwrap().is_none());
    let owner = primary(group.begin("k"));
    assert!(group.join("other").unwrap().is_none());
    let joined = group.join("k").unwrap().expect("in flight");
    assert_eq!((joined.id(), group.waiters("k")), (owner.id(), 1));
    let told = rt.task(joined);
    owner.settle(7).unwrap();
    assert_eq!(*told.await.unwrap(), 7);
    assert!(group.join("k").unwrap().is_none(), "this is no cache");
    let stats = group.stats();
    assert_eq!((stats.begun, stats.joined, stats.waited), (1, 1, 1));
    assert_eq!(stats.rejected, 0);
}

/// It does not drive a `work`, and it does not keep one alive.
pub async fn a_join_drives_nothing<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let (remote, operation) = scripted();
    let work = rt.task(group.work("k", || operation));
    until(|| remote.polls() == 1).await;
    let joined = rt.task(group.join("k").unwrap().expect("in flight"));
    remote.finish();
    assert_eq!(*work.await.unwrap(), 2);
    assert_eq!(*joined.await.unwrap(), 2);

    let (remote, operation) = scripted();
    let work = group.work("k", || operation);
    let joined = group.join("k").unwrap().expect("in flight");
    drop(work);
    assert_eq!(cause_of(rt.task(joined).await), Cause::Dropped);
    assert_eq!(remote.polls(), 0);
}

/// Within its window an outcome is joined as a begin joins it, and is not afterwards.
pub async fn a_join_gets_a_retained_outcome_at_once<R: TestRuntime>(_: R) {
    let clock = HandClock::default();
    let group: Group = Group::builder()
        .retain_for(Duration::from_secs(60))
        .clock(clock.clone())
        .build();
    primary(group.begin("k")).settle(7).unwrap();
    let late = group.join("k").unwrap().expect("retained");
    assert_eq!(*late.get().expect("ready").unwrap(), 7);
    clock.forward(60);
    assert!(group.join("k").unwrap().is_none());
    assert_eq!((group.stats().joined, group.stats().begun), (1, 1));
}

/// A join that is refused holds nothing and is counted; one that finds nothing is not.
pub async fn a_join_respects_the_payload_and_the_limit<R: TestRuntime>(_: R) {
    let group: Group = Group::builder().max_waiters(1).max_flights(1).build();
    let call = |payload: &[u8]| group.entry("k").fingerprint(Fingerprint::of_bytes(payload));
    // A full or closed group has no say: it begins nothing.
    let other = primary(group.begin("other"));
    assert!(call(b"10").join().unwrap().is_none());
    drop(other);
    let owner = primary(call(b"10").begin());
    let refused = |call: Result<_, Error>| call.map(|_: Option<_>| ()).unwrap_err();
    assert_eq!(
        refused(call(b"20").join()),
        Error::Rejected(Rejected::Mismatch)
    );
    let only = call(b"10").join().unwrap().expect("the same payload");
    assert_eq!(
        refused(call(b"20").join()),
        Error::Rejected(Rejected::Mismatch)
    );
    assert_eq!(
        refused(group.join("k")),
        Error::Rejected(Rejected::TooManyWaiters)
    );
    let borrowed = group.entry_ref(&"k").fingerprint(Fingerprint::new(1));
    assert_eq!(
        refused(borrowed.join()),
        Error::Rejected(Rejected::Mismatch)
    );
    drop(only);
    assert!(group.join("k").unwrap().is_some());
    let stats = group.stats();
    assert_eq!(stats.rejected_by(Rejected::Mismatch), 3);
    assert_eq!(stats.rejected, 4);
    drop(owner);
}

/// A closed group begins nothing more, and neither does a join.
pub async fn a_closed_group_is_joined_still<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let owner = primary(group.begin("k"));
    group.close();
    assert!(group.join("other").unwrap().is_none());
    let joined = rt.task(group.join("k").unwrap().expect("in flight"));
    owner.settle(7).unwrap();
    assert_eq!(*joined.await.unwrap(), 7);
    assert!(group.join("k").unwrap().is_none());
}

/// It has no newer flight to put in its place.
pub async fn a_join_supersedes_nothing<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let group: Group = Group::builder()
        .supersede_after(Duration::from_secs(10))
        .clock(clock.clone())
        .build();
    let old = primary(group.begin("k"));
    clock.forward(11);
    let joined = rt.task(group.join("k").unwrap().expect("in flight"));
    old.settle(7).unwrap();
    assert_eq!(*joined.await.unwrap(), 7);
    assert_eq!(group.stats().aborted, 0);

    let old = primary(group.begin("k"));
    clock.forward(11);
    let joined = rt.task(group.join("k").unwrap().expect("in flight"));
    let new = primary(group.begin("k"));
    assert_eq!(cause_of(joined.await), Cause::Superseded);
    let joined = group.join("k").unwrap().expect("the newer one");
    assert_eq!(joined.id(), new.id());
    assert!(old.settle(0).is_err());
}

/// A token is in flight also while it is queued. A join that finds another token is not refused: it takes no place.
pub async fn a_join_at_a_gate_takes_no_place<R: TestRuntime>(rt: R) {
    let gate = Gate::<&str, usize>::new(Mode::Queue);
    let join = |token| gate.entry(token).join().unwrap();
    assert!(join(Some("a")).is_none());
    let holder = primary(gate.begin(Some("a")));
    let turn = gate.turn(Some("b"));
    let of_holder = rt.task(join(Some("a")).expect("it holds the gate"));
    let of_queued = rt.task(join(Some("b")).expect("it is queued"));
    assert!(join(Some("c")).is_none());
    assert!(join(None).is_none());
    assert_eq!(gate.queued(), 1);
    holder.settle(1).unwrap();
    assert_eq!(*of_holder.await.unwrap(), 1);
    primary(turn.await).settle(2).unwrap();
    assert_eq!(*of_queued.await.unwrap(), 2);

    let nobody = primary(gate.begin(None));
    assert!(join(None).is_none());
    drop(nobody);
    assert_eq!(gate.stats().rejected, 0);
    let open = Gate::<&str, usize>::new(Mode::Open);
    let owner = primary(open.begin(Some("a")));
    assert!(open.entry(Some("a")).join().unwrap().is_none());
    drop(owner);
}

/// Whatever races with it: it waits for a flight that is there, or finds none.
pub async fn joins_that_race_with_begins_wait_for_no_flight_that_is_gone<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let begins = group.clone();
    let begun = rt.unblock(move || {
        for round in 0..500 {
            match begins.begin("k") {
                Begin::Primary(owner) if round % 3 == 0 => drop(owner),
                Begin::Primary(owner) => drop(owner.settle(round).unwrap()),
                _ => unreachable!("joins do not begin"),
            }
        }
    });
    let joins = group.clone();
    let joined = rt.unblock(move || {
        let waiters = (0..500).filter_map(|_| joins.join("k").unwrap());
        waiters.map(|waiter| drop(waiter.wait_blocking())).count()
    });
    begun.await;
    assert_eq!(group.stats().joined, joined.await as u64);
    assert!(group.is_empty());
}
