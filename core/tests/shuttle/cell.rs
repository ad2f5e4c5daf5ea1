//! The cell and its waiting room.

use std::sync::Arc;
use std::time::Instant;

use oneflight_core::{Error, SettleCell};
use shuttle::future::block_on;
use shuttle::thread;

use crate::{
    Book, Count, Counted, check, choose, group, join, poll_counted, poll_once, primary, threads,
    told, waiter,
};

#[test]
fn of_three_settles_one_wins_and_every_waiter_is_told() {
    check(|| {
        let live = Count::default();
        let cell = Arc::new(SettleCell::new());
        let (settles, values) = (cell.clone(), live.clone());
        let settlers = threads(3, move |_| settles.settle(Counted::new(&values)).is_ok());
        let waits = cell.clone();
        let waiters = threads(3, move |index| match index {
            0 => drop(waits.wait_blocking()),
            1 => drop(block_on(waits.wait())),
            _ => {
                // Leaves, and looks again.
                let _ = poll_once(&mut waits.wait());
                block_on(waits.wait());
            }
        });
        let won = join(settlers).into_iter().filter(|won| *won).count();
        assert_eq!(won, 1);
        join(waiters);
        assert_eq!(live.get(), 1);
        drop(cell);
        assert_eq!(live.get(), 0);
    });
}

#[test]
fn tasks_that_come_go_and_change_their_wakers_share_seats_and_none_is_lost() {
    check(|| {
        let cell = Arc::new(SettleCell::new());
        let ending = Count::default();
        let (waits, batch) = (cell.clone(), ending.clone());
        let waiters = threads(5, move |_| {
            let (mut wait, kept) = (waits.wait(), Count::default());
            for _ in 0..choose(3) {
                if poll_counted(&mut wait, &kept).is_pending() && choose(2) == 0 {
                    // Its place is free for the next.
                    wait = waits.wait();
                    // But for the one batch that is being fired.
                    assert!(kept.get() == 0 || batch.get() == 1, "a waker is kept");
                }
            }
            assert!(
                kept.get() <= 1 || batch.get() == 1,
                "what was replaced is kept"
            );
            assert_eq!(*block_on(wait), 7);
        });
        thread::yield_now();
        ending.enter();
        assert!(cell.settle(7).is_ok());
        join(waiters);
    });
}

#[test]
fn tasks_and_threads_that_wait_for_a_time_or_for_ever_hear_of_one_settle() {
    check(|| {
        let (group, book) = (group(), Book::default());
        let owner = primary(group.begin(1));
        let (ending, early) = (Count::default(), Count::default());
        let mut all = Vec::new();
        for index in 0..5 {
            let (mut duplicate, pages) = (waiter(group.begin(1)), book.clone());
            let (batch, before) = (ending.clone(), early.clone());
            all.push(thread::spawn(move || {
                let id = duplicate.id().get();
                if index < 3 {
                    // Time is up when the schedule says so.
                    match duplicate.wait_deadline(Instant::now()) {
                        Err(Error::TimedOut) => {}
                        outcome => return pages.told(id, told(outcome)),
                    }
                }
                match index {
                    0 | 3 => pages.told(id, told(duplicate.wait_blocking())),
                    1 | 4 => pages.wait(duplicate),
                    _ => {
                        let kept = Count::default();
                        let _ = poll_counted(&mut duplicate, &kept);
                        pages.left();
                        drop(duplicate);
                        if batch.get() == 0 {
                            assert_eq!(kept.get(), 0, "a waker is kept");
                            before.enter();
                        }
                    }
                }
            }));
        }
        thread::yield_now();
        ending.enter();
        book.settle(owner);
        join(all);
        // Who has left before the end begins is not among those who wait for it.
        assert!(group.stats().cancelled >= early.get() as u64);
        assert!(group.is_empty());
        book.balance(group.stats());
    });
}
