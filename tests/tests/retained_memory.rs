//! What a retained outcome holds: itself, and nothing of the crowd that waited for it. What a
//! superseded flight holds: nothing.

use std::future::pending;
use std::task::Waker;
use std::time::Duration;

use allocation_counter::measure;
use oneflight::Group;
use oneflight_conformance::{HandClock, poll, primary, scripted, waiter};

const CROWD: usize = 10_000;

/// What is left for its one outcome, of a crowd that would need a hundred times that.
fn is_small(group: &Group<u64, u64>, mut round: impl FnMut(u64)) {
    // The table, and the first places in the queue.
    (0..20).for_each(&mut round);
    let cost = measure(|| round(20));
    assert!(cost.bytes_current < 1_000, "{cost:?}");
    assert!(cost.bytes_max > 100_000, "there was no crowd: {cost:?}");
    assert!(group.peek(&20).is_some());
}

#[test]
fn a_retained_outcome_keeps_nothing_of_its_crowd() {
    let retaining = || {
        let group = Group::<u64, u64>::builder().shards(1);
        group.retain(Duration::from_secs(60)).build()
    };
    let group = retaining();
    is_small(&group, |key| {
        let guard = primary(group.begin(key));
        let mut waiters: Vec<_> = (0..CROWD).map(|_| waiter(group.begin(key))).collect();
        for waiter in &mut waiters {
            assert!(poll(waiter, Waker::noop()).is_pending());
        }
        guard.settle(1).unwrap();
    });

    let group = retaining();
    is_small(&group, |key| {
        let (remote, operation) = scripted();
        let mut crowd = vec![group.work(key, || async move { operation.await as u64 })];
        crowd.extend((1..CROWD).map(|_| group.work(key, pending::<u64>)));
        for one in &mut crowd {
            assert!(poll(one, Waker::noop()).is_pending());
        }
        remote.finish();
        assert!(poll(&mut crowd[0], Waker::noop()).is_ready());
    });
}

#[test]
fn a_superseded_flight_leaves_no_memory_behind() {
    let clock = HandClock::default();
    let builder = Group::<u64, u64>::builder().shards(1);
    let group = builder
        .supersede_after(Duration::from_secs(10))
        .clock(clock.clone())
        .build();
    let supersede = |times: u32| {
        let mut current = primary(group.begin(1));
        for _ in 0..times {
            clock.forward(11);
            current = primary(group.begin(1));
        }
        drop(current);
    };
    supersede(100);
    let cost = measure(|| supersede(10_000));
    assert!(cost.bytes_current < 1_000, "{cost:?}");
}
