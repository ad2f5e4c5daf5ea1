//! Looking in from outside: spans and events of `tracing`, counters of `metrics`. Both are
//! features, off by default; without them everything here is empty.
//!
//! A subscriber or a recorder is the user's code: nothing here is called under a lock, or before
//! what it tells of is in the hands of a guard.

#[cfg(feature = "tracing")]
use {
    crate::sync::{Arc, Mutex},
    tracing::Span,
};

use crate::error::Rejected;
use crate::flight::FlightId;
use crate::group::table::Ending;
use crate::sync::{isolate, panicking};

/// A flight's span, from its begin to its end.
pub(crate) struct Observed {
    /// Behind an `Arc`, since a clone of the span itself would call the subscriber under the lock.
    #[cfg(feature = "tracing")]
    span: Mutex<Option<Arc<Span>>>,
}

/// Tells of a flight's end when it is dropped, also when a waker panicked.
#[must_use = "its drop is what tells"]
pub(crate) struct Farewell<'a> {
    observed: &'a Observed,
    ending: Ending,
}

impl Drop for Farewell<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if cfg!(any(feature = "tracing", feature = "metrics")) && panicking() {
            isolate(|| self.observed.ended(self.ending));
        } else {
            self.observed.ended(self.ending);
        }
    }
}

/// Inside a flight's span, until this is dropped.
pub(crate) struct Inside {
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

    /// A primary began it.
    #[inline(always)]
    pub(crate) fn begun(&self, id: FlightId) {
        let _ = id;
        #[cfg(feature = "tracing")]
        {
            let span = tracing::debug_span!(target: "oneflight", "flight", id = id.get());
            self.span.with(|slot| *slot = Some(Arc::new(span)));
        }
        #[cfg(feature = "metrics")]
        metrics::counter!("oneflight_begun_total").increment(1);
    }

    /// A duplicate joined it: told in the duplicate's own span, with a link to the flight's.
    #[inline(always)]
    pub(crate) fn joined(&self, id: FlightId) {
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

    /// It has ended, and everyone is told while the caller holds this.
    #[inline(always)]
    pub(crate) fn ending(&self, ending: Ending) -> Farewell<'_> {
        Farewell {
            observed: self,
            ending,
        }
    }

    #[inline(always)]
    fn ended(&self, ending: Ending) {
        let _ = ending;
        #[cfg(feature = "tracing")]
        if let Some(span) = self.span.with(Option::take) {
            match ending {
                Ending::Settled(_) => {
                    tracing::debug!(target: "oneflight", parent: &*span, "settled")
                }
                Ending::Aborted(cause) => {
                    tracing::debug!(target: "oneflight", parent: &*span, ?cause, "aborted");
                }
            }
        }
        #[cfg(feature = "metrics")]
        match ending {
            Ending::Settled(_) => metrics::counter!("oneflight_settled_total").increment(1),
            Ending::Aborted(cause) => {
                let cause = alloc::format!("{cause:?}").to_lowercase();
                metrics::counter!("oneflight_aborted_total", "cause" => cause).increment(1);
            }
        }
    }

    /// Its operation is polled or made.
    #[inline(always)]
    pub(crate) fn enter(&self) -> Inside {
        Inside {
            #[cfg(feature = "tracing")]
            _entered: self
                .span
                .with(|slot| slot.clone())
                .map(|span| Span::clone(&span).entered()),
        }
    }
}

/// A caller was turned away.
#[inline(always)]
pub(crate) fn rejected(why: Rejected) {
    let _ = why;
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "oneflight", ?why, "rejected");
    #[cfg(feature = "metrics")]
    metrics::counter!("oneflight_rejected_total", "why" => alloc::format!("{why:?}").to_lowercase()).increment(1);
}
