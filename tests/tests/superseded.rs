//! What is left of a flight that gave way to a newer one: nothing, whoever drove it.

use std::future::{pending, ready};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use oneflight::error::{Cause, Rejected};
use oneflight::{Begin, Group};
use oneflight_conformance::{HandClock, fine, poll, polled, primary, quiet_panic, watched};

fn group(clock: &HandClock) -> Group<&'static str, usize> {
    Group::builder()
        .clock(clock.clone())
        .supersede_after(Duration::from_secs(1))
        .max_flights(2)
        .build()
}

/// Its participants have no guard that could say that they are done.
#[test]
fn a_superseded_work_flight_is_over_when_its_participants_have_left() {
    watched("superseded work", || {
        let clock = HandClock::default();
        let group = group(&clock);
        for _ in 0..5 {
            let mut old = group.work("k", pending);
            assert!(poll(&mut old, Waker::noop()).is_pending());
            clock.forward(10);
            let new = match group.begin("k") {
                Begin::Primary(new) => new,
                Begin::Rejected(why) => panic!("{why}: a superseded flight still counts"),
                Begin::Waiter(_) => panic!("joined what is too old"),
            };
            assert!(poll(&mut old, Waker::noop()).is_ready());
            drop(old);
            new.settle(1).unwrap();
        }
        group.close();
        assert!(
            poll(&mut group.drained(), Waker::noop()).is_ready(),
            "a superseded flight keeps the group from draining"
        );
    });
}

#[test]
fn a_superseded_try_work_flight_is_over_when_its_participants_have_left() {
    watched("superseded try_work", || {
        let clock = HandClock::default();
        let group = group(&clock);
        for _ in 0..5 {
            let mut old = Box::pin(group.try_work("k", fine(pending)));
            assert!(poll(&mut old, Waker::noop()).is_pending());
            clock.forward(10);
            let begin = group.begin("k");
            assert!(
                !matches!(begin, Begin::Rejected(Rejected::TooManyFlights)),
                "a superseded flight still counts"
            );
            drop(old);
            primary(begin).settle(1).unwrap();
        }
        group.close();
        assert!(poll(&mut group.drained(), Waker::noop()).is_ready());
    });
}

/// Nor is there a note of it left in the registry.
#[test]
fn ten_thousand_superseded_flights_leave_no_memory() {
    let clock = HandClock::default();
    let group = group(&clock);
    primary(group.begin("k")).settle(1).unwrap();
    let supersede = |times: usize| {
        for _ in 0..times {
            let old = primary(group.begin("k"));
            clock.forward(10);
            primary(group.begin("k")).settle(1).unwrap();
            assert!(old.settle(0).is_err());
        }
    };
    supersede(100);
    let measured = allocation_counter::measure(|| supersede(10_000));
    assert!(
        measured.bytes_current < 10_000,
        "{} bytes are left",
        measured.bytes_current
    );
}

/// A late participant of the same policy, too.
#[test]
fn a_retained_outcome_reaches_a_late_call_of_work() {
    let clock = HandClock::default();
    let group: Group<&str, usize> = Group::builder()
        .clock(clock.clone())
        .retain_for(Duration::from_secs(60))
        .build();
    let mut first = group.work("k", || ready(7));
    assert!(poll(&mut first, Waker::noop()).is_ready());
    let late = group.work("k", || ready(0));
    assert_eq!(*late.get().expect("retained").unwrap(), 7);

    let mut first = Box::pin(group.try_work("r", fine(|| ready(7))));
    assert!(poll(&mut first, Waker::noop()).is_ready());
    let late = group.try_work("r", fine(|| ready(0)));
    assert_eq!(*polled(late).expect("retained").unwrap(), 7);
}

#[test]
fn a_superseded_settle_asks_nobody_and_leaves_no_flight() {
    let clock = HandClock::default();
    let group: Group<&str, usize> = Group::builder()
        .clock(clock.clone())
        .supersede_after(Duration::from_secs(1))
        .retain_by(|value: &usize| if *value == 13 { quiet_panic() } else { None })
        .build();
    let old = primary(group.begin("k"));
    clock.forward(10);
    primary(group.begin("k")).settle(1).unwrap();
    let late = old.settle(13).unwrap_err();
    assert_eq!((late.aborted.cause(), late.value), (Cause::Superseded, 13));
    group.close();
    assert!(poll(&mut group.drained(), Waker::noop()).is_ready());
}

#[test]
fn an_expired_outcome_is_not_forgotten() {
    let clock = HandClock::default();
    let group: Group<&str, usize> = Group::builder()
        .clock(clock.clone())
        .retain_for(Duration::from_secs(60))
        .build();
    primary(group.begin("k")).settle(1).unwrap();
    clock.forward(60);
    assert!(group.peek("k").is_none());
    assert!(!group.forget("k"), "it was not retained any more");
}

type Shot = Option<Box<dyn FnOnce() + Send>>;

/// A key whose comparison runs what is armed, once.
#[derive(Clone, Default)]
struct Armed(Arc<Mutex<Shot>>);

impl PartialEq for Armed {
    fn eq(&self, _: &Self) -> bool {
        let armed = self.0.lock().unwrap().take();
        if let Some(armed) = armed {
            armed();
        }
        true
    }
}

impl Eq for Armed {}

impl Hash for Armed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(0);
    }
}

/// One call finds the flight too old. Before it ends that flight, another call forgets it and
/// begins a new one.
#[test]
fn a_flight_that_is_forgotten_while_it_is_found_too_old_is_left_alone() {
    watched("forgotten while found too old", || {
        let (clock, key) = (HandClock::default(), Armed::default());
        let group: Group<Armed, u8> = Group::builder()
            .clock(clock.clone())
            .supersede_after(Duration::from_secs(1))
            .build();
        let old = primary(group.begin(key.clone()));
        clock.forward(10);
        let new = Arc::new(Mutex::new(None));
        let (other, begun, group_of_other) = (key.clone(), new.clone(), group.clone());
        *key.0.lock().unwrap() = Some(Box::new(move || {
            assert!(group_of_other.forget(&other));
            *begun.lock().unwrap() = Some(primary(group_of_other.begin(other)));
        }));
        let Begin::Waiter(joined) = group.begin(key) else {
            panic!("a new flight is in progress")
        };
        let new = new.lock().unwrap().take();
        let new = new.expect("begun during the comparison");
        assert_eq!(joined.id(), new.id());
        assert_eq!(*old.settle(1).expect("it was left alone"), 1);
        assert_eq!(*new.settle(2).expect("it was left alone"), 2);
        assert_eq!(group.stats().aborted_by(Cause::Superseded), 0);
    });
}
