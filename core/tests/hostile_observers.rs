//! A subscriber of `tracing` that panics: it is the user's code like any other, so it strands nobody.
#![cfg(all(not(loom), feature = "tracing", feature = "metrics"))]

#[path = "support/fine.rs"]
mod fine;
#[path = "support/outcome.rs"]
mod outcome;

use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use oneflight_core::clock::Clock;
use oneflight_core::error::Cause;
use oneflight_core::{Begin, Group};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use fine::fine;
use outcome::cause_of;

/// Panics at the calls it is told to, once each.
#[derive(Clone, Default)]
struct Hostile {
    at_span: Arc<AtomicBool>,
    at_enter: Arc<AtomicBool>,
    at_event: Arc<AtomicBool>,
    at_exit: Arc<AtomicBool>,
}

impl Hostile {
    fn panics(&self, at: &AtomicBool, what: &str) {
        if at.swap(false, Ordering::SeqCst) {
            panic!("{what}");
        }
    }
}

impl Subscriber for Hostile {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "oneflight"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.panics(&self.at_span, "span");
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.panics(&self.at_event, "event");
    }
    fn enter(&self, _: &Id) {
        self.panics(&self.at_enter, "enter");
    }
    fn exit(&self, _: &Id) {
        self.panics(&self.at_exit, "exit");
    }
}

/// With a single subscriber `tracing` asks that of the thread which comes to an event first, and keeps the answer. A test
/// that has none must not be the first one meanwhile.
static ONE_TEST_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> impl Sized {
    ONE_TEST_AT_A_TIME
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

fn under(test: impl FnOnce(&Hostile)) {
    let _alone = alone();
    let hostile = Hostile::default();
    tracing::subscriber::with_default(hostile.clone(), || test(&hostile));
}

fn panics<R>(f: impl FnOnce() -> R) {
    assert!(
        catch_unwind(AssertUnwindSafe(f)).is_err(),
        "it did not panic"
    );
}

/// Without a rule a call takes the short way, and with one the long way.
fn groups() -> [Group<&'static str, u32>; 2] {
    let ruled = Group::<&str, u32>::builder().max_waiters(9).build();
    [Group::new(), ruled]
}

#[test]
fn a_participant_whose_join_panics_is_not_counted_in() {
    under(|hostile| {
        for group in groups() {
            let only = group.work("k", pending);
            let Begin::Waiter(waiter) = group.begin("k") else {
                unreachable!()
            };
            hostile.at_event.store(true, Ordering::SeqCst);
            panics(|| group.work("k", pending));
            assert_eq!(group.waiters("k"), 1);
            drop(only);
            let outcome = waiter.get().expect("the flight is open, with nobody in it");
            assert_eq!(cause_of(outcome), Cause::Dropped);
            assert!(group.is_empty());
        }
    });
}

#[test]
fn a_participant_whose_begin_panics_leaves_nothing() {
    under(|hostile| {
        for group in groups() {
            hostile.at_span.store(true, Ordering::SeqCst);
            panics(|| group.work("k", pending));
            let stats = group.stats();
            assert_eq!((stats.in_flight, stats.ending), (0, 0));
            assert_eq!(stats.aborted_by(Cause::Panicked), 1);
            assert!(matches!(group.begin("k"), Begin::Primary(_)));
        }
    });
}

#[test]
fn a_run_that_a_subscriber_ends_is_over() {
    under(|hostile| {
        let group: Group<&str, u32> = Group::new();
        let Begin::Primary(primary) = group.begin("k") else {
            unreachable!()
        };
        let Begin::Waiter(waiter) = group.begin("k") else {
            unreachable!()
        };
        hostile.at_enter.store(true, Ordering::SeqCst);
        let mut run = Box::pin(primary.run(pending()));
        panics(|| block_on(poll_once(run.as_mut())));
        let outcome = waiter.get().expect("the panic ended nothing");
        assert_eq!(cause_of(outcome), Cause::Panicked);
        assert!(matches!(group.begin("k"), Begin::Primary(_)));
    });
}

#[test]
fn a_poll_that_a_subscriber_ends_leaves_nobody_inside() {
    under(|hostile| {
        let group: Group<&str, u32> = Group::new();
        let mut first = Box::pin(group.try_work("k", fine(|| ready(1))));
        let second = group.try_work("k", fine(|| ready(2)));
        hostile.at_enter.store(true, Ordering::SeqCst);
        panics(|| block_on(poll_once(first.as_mut())));
        // The flight goes on, with the second one, and nobody is inside of an operation of it.
        let duplicate = group.begin("k");
        assert!(matches!(duplicate, Begin::Waiter(_)));
        assert_eq!(group.waiters("k"), 2, "it counts as one from inside");
        assert_eq!(*block_on(second).unwrap(), 2);
    });
}

#[test]
fn a_begin_that_a_subscriber_ends_leaves_nothing() {
    under(|hostile| {
        let group: Group<&str, u32> = Group::new();
        let primary = group.begin("k");
        hostile.at_event.store(true, Ordering::SeqCst);
        panics(|| group.begin("k"));
        assert_eq!(group.waiters("k"), 0);
        hostile.at_event.store(true, Ordering::SeqCst);
        panics(|| drop(primary));
        assert!(group.is_empty());
    });
}

fn counted(name: &str, run: impl FnOnce()) -> u64 {
    let _alone = alone();
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, run);
    let all = snapshots.snapshot().into_vec().into_iter();
    all.filter(|(key, ..)| key.key().name() == name)
        .map(|(.., value)| match value {
            DebugValue::Counter(count) => count,
            _ => 0,
        })
        .sum()
}

#[test]
fn a_flight_whose_waker_panics_is_counted_as_settled() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("wake");
        }
    }
    let settled = counted("oneflight_settled_total", || {
        let group: Group<&str, u32> = Group::new();
        let Begin::Primary(primary) = group.begin("k") else {
            unreachable!()
        };
        let Begin::Waiter(mut waiter) = group.begin("k") else {
            unreachable!()
        };
        let waker = Waker::from(Arc::new(Panics));
        let poll = std::pin::Pin::new(&mut waiter).poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
        panics(|| primary.settle(7));
        assert_eq!(*waiter.get().unwrap().unwrap(), 7);
    });
    assert_eq!(settled, 1);
}

#[test]
fn a_superseded_flight_is_counted_as_aborted() {
    struct Ages(std::sync::atomic::AtomicU64);
    impl Clock for Ages {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.fetch_add(60, Ordering::SeqCst))
        }
    }
    let aborted = counted("oneflight_aborted_total", || {
        let group: Group<&str, u32> = Group::builder()
            .clock(Ages(0.into()))
            .supersede_after(Duration::from_secs(1))
            .build();
        let old = group.begin("k");
        let Begin::Primary(new) = group.begin("k") else {
            unreachable!()
        };
        drop(old);
        new.settle(7).unwrap();
        assert_eq!(group.stats().aborted_by(Cause::Superseded), 1);
    });
    assert_eq!(aborted, 1);
}

#[test]
fn what_an_operation_returned_is_dropped_if_the_subscriber_panics_after_it() {
    type Value = Arc<()>;
    type Call = fn(&Group<u8, Value>, Value);
    let ways: [(&str, Call); 3] = [
        ("work", |group, value| drop(group.work(1, || ready(value)))),
        ("run", |group, value| {
            let Begin::Primary(primary) = group.begin(1) else {
                panic!("a free key")
            };
            drop(block_on(primary.run(ready(value))));
        }),
        ("try_work", |group, value| {
            let call = group.try_work(1, fine(|| ready(value)));
            drop(block_on(call));
        }),
    ];
    for (name, way) in ways {
        under(|hostile| {
            let (group, value) = (Group::new(), Value::default());
            hostile.at_exit.store(true, Ordering::SeqCst);
            let call = || way(&group, value.clone());
            let unwound = catch_unwind(AssertUnwindSafe(call));
            assert!(unwound.is_err(), "{name}");
            assert_eq!(Arc::strong_count(&value), 1, "{name}: leaked");
            assert!(group.is_empty() && group.stats().ending == 0, "{name}");
        });
    }
}
