//! What is allocated, by count and by byte. The allocator counts for each thread, so tests do not disturb each other.

mod support;

use std::panic::resume_unwind;

use allocation_counter::{AllocationInfo, measure};
use oneflight_core::{Begin, Group, SettleCell};
use support::{Shelf, assert_idle, poll_idly, primary, waiter};

const MEBI: usize = 1 << 20;

/// What `f` allocates, and what it returns.
fn measured<R>(f: impl FnOnce() -> R) -> (AllocationInfo, R) {
    let mut result = None;
    let info = measure(|| result = Some(f()));
    (info, result.expect("it ran"))
}

fn one_shard<K, T>() -> Group<K, T> {
    Group::<K, T>::builder().shards(1).build()
}

#[test]
fn a_waiter_costs_its_place_in_the_crowd_and_no_allocation() {
    const WAITERS: usize = 100_000;
    let group: Group<u64, u64> = Group::new();
    let owner = primary(&group, 1);
    let mut waiters = Vec::with_capacity(WAITERS);
    let handles = waiters.capacity() * size_of_val(&waiter(&group, 1));

    let joining = measure(|| waiters.extend((0..WAITERS).map(|_| waiter(&group, 1))));
    assert_eq!(joining.count_total, 0, "joining allocates nothing");

    let parking = measure(|| {
        for waiting in &mut waiters {
            assert!(poll_idly(waiting).is_pending());
        }
    });
    // The room, the event, its listener; and a slab that doubles.
    assert!(
        parking.count_total <= 4 + WAITERS.ilog2() as u64,
        "{parking:?}"
    );
    let each = (handles as i64 + parking.bytes_current) as f64 / WAITERS as f64;
    println!(
        "{each:.1} bytes a waiter, {} allocations for all",
        parking.count_total
    );
    assert!(each <= 40.0, "{each} bytes a waiter");

    let again = measure(|| {
        for waiting in &mut waiters {
            assert!(poll_idly(waiting).is_pending());
        }
    });
    assert_eq!(again.count_total, 0, "being polled again allocates nothing");

    let (settling, settled) = measured(|| owner.settle(7).expect("first"));
    println!("{} allocations to settle", settling.count_total);
    assert!(settling.count_total <= 2, "at most a batch: {settling:?}");
    let resuming = measure(|| {
        for waiting in &mut waiters {
            assert!(poll_idly(waiting).is_ready());
        }
        waiters.clear();
    });
    assert_eq!(resuming.count_total, 0, "resuming allocates nothing");
    drop(settled);
    assert_idle(&group);
}

#[test]
fn places_of_those_who_left_are_taken_again() {
    let group: Group<u64, u64> = Group::new();
    let owner = primary(&group, 1);
    let visit = || {
        let mut waiting: Vec<_> = (0..100).map(|_| waiter(&group, 1)).collect();
        for waiting in &mut waiting {
            assert!(poll_idly(waiting).is_pending());
        }
    };
    visit();
    let churn = measure(|| (0..100).for_each(|_| visit()));
    assert_eq!(churn.bytes_current, 0, "{churn:?}");
    drop(owner);
    assert_idle(&group);
}

#[test]
fn a_flight_without_waiters_is_one_allocation() {
    let group: Group<u64, u64> = one_shard();
    drop(primary(&group, 0).settle(0));
    for key in 1..100 {
        let solo = measure(|| drop(primary(&group, key).settle(key)));
        assert_eq!((solo.count_total, solo.count_current), (1, 0));
        let lost = measure(|| drop(primary(&group, key)));
        assert_eq!((lost.count_total, lost.count_current), (1, 0));
        let borrowed = measure(|| drop(group.entry_ref(&key).begin()));
        assert_eq!((borrowed.count_total, borrowed.count_current), (1, 0));
    }
}

#[test]
fn a_flight_with_few_waiters_is_two_allocations() {
    let group: Group<u64, u64> = one_shard();
    let round = |key, crowd| {
        let owner = primary(&group, key);
        let mut first = waiter(&group, key);
        assert!(poll_idly(&mut first).is_pending());
        for _ in 1..crowd {
            assert!(poll_idly(&mut waiter(&group, key)).is_pending());
        }
        drop(owner.settle(key));
        assert_eq!(*first.get().expect("settled").expect("a value"), key);
    };
    round(0, 1);
    for key in 1..100 {
        // The flight, and the crowd's place at the event; the rest is there from the last time.
        let cost = measure(|| round(key, 1));
        assert_eq!((cost.count_total, cost.count_current), (2, 0), "{cost:?}");
    }
}

#[test]
fn rooms_are_kept_to_be_used_again_but_not_their_crowds() {
    let group: Group<u64, u64> = one_shard();
    let crowds = |flights: u64, crowd: usize| {
        let owners: Vec<_> = (0..flights).map(|key| primary(&group, key)).collect();
        let join = |key| {
            let mut joined = waiter(&group, key);
            assert!(poll_idly(&mut joined).is_pending());
            joined
        };
        let all: Vec<_> = (0..flights)
            .flat_map(|key| (0..crowd).map(move |_| key))
            .map(join)
            .collect();
        drop(owners);
        drop(all);
    };
    crowds(100, 1);
    let kept = measure(|| crowds(100, 1_000)).bytes_current;
    assert!(kept <= 0, "{kept} bytes more than rooms of one");
}

#[test]
fn an_unused_cell_allocates_nothing() {
    let used = measure(|| {
        let cell = SettleCell::new();
        assert!(cell.settle(7).is_ok());
        assert!(poll_idly(&mut cell.wait()).is_ready());
    });
    assert_eq!(used.count_total, 0);
}

#[test]
fn asking_and_being_a_duplicate_allocate_nothing() {
    let group: Group<u64, u64> = one_shard();
    let owner = primary(&group, 1);
    let asking = measure(|| {
        assert!(group.contains(&1) && !group.contains(&2) && !group.forget(&2));
        assert_eq!(
            (group.len(), group.waiters(&1), group.stats().in_flight),
            (1, 0, 1)
        );
        drop(waiter(&group, 1));
        drop(group.entry_ref(&1).begin());
        drop(group.work(1, std::future::pending));
    });
    assert_eq!(asking.count_total, 0);
    drop(owner);
    assert_idle(&group);
}

#[test]
fn ten_thousand_cancelled_primaries_leave_nothing() {
    const KEYS: u64 = 10_000;
    let group: Group<String, String> = one_shard();
    let cancel_all = |from: u64| {
        let name = |key: u64| format!("invoice-{key}");
        let held: Vec<_> = (from..from + KEYS)
            .map(|key| {
                let owner = primary(&group, name(key));
                let mut waiting = waiter(&group, name(key));
                assert!(poll_idly(&mut waiting).is_pending());
                (owner, waiting)
            })
            .collect();
        assert_eq!(group.len(), KEYS as usize);
        for (index, (owner, waiting)) in held.into_iter().enumerate() {
            if index % 2 == 0 {
                drop(owner);
                assert!(waiting.get().expect("ended").is_err());
            } else {
                drop(waiting);
                drop(owner);
            }
        }
    };
    // The first round grows the table, which keeps its capacity.
    cancel_all(0);
    let second = measure(|| cancel_all(KEYS));
    assert_eq!(
        (second.bytes_current, second.count_current),
        (0, 0),
        "{second:?}"
    );
    assert_idle(&group);
}

#[test]
fn ten_thousand_abandoned_operations_leave_nothing() {
    const KEYS: u64 = 10_000;
    let group: Group<u64, u64> = one_shard();
    let abandon_all = |from: u64| {
        for key in from..from + KEYS {
            let mut driver = group.work(key, move || async move {
                std::future::pending::<()>().await;
                key
            });
            assert!(poll_idly(&mut driver).is_pending());
            let mut other = group.work(key, std::future::pending);
            assert!(poll_idly(&mut other).is_pending());
        }
    };
    abandon_all(0);
    let second = measure(|| abandon_all(KEYS));
    assert_eq!(
        (second.bytes_current, second.count_current),
        (0, 0),
        "{second:?}"
    );
    assert_idle(&group);
}

#[test]
fn a_key_in_flight_costs_a_hundred_bytes_at_most_on_average() {
    const FROM: u64 = 100_000;
    let group: Group<u64, u64> = Group::new();
    let mut owners = Vec::with_capacity(2 * FROM as usize);
    let first = measure(|| owners.extend((0..FROM).map(|key| primary(&group, key))));
    let mut bytes = first.bytes_current;
    let mut sum = 0.0;
    for key in FROM..2 * FROM {
        bytes += measure(|| owners.push(primary(&group, key))).bytes_current;
        sum += bytes as f64 / (key + 1) as f64;
    }
    let each = sum / FROM as f64;
    println!("{each:.1} bytes a key in flight");
    assert!(each <= 100.0, "{each} bytes a key");
    drop(owners);
    assert_idle(&group);
}

#[test]
fn a_megabyte_is_handed_out_and_never_copied() {
    let group: Group<u64, Vec<u8>> = one_shard();
    drop(primary(&group, 0));
    let owner = primary(&group, 1);
    let mut waiters: Vec<_> = (0..1_000).map(|_| waiter(&group, 1)).collect();
    for waiting in &mut waiters {
        assert!(poll_idly(waiting).is_pending());
    }
    let value = vec![1u8; MEBI];
    let address = value.as_ptr();
    let mut outcomes = Vec::with_capacity(waiters.len());
    let shared = measure(|| {
        drop(owner.settle(value));
        outcomes.extend(waiters.iter_mut().map(|waiting| match poll_idly(waiting) {
            std::task::Poll::Ready(Ok(settled)) => settled,
            _ => panic!("settled"),
        }));
        let copy = outcomes[0].clone();
        outcomes[1] = copy;
    });
    assert!(shared.bytes_total < 4_096, "{shared:?}");
    assert!(outcomes.iter().all(|settled| settled.as_ptr() == address));
}

#[test]
fn a_megabyte_by_value_is_allocated_once() {
    let test = || {
        let group: Group<u64, [u8; MEBI]> = one_shard();
        let warm_up = primary(&group, 0);
        drop(warm_up);
        let flight = measure(|| {
            let owner = primary(&group, 1);
            let waiting = waiter(&group, 1);
            let settled = owner.settle([1; MEBI]).expect("first");
            assert!(std::ptr::eq(
                &*settled,
                &*waiting.get().expect("ended").expect("settled")
            ));
        });
        assert_eq!(flight.count_total, 1);
        assert!(flight.bytes_total < MEBI as u64 + 4_096);
    };
    let thread = std::thread::Builder::new().stack_size(64 * MEBI);
    let thread = thread.spawn(test).expect("a thread");
    thread.join().expect("the test passes");
}

#[test]
fn operations_that_panic_in_their_tasks_leave_nothing() {
    let group: Group<u64, u64> = one_shard();
    let run = |key| {
        let shelf = Shelf::default();
        let call = group.entry(key).spawn_on(&shelf, || async {
            // A panic with a payload and without a message: nothing but the payload is allocated.
            resume_unwind(Box::new([0u8; 1_000]))
        });
        assert!(poll_idly(&mut shelf.take_task()).is_ready());
        assert!(call.get().expect("ended").is_err());
    };
    run(0);
    let panicking = measure(|| (1..=100).for_each(run));
    assert!(panicking.bytes_current < 1_000, "{panicking:?}");
    assert_idle(&group);
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_ends_in_its_task() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new(()))
        }
    }
    let group: Group<u64, u64> = one_shard();
    let shelf = Shelf::default();
    let call = group
        .entry(0)
        .spawn_on(&shelf, || async { resume_unwind(Box::new(Bomb)) });
    assert!(poll_idly(&mut shelf.take_task()).is_ready());
    assert!(call.get().expect("ended").is_err());
    assert_idle(&group);
}

#[test]
fn a_begin_that_is_dropped_at_once_leaves_nothing() {
    let group: Group<u64, u64> = one_shard();
    drop(group.begin(0));
    let churn = measure(|| {
        for key in 0..10_000 {
            match group.begin(key) {
                Begin::Primary(primary) => drop(primary),
                _ => panic!("the key is free"),
            }
        }
    });
    assert_eq!((churn.bytes_current, churn.count_total), (0, 10_000));
}
