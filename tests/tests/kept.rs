//! What is still allocated when something is kept: an outcome, a handle, a group after a burst. The allocator counts for
//! each thread, so tests do not disturb each other.

mod support;

use allocation_counter::{AllocationInfo, measure};
use oneflight_core::rt::Spawn;
use oneflight_core::{Begin, Fingerprint, Group, SettleCell};
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
fn an_outcome_that_is_kept_does_not_keep_the_wakers() {
    const WAITERS: usize = 10_000;
    let group: Group<u64, u64> = one_shard();
    let warm_up = primary(&group, 0);
    drop(warm_up);
    let (kept, settled) = measured(|| {
        let owner = primary(&group, 1);
        let mut waiters: Vec<_> = (0..WAITERS).map(|_| waiter(&group, 1)).collect();
        for waiting in &mut waiters {
            assert!(poll_idly(waiting).is_pending());
        }
        owner.settle(7).expect("first")
    });
    println!("{} bytes are kept with an outcome", kept.bytes_current);
    assert!(kept.bytes_current <= 512, "{kept:?}");
    drop(settled);
    assert_idle(&group);
}

#[test]
fn an_outcome_of_work_that_is_kept_does_not_keep_the_wakers() {
    const WORKERS: usize = 10_000;
    let group: Group<u64, u64> = one_shard();
    // The table, and this thread's list of what it is inside of.
    assert!(poll_idly(&mut group.work(0, || std::future::ready(0))).is_ready());
    let (kept, settled) = measured(|| {
        let gate = std::sync::Arc::new(SettleCell::<u64>::new());
        let inner = gate.clone();
        let mut driver = group.work(1, move || async move { *inner.wait().await });
        assert!(poll_idly(&mut driver).is_pending());
        let mut workers: Vec<_> = (0..WORKERS)
            .map(|_| group.work(1, std::future::pending))
            .collect();
        for worker in &mut workers {
            assert!(poll_idly(worker).is_pending());
        }
        gate.settle(7).expect("first");
        assert!(poll_idly(&mut driver).is_ready());
        driver.get().expect("ended").expect("settled")
    });
    println!(
        "{} bytes are kept with an outcome of work",
        kept.bytes_current
    );
    // The flight, its baton, its room: nothing that grows with the crowd.
    assert!(kept.bytes_current <= 640, "{kept:?}");
    drop(settled);
    assert_idle(&group);
}

/// What is still allocated when the group is gone, once its table was large, and one outcome is kept.
fn bytes_kept_after_the_group(outcome: impl FnOnce(&Group<u64, u64>) -> Box<dyn Send>) -> i64 {
    let (kept, outcome) = measured(|| {
        let group: Group<u64, u64> = one_shard();
        let crowd: Vec<_> = (0..10_000).map(|key| primary(&group, key)).collect();
        drop(crowd);
        outcome(&group)
    });
    drop(outcome);
    kept.bytes_current
}

#[test]
fn an_outcome_that_is_kept_does_not_keep_the_registry() {
    let kept = bytes_kept_after_the_group(|group| Box::new(primary(group, 1).settle(7)));
    assert!(kept <= 512, "{kept} bytes");
}

#[test]
fn an_outcome_of_work_that_is_kept_does_not_keep_the_registry() {
    let kept = bytes_kept_after_the_group(|group| {
        let mut work = group.work(1, || async { 7 });
        assert!(poll_idly(&mut work).is_ready());
        Box::new(work.get())
    });
    assert!(kept <= 512, "{kept} bytes");
}

/// Begins and settles each key, in a group that has had a burst of keys before. Returns the bytes
/// that the group keeps of that beyond what it kept when it was new.
fn kept_after_a_burst(group: &Group<u64, u64>, begin: impl Fn(u64) -> Begin<u64, u64>) -> i64 {
    const BURST: u64 = 200_000;
    const ORDINARY: u64 = 100_000;
    let kept = measure(|| {
        let burst: Vec<_> = (0..BURST).map(&begin).collect();
        assert_eq!(group.len(), BURST as usize);
        drop(burst);
        for key in 0..ORDINARY {
            let Begin::Primary(owner) = begin(key) else {
                panic!("{key} is free")
            };
            owner.settle(key).unwrap();
        }
    });
    assert!(group.is_empty());
    kept.bytes_current
}

#[test]
fn after_a_burst_the_tables_shrink() {
    const MOST: i64 = 1 << 20;
    let plain = Group::new();
    let kept = kept_after_a_burst(&plain, |key| plain.begin(key));
    assert!(kept <= MOST, "{kept} bytes");
    let noted = Group::new();
    let payload = Fingerprint::new(1);
    let kept = kept_after_a_burst(&noted, |key| noted.entry(key).fingerprint(payload).begin());
    assert!(kept <= MOST, "{kept} bytes, with fingerprints");
}

/// A runtime that runs at once what it is given.
struct Inline;

impl Spawn for Inline {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        assert!(poll_idly(&mut Box::pin(task)).is_ready());
    }
}

#[test]
fn an_abort_handle_keeps_neither_key_nor_value() {
    let group: Group<Vec<u8>, Vec<u8>> = Group::new();
    let mut handle = None;
    let kept = measure(|| {
        let ended = group
            .entry(vec![1; MEBI])
            .spawn_on(&Inline, || async { vec![2; MEBI] });
        handle = ended.abort_handle();
        let outcome = ended.get().expect("it has ended").unwrap();
        assert_eq!(outcome.len(), MEBI);
    });
    assert!(group.is_empty());
    assert!(!handle.expect("it began the flight").abort());
    assert!(kept.bytes_current < 4_096, "{} bytes", kept.bytes_current);
}

/// Lets a test see whether a group's registry is still there.
struct Told(#[expect(dead_code, reason = "counted")] std::sync::Arc<()>);

impl oneflight_core::clock::Clock for Told {
    fn now(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

#[test]
fn an_end_of_a_wanted_flight_of_any_kind_keeps_no_registry() {
    for retains in [false, true] {
        let alive = std::sync::Arc::new(());
        let builder = Group::<u8, u64>::builder()
            .clock(Told(alive.clone()))
            .supersede_after(std::time::Duration::from_secs(1));
        let group = if retains {
            builder
                .retain_for(std::time::Duration::from_secs(1))
                .build()
        } else {
            builder.build()
        };
        let shelf = Shelf::default();
        let run = || {
            assert!(poll_idly(&mut shelf.take_task()).is_ready());
        };
        let wanted = |key| {
            let entry = group.entry(key);
            entry.spawn_while_wanted_on(&shelf, || std::future::ready(7))
        };
        let owner = wanted(1);
        let duplicate = waiter(&group, 1);
        run();
        let settled = owner.get().expect("ended").expect("settled");
        drop(owner);
        let aborted = wanted(2);
        assert!(group.abort(&2));
        run();
        let left = wanted(3);
        drop(left);
        run();
        assert_eq!(group.stats().ending, 0);
        drop(group);
        assert_eq!(
            std::sync::Arc::strong_count(&alive),
            2,
            "by the aborted call's owner"
        );
        drop(aborted);
        assert_eq!(std::sync::Arc::strong_count(&alive), 1, "{retains}");
        drop((settled, duplicate));
    }
}

#[test]
fn an_outcome_that_is_kept_keeps_little_of_its_crowd() {
    const FLIGHTS: u64 = 100;
    let group: Group<u64, u64> = one_shard();
    let mut kept = Vec::with_capacity(FLIGHTS as usize);
    let mut each = |crowd: usize| {
        kept.clear();
        let bytes = measure(|| {
            for key in 0..FLIGHTS {
                let owner = primary(&group, key);
                let mut all: Vec<_> = (0..crowd).map(|_| waiter(&group, key)).collect();
                for waiting in &mut all {
                    assert!(poll_idly(waiting).is_pending());
                }
                kept.push(owner.settle(key).expect("first"));
            }
        });
        bytes.bytes_current / FLIGHTS as i64
    };
    // What this thread keeps is there after that.
    each(64);
    // So many as a room that is used again may have memory for.
    let few = each(16);
    for crowd in [17, 33, 64, 65, 200] {
        let many = each(crowd);
        assert!(
            many <= few,
            "{many} bytes after a crowd of {crowd}, and {few} after one of 16"
        );
    }
}
