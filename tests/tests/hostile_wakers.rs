//! Wakers that attack: they re-enter whatever woke them, or panic in `wake`, and each attack is made on every future
//! there is. What a waker does while it is cloned or dropped is in `hostile_waker_clones`.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

use oneflight_core::{Begin, Cause, SettleCell};
use support::arena::{Arena, KINDS, Registry};
use support::{
    Spy, assert_idle, panic_text, panics, poll, poll_idly, primary, waiter, while_unwinding,
    within_limit,
};

/// More than three batches of wakers.
const CROWD: usize = 200;

/// Every kind, `CROWD` victims, each parked with a waker that does `attack(arena, its index)` when woken. Then
/// everyone who is still there must be ready and have been woken, and the registry must be empty.
fn attack_from_every_waker(attack: fn(&Arc<Arena>, usize)) {
    for kind in KINDS {
        within_limit(move || {
            let (arena, end) = kind.arena(CROWD);
            let spies: Vec<_> = (0..CROWD)
                .map(|index| {
                    let arena = arena.clone();
                    Spy::on_wake(move || attack(&arena, index))
                })
                .collect();
            for (index, spy) in spies.iter().enumerate() {
                assert_eq!(
                    arena.poll(index, &spy.clone().into()),
                    Some(false),
                    "{kind:?}"
                );
            }
            end();
            for (index, spy) in spies.iter().enumerate() {
                if let Some(ready) = arena.poll(index, Waker::noop()) {
                    assert!(ready, "{kind:?}: victim {index} got no outcome");
                    assert!(spy.wakes() > 0, "{kind:?}: victim {index} was not woken");
                }
                arena.evict(index);
            }
            assert_idle(&arena.group);
        });
    }
}

#[test]
fn a_waker_may_poll_its_own_future_inline() {
    attack_from_every_waker(|arena, index| {
        let ready = arena.poll(index, Waker::noop());
        assert_ne!(ready, Some(false), "woken before the outcome was there");
    });
}

#[test]
fn a_waker_may_poll_all_its_siblings_inline() {
    attack_from_every_waker(|arena, index| {
        for sibling in [
            0,
            index / 2,
            (index + 1) % CROWD,
            CROWD - 1 - index,
            CROWD - 1,
        ] {
            assert_ne!(arena.poll(sibling, Waker::noop()), Some(false));
        }
    });
}

#[test]
fn a_waker_may_drop_its_own_future_inline() {
    attack_from_every_waker(|arena, index| arena.evict(index));
}

#[test]
fn a_waker_may_drop_its_siblings_inline() {
    attack_from_every_waker(|arena, index| {
        // Both those that were woken before and those that are still to be woken, also in the same batch.
        for sibling in [
            (index + 1) % CROWD,
            (index + CROWD - 1) % CROWD,
            CROWD - 1 - index,
        ] {
            arena.evict(sibling);
        }
    });
}

#[test]
fn one_that_is_dropped_before_its_batch_is_woken_is_not_woken() {
    for kind in KINDS {
        within_limit(move || {
            let (arena, end) = kind.arena(CROWD);
            let evicted = Arc::new(OnceLock::new());
            let spies: Vec<_> = (0..CROWD)
                .map(|index| {
                    let (arena, evicted) = (arena.clone(), evicted.clone());
                    Spy::on_wake(move || {
                        // Far enough away to be in another batch, whichever way they are taken.
                        evicted.get_or_init(|| {
                            let victim = (index + CROWD / 2) % CROWD;
                            arena.evict(victim);
                            victim
                        });
                    })
                })
                .collect();
            for (index, spy) in spies.iter().enumerate() {
                arena.poll(index, &spy.clone().into());
            }
            end();
            let victim = *evicted.get().expect("somebody was woken");
            for (index, spy) in spies.iter().enumerate() {
                let gone = index == victim;
                assert_eq!(spy.wakes() == 0, gone, "{kind:?}: victim {index}");
            }
        });
    }
}

#[test]
fn a_waker_may_poll_a_sibling_and_drop_it_inline() {
    attack_from_every_waker(|arena, index| {
        let sibling = (index * 7 + 3) % CROWD;
        arena.poll(sibling, Waker::noop());
        arena.evict(sibling);
    });
}

#[test]
fn a_waker_may_begin_the_same_key_inline_and_starts_anew() {
    attack_from_every_waker(|arena, _| match arena.group.begin("k") {
        Begin::Primary(again) => assert_eq!(*again.settle(8).expect("first"), 8),
        _ => panic!("the key must be free before anyone is woken"),
    });
}

#[test]
fn a_waker_may_begin_and_abandon_the_same_key_inline() {
    attack_from_every_waker(|arena, _| {
        // Begun, joined and abandoned: the last one to leave ends it.
        let mut first = arena.group.work("k", std::future::pending);
        let second = arena.group.work("k", std::future::pending);
        assert!(poll_idly(&mut first).is_pending());
        assert_eq!(first.id(), second.id());
        drop(first);
        assert!(arena.group.contains("k"));
        drop(second);
        assert!(!arena.group.contains("k"));
    });
}

#[test]
fn a_waker_may_settle_another_flight_inline() {
    attack_from_every_waker(|arena, index| {
        let key = ["a", "b", "c"][index % 3];
        let other = primary(&arena.group, key);
        let mut waiting = waiter(&arena.group, key);
        let spy = Spy::counting();
        assert!(poll(&mut waiting, &spy.clone().into()).is_pending());
        other.settle(9).expect("first");
        assert_eq!(spy.wakes(), 1);
        assert!(poll_idly(&mut waiting).is_ready());
    });
}

#[test]
fn a_waker_may_ask_and_forget_inline() {
    attack_from_every_waker(|arena, _| {
        assert!(!arena.group.contains("k"));
        assert!(!arena.group.forget("k"));
        assert_eq!(arena.group.waiters("k"), 0);
        assert_eq!(arena.group.len(), 0);
        support::assert_ledger(&arena.group);
    });
}

/// Victims whose wakers at `hostile` positions panic: all are woken once, the first panic comes out, all are ready.
fn panic_from(hostile: fn(usize) -> bool) {
    for kind in KINDS {
        within_limit(move || {
            let (arena, end) = kind.arena(CROWD);
            let first: Arc<OnceLock<usize>> = Arc::default();
            let spies: Vec<_> = (0..CROWD)
                .map(|index| {
                    let first = first.clone();
                    Spy::on_wake(move || {
                        if hostile(index) {
                            first.get_or_init(|| index);
                            panic!("waker {index}");
                        }
                    })
                })
                .collect();
            for (index, spy) in spies.iter().enumerate() {
                assert_eq!(arena.poll(index, &spy.clone().into()), Some(false));
            }
            let panicked = panic_text(end);
            let first = first.get().map(|index| format!("waker {index}"));
            assert!(first.is_some());
            if kind.lets_panics_through() {
                assert_eq!(
                    panicked, first,
                    "{kind:?}: the first panic is the one that goes on"
                );
            } else {
                assert_eq!(panicked, None, "{kind:?}: a task never unwinds");
            }
            for (index, spy) in spies.iter().enumerate() {
                assert_eq!(spy.wakes(), 1, "{kind:?}: victim {index}");
                assert_eq!(arena.poll(index, Waker::noop()), Some(true), "{kind:?}");
                arena.evict(index);
            }
            assert_idle(&arena.group);
            assert!(primary(&arena.group, "k").settle(1).is_ok(), "usable");
        });
    }
}

#[test]
fn a_first_waker_that_panics_strands_nobody() {
    panic_from(|index| index == 0);
}

#[test]
fn a_middle_waker_that_panics_strands_nobody() {
    panic_from(|index| index == CROWD / 2);
}

#[test]
fn a_last_waker_that_panics_strands_nobody() {
    panic_from(|index| index == CROWD - 1);
}

#[test]
fn wakers_that_all_panic_strand_nobody() {
    panic_from(|_| true);
}

#[test]
fn wakers_that_panic_end_there_when_the_primary_is_dropped_by_a_panic() {
    within_limit(|| {
        let group = Registry::new();
        let lost = primary(&group, "k");
        let mut waiters: Vec<_> = (0..CROWD).map(|_| waiter(&group, "k")).collect();
        let woken = Arc::new(AtomicUsize::new(0));
        for waiting in &mut waiters {
            let woken = woken.clone();
            let spy = Spy::on_wake(move || {
                woken.fetch_add(1, Ordering::SeqCst);
                panic!("a waker panics while the primary's thread unwinds");
            });
            assert!(poll(waiting, &spy.into()).is_pending());
        }
        while_unwinding(move || drop(lost));
        assert_eq!(woken.load(Ordering::SeqCst), CROWD);
        for waiting in waiters {
            let outcome = waiting.get().expect("ended");
            assert_eq!(outcome.unwrap_err().cause(), Cause::Panicked);
        }
        assert_idle(&group);
    });
}

#[test]
fn wakers_that_panic_end_there_when_an_operation_panics() {
    within_limit(|| {
        let group = Registry::new();
        let gate = Arc::new(SettleCell::<u32>::new());
        let inner = gate.clone();
        let mut driver = group.work("k", move || async move {
            inner.wait().await;
            panic!("the operation's own");
        });
        assert!(poll_idly(&mut driver).is_pending());
        let mut others: Vec<_> = (0..CROWD)
            .map(|_| group.work("k", std::future::pending))
            .collect();
        let mut plain: Vec<_> = (0..CROWD).map(|_| waiter(&group, "k")).collect();
        for other in &mut others {
            let spy = Spy::on_wake(|| panic!("a participant's waker"));
            assert!(poll(other, &spy.into()).is_pending());
        }
        for waiting in &mut plain {
            let spy = Spy::on_wake(|| panic!("a plain waiter's waker"));
            assert!(poll(waiting, &spy.into()).is_pending());
        }
        gate.settle(0).expect("settled once");
        let text = panic_text(|| poll_idly(&mut driver));
        assert_eq!(text.as_deref(), Some("the operation's own"));
        for mut other in others {
            assert!(poll_idly(&mut other).is_ready());
        }
        for waiting in plain {
            let outcome = waiting.get().expect("ended");
            assert_eq!(outcome.unwrap_err().cause(), Cause::Panicked);
        }
        drop(driver);
        assert_idle(&group);
    });
}

#[test]
fn a_driver_whose_waker_panics_hands_over_when_it_leaves() {
    within_limit(|| {
        let group = Registry::new();
        let gate = Arc::new(SettleCell::<u32>::new());
        let inner = gate.clone();
        let mut driver = group.work("k", move || async move { *inner.wait().await });
        let hostile = Spy::on_wake(|| panic!("the driver's waker"));
        assert!(poll(&mut driver, &hostile.into()).is_pending());
        let mut heir = group.work("k", std::future::pending);
        let spy = Spy::counting();
        assert!(poll(&mut heir, &spy.clone().into()).is_pending());
        // The operation is ready now, and the one who should drive it lost its wake to a panic.
        assert!(panics(|| gate.settle(7).is_ok()));
        assert_eq!(spy.wakes(), 0);
        drop(driver);
        assert_eq!(spy.wakes(), 1);
        assert!(poll_idly(&mut heir).is_ready());
        drop(heir);
        assert_idle(&group);
    });
}

#[test]
fn participants_whose_wakers_panic_still_leave_one_to_drive() {
    within_limit(|| {
        let group = Registry::new();
        let gate = Arc::new(SettleCell::<u32>::new());
        let inner = gate.clone();
        let mut driver = group.work("k", move || async move { *inner.wait().await });
        assert!(poll_idly(&mut driver).is_pending());
        let mut others: Vec<_> = (0..CROWD)
            .map(|_| group.work("k", std::future::pending))
            .collect();
        let spies: Vec<_> = others
            .iter_mut()
            .map(|other| {
                let spy = Spy::on_wake(|| panic!("a participant's waker"));
                assert!(poll(other, &spy.clone().into()).is_pending());
                spy
            })
            .collect();
        drop(driver);
        assert!(
            spies.iter().all(|spy| spy.wakes() == 0),
            "nothing to do yet"
        );
        assert!(panics(|| gate.settle(7).is_ok()));
        assert!(spies.iter().all(|spy| spy.wakes() == 1));
        let mut last = others.pop().expect("there are many");
        assert!(poll_idly(&mut last).is_ready());
        drop((last, others));
        assert_idle(&group);
    });
}

#[test]
fn a_waker_that_drops_the_driver_inline_hands_the_operation_on() {
    within_limit(|| {
        let group = Registry::new();
        let gate = Arc::new(SettleCell::<u32>::new());
        let inner = gate.clone();
        let driver = group.work("k", move || async move { *inner.wait().await });
        let driver = Arc::new(Mutex::new(Some(driver)));
        let mut heir = group.work("k", std::future::pending);
        let spy = Spy::counting();
        let cell = driver.clone();
        let own = Spy::on_wake(move || drop(cell.lock().expect("not poisoned").take()));
        let polled = driver
            .lock()
            .expect("not poisoned")
            .as_mut()
            .map(|driver| poll(driver, &own.into()).is_pending());
        assert_eq!(polled, Some(true));
        assert!(poll(&mut heir, &spy.clone().into()).is_pending());
        gate.settle(7).expect("settled once");
        assert!(driver.lock().expect("not poisoned").is_none());
        assert_eq!(spy.wakes(), 1);
        assert!(poll_idly(&mut heir).is_ready());
        drop(heir);
        assert_idle(&group);
    });
}

#[test]
fn a_waker_whose_last_handle_panics_when_dropped_strands_nobody() {
    for kind in KINDS {
        within_limit(move || {
            let (arena, end) = kind.arena(CROWD);
            for index in 0..CROWD {
                // The slab's handle is the last: it goes in the wake itself.
                let spy = Spy::on_drop(|| panic!("a waker's drop"));
                let waker = Waker::from(spy);
                assert_eq!(arena.poll(index, &waker), Some(false));
                drop(waker);
            }
            let panicked = catch_unwind(AssertUnwindSafe(end)).is_err();
            assert_eq!(panicked, kind.lets_panics_through(), "{kind:?}");
            for index in 0..CROWD {
                assert_eq!(arena.poll(index, Waker::noop()), Some(true), "{kind:?}");
                arena.evict(index);
            }
            assert_idle(&arena.group);
        });
    }
}

#[test]
fn a_waker_that_panics_when_taken_back_leaves_the_counts_right() {
    for kind in KINDS {
        within_limit(move || {
            let (arena, end) = kind.arena(3);
            for index in 0..3 {
                let spy = Spy::on_drop(|| panic!("a waker's drop"));
                assert_eq!(arena.poll(index, &spy.into()), Some(false));
            }
            // Taken back by a leaver, replaced by a newer one, and taken back while the thread unwinds.
            assert!(panics(|| arena.evict(0)), "{kind:?}");
            let heir = Spy::counting();
            assert!(panics(|| arena.poll(1, &heir.clone().into())), "{kind:?}");
            arena.seats[1].clear_poison();
            let unwinding = arena.clone();
            while_unwinding(move || unwinding.evict(2));
            end();
            assert_eq!(heir.wakes(), 1, "{kind:?}");
            assert_eq!(arena.poll(1, Waker::noop()), Some(true), "{kind:?}");
            arena.evict(1);
            assert_idle(&arena.group);
        });
    }
}

#[test]
fn a_waker_whose_drop_drops_its_siblings_dead_locks_nothing() {
    for kind in KINDS {
        within_limit(move || {
            let (arena, end) = kind.arena(CROWD);
            for index in 0..CROWD {
                let cell = arena.clone();
                let spy = Spy::on_drop(move || {
                    cell.evict((index + 1) % CROWD);
                    cell.poll((index + 2) % CROWD, Waker::noop());
                });
                assert_eq!(arena.poll(index, &spy.into()), Some(false));
            }
            // A chain reaction: each leaver's waker drops the next.
            arena.evict(CROWD / 2);
            end();
            for index in 0..CROWD {
                assert_ne!(arena.poll(index, Waker::noop()), Some(false), "{kind:?}");
                arena.evict(index);
            }
            assert_idle(&arena.group);
        });
    }
}
