//! Closing, and waiting until nothing is left.

use std::time::Duration;

use oneflight_core::error::Rejected;
use oneflight_core::{Begin, Group};
use shuttle::future::block_on;
use shuttle::thread;

use crate::{Book, Count, Fixed, Hand, check, group, join, poll_once, primary, threads, waiter};

#[test]
fn drained_comes_after_the_last_of_the_flights_that_a_close_let_through() {
    check(|| {
        let (group, book) = (group::<u64>(), Book::default());
        let open = Count::default();
        let (callers, pages, flying) = (group.clone(), book.clone(), open.clone());
        let mut all = threads(3, move |index| match callers.begin(index as u8 % 2) {
            Begin::Primary(primary) => {
                flying.enter();
                thread::yield_now();
                flying.leave();
                pages.settle(primary);
            }
            Begin::Waiter(waiter) => pages.wait(waiter),
            Begin::Rejected(why) => assert_eq!(why, Rejected::Closed),
        });
        let closes = group.clone();
        all.push(thread::spawn(move || closes.close()));
        let (drains, flying) = (group.clone(), open.clone());
        all.extend(threads(2, move |index| {
            let mut drained = drains.drained();
            if index == 1 {
                // Leaves, and asks again.
                let _ = poll_once(&mut drained);
                drained = drains.drained();
            }
            block_on(drained);
            assert_eq!(flying.get(), 0);
            assert!(matches!(drains.begin(5), Begin::Rejected(Rejected::Closed)));
        }));
        join(all);
        assert!(group.is_empty());
        book.balance(group.stats());
    });
}

#[test]
fn closes_aborts_and_the_ends_of_old_forgotten_and_new_flights_drain_once() {
    check(|| {
        let clock = Hand::default();
        // Every key is in one shard: the other arrives at the first close, and at no other.
        let group = Group::<u8, u64>::builder()
            .shards(2)
            .hasher(Fixed)
            .supersede_after(Duration::from_secs(10))
            .clock(clock.clone())
            .build();
        let book = Book::default();
        let superseded = primary(group.begin(1));
        let old = waiter(group.begin(1));
        clock.turn(11);
        let forgotten = primary(group.begin(1));
        group.forget(&1);
        let current = primary(group.begin(1));
        let let_go = Count::default();
        let mut all = Vec::new();
        for primary in [superseded, forgotten, current] {
            let (pages, late) = (book.clone(), let_go.clone());
            all.push(thread::spawn(move || {
                late.enter();
                pages.settle(primary);
            }));
        }
        book.wait(old);
        let aborts = group.clone();
        all.push(thread::spawn(move || aborts.abort_all()));
        let closes = group.clone();
        all.extend(threads(2, move |_| {
            closes.close();
            block_on(closes.drained());
            // However it ended, a flight counts until its primary is done with it.
            assert_eq!(let_go.get(), 3);
        }));
        block_on(group.drained());
        join(all);
        assert!(group.is_empty());
        book.balance(group.stats());
    });
}
