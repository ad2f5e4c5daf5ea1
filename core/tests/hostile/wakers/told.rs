//! Who is woken, how often, and what it finds then, when wakers attack: what the table does not
//! ask.

use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::Waker;
use std::thread;

use oneflight_core::error::Cause;
use oneflight_core::handle::Work;
use oneflight_core::{Begin, SettleCell};

use super::case::{Case, Part};
use super::hooked::{Hook, Hooks, hooked};
use super::place::{KEY, Place, poll};
use super::setup::Setup;
use crate::limit::{alone, lock, panic_text, panics, quiet_panic, survive};
#[cfg(feature = "std")]
use crate::limit::{quiet_panic_of, while_unwinding};
use crate::outcome::cause_of;

/// More than three batches of wakers.
const CROWD: usize = 200;

/// In each place where one event ends what all wait for.
fn in_each_place(test: impl Fn(Place) + Copy + Send + 'static) {
    let places = [
        Place::Waiter,
        Place::OrphanedWaiter,
        Place::AbortedWaiter,
        Place::Participant,
        Place::TryWorker,
        Place::Caller,
        Place::AbortedCaller,
        Place::Cell,
    ];
    let cases = places.map(|place| (format!("{place:?}"), move || test(place)));
    survive(cases.into_iter(), places.len());
}

fn crowd(place: Place) -> Arc<Case> {
    Case::crowded(place, CROWD as u32)
}

/// Polls a victim with a waker that does this when it is woken. Returns how often that is.
fn park(case: &Arc<Case>, index: usize, attack: impl Fn() + Send + Sync + 'static) -> Counter {
    let wakes = Counter::default();
    let count = wakes.clone();
    let waker = case.waker(index, Part::Wake, move |_| {
        count.add();
        attack();
    });
    case.poll(index, &waker);
    wakes
}

#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Counter {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn waker(&self) -> Waker {
        let count = self.clone();
        on_wake(move || count.add())
    }
}

fn on_wake(attack: impl Fn() + Send + Sync + 'static) -> Waker {
    hooked(Hooks {
        on_wake: Some(Box::new(attack)),
        ..Hooks::default()
    })
}

fn poll_idly<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    poll(Pin::new(future), Waker::noop())
}

fn parks<F: Future + Unpin>(future: &mut F, waker: &Waker) -> bool {
    poll(Pin::new(future), waker).is_pending()
}

impl Setup {
    /// A driver whose operation waits for the cell.
    fn driver(&self, cell: &Arc<SettleCell<u32>>) -> Work<u32, u32> {
        let cell = cell.clone();
        self.group
            .work(KEY, move || async move { *cell.wait().await })
    }
}

#[test]
fn one_that_is_dropped_before_its_batch_is_woken_is_not_woken() {
    in_each_place(|place| {
        let case = crowd(place);
        let dropped = Arc::new(OnceLock::new());
        let wakes = case.indices().map(|index| {
            let (myself, dropped) = (case.clone(), dropped.clone());
            park(&case, index, move || {
                // Far enough away to be in another batch, whichever way they are taken.
                dropped.get_or_init(|| {
                    let victim = (index + CROWD / 2) % CROWD;
                    myself.drop_inline(victim);
                    victim
                });
            })
        });
        let wakes: Vec<_> = wakes.collect();
        case.end();
        let victim = *dropped.get().expect("somebody was woken");
        for (index, wakes) in wakes.iter().enumerate() {
            assert_eq!(wakes.get(), usize::from(index != victim), "victim {index}");
        }
        drop(wakes);
        case.assert_over();
    });
}

/// Wakers in these positions panic: each is woken once, and the first panic is the one that goes
/// on.
fn wherever_a_waker_panics(
    hostile: impl Fn(usize) -> bool + Copy + Send + Sync + 'static,
    place: Place,
) {
    let case = crowd(place);
    let first = Arc::new(OnceLock::new());
    let wakes = case.indices().map(|index| {
        let first = first.clone();
        park(&case, index, move || {
            if hostile(index) {
                first.get_or_init(|| index);
                std::panic::resume_unwind(Box::new(format!("waker {index}")));
            }
        })
    });
    let wakes: Vec<_> = wakes.collect();
    let text = panic_text(|| case.end_inline());
    let first = first.get().map(|index| format!("waker {index}"));
    assert!(first.is_some());
    let kept = !place.lets_panics_of_the_end_through();
    assert_eq!(text, first.filter(|_| !kept));
    assert!(wakes.iter().all(|wakes| wakes.get() == 1));
    drop(wakes);
    case.assert_over();
}

#[test]
fn one_waker_that_panics_keeps_no_other_from_being_woken() {
    for hostile in [0, CROWD / 2, CROWD - 1] {
        in_each_place(move |place| wherever_a_waker_panics(move |index| index == hostile, place));
    }
}

#[test]
#[cfg(feature = "std")]
fn wakers_that_all_panic_are_each_woken_once() {
    in_each_place(|place| wherever_a_waker_panics(|_| true, place));
}

#[test]
fn the_key_is_free_before_anyone_is_woken() {
    in_each_place(|place| {
        let case = crowd(place);
        let found = Arc::new(Mutex::new(Vec::new()));
        for index in case.indices() {
            let (group, found) = (case.setup.group.clone(), found.clone());
            park(&case, index, move || {
                let free = !group.contains(&KEY) && !group.forget(&KEY);
                let begun = matches!(group.begin(KEY), Begin::Primary(_));
                lock(&found).push(free && begun && group.waiters(&KEY) == 0);
            });
        }
        case.end();
        assert_eq!(*lock(&found), [true; CROWD]);
        case.assert_over();
    });
}

#[test]
fn a_waker_whose_drop_panics_when_it_is_replaced_is_replaced_all_the_same() {
    in_each_place(|place| {
        let case = Case::crowded(place, 3);
        for index in case.indices() {
            let waker = case.waker(index, Part::Drop, |_| quiet_panic());
            case.poll(index, &waker);
        }
        let wakes = Counter::default();
        let count = wakes.clone();
        let heir = case.waker(1, Part::Wake, move |_| count.add());
        assert!(panics(|| case.poll_inline(1, &heir)));
        for index in [0, 2] {
            assert!(panics(|| case.drop_inline(index)));
        }
        case.end();
        assert_eq!(wakes.get(), 1);
        drop(heir);
        case.assert_over();
    });
}

#[test]
#[cfg(feature = "std")]
fn wakers_that_panic_end_there_when_the_primary_is_dropped_by_a_panic() {
    let setup = Setup::new();
    let lost = setup.primary(KEY);
    let mut waiters: Vec<_> = (0..CROWD).map(|_| setup.waiter(KEY)).collect();
    let woken = Counter::default();
    for waiting in &mut waiters {
        let woken = woken.clone();
        let waker = on_wake(move || {
            woken.add();
            quiet_panic();
        });
        assert!(parks(waiting, &waker));
    }
    while_unwinding(move || drop(lost));
    assert_eq!(woken.get(), CROWD);
    for waiting in waiters {
        let outcome = waiting.get().expect("ended");
        assert_eq!(cause_of(outcome), Cause::Panicked);
    }
    setup.assert_room();
}

#[test]
#[cfg(feature = "std")]
fn wakers_that_panic_end_there_when_an_operation_panics() {
    let setup = Setup::new();
    let cell = Arc::new(SettleCell::<u32>::new());
    let inner = cell.clone();
    let mut driver = setup.group.work(KEY, move || async move {
        inner.wait().await;
        quiet_panic_of("the operation's own");
    });
    assert!(poll_idly(&mut driver).is_pending());
    let mut others: Vec<_> = (0..CROWD).map(|_| setup.group.work(KEY, pending)).collect();
    let mut plain: Vec<_> = (0..CROWD).map(|_| setup.waiter(KEY)).collect();
    for other in &mut others {
        assert!(parks(
            other,
            &on_wake(|| quiet_panic_of("a participant's waker"))
        ));
    }
    for waiting in &mut plain {
        assert!(parks(
            waiting,
            &on_wake(|| quiet_panic_of("a plain waiter's waker"))
        ));
    }
    cell.settle(0).expect("settled once");
    let text = panic_text(|| drop(poll_idly(&mut driver)));
    assert_eq!(text.as_deref(), Some("the operation's own"));
    for mut other in others {
        assert!(poll_idly(&mut other).is_ready());
    }
    for waiting in plain {
        let outcome = waiting.get().expect("ended");
        assert_eq!(cause_of(outcome), Cause::Panicked);
    }
    drop(driver);
    setup.assert_room();
}

#[test]
fn a_driver_whose_waker_panics_hands_over_when_it_leaves() {
    let (setup, cell) = (Setup::new(), Arc::default());
    let mut driver = setup.driver(&cell);
    assert!(parks(&mut driver, &on_wake(|| quiet_panic())));
    let mut heir = setup.group.work(KEY, pending);
    let wakes = Counter::default();
    assert!(parks(&mut heir, &wakes.waker()));
    // The operation is ready now, and the one who should drive it lost its wake to a panic.
    assert!(panics(|| drop(cell.settle(7))));
    assert_eq!(wakes.get(), 0);
    drop(driver);
    assert_eq!(wakes.get(), 1);
    assert!(poll_idly(&mut heir).is_ready());
}

#[test]
fn a_waker_that_drops_the_driver_inline_hands_the_operation_on() {
    let (setup, cell) = (Setup::new(), Arc::default());
    let mut driver = setup.driver(&cell);
    let slot = Arc::new(Mutex::new(None));
    let own = slot.clone();
    assert!(parks(
        &mut driver,
        &on_wake(move || drop(lock(&own).take()))
    ));
    *lock(&slot) = Some(driver);
    let mut heir = setup.group.work(KEY, pending);
    let wakes = Counter::default();
    assert!(parks(&mut heir, &wakes.waker()));
    cell.settle(7).expect("settled once");
    assert!(lock(&slot).is_none());
    assert_eq!(wakes.get(), 1);
    assert!(poll_idly(&mut heir).is_ready());
}

#[test]
fn a_waker_that_begins_the_superseded_key_again_joins_the_new_flight() {
    let setup = Setup::new();
    let old = setup.primary(KEY);
    let mut duplicate = setup.waiter(KEY);
    let (group, joined) = (setup.group.clone(), Arc::new(Mutex::new(None)));
    let result = joined.clone();
    let waker = on_wake(move || {
        *lock(&result) = Some(group.begin(KEY));
        quiet_panic();
    });
    assert!(parks(&mut duplicate, &waker));
    setup.grow_old();
    // The panic of the waker goes on in the begin, and takes the new primary with it.
    assert!(panics(|| drop(setup.group.begin(KEY))));
    let outcome = duplicate.get().expect("ended");
    assert_eq!(cause_of(outcome), Cause::Superseded);
    assert!(matches!(lock(&joined).take(), Some(Begin::Waiter(_))));
    drop(old);
    setup.assert_room();
}

/// A waiter is polled again, with a new waker, while the flight ends on another thread, which is
/// held in a wake. The new waker's clone is of no use, and its drop drops a sibling: that must not
/// happen under a lock.
fn drop_a_useless_clone_during_the_end(crowd: usize) {
    alone(move || {
        let setup = Setup::new();
        let owner = setup.primary(KEY);
        let (entered, in_wake) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let mut blocker = setup.waiter(KEY);
        let released = Mutex::new(released);
        let waker = on_wake(move || {
            entered.send(()).expect("the test listens");
            lock(&released).recv().expect("the test releases");
        });
        assert!(parks(&mut blocker, &waker));

        let mut others: Vec<_> = (0..crowd).map(|_| setup.waiter(KEY)).collect();
        for other in &mut others {
            assert!(poll_idly(other).is_pending());
        }
        let mut victim = others.pop().expect("there are some");
        let sibling = Mutex::new(others.pop());

        let owner = Mutex::new(Some(owner));
        let in_wake = Mutex::new(in_wake);
        let ends: Hook = Box::new(move || {
            if let Some(owner) = lock(&owner).take() {
                thread::spawn(move || owner.settle(7).is_ok());
                lock(&in_wake).recv().expect("the blocker is woken");
            }
        });
        let drops: Hook = Box::new(move || drop(lock(&sibling).take()));
        let waker = hooked(Hooks {
            on_clone: Some(ends),
            on_drop: Some(drops),
            ..Hooks::default()
        });
        assert!(!parks(&mut victim, &waker));
        release.send(()).expect("the blocker waits");
        assert_eq!(
            *futures_lite::future::block_on(blocker).expect("settled"),
            7
        );
        drop((victim, others));
        setup.assert_room();
    });
}

#[test]
fn a_clone_that_comes_too_late_is_dropped_under_no_lock_while_its_batch_is_out() {
    drop_a_useless_clone_during_the_end(3);
}

#[test]
fn a_clone_that_comes_too_late_is_dropped_under_no_lock_before_its_batch_is_out() {
    drop_a_useless_clone_during_the_end(200);
}
