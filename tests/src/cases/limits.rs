//! Limits: one more is `Full`, at once, and the counts are exact.

use std::future::{Ready, pending};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use oneflight::error::Rejected;
use oneflight::{Begin, Error};

use super::Group;
use crate::{TestRuntime, fine, polled, primary, rejected, scripted, until, waiter};

fn never_made() -> Ready<usize> {
    panic!("its operation was made")
}

fn is_full<T>(outcome: Option<Result<T, Error>>) -> bool {
    matches!(
        outcome,
        Some(Err(Error::Rejected(Rejected::TooManyWaiters)))
    )
}

/// Whatever kind of call it is. One that leaves makes room for one.
pub async fn one_waiter_too_many_is_full_at_once<R: TestRuntime>(rt: R) {
    let group = Group::builder().max_waiters(2).build();
    let guard = primary(group.begin("k"));
    let first = rt.task(waiter(group.begin("k")));
    let second = group.work("k", never_made);
    for _ in 0..3 {
        assert_eq!(rejected(group.begin("k")), Rejected::TooManyWaiters);
        assert_eq!(
            rejected(group.entry_ref(&"k").begin()),
            Rejected::TooManyWaiters
        );
        assert!(is_full(group.work("k", never_made).get()));
        assert!(is_full(polled(group.try_work("k", fine(never_made)))));
        assert!(is_full(rt.detach(&group, "k", never_made).get()));
    }
    assert_eq!(
        (
            group.waiters("k"),
            group.stats().rejected_by(Rejected::TooManyWaiters)
        ),
        (2, 15)
    );
    drop(second);
    let second = rt.task(waiter(group.begin("k")));
    assert_eq!(rejected(group.begin("k")), Rejected::TooManyWaiters);
    // The limit is for each flight.
    let other = primary(group.begin("other"));
    let of_other = waiter(group.begin("other"));
    guard.settle(7).unwrap();
    assert_eq!(*first.await.unwrap() + *second.await.unwrap(), 14);
    drop((other, of_other));
    assert_eq!(group.stats().largest_flight, 2);
}

/// Those that take part in a `work` are counted, save the one that began it.
pub async fn participants_count_as_waiters<R: TestRuntime>(rt: R) {
    let group = Group::builder().max_waiters(1).build();
    let (remote, operation) = scripted();
    let first = rt.task(group.work("k", || operation));
    let second = group.work("k", never_made);
    assert!(is_full(group.work("k", never_made).get()));
    drop(second);
    let second = rt.task(group.work("k", never_made));
    until(|| remote.polls() == 1).await;
    remote.finish();
    assert_eq!(*first.await.unwrap() + *second.await.unwrap(), 4);

    // The refused call has joined nothing that it could end or keep.
    let rerun = group.try_work("r", fine(pending::<usize>));
    let heir = group.try_work("r", fine(never_made));
    assert!(is_full(polled(group.try_work("r", fine(never_made)))));
    drop((rerun, heir));
    assert!(group.is_empty());
}

/// Of all shards together. Duplicates still join.
pub async fn one_flight_too_many_is_full_at_once<R: TestRuntime>(rt: R) {
    let group = oneflight::Group::<usize, usize>::builder()
        .max_flights(4)
        .build();
    let mut guards: Vec<_> = (0..4).map(|key| primary(group.begin(key))).collect();
    for key in 4..100 {
        assert_eq!(rejected(group.begin(key)), Rejected::TooManyFlights);
    }
    let joined = rt.task(waiter(group.begin(3)));
    // A forgotten flight is a flight until it is over.
    assert!(group.forget(&0));
    assert_eq!(rejected(group.begin(0)), Rejected::TooManyFlights);
    for end in 0..4 {
        let guard = guards.pop().expect("four");
        match end {
            0 => drop(guard.settle(7).unwrap()),
            1 => guard.abort(),
            // The last one is the forgotten one.
            _ => drop(guard),
        }
        drop(primary(group.begin(10 + end)));
        assert_eq!(group.stats().in_flight, 3 - end);
    }
    assert_eq!(*joined.await.unwrap(), 7);
    let full: Vec<_> = (0..4).map(|key| primary(group.begin(key))).collect();
    assert_eq!(rejected(group.begin(4)), Rejected::TooManyFlights);
    // What has ended counts until its primary is dropped.
    group.abort_all();
    assert_eq!(rejected(group.begin(4)), Rejected::TooManyFlights);
    for (left, guard) in (0..4).rev().zip(full) {
        drop(guard);
        assert_eq!(group.stats().ending, left);
        drop(primary(group.begin(4)));
    }
    drop(
        (0..4)
            .map(|key| primary(group.begin(key)))
            .collect::<Vec<_>>(),
    );
}

/// Retained outcomes are no flights.
pub async fn what_is_retained_counts_for_no_limit<R: TestRuntime>(_: R) {
    let group = oneflight::Group::<usize, usize>::builder()
        .max_flights(1)
        .max_waiters(1)
        .retain_for(std::time::Duration::from_secs(60))
        .build();
    for key in 0..10 {
        primary(group.begin(key)).settle(key).unwrap();
    }
    let late: Vec<_> = (0..5).map(|_| waiter(group.begin(3))).collect();
    assert!(late.iter().all(|late| late.get().is_some()));
    assert_eq!(group.stats().retained, 10);
}

/// Begins, joins and ends race; the limits hold at each moment, and nothing is lost or gained.
pub async fn limits_stay_exact_while_threads_race<R: TestRuntime>(_: R) {
    const FLIGHTS: usize = 2;
    let group = oneflight::Group::<usize, usize>::builder()
        .max_flights(FLIGHTS)
        .max_waiters(1)
        .build();
    let running = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (group, running) = (&group, &running);
            scope.spawn(move || {
                let mut joined = Vec::new();
                for step in 0..2_000 {
                    match group.begin((thread + step) % 5) {
                        Begin::Primary(mine) => {
                            assert!(running.fetch_add(1, Ordering::SeqCst) < FLIGHTS);
                            thread::yield_now();
                            running.fetch_sub(1, Ordering::SeqCst);
                            match step % 3 {
                                0 => drop(mine.settle(step).unwrap()),
                                1 => mine.abort(),
                                _ => drop(mine),
                            }
                        }
                        Begin::Waiter(theirs) => joined.push(theirs),
                        Begin::Rejected(why) => assert!(matches!(
                            why,
                            Rejected::TooManyWaiters | Rejected::TooManyFlights
                        )),
                    }
                    if step % 2 == 0 {
                        joined.pop();
                    }
                }
            });
        }
    });
    let stats = group.stats();
    assert!(stats.largest_flight <= 1, "{stats:?}");
    assert_eq!((stats.in_flight, stats.waiting), (0, 0));
    let guards: Vec<_> = (0..FLIGHTS).map(|key| primary(group.begin(key))).collect();
    assert_eq!(rejected(group.begin(9)), Rejected::TooManyFlights);
    for key in 0..FLIGHTS {
        let _joined = waiter(group.begin(key));
        assert_eq!(rejected(group.begin(key)), Rejected::TooManyWaiters);
    }
    drop(guards);
}
