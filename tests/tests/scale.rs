//! Scale: minutes long, so run by `.ci/tests.sh scale` and not with the rest. In release mode, one at a
//! time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use oneflight::{Group, Stats};
use oneflight_conformance::figures::{Rss, or};
use oneflight_conformance::{HandClock, poll, primary, waiter};

const MILLION: usize = 1_000_000;

/// Counts its wakes; all who wait share it.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn assert_over(stats: &Stats) {
    assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
    assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
    assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats:?}");
}

#[test]
#[ignore = "a million waiters; run by .ci/tests.sh scale"]
fn a_million_waiters_on_one_flight_are_all_resumed() {
    let group: Group<u64, u64> = Group::new();
    let owner = primary(group.begin(1));
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let mut waiters = Vec::with_capacity(MILLION);
    let handles = size_of_val(&waiter(group.begin(1)));

    let began = Instant::now();
    let heap = measure(|| {
        waiters.extend((0..MILLION).map(|_| waiter(group.begin(1))));
        for waiting in &mut waiters {
            assert!(poll(waiting, &waker).is_pending());
        }
    });
    let parked = began.elapsed();
    let each = handles as f64 + heap.bytes_current as f64 / MILLION as f64;
    assert_eq!(owner.waiters(), MILLION);
    // Every tenth one leaves.
    let mut index = 0;
    waiters.retain(|_| {
        index += 1;
        index % 10 != 0
    });
    assert_eq!(owner.waiters(), MILLION * 9 / 10);
    let began = Instant::now();
    owner.settle(7).expect("first");
    let told = began.elapsed();
    assert_eq!(bell.0.load(Ordering::SeqCst), MILLION * 9 / 10);
    for mut waiting in waiters {
        assert!(poll(&mut waiting, Waker::noop()).is_ready());
    }
    let stats = group.stats();
    assert_over(&stats);
    // One more was only measured.
    assert_eq!(stats.waited, MILLION as u64 * 9 / 10);
    assert_eq!(stats.cancelled, MILLION as u64 / 10 + 1);
    assert_eq!(Arc::strong_count(&bell), 2, "wakers are kept");
    println!(
        "scale: {MILLION} waiters: {each:.1} bytes each, begun and parked in {parked:.2?}, {} told in {told:.2?}",
        stats.waited
    );
    assert!(each <= 40.0, "{each} bytes a waiter");
}

#[test]
#[ignore = "a million participants; run by .ci/tests.sh scale"]
fn a_million_participants_of_one_work_are_all_resumed() {
    let group: Group<u64, u64> = Group::new();
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(bell.clone());
    let cell = Arc::new(oneflight::SettleCell::<u64>::new());
    let inner = cell.clone();
    let mut driver = group.work(1, move || async move { *inner.wait().await });
    assert!(poll(&mut driver, Waker::noop()).is_pending());
    let mut works = Vec::with_capacity(MILLION);
    let began = Instant::now();
    let heap = measure(|| {
        works.extend((0..MILLION).map(|_| group.work(1, std::future::pending)));
        for work in &mut works {
            assert!(poll(work, &waker).is_pending());
        }
    });
    let parked = began.elapsed();
    let each = size_of_val(&works[0]) as f64 + heap.bytes_current as f64 / MILLION as f64;
    assert_eq!(group.waiters(&1), MILLION);
    // The driver is lost when the operation wants to be polled: everybody is asked once to go on,
    // and one does.
    cell.settle(7).expect("first");
    assert_eq!(bell.0.load(Ordering::SeqCst), 0);
    drop(driver);
    assert_eq!(bell.0.load(Ordering::SeqCst), MILLION);
    let began = Instant::now();
    for work in &mut works {
        assert!(poll(work, Waker::noop()).is_ready());
    }
    let resumed = began.elapsed();
    drop(works);
    let stats = group.stats();
    assert_over(&stats);
    assert_eq!((stats.begun, stats.waited), (1, MILLION as u64));
    assert_eq!(Arc::strong_count(&bell), 2, "wakers are kept");
    println!(
        "scale: {MILLION} participants: {each:.1} bytes each, begun and parked in {parked:.2?}, resumed in {resumed:.2?}"
    );
}

#[test]
#[ignore = "a million keys; run by .ci/tests.sh scale"]
fn a_million_keys_are_in_flight_at_once() {
    let group: Group<u64, u64> = Group::new();
    let mut owners = Vec::with_capacity(MILLION);
    let mut times = Vec::with_capacity(MILLION);
    let heap = measure(|| {
        for key in 0..MILLION as u64 {
            let began = Instant::now();
            owners.push(primary(group.begin(key)));
            times.push(began.elapsed());
        }
    });
    assert_eq!(group.len(), MILLION);
    let each = heap.bytes_current as f64 / MILLION as f64;
    times.sort_unstable();
    let worst = times[MILLION - 1];
    let permille = times[MILLION - MILLION / 1_000];
    for key in (0..MILLION as u64).step_by(1_000) {
        let waiting = waiter(group.begin(key));
        assert_eq!(group.waiters(&key), 1);
        drop(waiting);
    }
    let freed = measure(|| {
        for (key, owner) in owners.drain(..).enumerate() {
            assert_eq!(*owner.key(), key as u64);
            owner.settle(7).expect("first");
        }
    });
    assert!(group.is_empty());
    assert_over(&group.stats());
    let tables = (heap.bytes_current + freed.bytes_current) as f64 / MILLION as f64;
    println!(
        "scale: {MILLION} keys in flight: {each:.1} bytes of heap each ({tables:.1} of it the tables, kept), \
         worst begin {worst:.1?}, one in a thousand over {permille:.1?}"
    );
    assert!(each <= 150.0, "{each} bytes a key");
    // A table of one shard that grows, and never a table of all keys. The machine may be busy with
    // others.
    assert!(worst < Duration::from_millis(500), "{worst:?}");
}

/// Of windows that all differ, twenty times as many take hardly more time. The least of several
/// batches, at each size, so that others on the machine do not count.
#[test]
#[ignore = "compares times; run by .ci/tests.sh scale"]
fn a_window_of_its_own_takes_little_time_among_many() {
    const FEW: u64 = 3_000;
    const MANY: u64 = 60_000;
    const BATCH: u64 = 500;
    let group: Group<u64, u64> = Group::builder()
        .shards(1)
        .clock(HandClock::default())
        .retain_by(|value: &u64| Some(Duration::from_secs(60 + value)))
        .max_retained(1 << 20)
        .build();
    let settle = |key| drop(primary(group.begin(key)).settle(key).expect("first"));
    let begin = |key| drop(primary(group.begin(key)));
    let least = |from: u64, call: &dyn Fn(u64)| {
        let batch = |batch| {
            let start = from + batch * BATCH;
            let began = Instant::now();
            (start..start + BATCH).for_each(call);
            began.elapsed() / BATCH as u32
        };
        (0..8).map(batch).min().expect("eight of them")
    };
    let mut times = Vec::new();
    let mut keys = 0;
    for windows in [FEW, MANY] {
        (keys..windows).for_each(settle);
        keys = windows + 8 * BATCH;
        times.push([least(1 << 32, &begin), least(windows, &settle)]);
    }
    let (few, many) = (times[0], times[1]);
    println!("scale: a begin and a settle among {FEW} windows {few:?}, among {MANY} {many:?}");
    assert!(many[0] < 4 * few[0] && many[1] < 4 * few[1]);
}

/// In millions, by part: alone, with a duplicate, as a `work`, retained.
#[test]
#[ignore = "a hundred million flights; run by .ci/tests.sh scale"]
fn a_hundred_million_flights_leave_memory_flat() {
    let millions = or("ONEFLIGHT_SCALE_MILLIONS", 100);
    let (joined, worked, retained) = (millions / 5, millions / 10, millions / 10);
    let clock = HandClock::default();
    let plain: Group<u64, u64> = Group::new();
    let keeping: Group<u64, u64> = Group::builder()
        .clock(clock.clone())
        .retain_for(Duration::from_secs(10))
        .max_retained(10_000)
        .build();
    let alone = |key| {
        primary(plain.begin(key)).settle(key).expect("first");
    };
    let with_a_duplicate = |key| {
        let owner = primary(plain.begin(key));
        let mut waiting = waiter(plain.begin(key));
        assert!(poll(&mut waiting, Waker::noop()).is_pending());
        owner.settle(key).expect("first");
        assert!(poll(&mut waiting, Waker::noop()).is_ready());
    };
    let as_work = |key| {
        let mut work = plain.work(key, move || async move { key });
        assert!(poll(&mut work, Waker::noop()).is_ready());
    };
    let kept = |key| {
        primary(keeping.begin(key)).settle(key).expect("first");
        if key % 16 == 0 {
            let late = waiter(keeping.begin(key)).get();
            assert_eq!(*late.expect("retained").expect("settled"), key);
        }
        if key % 1_000 == 0 {
            clock.forward(1);
        }
    };
    // Keys come again, after a while; retained ones after they are gone.
    let mut next = 0;
    let mut run = |name: &str, millions: usize, cycle: &dyn Fn(u64)| {
        let (mut begun, mut since) = (Rss::now(), Instant::now());
        let mut heap = 0;
        for chunk in 0..millions {
            let grown = measure(|| {
                for _ in 0..MILLION {
                    cycle(next % 100_003);
                    next += 1;
                }
            });
            if chunk == 0 {
                // The tables, and what the window holds, have come to stay.
                (begun, since) = (Rss::now(), Instant::now());
            } else {
                heap += grown.bytes_current;
            }
        }
        let measured = ((millions - 1) * MILLION) as f64;
        let each = since.elapsed().as_nanos() as f64 / measured.max(1.0);
        let rss = Rss::now().since(begun);
        println!(
            "scale: {millions} million flights {name}: heap {heap:+} bytes, resident {rss:+} KiB, {each:.0} ns each"
        );
        (heap, rss)
    };
    let rest = millions - joined - worked - retained;
    let parts = [
        run("alone", rest.max(1), &alone),
        run("with a duplicate", joined.max(1), &with_a_duplicate),
        run("as a work", worked.max(1), &as_work),
        run("retained", retained.max(1), &kept),
    ];
    for (heap, rss) in parts {
        // What is retained at the end of a million differs by some; nothing else does.
        assert!(heap.abs() < 256 * 1024, "heap {heap:+} bytes");
        assert!(rss < 4 * 1024, "resident {rss:+} KiB");
    }
    assert_over(&plain.stats());
    let stats = keeping.stats();
    assert_over(&stats);
    assert!(stats.retained <= 10_000 + 64, "{stats:?}");
}
