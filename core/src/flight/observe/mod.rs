//! What is reported to `tracing` and `metrics`, each behind its feature. Without them all of this
//! is empty.
//!
//! | file | its job |
//! |---|---|
//! | `mod` | a flight's span, and what is said of the flight |
//! | `label` | what a registry is called, and whether its keys are shown |
//! | `counted` | the names of the metrics |
//!
//! A subscriber, a recorder and the `Debug` of a key are the user's code: nothing here is called
//! under a lock, or before what it reports is held by a guard.
//!
//! The names of all that is reported are in one table of the facade's documentation, which a test
//! compares with what comes out.

#[cfg(feature = "metrics")]
mod counted;
mod label;

#[cfg(feature = "tracing")]
use {
    crate::sync::{Arc, Mutex},
    tracing::Span,
};
#[cfg(feature = "metrics")]
use {core::time::Duration, std::time::Instant};

pub(crate) use label::{Label, Name};

use crate::cell::Snapshot;
use crate::error::Cause;
use crate::flight::FlightId;
use crate::sync::panicking;
use crate::unwind::isolate;

/// Tells the recorder what the metrics are, if one is installed by now.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    counted::describe();
}

/// A flight's span, from its begin to its end, and what else is needed to report on the flight.
pub(crate) struct Observed {
    name: Name,
    /// Read under the lock, so that no end is reported that came before it. It is not the group's
    /// clock, which is the user's.
    #[cfg(feature = "metrics")]
    begun: Option<Instant>,
    /// Behind an `Arc`, since a clone of the span itself would call the subscriber under the lock.
    #[cfg(feature = "tracing")]
    span: Mutex<Option<Arc<Span>>>,
}

/// How a flight has ended.
struct Ended {
    /// Without one it was settled.
    cause: Option<Cause>,
    /// How many waited.
    #[cfg(feature = "metrics")]
    duplicates: usize,
    /// How often its operation was run again.
    #[cfg(feature = "metrics")]
    reruns: usize,
    /// Without what it took to wake everybody.
    #[cfg(feature = "metrics")]
    run_time: Option<Duration>,
}

/// Reports when it is dropped, also if a waker panics before that.
#[must_use = "its drop is what reports"]
pub(crate) struct Report<'a> {
    observed: &'a Observed,
    what: What,
}

enum What {
    End(Ended),
    /// So many outcomes were given up.
    GivenUp(usize),
}

impl Drop for Report<'_> {
    #[inline]
    fn drop(&mut self) {
        if cfg!(any(feature = "tracing", feature = "metrics")) && panicking() {
            isolate(|| self.observed.report(&self.what));
        } else {
            self.observed.report(&self.what);
        }
    }
}

/// The calling thread is inside a flight's span, until this is dropped.
pub(crate) struct EnteredSpan {
    #[cfg(feature = "tracing")]
    _entered: Option<tracing::span::EnteredSpan>,
}

impl Observed {
    /// Of a flight that begins now, in a registry of this name.
    #[inline]
    pub(crate) fn new(name: &Name) -> Self {
        Self {
            name: name.clone(),
            #[cfg(feature = "metrics")]
            begun: crate::clock::instant(),
            #[cfg(feature = "tracing")]
            span: Mutex::new(None),
        }
    }

    /// The name of the flight's registry.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Reports that a primary began the flight: the flight's span follows from the caller's.
    #[inline]
    pub(crate) fn report_begun<K>(&self, id: FlightId, label: &Label<K>, key: &K) {
        let _ = (id, label, key);
        #[cfg(feature = "tracing")]
        {
            // A root: a parent's span could not close before this one. The first caller can be done
            // long before its flight has ended.
            let (id, group, key) = (id.get(), self.name.get(), label.shown(key));
            let span =
                tracing::debug_span!(target: "oneflight", parent: None, "flight", id, group, key);
            let span = Arc::new(span);
            self.span.with(|slot| *slot = Some(span.clone()));
            span.follows_from(Span::current());
        }
        #[cfg(feature = "metrics")]
        counted::add(&self.name.keys().begun, 1);
    }

    /// Reports that a duplicate joined: in the duplicate's span, which follows from the flight's.
    /// `replayed`: the flight had settled before.
    #[inline]
    pub(crate) fn report_joined(&self, id: FlightId, replayed: bool) {
        let _ = (id, replayed);
        #[cfg(feature = "tracing")]
        {
            if let Some(span) = self.span.with(|slot| slot.clone()) {
                Span::current().follows_from(&*span);
            }
            let (flight, group) = (id.get(), self.name.get());
            tracing::debug!(target: "oneflight", flight, group, replayed, "joined");
        }
        #[cfg(feature = "metrics")]
        {
            let keys = self.name.keys();
            counted::add(&keys.joined, 1);
            counted::add(&keys.replayed, u64::from(replayed));
        }
    }

    /// The flight has ended: without a cause it was settled. `before` is the state that the end
    /// returned, and `reruns` says how often the operation was run again. The end is reported when
    /// the result is dropped, after everybody has been woken.
    #[inline]
    pub(crate) fn report_end_on_drop(
        &self,
        cause: Option<Cause>,
        before: Snapshot,
        reruns: impl FnOnce() -> usize,
    ) -> Report<'_> {
        // What is for metrics only.
        let _ = (before, &reruns);
        self.report_on_drop(What::End(Ended {
            cause,
            #[cfg(feature = "metrics")]
            duplicates: before.duplicates(),
            #[cfg(feature = "metrics")]
            reruns: reruns(),
            #[cfg(feature = "metrics")]
            run_time: self.begun.map(|begun| begun.elapsed()),
        }))
    }

    /// For this flight so many outcomes were given up, which can be its own. That is reported when
    /// the result is dropped.
    #[inline]
    pub(crate) fn report_given_up_on_drop(&self, outcomes: usize) -> Report<'_> {
        self.report_on_drop(What::GivenUp(outcomes))
    }

    #[inline]
    fn report_on_drop(&self, what: What) -> Report<'_> {
        Report {
            observed: self,
            what,
        }
    }

    #[inline]
    fn report(&self, what: &What) {
        match what {
            What::End(ended) => self.report_end(ended),
            What::GivenUp(outcomes) => {
                let _ = outcomes;
                #[cfg(feature = "metrics")]
                counted::add(&self.name.keys().given_up, *outcomes as u64);
            }
        }
    }

    #[inline]
    fn report_end(&self, ended: &Ended) {
        let _ = ended.cause;
        #[cfg(feature = "tracing")]
        if let Some(span) = self.span.with(Option::take) {
            let group = self.name.get();
            match ended.cause {
                None => {
                    tracing::debug!(target: "oneflight", parent: &*span, group, "settled");
                }
                Some(cause) => {
                    tracing::debug!(target: "oneflight", parent: &*span, group, ?cause, "aborted");
                }
            }
        }
        #[cfg(feature = "metrics")]
        self.name.keys().count_end(ended);
    }

    /// Enters the flight's span, while its operation is polled or made.
    pub(crate) fn enter(&self) -> EnteredSpan {
        EnteredSpan {
            #[cfg(feature = "tracing")]
            _entered: self
                .span
                .with(|slot| slot.clone())
                .map(|span| Span::clone(&span).entered()),
        }
    }
}
