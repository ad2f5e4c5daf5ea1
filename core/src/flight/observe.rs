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
    #[inline(always)]
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
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            span: Mutex::new(None),
        }
    }

    /// Reports that a primary began the flight.
    #[inline(always)]
    pub(crate) fn report_begun(&self, id: FlightId) {
        let _ = id;
        #[cfg(feature = "tracing")]
        {
            let span = tracing::debug_span!(target: "oneflight", "flight", id = id.get());
            self.span.with(|slot| *slot = Some(Arc::new(span)));
        }
        #[cfg(feature = "metrics")]
        metrics::counter!("oneflight_begun_total").increment(1);
    }

    /// Reports that a duplicate joined: in the duplicate's own span, with a link to the flight's.
    #[inline(always)]
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
    #[inline(always)]
    pub(crate) fn report_end_on_drop(&self, cause: Option<Cause>) -> ReportEnd<'_> {
        ReportEnd {
            observed: self,
            cause,
        }
    }

    #[inline(always)]
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
            Some(cause) => {
                let cause = alloc::format!("{cause:?}").to_lowercase();
                metrics::counter!("oneflight_aborted_total", "cause" => cause).increment(1);
            }
        }
    }

    /// Enters the flight's span, while its operation is polled or made.
    #[inline(always)]
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
#[inline(always)]
pub(crate) fn report_rejected(why: Rejected) {
    let _ = why;
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "oneflight", ?why, "rejected");
    #[cfg(feature = "metrics")]
    {
        let why = alloc::format!("{why:?}").to_lowercase();
        metrics::counter!("oneflight_rejected_total", "why" => why).increment(1);
    }
}
