//! The names of the metrics, with their labels.
//!
//! The keys of a registry are made once: those of a named one with its name, those of all others
//! together, when the first of them counts. So counting allocates nothing. The handles that a
//! recorder gives out for the keys are not kept: then a recorder that is installed later, or for
//! one thread, would miss what is counted, and the drop of a handle, which is the recorder's code,
//! would come with the last flight of the group, wherever that is.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::LazyLock;

use metrics::{Key, Label, Level, Metadata, SharedString, Unit, with_recorder};

use crate::error::{Cause, Rejected};
use crate::flight::observe::Ended;

static METADATA: Metadata<'static> = Metadata::new("oneflight", Level::INFO, Some(module_path!()));

const BEGUN: &str = "oneflight_begun_total";
const JOINED: &str = "oneflight_joined_total";
const REPLAYED: &str = "oneflight_replayed_total";
const SETTLED: &str = "oneflight_settled_total";
const ABORTED: &str = "oneflight_aborted_total";
const REJECTED: &str = "oneflight_rejected_total";
const RERUNS: &str = "oneflight_reruns_total";
const GIVEN_UP: &str = "oneflight_given_up_total";
const SECONDS: &str = "oneflight_flight_duration_seconds";
const DUPLICATES: &str = "oneflight_flight_duplicates";

pub(super) struct Keys {
    pub(super) begun: Key,
    pub(super) joined: Key,
    pub(super) replayed: Key,
    settled: Key,
    /// By cause.
    aborted: [Key; Cause::COUNT],
    /// By reason.
    pub(super) rejected: [Key; Rejected::COUNT],
    reruns: Key,
    pub(super) given_up: Key,
    seconds: Key,
    duplicates: Key,
}

impl Keys {
    /// Of a registry of this name.
    pub(super) fn new(name: Option<SharedString>) -> Self {
        let labelled = |metric: &'static str, more: Option<Label>| {
            let group = name.clone().map(|name| Label::new("group", name));
            Key::from_parts(metric, group.into_iter().chain(more).collect::<Vec<_>>())
        };
        let key = |metric| labelled(metric, None);
        let aborted = |cause: Cause| {
            let cause = Label::from_static_parts("cause", cause.label());
            labelled(ABORTED, Some(cause))
        };
        let rejected = |why: Rejected| {
            let why = Label::from_static_parts("why", why.label());
            labelled(REJECTED, Some(why))
        };
        Self {
            begun: key(BEGUN),
            joined: key(JOINED),
            replayed: key(REPLAYED),
            settled: key(SETTLED),
            aborted: Cause::ALL.map(aborted),
            rejected: Rejected::ALL.map(rejected),
            reruns: key(RERUNS),
            given_up: key(GIVEN_UP),
            seconds: key(SECONDS),
            duplicates: key(DUPLICATES),
        }
    }

    /// Of every registry without a name.
    pub(super) fn nameless() -> &'static Self {
        static NAMELESS: LazyLock<Keys> = LazyLock::new(|| Keys::new(None));
        &NAMELESS
    }

    /// Counts the end of a flight.
    pub(super) fn count_end(&self, ended: &Ended) {
        let end = match ended.cause {
            None => &self.settled,
            Some(cause) => &self.aborted[cause as usize],
        };
        add(end, 1);
        add(&self.reruns, ended.reruns as u64);
        if let Some(time) = ended.run_time {
            record(&self.seconds, time.as_secs_f64());
        }
        record(&self.duplicates, ended.duplicates as f64);
    }
}

/// A name that all keys of a registry share.
pub(super) fn shared(name: Cow<'static, str>) -> SharedString {
    match name {
        Cow::Borrowed(name) => SharedString::const_str(name),
        Cow::Owned(name) => SharedString::from_shared(Arc::from(name)),
    }
}

pub(super) fn add(key: &Key, count: u64) {
    if count > 0 {
        with_recorder(|recorder| recorder.register_counter(key, &METADATA)).increment(count);
    }
}

fn record(key: &Key, value: f64) {
    with_recorder(|recorder| recorder.register_histogram(key, &METADATA)).record(value);
}

pub(super) fn describe() {
    let counters = [
        (BEGUN, "Flights that began"),
        (
            JOINED,
            "Calls that joined a flight or got a retained outcome",
        ),
        (
            REPLAYED,
            "Calls that came after their flight had settled, and got its outcome",
        ),
        (SETTLED, "Flights that settled"),
        (ABORTED, "Flights that ended without a value, by cause"),
        (REJECTED, "Calls that were rejected, by reason"),
        (
            RERUNS,
            "Runs of an operation after the first one of its flight",
        ),
        (
            GIVEN_UP,
            "Outcomes that were given up early because there was no place for more",
        ),
    ];
    with_recorder(|recorder| {
        for (name, text) in counters {
            recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
        }
        let text = "Time from the begin of a flight to its end";
        recorder.describe_histogram(SECONDS.into(), Some(Unit::Seconds), text.into());
        let text = "Duplicates that waited when their flight ended";
        recorder.describe_histogram(DUPLICATES.into(), Some(Unit::Count), text.into());
    });
}
