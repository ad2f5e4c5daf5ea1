//! The pieces of work of both benches: each has what is set up beforehand, and what is measured. The
//! guard's are here, those of the ready-made calls in `calls`.

mod calls;

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foldhash::fast::FixedState;
use oneflight::{Begin, Fingerprint, Group, Primary, RandomState};

pub use calls::*;

/// Calls in a piece of work of which one is too short.
pub const CALLS: u64 = 100;
/// Waiters of a flight.
pub const WAITERS: usize = 1_000;

/// What every flight ends with.
pub const VALUE: u64 = 1_999;

type Waiter<K> = oneflight::Waiter<K, u64>;

/// Costs what every executor's waker costs, a count up and down, and does nothing.
fn waker() -> Waker {
    Waker::from(Arc::new(Quiet))
}

struct Quiet;

impl Wake for Quiet {
    fn wake(self: Arc<Self>) {}
}

fn begin(group: &Group<u64, u64>, key: u64) -> Primary<u64, u64> {
    match group.begin(key) {
        Begin::Primary(primary) => primary,
        _ => unreachable!("nobody else is about"),
    }
}

fn join(group: &Group<u64, u64>, key: u64) -> Waiter<u64> {
    match group.begin(key) {
        Begin::Waiter(waiter) => waiter,
        _ => unreachable!("it is in flight"),
    }
}

fn park(waiter: &mut Waiter<u64>, cx: &mut Context<'_>) {
    assert!(Pin::new(waiter).poll(cx).is_pending());
}

fn resume(waiter: &mut Waiter<u64>, cx: &mut Context<'_>) {
    match Pin::new(waiter).poll(cx) {
        Poll::Ready(Ok(settled)) => assert_eq!(*settled, VALUE),
        _ => unreachable!("it is settled"),
    }
}

/// A group that has been used before: its tables have grown.
#[must_use]
pub fn warm() -> Group<u64, u64> {
    let group = Group::new();
    solo(&group);
    group
}

/// The same with long keys, and the keys.
#[must_use]
pub fn warm_long() -> (Group<String, u64>, Vec<String>) {
    let group = (
        Group::new(),
        (0..CALLS).map(|key| format!("{key:036}")).collect(),
    );
    solo_long(&group);
    group
}

/// Begin, settle, gone.
pub fn solo(group: &Group<u64, u64>) {
    for key in 0..CALLS {
        let settled = begin(group, black_box(key)).settle(black_box(VALUE));
        assert_eq!(*settled.expect("settled once"), VALUE);
    }
}

/// The same with keys as long as a UUID in text.
pub fn solo_long((group, keys): &(Group<String, u64>, Vec<String>)) {
    for key in keys {
        match group.begin(black_box(key).clone()) {
            Begin::Primary(primary) => {
                assert_eq!(*primary.settle(VALUE).expect("settled once"), VALUE);
            }
            _ => unreachable!("nobody else is about"),
        }
    }
}

/// A group with every rule. Its hasher has a fixed seed, because how many of its tables grow, and so
/// how many instructions it takes, depends on that.
pub type Ruled = Group<u64, u64, FixedState>;

/// A group with every rule, whose tables have grown. It retains what settles.
#[must_use]
pub fn ruled() -> Ruled {
    let hour = Duration::from_secs(3_600);
    let builder = Group::builder().retain_for(hour).supersede_after(hour);
    let builder = builder.max_waiters(1 << 20).max_flights(1 << 20);
    let group = builder.hasher(FixedState::default()).build();
    ruled_solo(&group);
    assert_eq!(group.clear_retained(), CALLS as usize);
    group
}

/// The same, with an outcome retained for each key.
#[must_use]
pub fn retained() -> Ruled {
    let group = ruled();
    ruled_solo(&group);
    group
}

/// Begin with a fingerprint, settle, retained.
pub fn ruled_solo(group: &Ruled) {
    for key in 0..CALLS {
        let entry = group.entry(black_box(key)).fingerprint(payload());
        match entry.begin() {
            Begin::Primary(primary) => drop(primary.settle(VALUE).expect("settled once")),
            _ => unreachable!("nobody else is about"),
        }
    }
}

/// A late call for each key gets the outcome that is retained.
pub fn replay(group: &Ruled) {
    for key in 0..CALLS {
        let entry = group.entry(black_box(key)).fingerprint(payload());
        match entry.begin() {
            Begin::Waiter(waiter) => {
                assert_eq!(*waiter.get().expect("settled").expect("a value"), VALUE);
            }
            _ => unreachable!("it is retained"),
        }
    }
}

fn payload() -> Fingerprint {
    Fingerprint::new(black_box(7))
}

/// A flight of a group with every rule.
#[must_use]
pub fn ruled_begun() -> Flight<FixedState> {
    let group = ruled();
    let primary = match group.entry(7).fingerprint(payload()).begin() {
        Begin::Primary(primary) => Some(primary),
        _ => unreachable!("nobody else is about"),
    };
    Flight {
        group,
        primary,
        waiters: Vec::with_capacity(WAITERS),
        waker: waker(),
    }
}

/// Everyone joins it with a fingerprint, and parks.
#[must_use]
pub fn ruled_joined(mut flight: Flight<FixedState>) -> Flight<FixedState> {
    let mut cx = Context::from_waker(&flight.waker);
    for _ in 0..WAITERS {
        let entry = flight.group.entry(black_box(7)).fingerprint(payload());
        let Begin::Waiter(mut waiter) = entry.begin() else {
            unreachable!("it is in flight")
        };
        park(&mut waiter, &mut cx);
        flight.waiters.push(waiter);
    }
    flight
}

/// Begin, one waiter, settle, resume.
pub fn cycle(group: &Group<u64, u64>) {
    let waker = waker();
    let mut cx = Context::from_waker(&waker);
    for key in 0..CALLS {
        let primary = begin(group, black_box(key));
        let mut waiter = join(group, black_box(key));
        park(&mut waiter, &mut cx);
        drop(primary.settle(VALUE).expect("settled once"));
        resume(&mut waiter, &mut cx);
    }
}

/// A flight, perhaps with everyone parked.
#[derive(Debug)]
pub struct Flight<S = RandomState> {
    group: Group<u64, u64, S>,
    primary: Option<Primary<u64, u64>>,
    waiters: Vec<Waiter<u64>>,
    waker: Waker,
}

/// One that nobody waits for yet.
#[must_use]
pub fn begun() -> Flight {
    let group = warm();
    let primary = Some(begin(&group, 7));
    let waiters = Vec::with_capacity(WAITERS);
    let waker = waker();
    Flight {
        group,
        primary,
        waiters,
        waker,
    }
}

/// One with everyone parked.
#[must_use]
pub fn parked() -> Flight {
    joined(begun())
}

/// Everyone joins and parks.
#[must_use]
pub fn joined(mut flight: Flight) -> Flight {
    let mut cx = Context::from_waker(&flight.waker);
    for _ in 0..WAITERS {
        let mut waiter = join(&flight.group, black_box(7));
        park(&mut waiter, &mut cx);
        flight.waiters.push(waiter);
    }
    flight
}

/// It settles, and everyone is resumed.
#[must_use]
pub fn settled(mut flight: Flight) -> Flight {
    let mut cx = Context::from_waker(&flight.waker);
    let primary = flight.primary.take().expect("not settled yet");
    drop(primary.settle(VALUE).expect("settled once"));
    for waiter in &mut flight.waiters {
        resume(waiter, &mut cx);
    }
    flight
}

/// Everyone leaves.
#[must_use]
pub fn cancelled(mut flight: Flight) -> Flight {
    flight.waiters.clear();
    flight
}
