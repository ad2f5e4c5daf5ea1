//! Wakers that attack while they are cloned or dropped. A waker made of an `Arc` does neither in a way that could be
//! seen; these are boxes, cloned by the test's own code.

mod support;

use std::sync::{Arc, Mutex, mpsc};
use std::task::Waker;
use std::thread;

use cooked_waker::{IntoWaker, Wake, WakeRef};
use oneflight_core::{Group, SettleCell, Waiter};
use support::arena::{KINDS, Kind};
use support::{Act, Spy, assert_idle, panics, poll, poll_idly, primary, waiter, within_limit};

/// What the clones of one waker do, each once.
#[derive(Default)]
struct Script {
    on_clone: Mutex<Option<Act>>,
    on_clone_drop: Mutex<Option<Act>>,
}

fn perform(part: &Mutex<Option<Act>>) {
    let act = part.lock().expect("never held over user code").take();
    if let Some(act) = act {
        act();
    }
}

struct Wild {
    script: Arc<Script>,
    is_clone: bool,
}

impl Clone for Wild {
    fn clone(&self) -> Self {
        perform(&self.script.on_clone);
        Self {
            script: self.script.clone(),
            is_clone: true,
        }
    }
}

impl Drop for Wild {
    fn drop(&mut self) {
        if self.is_clone {
            perform(&self.script.on_clone_drop);
        }
    }
}

impl WakeRef for Wild {
    fn wake_by_ref(&self) {}
}

impl Wake for Wild {}

fn wild(on_clone: Option<Act>, on_clone_drop: Option<Act>) -> Waker {
    let script = Arc::new(Script {
        on_clone: Mutex::new(on_clone),
        on_clone_drop: Mutex::new(on_clone_drop),
    });
    let is_clone = false;
    Box::new(Wild { script, is_clone }).into_waker()
}

#[test]
fn a_waker_that_panics_when_cloned_leaves_the_future_as_it_was() {
    for kind in KINDS {
        within_limit(move || {
            let (arena, end) = kind.arena(2);
            let clone_panics = || wild(Some(Box::new(|| panic!("a waker's clone"))), None);
            let spy = Spy::counting();
            // In the first poll, and in one that would replace a waker.
            for _ in 0..2 {
                assert!(panics(|| arena.poll(0, &clone_panics())), "{kind:?}");
                arena.seats[0].clear_poison();
                assert_eq!(arena.poll(0, &spy.clone().into()), Some(false));
            }
            assert!(panics(|| arena.poll(1, &clone_panics())));
            arena.seats[1].clear_poison();
            arena.evict(1);
            end();
            assert_eq!(spy.wakes(), 1, "{kind:?}");
            assert_eq!(arena.poll(0, Waker::noop()), Some(true));
            arena.evict(0);
            assert_idle(&arena.group);
        });
    }
}

#[test]
fn an_outcome_that_comes_while_the_waker_is_cloned_is_not_missed() {
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Participants) {
        within_limit(move || {
            for replaced in [false, true] {
                let (arena, end) = kind.arena(1);
                let spy = Spy::counting();
                if replaced {
                    assert_eq!(arena.poll(0, &spy.clone().into()), Some(false));
                }
                assert_eq!(
                    arena.poll(0, &wild(Some(end), None)),
                    Some(true),
                    "{kind:?}"
                );
                arena.evict(0);
                assert_idle(&arena.group);
            }
        });
    }
}

#[test]
fn an_operation_woken_while_a_waker_is_cloned_is_driven() {
    within_limit(|| {
        let group: Group<&str, u32> = Group::new();
        let gate = Arc::new(SettleCell::<u32>::new());
        let inner = gate.clone();
        let mut driver = group.work("k", move || async move { *inner.wait().await });
        assert!(poll_idly(&mut driver).is_pending());
        let end: Act = Box::new(move || drop(gate.settle(7)));
        assert!(poll(&mut driver, &wild(Some(end), None)).is_ready());
        drop(driver);
        assert_idle(&group);
    });
}

#[test]
fn clones_that_drop_siblings_when_they_are_dropped_dead_lock_nothing() {
    for kind in KINDS {
        within_limit(move || {
            let (arena, end) = kind.arena(100);
            for index in 0..100 {
                let cell = arena.clone();
                let act: Act = Box::new(move || cell.evict((index + 1) % 100));
                assert_eq!(arena.poll(index, &wild(None, Some(act))), Some(false));
            }
            // Replaced: the old clone goes, and takes a sibling along, whose clone goes, and so on.
            arena.poll(50, Waker::noop());
            end();
            for index in 0..100 {
                assert_ne!(arena.poll(index, Waker::noop()), Some(false), "{kind:?}");
                arena.evict(index);
            }
            assert_idle(&arena.group);
        });
    }
}

/// A waiter is polled again, with a new waker, while the flight ends on another thread, which is held in a wake. The
/// new waker's clone is of no use, and its drop drops a sibling: that must not happen under the crowd's lock.
fn drop_a_useless_clone_during_the_drain(crowd: usize) {
    within_limit(move || {
        let group: Group<&str, u32> = Group::new();
        let owner = primary(&group, "k");
        let (entered, in_wake) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let mut blocker = waiter(&group, "k");
        let blocking = Spy::on_wake(move || {
            entered.send(()).expect("the test listens");
            released.recv().expect("the test releases");
        });
        assert!(poll(&mut blocker, &blocking.into()).is_pending());

        let mut others: Vec<Waiter<_, _>> = (0..crowd).map(|_| waiter(&group, "k")).collect();
        for other in &mut others {
            assert!(poll_idly(other).is_pending());
        }
        let mut victim = others.pop().expect("there are some");
        let sibling = others.pop().expect("there are some");

        let settling: Act = Box::new(move || {
            thread::spawn(move || owner.settle(7).is_ok());
            in_wake.recv().expect("the blocker is woken");
        });
        let dropping: Act = Box::new(move || drop(sibling));
        assert!(poll(&mut victim, &wild(Some(settling), Some(dropping))).is_ready());
        release.send(()).expect("the blocker waits");
        assert_eq!(*blocker.wait_blocking().expect("settled"), 7);
        drop((victim, others));
        assert_idle(&group);
    });
}

#[test]
fn a_clone_that_comes_too_late_is_dropped_under_no_lock_while_its_batch_is_out() {
    drop_a_useless_clone_during_the_drain(3);
}

#[test]
fn a_clone_that_comes_too_late_is_dropped_under_no_lock_before_its_batch_is_out() {
    drop_a_useless_clone_during_the_drain(200);
}
