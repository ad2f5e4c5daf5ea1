//! Limits, greatest age, and the replay window.

use std::time::Duration;

use oneflight_core::error::{Cause, Rejected};
use oneflight_core::{Begin, Group, GroupBuilder};
use shuttle::thread;

use crate::{
    Book, Count, Counted, Fixed, Hand, Registry, check, choose, group, join, primary, threads,
};

fn builder<T>() -> GroupBuilder<u8, T, Fixed> {
    Group::<u8, T>::builder().shards(1).hasher(Fixed)
}

/// There is room for so many flights, and not for one more.
fn assert_room_for(group: &Registry, flights: u8) {
    let held: Vec<_> = (10..10 + flights)
        .map(|key| primary(group.begin(key)))
        .collect();
    assert!(matches!(
        group.begin(9),
        Begin::Rejected(Rejected::TooManyFlights)
    ));
    drop(held);
}

#[test]
fn a_flight_never_has_more_waiters_than_it_may() {
    check(|| {
        let group = builder::<u64>().max_waiters(2).build();
        let (book, away) = (Book::default(), Count::default());
        let (callers, pages, refused) = (group.clone(), book.clone(), away.clone());
        join(threads(6, move |_| match callers.begin(1) {
            Begin::Primary(primary) => {
                assert!(primary.waiters() <= 2);
                thread::yield_now();
                assert!(primary.waiters() <= 2);
                pages.settle(primary);
            }
            Begin::Waiter(waiter) if choose(2) == 0 => {
                pages.left();
                drop(waiter);
            }
            Begin::Waiter(waiter) => pages.wait(waiter),
            Begin::Rejected(why) => {
                assert_eq!(why, Rejected::TooManyWaiters);
                refused.enter();
            }
        }));
        let stats = group.stats();
        assert!(stats.largest_flight <= 2);
        assert_eq!(
            stats.rejected_by(Rejected::TooManyWaiters),
            away.get() as u64
        );
        book.balance(stats);
    });
}

#[test]
fn who_has_an_outcome_is_not_cancelled_before_its_end_is_counted() {
    check(|| {
        let group = builder::<u64>().build();
        let ender = primary(group.begin(1));
        let waiters: Vec<_> = (0..2)
            .map(|_| match group.begin(1) {
                Begin::Waiter(waiter) => waiter,
                _ => unreachable!("it is in flight"),
            })
            .collect();
        let settle = thread::spawn(move || drop(ender.settle(1)));
        for waiter in waiters {
            while waiter.get().is_none() {
                thread::yield_now();
            }
            drop(waiter);
        }
        let stats = group.stats();
        assert_eq!(stats.cancelled, 0, "{stats:?}");
        assert_eq!(stats.waited + stats.waiting as u64, 2, "{stats:?}");
        settle.join().expect("it settles");
    });
}

#[test]
fn flights_of_many_keys_take_and_give_back_their_places() {
    check(|| {
        let group = builder::<u64>().max_flights(2).build();
        let (book, away, flying) = (Book::default(), Count::default(), Count::default());
        let (callers, pages, refused) = (group.clone(), book.clone(), away.clone());
        join(threads(6, move |index| {
            let key = index as u8 % 4;
            match callers.begin(key) {
                Begin::Primary(primary) => {
                    assert!(flying.enter() < 2, "more flights than there may be");
                    if choose(2) == 0 {
                        callers.forget(&key);
                    }
                    flying.leave();
                    if choose(3) == 0 {
                        let id = primary.id().get();
                        drop(primary);
                        pages.end(id, Err(Cause::Dropped));
                    } else {
                        pages.settle(primary);
                    }
                }
                Begin::Waiter(waiter) => pages.wait(waiter),
                Begin::Rejected(why) => {
                    assert_eq!(why, Rejected::TooManyFlights);
                    refused.enter();
                }
            }
        }));
        let stats = group.stats();
        assert_eq!(
            stats.rejected_by(Rejected::TooManyFlights),
            away.get() as u64
        );
        book.balance(stats);
        assert_room_for(&group, 2);
    });
}

#[test]
fn flights_that_are_too_old_give_way_once_each() {
    check(|| {
        let clock = Hand::default();
        let group = builder::<u64>()
            .supersede_after(Duration::from_secs(10))
            .max_flights(3)
            .clock(clock.clone())
            .build();
        let book = Book::default();
        let (callers, pages) = (group.clone(), book.clone());
        let all = threads(5, move |_| match callers.begin(1) {
            Begin::Primary(primary) => {
                // Time goes by while it executes.
                if choose(2) == 0 {
                    clock.turn(11);
                }
                thread::yield_now();
                pages.settle(primary);
            }
            Begin::Waiter(waiter) => pages.wait(waiter),
            Begin::Rejected(why) => assert_eq!(why, Rejected::TooManyFlights),
        });
        join(all);
        assert!(group.is_empty());
        book.balance(group.stats());
        assert_room_for(&group, 3);
    });
}

#[test]
fn an_outcome_is_retained_for_its_window_and_run_again_once_after_it() {
    check(|| {
        let clock = Hand::default();
        let group = builder::<u64>()
            .retain_for(Duration::from_secs(60))
            .clock(clock.clone())
            .build();
        let book = Book::default();
        let (callers, pages) = (group.clone(), book.clone());
        let mut all = threads(5, move |_| {
            for _ in 0..2 {
                match callers.begin(1) {
                    Begin::Primary(primary) => pages.settle(primary),
                    Begin::Waiter(waiter) => pages.wait(waiter),
                    Begin::Rejected(why) => panic!("{why}"),
                }
            }
        });
        all.push(thread::spawn(move || {
            clock.turn(61);
            thread::yield_now();
            clock.turn(61);
        }));
        join(all);
        let stats = group.stats();
        // No two flights settle in one window.
        assert!((1..=3).contains(&stats.begun), "{} flights", stats.begun);
        // The last one, if it has not expired.
        assert_eq!(stats.retained, usize::from(group.peek(&1).is_some()));
        assert!(group.is_empty());
        book.balance(stats);
    });
}

#[test]
fn outcomes_that_have_no_room_make_way_and_forgotten_ones_are_freed() {
    check(|| {
        let live = Count::default();
        let group = builder::<Counted>()
            .retain_for(Duration::from_secs(60))
            .max_retained(1)
            .clock(Hand::default())
            .build();
        let (callers, values) = (group.clone(), live.clone());
        join(threads(5, move |index| {
            let key = index as u8 % 3;
            match callers.begin(key) {
                Begin::Primary(primary) => drop(primary.settle(Counted::new(&values))),
                Begin::Waiter(waiter) => assert!(shuttle::future::block_on(waiter).is_ok()),
                Begin::Rejected(why) => panic!("{why}"),
            }
            if index == 4 {
                callers.forget(&key);
            }
        }));
        let stats = group.stats();
        assert!(stats.retained <= 1);
        assert_eq!(live.get(), stats.retained, "what is retained is what lives");
        assert_eq!((stats.begun, stats.in_flight), (stats.settled, 0));
        assert!(group.is_empty());
        drop(group);
        assert_eq!(live.get(), 0);
    });
}

#[test]
fn what_is_retained_keeps_within_its_bounds_whoever_settles() {
    check(|| {
        let live = Count::default();
        let clock = Hand::default();
        let group = builder::<Counted>()
            .retain_for(Duration::from_secs(60))
            .max_retained(2)
            .max_retained_weight(4, |_: &Counted| 2)
            .clock(clock.clone())
            .build();
        let (callers, values) = (group.clone(), live.clone());
        let mut all = threads(4, move |index| {
            drop(primary(callers.begin(index as u8)).settle(Counted::new(&values)));
            match choose(4) {
                0 => drop(callers.forget(&(index as u8))),
                1 => drop(callers.clear_retained()),
                2 => drop(callers.purge_expired()),
                _ => {}
            }
        });
        all.push(thread::spawn(move || clock.turn(60)));
        join(all);
        // Each place is free again, whatever became of it.
        for key in 4..6 {
            drop(primary(group.begin(key)).settle(Counted::new(&live)));
            let stats = group.stats();
            assert!(stats.retained <= 2 && group.peek(&key).is_some());
            assert_eq!(live.get(), stats.retained, "what is retained is what lives");
        }
        assert_eq!(group.stats().retained, 2);
        assert_eq!(group.clear_retained(), 2);
    });
}

#[test]
fn what_is_retained_goes_with_the_last_handle_whoever_settles_meanwhile() {
    check(|| {
        let live = Count::default();
        let group = builder::<Counted>()
            .retain_for(Duration::from_secs(60))
            .clock(Hand::default())
            .build();
        drop(primary(group.begin(0)).settle(Counted::new(&live)));
        let held = primary(group.begin(9));
        let mut all = Vec::new();
        for key in 1..5 {
            let (primary, values) = (primary(group.begin(key)), live.clone());
            all.push(thread::spawn(move || {
                drop(primary.settle(Counted::new(&values)));
            }));
        }
        let handle = group.clone();
        all.push(thread::spawn(move || drop(handle)));
        drop(group);
        join(all);
        // The one that is held keeps the shard, and the shard keeps nothing.
        assert_eq!(live.get(), 0);
        drop(held);
    });
}

#[test]
fn keys_that_share_a_hash_keep_their_flights_and_counts_apart() {
    check(|| {
        let (group, book) = (group::<u64>(), Book::default());
        let (callers, pages) = (group.clone(), book.clone());
        join(threads(6, move |index| {
            let key = index as u8 % 3;
            match callers.begin(key) {
                Begin::Primary(primary) => {
                    assert_eq!(*primary.key(), key);
                    pages.settle(primary);
                }
                Begin::Waiter(waiter) => {
                    assert_eq!(*waiter.key(), key);
                    pages.wait(waiter);
                }
                Begin::Rejected(why) => panic!("{why}"),
            }
        }));
        assert!(group.is_empty());
        book.balance(group.stats());
    });
}
