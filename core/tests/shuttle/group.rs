//! The registry and the two roles.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake};

use oneflight_core::error::Cause;
use oneflight_core::{Begin, Waiter};
use shuttle::thread;

use crate::{Book, Count, check, choose, group, join, poll_once, primary, threads, waiter};

#[test]
fn callers_that_begin_one_key_at_once_are_one_primary_and_waiters() {
    check(|| {
        let (group, book, running) = (group(), Book::default(), Count::default());
        let (callers, pages) = (group.clone(), book.clone());
        join(threads(6, move |_| match callers.begin(1) {
            Begin::Primary(primary) => {
                assert_eq!(running.enter(), 0, "two execute at once");
                thread::yield_now();
                running.leave();
                pages.settle(primary);
            }
            Begin::Waiter(waiter) => pages.wait(waiter),
            Begin::Rejected(why) => panic!("{why}"),
        }));
        assert!(group.is_empty());
        book.balance(group.stats());
    });
}

#[test]
fn callers_that_settle_drop_abort_wait_and_leave_keep_the_books() {
    check(|| {
        let (group, book) = (group(), Book::default());
        let (callers, pages) = (group.clone(), book.clone());
        join(threads(5, move |_| {
            for _ in 0..2 {
                match callers.begin(1) {
                    Begin::Primary(primary) => {
                        let id = primary.id().get();
                        match choose(3) {
                            0 => pages.settle(primary),
                            1 => {
                                drop(primary);
                                pages.end(id, Err(Cause::Dropped));
                            }
                            _ => {
                                primary.abort();
                                pages.end(id, Err(Cause::Cancelled));
                            }
                        }
                    }
                    Begin::Waiter(mut waiter) => match choose(4) {
                        0 => {
                            let id = waiter.id().get();
                            pages.told(id, crate::told(waiter.wait_blocking()));
                        }
                        1 => {
                            let _ = poll_once(&mut waiter);
                            pages.left();
                            drop(waiter);
                        }
                        2 => {
                            let _ = poll_once(&mut waiter);
                            pages.wait(waiter);
                        }
                        _ => pages.wait(waiter),
                    },
                    Begin::Rejected(why) => panic!("{why}"),
                }
            }
        }));
        assert!(group.is_empty());
        book.balance(group.stats());
    });
}

#[test]
fn late_ends_of_forgotten_flights_never_touch_the_new_one() {
    check(|| {
        let (group, book) = (group(), Book::default());
        let mut old = Vec::new();
        for _ in 0..3 {
            let primary = primary(group.begin(1));
            old.push((primary, waiter(group.begin(1))));
            assert!(group.forget(&1));
        }
        let new = primary(group.begin(1));
        let mut all = Vec::new();
        for (index, (primary, duplicate)) in old.into_iter().enumerate() {
            let pages = book.clone();
            all.push(thread::spawn(move || {
                let id = primary.id().get();
                if index == 1 {
                    drop(primary);
                    pages.end(id, Err(Cause::Dropped));
                } else {
                    pages.settle(primary);
                }
            }));
            let pages = book.clone();
            all.push(thread::spawn(move || pages.wait(duplicate)));
        }
        for _ in 0..2 {
            assert!(group.contains(&1));
            let duplicate = waiter(group.begin(1));
            assert_eq!(duplicate.id(), new.id());
            book.left();
        }
        join(all);
        assert_eq!(group.len(), 1);
        book.settle(new);
        assert!(group.is_empty());
        book.balance(group.stats());
    });
}

#[test]
fn a_flight_forgotten_while_others_begin_and_settle_ends_for_its_own() {
    check(|| {
        let (group, book) = (group(), Book::default());
        let (callers, pages) = (group.clone(), book.clone());
        let all = threads(4, move |_| match callers.begin(1) {
            Begin::Primary(primary) => {
                thread::yield_now();
                pages.settle(primary);
            }
            Begin::Waiter(waiter) => pages.wait(waiter),
            Begin::Rejected(why) => panic!("{why}"),
        });
        let forgets = group.clone();
        let forget = thread::spawn(move || {
            for _ in 0..2 {
                forgets.forget(&1);
            }
        });
        join(all);
        forget.join().unwrap();
        assert!(group.is_empty());
        book.balance(group.stats());
    });
}

#[test]
fn abort_all_and_the_primaries_end_each_flight_once() {
    check(|| {
        let (group, book) = (group(), Book::default());
        let forgotten = primary(group.begin(2));
        let duplicate = waiter(group.begin(2));
        assert!(group.forget(&2));
        let (callers, pages) = (group.clone(), book.clone());
        let mut all = threads(4, move |index| match callers.begin(1) {
            Begin::Primary(primary) if index % 2 == 0 => pages.settle(primary),
            Begin::Primary(primary) => {
                // Its cause is known from the one who waits for it; a settle would tell.
                thread::yield_now();
                pages.settle(primary);
            }
            Begin::Waiter(waiter) => pages.wait(waiter),
            Begin::Rejected(why) => panic!("{why}"),
        });
        let (aborts, pages) = (group.clone(), book.clone());
        all.push(thread::spawn(move || {
            aborts.abort_all();
            pages.settle(forgotten);
        }));
        book.wait(duplicate);
        join(all);
        assert!(group.is_empty());
        assert!(group.stats().aborted_by(Cause::AbortedAll) >= 1);
        book.balance(group.stats());
    });
}

/// False: it was ready at once.
fn sleep_until_woken(duplicate: &mut Waiter<u8, u64>) -> bool {
    struct Bell(AtomicBool, thread::Thread);
    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            self.1.unpark();
        }
    }
    let bell = Arc::new(Bell(AtomicBool::new(false), thread::current()));
    let waker = bell.clone().into();
    let parked = Pin::new(duplicate)
        .poll(&mut Context::from_waker(&waker))
        .is_pending();
    while parked && !bell.0.load(Ordering::SeqCst) {
        thread::park();
    }
    parked
}

#[test]
fn a_woken_waiter_that_begins_again_starts_a_new_flight() {
    check(|| {
        let (group, book) = (group(), Book::default());
        let first = primary(group.begin(1));
        let old = first.id();
        let duplicates: Vec<_> = (0..5).map(|_| waiter(group.begin(1))).collect();
        let mut all = Vec::new();
        for mut duplicate in duplicates {
            let (group, pages) = (group.clone(), book.clone());
            all.push(thread::spawn(move || {
                // Ready without a wake, it may find the flight not taken out yet.
                let woken = sleep_until_woken(&mut duplicate);
                pages.wait(duplicate);
                match group.begin(1) {
                    Begin::Primary(again) => {
                        assert!(again.id() > old);
                        pages.settle(again);
                    }
                    Begin::Waiter(again) => {
                        assert!(!woken || again.id() > old, "it has had that outcome");
                        pages.wait(again);
                    }
                    Begin::Rejected(why) => panic!("{why}"),
                }
            }));
        }
        book.settle(first);
        join(all);
        assert!(group.is_empty());
        book.balance(group.stats());
    });
}
