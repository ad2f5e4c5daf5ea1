//! What `metrics` counts, under which names.
#![cfg(all(not(loom), feature = "metrics"))]

#[path = "support/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::future::{pending, ready};
use std::time::Duration;

use allocation_counter::measure;
use futures_lite::future::block_on;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata as About, SharedString, Unit};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use oneflight_core::error::{Cause, Rejected};
use oneflight_core::{Begin, Error, Group, GroupBuilder, Primary, Stats};

const MINUTE: Duration = Duration::from_secs(60);

/// One metric of a snapshot.
struct Metric {
    kind: MetricKind,
    name: String,
    labels: Vec<(String, String)>,
    described: bool,
    value: DebugValue,
}

fn recorded(run: impl FnOnce()) -> Vec<Metric> {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, run);
    let all = snapshots.snapshot().into_vec().into_iter();
    let metric = |(key, _, text, value): (metrics_util::CompositeKey, _, Option<_>, _)| Metric {
        kind: key.kind(),
        name: key.key().name().to_string(),
        labels: key
            .key()
            .labels()
            .map(|label| (label.key().to_string(), label.value().to_string()))
            .collect(),
        described: text.is_some(),
        value,
    };
    all.map(metric).collect()
}

/// The sum of the counters of this name that have this label.
fn count(metrics: &[Metric], name: &str, label: Option<(&str, &str)>) -> u64 {
    let name = format!("oneflight_{name}_total");
    let has = |metric: &&Metric| {
        let mut labels = metric.labels.iter();
        let same = |(key, value): &(&str, &str)| {
            labels.any(|(other, its)| (other.as_str(), its.as_str()) == (*key, *value))
        };
        metric.name == name && label.as_ref().is_none_or(same)
    };
    let counters = metrics.iter().filter(has).map(|metric| match metric.value {
        DebugValue::Counter(count) => count,
        _ => panic!("{name} is no counter"),
    });
    counters.sum()
}

fn primary<K, T>(begin: Begin<K, T>) -> Primary<K, T> {
    match begin {
        Begin::Primary(primary) => primary,
        other => panic!("{other:?} of a free key"),
    }
}

fn limited() -> GroupBuilder<u32, u32> {
    Group::builder()
        .retain_for(MINUTE)
        .max_retained(1)
        .max_waiters(1)
        .max_flights(2)
}

/// Makes a group do everything that is counted, at least once.
fn everything(group: &Group<u32, u32>) {
    // Two flights, and an outcome that is given up for the second one.
    for key in [1, 2] {
        let primary = primary(group.begin(key));
        let _waiter = group.begin(key);
        assert!(matches!(
            group.begin(key),
            Begin::Rejected(Rejected::TooManyWaiters)
        ));
        primary.settle(7).unwrap();
    }
    let Begin::Waiter(late) = group.begin(2) else {
        panic!("it is retained")
    };
    assert!(late.is_replayed());
    // A re-run.
    let lost = group.try_work(3, pending::<Result<_, Error>>);
    let heir = group.try_work(3, || ready(Ok::<_, Error>(7)));
    let mut lost = Box::pin(lost);
    assert!(block_on(futures_lite::future::poll_once(lost.as_mut())).is_none());
    drop(lost);
    assert_eq!(*block_on(heir).unwrap(), 7);
    // Ends, and a call that is rejected.
    drop(group.begin(4));
    primary(group.begin(4)).abort();
    group.close();
    assert!(matches!(group.begin(4), Begin::Rejected(_)));
}

#[test]
fn the_metrics_are_those_of_the_table_in_the_facades_documentation() {
    let metrics = recorded(|| everything(&limited().name("charges").build()));
    for (kind, word) in [
        (MetricKind::Counter, "counter"),
        (MetricKind::Histogram, "histogram"),
    ] {
        let of_kind = metrics.iter().filter(|metric| metric.kind == kind);
        let emitted: BTreeSet<table::Row> = of_kind
            .map(|metric| {
                let mut labels: Vec<_> = metric.labels.iter().map(|(key, _)| key.clone()).collect();
                labels.sort_unstable();
                (metric.name.clone(), labels)
            })
            .collect();
        assert_eq!(emitted, table::rows(word), "{word}");
    }
    for metric in &metrics {
        assert!(metric.described, "{} has no description", metric.name);
        let group = ("group".to_string(), "charges".to_string());
        assert!(
            metric.labels.contains(&group),
            "{} of which group?",
            metric.name
        );
    }
    // Gauges are set by the exporter in that documentation.
    let gauges = table::DOCS.lines().filter_map(|line| {
        let (_, call) = line.split_once("gauge!(\"")?;
        let (name, _) = call.split_once('"')?;
        Some((name.to_string(), vec!["group".to_string()]))
    });
    assert_eq!(gauges.collect::<BTreeSet<_>>(), table::rows("gauge"));
}

#[test]
fn counters_and_figures_agree() {
    let mut stats = Stats::default();
    let metrics = recorded(|| {
        let group = limited().build();
        everything(&group);
        stats = group.stats();
    });
    let counts = [
        ("begun", stats.begun, 5),
        ("joined", stats.joined, 4),
        ("replayed", stats.replayed, 1),
        ("settled", stats.settled, 3),
        ("aborted", stats.aborted, 2),
        ("rejected", stats.rejected, 3),
        ("reruns", stats.reruns, 1),
        ("given_up", stats.given_up, 2),
    ];
    for (name, figure, expected) in counts {
        let counted = count(&metrics, name, None);
        assert_eq!((counted, figure), (expected, expected), "{name}");
    }
    for (cause, label) in [(Cause::Dropped, "dropped"), (Cause::Cancelled, "cancelled")] {
        let counted = count(&metrics, "aborted", Some(("cause", label)));
        assert_eq!((counted, stats.aborted_by(cause)), (1, 1), "{cause}");
    }
    let reasons = [
        (Rejected::TooManyWaiters, "too_many_waiters", 2),
        (Rejected::Closed, "closed", 1),
    ];
    for (why, label, expected) in reasons {
        let counted = count(&metrics, "rejected", Some(("why", label)));
        assert_eq!(
            (counted, stats.rejected_by(why)),
            (expected, expected),
            "{why}"
        );
    }
    // This group has no name.
    for metric in &metrics {
        assert!(
            metric.labels.iter().all(|(key, _)| key != "group"),
            "{}",
            metric.name
        );
    }
}

#[test]
fn outcomes_given_up_for_a_heavy_one_are_counted_on_both_sides() {
    let mut given_up = 0;
    let metrics = recorded(|| {
        let weigh = |value: &u32| *value as usize;
        let build = Group::builder().retain_for(MINUTE);
        let group: Group<u32, u32> = build.max_retained_weight(10, weigh).build();
        // Three light ones leave for a heavy one.
        for (key, weight) in [(1, 3), (2, 3), (3, 3), (4, 10)] {
            primary(group.begin(key)).settle(weight).unwrap();
        }
        given_up = group.stats().given_up;
    });
    assert_eq!((count(&metrics, "given_up", None), given_up), (3, 3));
}

#[test]
fn histograms_have_a_value_for_each_flight() {
    let metrics = recorded(|| {
        let group: Group<u32, u32> = Group::new();
        let first = primary(group.begin(1));
        let waiters = [group.begin(1), group.begin(1)];
        drop(first);
        drop(waiters);
        primary(group.begin(1)).settle(7).unwrap();
    });
    let values = |name: &str| {
        let found = metrics.iter().find(|metric| metric.name == name);
        match &found.expect("it was recorded").value {
            DebugValue::Histogram(values) => values.iter().map(|value| value.0).collect::<Vec<_>>(),
            other => panic!("{other:?} is no histogram"),
        }
    };
    let mut duplicates = values("oneflight_flight_duplicates");
    duplicates.sort_unstable_by(f64::total_cmp);
    assert_eq!(duplicates, [0.0, 2.0]);
    let seconds = values("oneflight_flight_duration_seconds");
    assert_eq!(seconds.len(), 2);
    let possible = 0.0..MINUTE.as_secs_f64();
    assert!(
        seconds.iter().all(|time| possible.contains(time)),
        "{seconds:?}"
    );
}

#[test]
fn a_recorder_that_is_installed_after_the_group_was_built_counts() {
    let group: Group<u32, u32> = Group::builder().name("early").build();
    for _ in 0..2 {
        // Each is another recorder.
        let metrics = recorded(|| drop(group.begin(1)));
        assert_eq!(count(&metrics, "begun", Some(("group", "early"))), 1);
        assert_eq!(count(&metrics, "aborted", Some(("cause", "dropped"))), 1);
    }
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

fn counting_is_free(builder: GroupBuilder<u32, u32>) {
    metrics::with_local_recorder(&Deaf, || {
        let group = builder.max_flights(1).max_waiters(1).build();
        drop(group.begin(1));
        let aborted = measure(|| drop(group.begin(1)));
        let span = u64::from(cfg!(feature = "tracing"));
        assert_eq!(
            aborted.count_total,
            1 + span,
            "the flight and its span alone"
        );
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
fn counting_allocates_nothing() {
    counting_is_free(Group::builder());
    counting_is_free(Group::builder().name("static"));
    counting_is_free(Group::builder().name(format!("of tenant {}", 7)));
}
