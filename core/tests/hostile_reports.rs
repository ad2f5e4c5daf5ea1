//! Everything of the user's that a report runs (a recorder and its handles, a subscriber, the `Debug` of a key) calls back or
//! panics, at each place where it runs in one script of calls.
#![cfg(all(not(loom), feature = "tracing", feature = "metrics"))]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key as MetricKey, KeyName,
    Metadata as About, Recorder, SharedString, Unit,
};
use oneflight_core::clock::Clock;
use oneflight_core::error::Rejected;
use oneflight_core::{Begin, Error, Group, Waiter};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

/// A key whose `Debug` is a place of attack.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key(u8);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        attacked("Debug");
        write!(f, "{}", self.0)
    }
}

type Calls = Group<Key, u32>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    CallBack,
    Panic,
    /// From that place on, each time that the recorder runs.
    RecorderPanics,
}

thread_local! {
    static GROUP: RefCell<Option<Calls>> = const { RefCell::new(None) };
    static ACT: Cell<Option<(usize, Act)>> = const { Cell::new(None) };
    /// Of the last span, which is the current one, so that others follow from it.
    static SPAN: Cell<Option<&'static Metadata<'static>>> = const { Cell::new(None) };
    static PLACES: Cell<usize> = const { Cell::new(0) };
    static KINDS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

/// The user's code runs here.
fn attacked(kind: &'static str) {
    let place = PLACES.replace(PLACES.get() + 1);
    KINDS.with_borrow_mut(|kinds| kinds.push(kind));
    match ACT.get() {
        Some((at, Act::CallBack)) if at == place => {
            let group = GROUP
                .with_borrow(Option::clone)
                .expect("the script has a group");
            // A lock that is held here would never be got.
            for key in (1..=9).map(Key) {
                drop((group.begin(key.clone()), group.join(&key)));
                group.forget(&key);
            }
            drop(group.work(Key(10), pending));
            assert!(group.stats().begun > 0);
            group.purge_expired();
        }
        Some((at, Act::Panic)) if at == place => panic!("{kind}"),
        Some((at, Act::RecorderPanics)) if at <= place && kind == "recorder" => panic!("{kind}"),
        _ => {}
    }
}

struct Attacks;

impl CounterFn for Attacks {
    fn increment(&self, _: u64) {
        attacked("recorder");
    }
    fn absolute(&self, _: u64) {}
}

impl HistogramFn for Attacks {
    fn record(&self, _: f64) {
        attacked("recorder");
    }
}

impl Recorder for Attacks {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &MetricKey, _: &About<'_>) -> Counter {
        attacked("recorder");
        Counter::from_arc(Arc::new(Attacks))
    }
    fn register_gauge(&self, _: &MetricKey, _: &About<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &MetricKey, _: &About<'_>) -> Histogram {
        attacked("recorder");
        Histogram::from_arc(Arc::new(Attacks))
    }
}

/// Reads each field.
struct Reads;

impl tracing::field::Visit for Reads {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn fmt::Debug) {
        let _ = format!("{value:?}");
    }
}

impl Subscriber for Attacks {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "oneflight"
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        SPAN.set(Some(span.metadata()));
        attacked("span");
        span.record(&mut Reads);
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {
        attacked("follows");
    }
    fn event(&self, event: &Event<'_>) {
        attacked("event");
        event.record(&mut Reads);
    }
    fn enter(&self, _: &Id) {
        attacked("enter");
    }
    fn exit(&self, _: &Id) {}
    fn current_span(&self) -> Current {
        let current = |metadata| Current::new(Id::from_u64(1), metadata);
        SPAN.get().map_or_else(Current::none, current)
    }
}

#[derive(Clone, Default)]
struct Seconds(Arc<AtomicU64>);

impl Clock for Seconds {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Default)]
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What waits: its waker was given away.
struct Parked {
    waiter: Waiter<Key, u32>,
    woken: Arc<Woken>,
}

impl Parked {
    fn new(mut waiter: Waiter<Key, u32>) -> Option<Self> {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let poll = Pin::new(&mut waiter).poll(&mut Context::from_waker(&waker));
        poll.is_pending().then_some(Self { waiter, woken })
    }
}

/// Returns how many places there are.
fn script(act: Option<(usize, Act)>) -> usize {
    let clock = Seconds::default();
    let minute = Duration::from_secs(60);
    let build = Group::builder()
        .name("attacked")
        .show_keys()
        .clock(clock.clone());
    let build = build.retain_for(minute).max_retained(1).max_waiters(2);
    let group: Calls = build.supersede_after(minute).shards(1).build();
    let parked = RefCell::new(Vec::new());
    let begin = |key: u8| {
        let begun = group.begin(Key(key));
        match begun {
            Begin::Waiter(waiter) => {
                parked.borrow_mut().extend(Parked::new(waiter));
                None
            }
            Begin::Primary(primary) => Some(primary),
            Begin::Rejected(_) => None,
        }
    };
    let steps: [&dyn Fn(); 8] = [
        // The second outcome needs the place of the first one.
        &|| {
            for key in [1, 2] {
                let primary = begin(key);
                for _ in 0..3 {
                    drop(begin(key));
                }
                if let Some(primary) = primary {
                    let _ = primary.settle(7);
                }
            }
        },
        &|| drop(group.begin(Key(2))),
        &|| {
            let first = group.work(Key(3), || ready(7));
            let second = group.work(Key(3), || ready(8));
            drop(begin(3));
            drop(first);
            let _ = block_on(second);
        },
        &|| {
            let mut lost = Box::pin(group.try_work(Key(4), pending::<Result<_, Error>>));
            let heir = group.try_work(Key(4), || ready(Ok::<_, Error>(7)));
            drop(begin(4));
            assert!(block_on(poll_once(lost.as_mut())).is_none());
            drop(lost);
            let _ = block_on(heir);
        },
        &|| {
            let inner = group.clone();
            let own = group.work(Key(5), move || async move {
                let own = inner.work(Key(5), || ready(7)).await;
                let reentrant = Error::Rejected(Rejected::Reentrant);
                u32::from(matches!(own, Err(error) if error == reentrant))
            });
            let _ = block_on(own);
        },
        &|| {
            let old = begin(6);
            drop(begin(6));
            clock.0.fetch_add(61, Ordering::SeqCst);
            let new = begin(6);
            drop((old, new));
        },
        &|| {
            let primary = begin(7);
            drop(begin(7));
            group.abort_all();
            drop(primary);
        },
        &|| {
            group.close();
            drop(group.begin(Key(8)));
        },
    ];
    GROUP.set(Some(group.clone()));
    PLACES.set(0);
    ACT.set(act);
    let mut panics = 0;
    metrics::with_local_recorder(&Attacks, || {
        tracing::subscriber::with_default(Attacks, || {
            for step in steps {
                panics += usize::from(catch_unwind(AssertUnwindSafe(step)).is_err());
            }
        });
    });
    ACT.set(None);
    GROUP.set(None);
    let panics_planted = matches!(act, Some((_, Act::Panic | Act::RecorderPanics)));
    assert_eq!(panics > 0, panics_planted, "panics came out");
    for Parked { waiter, woken } in parked.into_inner() {
        assert!(
            waiter.get().is_some(),
            "a waiter of {:?} waits",
            waiter.key().0
        );
        assert_eq!(
            woken.0.load(Ordering::SeqCst),
            1,
            "a waiter was not woken once"
        );
    }
    let stats = group.stats();
    assert!(group.is_empty(), "{stats}");
    assert_eq!(
        (stats.in_flight, stats.ending, stats.waiting),
        (0, 0, 0),
        "{stats}"
    );
    assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats}");
    assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats}");
    group.close();
    assert!(
        block_on(poll_once(group.drained())).is_some(),
        "something is left"
    );
    PLACES.get()
}

#[test]
fn code_that_a_report_runs_can_call_back_or_panic_at_each_place() {
    let places = script(None);
    let kinds = KINDS.take();
    for kind in ["recorder", "span", "event", "follows", "enter", "Debug"] {
        assert!(kinds.contains(&kind), "{kind}");
    }
    assert!(places > 100, "{places}");
    let recorder = kinds.iter().rposition(|kind| *kind == "recorder");
    for act in [Act::CallBack, Act::Panic, Act::RecorderPanics] {
        let places = match recorder {
            // After its last place it has nothing left to panic at.
            Some(last) if act == Act::RecorderPanics => last + 1,
            _ => places,
        };
        for (at, kind) in kinds.iter().take(places).enumerate() {
            println!("{act:?} at {at}, {kind}");
            script(Some((at, act)));
        }
    }
}
