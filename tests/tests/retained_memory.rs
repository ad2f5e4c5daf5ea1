//! What a retained outcome holds: itself, and nothing of the crowd that waited for it. What a
//! superseded flight holds: nothing.

use std::cell::RefCell;
use std::future::{pending, ready};
use std::task::Waker;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use oneflight::{Fingerprint, Group, Settled};
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
        group.retain_for(Duration::from_secs(60)).build()
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

const FROM: u64 = 8_192;

/// What each outcome holds beside its flight: the mean while the number of them doubles.
fn beside_the_flight(settle: impl Fn(&Group<u64, u64>, u64) -> Settled<u64, u64>) -> f64 {
    let builder = Group::<u64, u64>::builder().shards(1);
    let group = builder.retain_for(Duration::from_secs(3600)).build();
    let (mut all, mut means) = (0, Vec::new());
    for key in 1..=2 * FROM {
        all += measure(|| drop(settle(&group, key))).bytes_current;
        if key > FROM && key % (FROM / 64) == 0 {
            means.push(all as f64 / key as f64);
        }
    }
    assert_eq!(group.stats().retained, 2 * FROM as usize);
    // The same flight alone, as its last handle holds it.
    let plain = Group::<u64, u64>::new();
    let last = settle(&plain, 1);
    let flight = -measure(|| drop(last)).bytes_current;
    means.iter().sum::<f64>() / means.len() as f64 - flight as f64
}

#[test]
fn a_retained_outcome_takes_little_beside_its_flight() {
    let bare = beside_the_flight(|group, key| primary(group.begin(key)).settle(key).unwrap());
    let marked = beside_the_flight(|group, key| {
        let print = Fingerprint::new(key.into());
        let begin = group.entry(key).fingerprint(print).begin();
        primary(begin).settle(key).unwrap()
    });
    println!("beside the flight: {bare:.1} bytes, with a fingerprint {marked:.1}");
    assert!(bare <= 68.0, "{bare}");
    assert!(marked <= 150.0, "{marked}");
}

/// What one outcome leaves behind beside its places in the tables: of some in a row, what the least
/// leaves, since a table grows now and then.
fn least_left(round: impl Fn(&Group<u64, u64>, u64)) -> (i64, i64) {
    let group = Group::<u64, u64>::builder().shards(1);
    let group = group.retain_for(Duration::from_secs(60)).build();
    // The tables, and the rooms that a thread keeps.
    (0..100).for_each(|key| round(&group, key));
    let left = (100..120).map(|key| measure(|| round(&group, key)));
    let least = left.map(|cost| (cost.count_current, cost.bytes_current));
    let least = least.min().expect("twenty");
    assert_eq!(group.stats().retained, 120);
    least
}

/// The flight alone: its value, its key, its id and hash, the word of its state, two pointers that
/// are null by then, and the count of its handles.
#[test]
fn a_retained_outcome_is_one_allocation_of_64_bytes_however_it_came_about() {
    const FLIGHT: (i64, i64) = (1, 64);
    let kept = RefCell::new(Vec::with_capacity(200));
    let settled = least_left(|group, key| drop(primary(group.begin(key)).settle(1)));
    let waited = least_left(|group, key| {
        let (guard, mut waiter) = (primary(group.begin(key)), waiter(group.begin(key)));
        assert!(poll(&mut waiter, Waker::noop()).is_pending());
        guard.settle(1).unwrap();
        assert!(poll(&mut waiter, Waker::noop()).is_ready());
    });
    let unpolled = least_left(|group, key| {
        let (guard, mut waiter) = (primary(group.begin(key)), waiter(group.begin(key)));
        assert!(poll(&mut waiter, Waker::noop()).is_pending());
        kept.borrow_mut().push(waiter);
        guard.settle(1).unwrap();
    });
    let threads = least_left(|group, key| {
        let (guard, mut waiter) = (primary(group.begin(key)), waiter(group.begin(key)));
        assert!(waiter.wait_deadline(Instant::now()).is_err());
        guard.settle(1).unwrap();
    });
    let worked = least_left(|group, key| {
        let mut work = group.work(key, || async { 1 });
        let mut other = group.work(key, || async { 2 });
        assert!(poll(&mut other, Waker::noop()).is_ready());
        assert!(poll(&mut work, Waker::noop()).is_ready());
    });
    let large = least_left(|group, key| {
        let value = [1; 100];
        let mut work = group.work(key, || async move {
            ready(()).await;
            value[key as usize % 100]
        });
        assert!(poll(&mut work, Waker::noop()).is_ready());
    });
    for (left, how) in [
        (settled, "settled"),
        (waited, "waited for"),
        (unpolled, "waited for by a task that is not polled again"),
        (threads, "waited for by a thread"),
        (worked, "by work"),
        (large, "by work, with a large operation"),
    ] {
        assert_eq!(left, FLIGHT, "{how}");
    }
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
