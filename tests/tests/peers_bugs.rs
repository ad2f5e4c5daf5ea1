//! What other crates of this field get wrong, each class as a short test by hand. Most of it is shown at length
//! elsewhere; here it has a name.

use std::future::{Future, Ready, pending, poll_fn, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

use oneflight::error::{Cause, Rejected};
use oneflight::gate::{Gate, Mode};
use oneflight::{Begin, Error, Fingerprint};
use oneflight_conformance::{
    CountingWaker, cause_of, fine, poll, primary, rejected, scripted, waiter, watched,
};

type Group = oneflight::Group<&'static str, usize>;

fn never_made() -> Ready<usize> {
    panic!("its operation was made")
}

fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    poll(future, Waker::noop()).is_pending()
}

/// Others hang the waiters, or error all of them, or leave no choice.
#[test]
fn what_a_lost_primary_means_is_the_callers_choice() {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let told = waiter(group.begin("k"));
    drop(guard);
    assert_eq!(cause_of(told.get().unwrap()), Cause::Dropped);

    let (remote, operation) = scripted();
    let mut lost = group.work("k", || operation);
    assert!(is_pending(&mut lost));
    let mut other = group.work("k", never_made);
    drop(lost);
    remote.finish();
    assert!(!is_pending(&mut other));
    assert_eq!(
        *other.get().unwrap().unwrap(),
        2,
        "the same operation went on"
    );
}

/// Eight waiters and a newcomer: others ran the operation nine times.
#[test]
fn a_lost_primary_is_followed_by_one_run_for_eight_waiters_and_a_newcomer() {
    let group = Group::new();
    let runs = AtomicUsize::new(0);
    let run = || {
        runs.fetch_add(1, Ordering::SeqCst);
        ready(7)
    };
    let mut lost = Box::pin(group.try_work("k", fine(pending::<usize>)));
    assert!(is_pending(&mut lost));
    let mut waiters: Vec<_> = (0..8)
        .map(|_| Box::pin(group.try_work("k", fine(run))))
        .collect();
    assert!(waiters.iter_mut().all(is_pending));
    drop(lost);
    let newcomer = group.try_work("k", fine(run));
    waiters.push(Box::pin(newcomer));
    for waiter in &mut waiters {
        assert!(!is_pending(waiter));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// Others hand the outcome from one to the next.
#[test]
fn an_idle_waiter_stalls_nobody_behind_it() {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let mut waiters: Vec<_> = (0..200).map(|_| waiter(group.begin("k"))).collect();
    assert!(waiters.iter_mut().all(is_pending));
    guard.settle(7).unwrap();
    // Nobody polls the first 199.
    assert!(!is_pending(waiters.last_mut().unwrap()));
}

/// Others choose the heir of a lost primary, and wait for that one.
#[test]
fn an_idle_heir_stalls_nobody() {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut driver = group.work("k", || operation);
    assert!(is_pending(&mut driver));
    let mut heirs: Vec<_> = (0..5).map(|_| group.work("k", never_made)).collect();
    assert!(heirs.iter_mut().all(is_pending));
    remote.finish();
    drop(driver);
    assert!(!is_pending(heirs.last_mut().unwrap()));

    let mut driver = Box::pin(group.try_work("k", fine(pending::<usize>)));
    assert!(is_pending(&mut driver));
    let mut heirs: Vec<_> = (0..5)
        .map(|_| Box::pin(group.try_work("k", fine(|| ready(7)))))
        .collect();
    assert!(heirs.iter_mut().all(is_pending));
    drop(driver);
    assert!(!is_pending(heirs.last_mut().unwrap()));
}

/// Others clean up whatever has the key.
#[test]
fn an_old_flight_that_ends_removes_no_newer_one() {
    let group = Group::new();
    for end in 0..3 {
        let old = primary(group.begin("k"));
        assert!(group.forget("k"));
        let new = primary(group.begin("k"));
        match end {
            0 => drop(old.settle(1).unwrap()),
            1 => old.abort(),
            _ => drop(old),
        }
        assert!(
            matches!(group.begin("k"), Begin::Waiter(_)),
            "removed by key"
        );
        drop(new);
        assert!(group.is_empty());
    }
}

/// Others keep an entry, and the next fresh call fails on it.
#[test]
fn a_cancelled_primary_leaves_no_entry() {
    let group = Group::new();
    drop(group.begin("k"));
    drop(primary(group.begin("k")).run(pending()));
    drop(group.work("k", pending::<usize>));
    drop(group.try_work("k", fine(pending::<usize>)));
    let mut polled = Box::pin(group.try_work("k", fine(pending::<usize>)));
    assert!(is_pending(&mut polled));
    drop(polled);
    assert!(group.is_empty());
    let mut fresh = group.work("k", || ready(7));
    assert!(!is_pending(&mut fresh));
    assert_eq!(*fresh.get().unwrap().unwrap(), 7);
}

/// Others panic, or give up, after some hundred.
#[test]
fn a_thousand_lost_primaries_in_one_flight_change_nothing() {
    const LOST: usize = 1_000;
    let group = Group::new();
    let mut callers = vec![Box::pin(group.try_work("k", fine(pending::<usize>)))];
    callers.extend((0..LOST).map(|_| {
        let mine = group.try_work("k", fine(pending::<usize>));
        Box::pin(mine)
    }));
    let plain = waiter(group.begin("k"));
    let id = plain.id();
    for mut lost in callers.drain(..LOST) {
        assert!(is_pending(&mut lost));
    }
    assert_eq!(callers[0].id(), Some(id));
    assert!(is_pending(&mut callers[0]));
    callers.clear();
    assert_eq!(cause_of(plain.get().unwrap()), Cause::Dropped);
    assert_eq!(group.stats().reruns, LOST as u64);
}

/// Does something when it is woken, on the waking thread.
struct Calls(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        let call = self.0.lock().unwrap().take();
        if let Some(call) = call {
            call();
        }
    }
}

/// Parks all of them; the first waker polls the second future, and drops the third, inline.
fn reenter<F: Future<Output: Send> + Unpin + Send + 'static>(
    futures: [F; 3],
    group: &Group,
    end: impl FnOnce() + Send + 'static,
) {
    let group = group.clone();
    watched("a waker that re-enters", move || {
        let [mut first, second, third] = futures;
        let others = Arc::new(Mutex::new(vec![second, third]));
        for other in others.lock().unwrap().iter_mut() {
            assert!(is_pending(other));
        }
        let inside = others.clone();
        let woken = Arc::new(AtomicUsize::new(0));
        let seen = woken.clone();
        let call = move || {
            let mut others = inside.lock().unwrap();
            drop(others.pop());
            let _poll = poll(&mut others[0], Waker::noop());
            drop(group.begin("from a waker"));
            group.stats();
            seen.fetch_add(1, Ordering::SeqCst);
        };
        let waker = Waker::from(Arc::new(Calls(Mutex::new(Some(Box::new(call))))));
        assert!(poll(&mut first, &waker).is_pending());
        end();
        assert_eq!(woken.load(Ordering::SeqCst), 1);
    });
}

/// Others wake under a lock of theirs, and a waker that comes back dead-locks.
#[test]
fn no_waker_runs_under_a_lock() {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let waiters = [(); 3].map(|()| waiter(group.begin("k")));
    reenter(waiters, &group, move || drop(guard.settle(7).unwrap()));

    let (remote, operation) = scripted();
    let mut driver = group.work("k", || operation);
    assert!(is_pending(&mut driver));
    let heirs = [(); 3].map(|()| group.work("k", never_made));
    reenter(heirs, &group, move || {
        drop(driver);
        remote.wake();
    });

    let mut driver = Box::pin(group.try_work("r", fine(pending::<usize>)));
    assert!(is_pending(&mut driver));
    let run = || Box::pin(group.try_work("r", fine(|| ready(7))));
    reenter([run(), run(), run()], &group, move || drop(driver));

    let gate = Gate::<&str, usize>::new(Mode::Queue);
    let holder = primary(gate.begin(None));
    let turns = [(); 3].map(|()| gate.turn(None));
    reenter(turns, &group, move || drop(holder));

    let stopping = Group::new();
    let drained = [(); 3].map(|()| stopping.drained());
    reenter(drained, &group, move || stopping.close());
}

/// Others wake every duplicate on each progress of the operation.
#[test]
fn progress_wakes_no_duplicate() {
    let group = Group::new();
    let (remote, operation) = scripted();
    let mut driver = group.work("k", || operation);
    let bells = [(); 20].map(|()| CountingWaker::new());
    let mut duplicates = bells.each_ref().map(|_| group.work("k", never_made));
    let driving = CountingWaker::new();
    assert!(poll(&mut driver, driving.waker()).is_pending());
    for (duplicate, bell) in duplicates.iter_mut().zip(&bells) {
        assert!(poll(duplicate, bell.waker()).is_pending());
    }
    for step in 1..=100 {
        remote.wake();
        assert_eq!(driving.wakes(), step);
        assert!(poll(&mut driver, driving.waker()).is_pending());
    }
    assert!(bells.iter().all(|bell| bell.wakes() == 0));
    remote.finish();
    assert!(!is_pending(&mut driver));
    assert!(bells.iter().all(|bell| bell.wakes() == 1));
}

/// Others lose the wake that comes for a clone that was dropped.
#[test]
fn a_wake_for_a_driver_that_is_gone_reaches_another_one() {
    let group = Group::new();
    let kept = Arc::new(Mutex::new(None));
    let slot = kept.clone();
    let mut polls = 0;
    let mut driver = group.work("k", move || {
        poll_fn(move |cx| {
            *slot.lock().unwrap() = Some(cx.waker().clone());
            polls += 1;
            if polls == 1 {
                Poll::Pending
            } else {
                Poll::Ready(polls)
            }
        })
    });
    assert!(is_pending(&mut driver));
    let mut other = group.work("k", never_made);
    let bell = CountingWaker::new();
    assert!(poll(&mut other, bell.waker()).is_pending());
    drop(driver);
    let waker: Waker = kept.lock().unwrap().take().expect("polled");
    waker.wake();
    assert_eq!(bell.wakes(), 1, "lost");
    assert!(!is_pending(&mut other));
}

/// Others' duplicates spin.
#[test]
fn a_duplicate_is_not_woken_while_it_waits() {
    let group = Group::new();
    let guard = primary(group.begin("k"));
    let (mut first, mut second) = (waiter(group.begin("k")), waiter(group.begin("k")));
    let bells = [CountingWaker::new(), CountingWaker::new()];
    assert!(poll(&mut first, bells[0].waker()).is_pending());
    assert!(poll(&mut second, bells[1].waker()).is_pending());
    drop(second);
    drop(waiter(group.begin("k")));
    assert_eq!(bells[0].wakes(), 0);
    guard.settle(7).unwrap();
    assert_eq!((bells[0].wakes(), bells[1].wakes()), (1, 0));
}

/// Others make a text of it, lose it, or ask for `Clone`.
#[test]
fn an_error_reaches_everyone_as_it_is() {
    /// Neither `Clone` nor `Debug` nor `Display`.
    struct Declined(u32);
    let group: oneflight::Group<&str, Result<usize, Declined>> = oneflight::Group::new();
    let guard = primary(group.begin("k"));
    let waiters = [(); 3].map(|()| waiter(group.begin("k")));
    let mine = guard.settle(Err(Declined(51))).expect("the first");
    for waiter in waiters {
        let theirs = waiter.get().unwrap().unwrap();
        assert!(std::ptr::eq(&*mine, &*theirs));
        assert!(matches!(&*theirs, Err(Declined(51))));
    }
}

/// None of the others does any of these.
#[test]
fn waiters_are_capped_payloads_compared_and_self_joins_seen() {
    let group = Group::builder().max_waiters(1).build();
    let guard = primary(group.entry("k").fingerprint(Fingerprint::of("ten")).begin());
    let joined = waiter(group.begin("k"));
    assert_eq!(rejected(group.begin("k")), Rejected::TooManyWaiters);
    let other = group.entry("k").fingerprint(Fingerprint::of("twenty"));
    assert_eq!(rejected(other.begin()), Rejected::Mismatch);
    let inside = group.clone();
    let mut run = Box::pin(guard.run(async move {
        let own = inside.work("k", never_made);
        match own.await {
            Err(Error::Rejected(Rejected::Reentrant)) => 7,
            _ => panic!("not seen"),
        }
    }));
    assert!(!is_pending(&mut run));
    assert_eq!(*joined.get().unwrap().unwrap(), 7);
}
