//! A flight that is too old ends only for a call that begins. At `max_flights` it makes room only if
//! its operation can be dropped at once.

use std::cell::RefCell;
use std::future::pending;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use oneflight::error::{Cause, Rejected};
use oneflight::{Begin, Group};
use oneflight_conformance::{
    HandClock, cause_of, poll, primary, quiet_panic, rejected, waiter, watched,
};

thread_local! {
    /// Runs once, when a key is next compared with another one.
    static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// All of them have the same hash.
#[derive(Clone, Debug)]
struct Key(&'static str);

impl Hash for Key {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        if self.0 != other.0 {
            if let Some(meanwhile) = MEANWHILE.take() {
                meanwhile();
            }
        }
        self.0 == other.0
    }
}

impl Eq for Key {}

fn group(clock: &HandClock, flights: usize) -> Group<Key, usize> {
    Group::builder()
        .clock(clock.clone())
        .supersede_after(Duration::from_secs(60))
        .max_flights(flights)
        .build()
}

/// How many flights can begin now.
fn room(group: &Group<Key, usize>) -> usize {
    let keys = ["new 1", "new 2", "new 3"];
    let begun = keys.map(|key| group.begin(Key(key)));
    let primaries = begun
        .iter()
        .filter(|begin| matches!(begin, Begin::Primary(_)));
    primaries.count()
}

/// An operation that counts its drop.
fn counted(
    dropped: &Arc<AtomicUsize>,
) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = usize> + Send>> + use<> {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let counted = Counted(dropped.clone());
    move || {
        Box::pin(async move {
            let _counted = counted;
            pending().await
        })
    }
}

#[test]
fn the_place_of_the_new_flight_is_kept_while_keys_are_compared() {
    watched("the place of the new flight", || {
        let clock = HandClock::default();
        let group = group(&clock, 3);
        let old = primary(group.begin(Key("old")));
        let told = waiter(group.begin(Key("old")));
        clock.forward(100);
        let stranger = primary(group.begin(Key("stranger")));

        // Two flights, and room for one more. A third call comes while the next call of the old
        // key is compared with the stranger.
        let third = Rc::new(RefCell::new(None));
        let (others, came) = (group.clone(), third.clone());
        MEANWHILE.set(Some(Box::new(move || {
            *came.borrow_mut() = Some(others.begin(Key("third")));
        })));
        let new = primary(group.begin(Key("old")));
        let third = third.take().expect("a comparison with the stranger");
        assert_eq!(rejected(third), Rejected::TooManyFlights);
        assert_eq!(cause_of(told.get().unwrap()), Cause::Superseded);
        drop((old, stranger, new));
        assert_eq!(room(&group), 3);
    });
}

#[test]
fn a_call_that_begins_nothing_keeps_no_place_while_keys_are_compared() {
    watched("a call that begins nothing", || {
        let clock = HandClock::default();
        let group = group(&clock, 3);
        let two = ["old", "stranger"].map(|key| primary(group.begin(Key(key))));
        clock.forward(100);
        let third = Rc::new(RefCell::new(None));
        let (others, came) = (group.clone(), third.clone());
        MEANWHILE.set(Some(Box::new(move || {
            *came.borrow_mut() = Some(others.begin(Key("third")));
        })));
        assert!(group.join(&Key("nobody's")).unwrap().is_none());
        let third = third.take().expect("a comparison with the others");
        drop((two, primary(third)));
        assert_eq!(room(&group), 3);
    });
}

#[test]
fn a_key_that_panics_when_it_is_compared_leaks_no_place_and_ends_no_flight() {
    watched("a key that panics", || {
        let clock = HandClock::default();
        let group = group(&clock, 3);
        let old = primary(group.begin(Key("old")));
        clock.forward(100);
        let stranger = primary(group.begin(Key("stranger")));
        MEANWHILE.set(Some(Box::new(|| quiet_panic())));
        let begin = std::panic::AssertUnwindSafe(|| group.begin(Key("old")));
        assert!(std::panic::catch_unwind(begin).is_err());
        drop(stranger);
        assert!(old.settle(1).is_ok(), "it has ended for nobody");
        assert_eq!(room(&group), 3);
    });
}

#[test]
fn at_the_limit_an_idle_operation_makes_room_and_is_dropped_before_its_successor_runs() {
    watched("an idle operation", || {
        let clock = HandClock::default();
        let group = group(&clock, 1);
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut old = group.work(Key("k"), counted(&dropped));
        let duplicate = waiter(group.begin(Key("k")));
        clock.forward(100);
        // Never polled, then parked: either is idle.
        for superseded in 1..=2 {
            let successor = group.work(Key("k"), || {
                assert_eq!(dropped.load(Ordering::SeqCst), superseded);
                counted(&dropped)()
            });
            assert_ne!(old.id(), successor.id());
            assert!(poll(&mut old, Waker::noop()).is_ready());
            old = successor;
            assert!(poll(&mut old, Waker::noop()).is_pending());
            clock.forward(100);
        }
        let cause = cause_of(duplicate.get().unwrap());
        assert_eq!(cause, Cause::Superseded);
        assert_eq!(
            rejected(group.begin(Key("another"))),
            Rejected::TooManyFlights
        );
        drop(old);
        assert_eq!(room(&group), 1);
        assert_eq!(group.stats().aborted_by(Cause::Superseded), 2);
    });
}

#[test]
fn at_the_limit_callers_join_an_old_guard_and_an_operation_that_is_being_polled() {
    watched("an old guard", || {
        let clock = HandClock::default();
        let group = group(&clock, 1);
        let old = primary(group.begin(Key("k")));
        clock.forward(100);
        let joined = waiter(group.begin(Key("k")));
        assert_eq!(joined.id(), old.id());
        old.settle(1).unwrap();
        assert_eq!(*joined.get().unwrap().unwrap(), 1);

        let (other, turned) = (group.clone(), clock.clone());
        let mut work = group.work(Key("k"), move || async move {
            turned.forward(100);
            let joins = std::thread::spawn(move || waiter(other.begin(Key("k"))));
            let joined = joins.join().unwrap();
            assert!(joined.get().is_none(), "superseded while it is polled");
            2
        });
        assert!(poll(&mut work, Waker::noop()).is_ready());
        assert_eq!(room(&group), 1);
    });
}

#[test]
fn where_there_is_room_any_flight_makes_way() {
    watched("room for one more", || {
        let clock = HandClock::default();
        let group = group(&clock, 2);
        let old = primary(group.begin(Key("k")));
        clock.forward(100);
        let new = primary(group.begin(Key("k")));
        assert_eq!(room(&group), 0, "the old guard is still here");
        assert!(old.settle(1).is_err());
        assert_eq!(room(&group), 1);
        drop(new);
        assert_eq!(room(&group), 2);
    });
}
