//! What `tracing` and `metrics` see of two callers of one key.
#![cfg(all(not(loom), feature = "tracing", feature = "metrics"))]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use allocation_counter::measure;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata as About, SharedString, Unit};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use oneflight_core::{Begin, Group};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber, info_span};
use tracing_core::span::Current;

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<Mutex<u64>>,
}

impl Log {
    fn say(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "oneflight"
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut spans = self.spans.lock().unwrap();
        *spans += 1;
        self.say(format!("new {} {}", span.metadata().name(), *spans));
        Id::from_u64(*spans)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.say(format!(
            "{} in {:?}",
            message.0,
            event.parent().map(Id::into_u64)
        ));
    }
    fn enter(&self, span: &Id) {
        self.say(format!("enter {}", span.into_u64()));
    }
    fn exit(&self, span: &Id) {
        self.say(format!("exit {}", span.into_u64()));
    }
    fn try_close(&self, _: Id) -> bool {
        true
    }
}

#[test]
fn a_flight_is_a_span_and_a_duplicate_an_event() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let group: Group<&str, u32> = Group::new();
        let Begin::Primary(primary) = group.begin("k") else {
            unreachable!()
        };
        let waiter = group.begin("k");
        let run = primary.run(async { 7 });
        assert_eq!(*futures_lite::future::block_on(run).unwrap(), 7);
        drop(waiter);
        drop(group.begin("k"));
    });
    let lines = log.lines.lock().unwrap();
    let expected = [
        "new flight 1",
        "joined in None",
        "enter 1",
        "exit 1",
        "settled in Some(1)",
        "new flight 2",
        "aborted in Some(2)",
    ];
    assert_eq!(*lines, expected);
}

#[test]
fn counters_count_begun_joined_settled_and_aborted() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let group: Group<&str, u32> = Group::new();
        let Begin::Primary(primary) = group.begin("k") else {
            unreachable!()
        };
        drop(group.begin("k"));
        primary.settle(7).unwrap();
        drop(group.begin("k"));
        group.close();
        drop(group.begin("k"));
    });
    let mut counts: Vec<_> = snapshots
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| (key.key().name().to_string(), value))
        .collect();
    counts.sort_by(|one, two| one.0.cmp(&two.0));
    let expected = [
        ("aborted", 1),
        ("begun", 2),
        ("joined", 1),
        ("rejected", 1),
        ("settled", 1),
    ];
    let expected: Vec<_> = expected
        .map(|(name, count)| {
            (
                format!("oneflight_{name}_total"),
                DebugValue::Counter(count),
            )
        })
        .into();
    assert_eq!(counts, expected);
}

/// Knows which spans are open, as a registry of spans does: a span is open while a handle or a child of it is.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    spans: HashMap<u64, Page>,
    entered: Vec<u64>,
    /// Who follows from whom.
    links: Vec<(&'static str, &'static str)>,
}

struct Page {
    metadata: &'static Metadata<'static>,
    parent: Option<u64>,
    handles: usize,
}

impl Pages {
    fn name(&self, id: u64) -> &'static str {
        self.spans[&id].metadata.name()
    }

    /// Also the parent's, if this was its last child.
    fn close(&mut self, id: u64) -> bool {
        let page = self.spans.get_mut(&id).expect("it is open");
        page.handles -= 1;
        if page.handles > 0 {
            return false;
        }
        if let Some(parent) = self.spans.remove(&id).and_then(|page| page.parent) {
            self.close(parent);
        }
        true
    }
}

impl Book {
    fn open(&self) -> Vec<&'static str> {
        let pages = self.0.lock().unwrap();
        let mut open: Vec<_> = pages.spans.keys().map(|id| pages.name(*id)).collect();
        open.sort_unstable();
        open
    }

    fn links(&self) -> Vec<(&'static str, &'static str)> {
        self.0.lock().unwrap().links.clone()
    }
}

impl Subscriber for Book {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, new: &Attributes<'_>) -> Id {
        let mut pages = self.0.lock().unwrap();
        let id = pages.spans.keys().max().map_or(1, |last| last + 1);
        let explicit = new.parent().map(Id::into_u64);
        let current = pages.entered.last().filter(|_| new.is_contextual());
        let parent = explicit.or(current.copied());
        if let Some(parent) = parent {
            pages.spans.get_mut(&parent).expect("it is open").handles += 1;
        }
        let (metadata, handles) = (new.metadata(), 1);
        let page = Page {
            metadata,
            parent,
            handles,
        };
        pages.spans.insert(id, page);
        Id::from_u64(id)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, span: &Id, from: &Id) {
        let mut pages = self.0.lock().unwrap();
        let link = (pages.name(span.into_u64()), pages.name(from.into_u64()));
        pages.links.push(link);
    }
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }
    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }
    fn clone_span(&self, span: &Id) -> Id {
        let mut pages = self.0.lock().unwrap();
        let page = pages.spans.get_mut(&span.into_u64());
        page.expect("it is open").handles += 1;
        span.clone()
    }
    fn try_close(&self, span: Id) -> bool {
        self.0.lock().unwrap().close(span.into_u64())
    }
    fn current_span(&self) -> Current {
        let pages = self.0.lock().unwrap();
        match pages.entered.last() {
            Some(id) => Current::new(Id::from_u64(*id), pages.spans[id].metadata),
            None => Current::none(),
        }
    }
}

#[test]
fn a_callers_span_closes_while_its_flight_continues() {
    let book = Book::default();
    tracing::subscriber::with_default(book.clone(), || {
        let group: Group<&str, u32> = Group::new();
        let first = info_span!("first").in_scope(|| group.begin("k"));
        assert_eq!(book.open(), ["flight"]);
        let second = info_span!("second").in_scope(|| group.begin("k"));
        assert_eq!(book.open(), ["flight"]);
        assert_eq!(book.links(), [("flight", "first"), ("second", "flight")]);
        drop((first, second));
        assert!(book.open().is_empty());
        // Outside of every span it follows from none.
        drop(group.begin("k"));
        assert_eq!(book.links().len(), 2);
    });
}

/// Gives out counters that count nothing, and so allocates nothing.
struct Deaf;

impl metrics::Recorder for Deaf {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &About<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &About<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &About<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn counting_allocates_nothing() {
    metrics::with_local_recorder(&Deaf, || {
        let group: Group<u32, u32> = Group::builder().max_flights(1).max_waiters(1).build();
        drop(group.begin(1));
        let aborted = measure(|| drop(group.begin(1)));
        assert_eq!(aborted.count_total, 2, "the flight and its span alone");
        let _only = group.begin(1);
        let _waiter = group.begin(1);
        let refused = |key| {
            let cost = measure(|| assert!(matches!(group.begin(key), Begin::Rejected(_))));
            assert_eq!((cost.count_total, cost.bytes_current), (0, 0));
        };
        refused(1);
        refused(2);
        group.close();
        refused(2);
    });
}

#[test]
fn a_counter_is_labelled_with_its_reason() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let group: Group<u32, u32> = Group::builder().max_flights(1).max_waiters(1).build();
        let _only = group.begin(1);
        let _waiter = group.begin(1);
        drop((group.begin(1), group.begin(2)));
        group.close();
        drop(group.begin(2));
        group.abort_all();
    });
    let snapshot = snapshots.snapshot().into_vec().into_iter();
    let mut labels: Vec<_> = snapshot
        .flat_map(|(key, ..)| {
            let labels = key.key().labels();
            let labels = labels.map(|label| format!("{}={}", label.key(), label.value()));
            labels.collect::<Vec<_>>()
        })
        .collect();
    labels.sort_unstable();
    let expected = [
        "cause=aborted_all",
        "why=closed",
        "why=too_many_flights",
        "why=too_many_waiters",
    ];
    assert_eq!(labels, expected);
}
