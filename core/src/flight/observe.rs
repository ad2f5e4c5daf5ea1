//! What is reported to `tracing` and `metrics`, each behind its feature. Without them all of this
//! is empty.
//!
//! A subscriber or a recorder is the user's code: nothing here is called under a lock, or before
//! what it reports is held by a guard.

#[cfg(feature = "tracing")]
use {
    crate::sync::{Arc, Mutex},
    tracing::Span,
};

use crate::error::{Cause, Rejected};
use crate::flight::FlightId;
use crate::sync::panicking;
use crate::unwind::isolate;

/// A flight's span, from its begin to its end.
pub(crate) struct Observed {
    /// Behind an `Arc`, since a clone of the span itself would call the subscriber under the lock.
    #[cfg(feature = "tracing")]
    span: Mutex<Option<Arc<Span>>>,
}

/// Reports the end of a flight when it is dropped, also if a waker panics before that.
#[must_use = "its drop is what reports"]
pub(crate) struct ReportEnd<'a> {
    observed: &'a Observed,
    cause: Option<Cause>,
}

impl Drop for ReportEnd<'_> {
    fn drop(&mut self) {
        if cfg!(any(feature = "tracing", feature = "metrics")) && panicking() {
            isolate(|| self.observed.report_end(self.cause));
        } else {
            self.observed.report_end(self.cause);
        }
    }
}

/// The calling thread is inside a flight's span, until this is dropped.
pub(crate) struct EnteredSpan {
    #[cfg(feature = "tracing")]
    _entered: Option<tracing::span::EnteredSpan>,
}

impl Observed {
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: Mutex::new(None),
        }
    }

    /// Reports that a primary began the flight: the flight's span follows from the caller's.
    pub(crate) fn report_begun(&self, id: FlightId) {
        let _ = id;
        #[cfg(feature = "tracing")]
        {
            // A root: a parent's span could not close before this one. The first caller can be done
            // long before its flight has ended.
            let id = id.get();
            let span = tracing::debug_span!(target: "oneflight", parent: None, "flight", id);
            let span = Arc::new(span);
            self.span.with(|slot| *slot = Some(span.clone()));
            span.follows_from(Span::current());
        }
        #[cfg(feature = "metrics")]
        metrics::counter!("oneflight_begun_total").increment(1);
    }

    /// Reports that a duplicate joined: in the duplicate's span, which follows from the flight's.
    pub(crate) fn report_joined(&self, id: FlightId) {
        let _ = id;
        #[cfg(feature = "tracing")]
        {
            if let Some(span) = self.span.with(|slot| slot.clone()) {
                Span::current().follows_from(&*span);
            }
            tracing::debug!(target: "oneflight", flight = id.get(), "joined");
        }
        #[cfg(feature = "metrics")]
        metrics::counter!("oneflight_joined_total").increment(1);
    }

    /// The flight has ended: without a cause it was settled. The end is reported when the result is
    /// dropped, after everybody has been woken.
    pub(crate) fn report_end_on_drop(&self, cause: Option<Cause>) -> ReportEnd<'_> {
        ReportEnd {
            observed: self,
            cause,
        }
    }

    fn report_end(&self, cause: Option<Cause>) {
        let _ = cause;
        #[cfg(feature = "tracing")]
        if let Some(span) = self.span.with(Option::take) {
            match cause {
                None => {
                    tracing::debug!(target: "oneflight", parent: &*span, "settled");
                }
                Some(cause) => {
                    tracing::debug!(target: "oneflight", parent: &*span, ?cause, "aborted");
                }
            }
        }
        #[cfg(feature = "metrics")]
        match cause {
            None => metrics::counter!("oneflight_settled_total").increment(1),
            Some(cause) => counters::aborted(cause).increment(1),
        }
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

/// Reports that a call was rejected.
pub(crate) fn report_rejected(why: Rejected) {
    let _ = why;
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "oneflight", ?why, "rejected");
    #[cfg(feature = "metrics")]
    counters::rejected(why).increment(1);
}

/// Counters with a label. Each label is written out, because a key that is made of literals is a
/// constant: counting it allocates nothing.
#[cfg(feature = "metrics")]
mod counters {
    use metrics::{Counter, counter};

    use crate::error::{Cause, Rejected};

    pub(super) fn aborted(cause: Cause) -> Counter {
        match cause {
            Cause::Dropped => counter!("oneflight_aborted_total", "cause" => "dropped"),
            Cause::Panicked => counter!("oneflight_aborted_total", "cause" => "panicked"),
            Cause::Cancelled => counter!("oneflight_aborted_total", "cause" => "cancelled"),
            Cause::AbortedAll => counter!("oneflight_aborted_total", "cause" => "aborted_all"),
            Cause::Superseded => counter!("oneflight_aborted_total", "cause" => "superseded"),
            Cause::Exhausted => counter!("oneflight_aborted_total", "cause" => "exhausted"),
            Cause::Failed => counter!("oneflight_aborted_total", "cause" => "failed"),
        }
    }

    pub(super) fn rejected(why: Rejected) -> Counter {
        match why {
            Rejected::Busy => counter!("oneflight_rejected_total", "why" => "busy"),
            Rejected::Mismatch => counter!("oneflight_rejected_total", "why" => "mismatch"),
            Rejected::TooManyWaiters => {
                counter!("oneflight_rejected_total", "why" => "too_many_waiters")
            }
            Rejected::TooManyFlights => {
                counter!("oneflight_rejected_total", "why" => "too_many_flights")
            }
            Rejected::Closed => counter!("oneflight_rejected_total", "why" => "closed"),
            Rejected::Reentrant => counter!("oneflight_rejected_total", "why" => "reentrant"),
        }
    }
}
