//! What `tracing` and `metrics` see of two callers of one key.
#![cfg(all(not(loom), feature = "tracing", feature = "metrics"))]

use std::sync::{Arc, Mutex};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use oneflight_core::{Begin, Group};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

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
