//! [`GateBuilder`]: a gate that differs from the default.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::time::Duration;

use crate::clock::Clock;
use crate::flight::observe::Label;
use crate::gate::{Gate, Mode};
use crate::group::rules::Options;

/// Makes a [`Gate`] that differs from the default. Returned by [`Gate::builder`].
///
/// ```
/// use oneflight_core::error::Rejected;
/// use oneflight_core::gate::{Gate, Mode};
/// use oneflight_core::{Begin, Error};
/// use std::time::Duration;
///
/// let agent: Gate<String, Result<String, String>> = Gate::builder(Mode::Queue)
///     .max_queue(1)
///     .supersede_after(Duration::from_secs(60))
///     .retain_ok_for(Duration::from_secs(1))
///     .build();
/// let holder = agent.begin(Some("a".to_string()));
/// let queued = agent.turn(Some("b".to_string()));
/// let third = agent.work(Some("c".to_string()), || async { Ok("42".to_string()) });
/// assert_eq!(third.get(), Some(Err(Error::Rejected(Rejected::Busy))));
/// # drop((holder, queued));
/// ```
#[must_use = "call `build`"]
pub struct GateBuilder<K, T> {
    mode: Mode,
    max_queue: usize,
    options: Options<T>,
    label: Label<Option<K>>,
}

impl<K, T> GateBuilder<K, T> {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            max_queue: 1 << 10,
            options: Options::default(),
            label: Label::default(),
        }
    }

    /// Sets the name of the gate in what it reports to `tracing` and `metrics`: the field or label
    /// `group`. See [`GroupBuilder::name`](crate::GroupBuilder::name).
    #[doc(alias = "label")]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.label.set_name(name.into());
        self
    }

    /// Shows the token of each invocation in the field `key` of its span. See
    /// [`GroupBuilder::show_keys`](crate::GroupBuilder::show_keys), also for its panics.
    pub fn show_keys(mut self) -> Self
    where
        K: fmt::Debug,
    {
        self.label.show_keys();
        self
    }

    /// Sets how many calls can wait in the queue. A call beyond it is rejected at once as
    /// [`Rejected::Busy`](crate::error::Rejected::Busy). The default is 1,024. With zero,
    /// [`Mode::Queue`] works like [`Mode::Exclusive`].
    ///
    /// Duplicates of a queued token take no place. There is at most one call that waits to replace
    /// the holder ([`Mode::Replace`]). It has a place of its own, which this does not limit.
    pub fn max_queue(mut self, calls: usize) -> Self {
        self.max_queue = calls;
        self
    }

    /// Sets the maximum number of waiters on one invocation. See
    /// [`GroupBuilder::max_waiters`](crate::GroupBuilder::max_waiters).
    pub fn max_waiters(mut self, waiters: usize) -> Self {
        self.options.max_waiters = waiters;
        self
    }

    /// Sets how many operations of one `try_work` invocation run after the first one. See
    /// [`GroupBuilder::max_reruns`](crate::GroupBuilder::max_reruns).
    pub fn max_reruns(mut self, reruns: usize) -> Self {
        self.options.max_reruns = reruns;
        self
    }

    /// Sets the age from which an invocation is too old. The next call ends an invocation that has
    /// held the gate for longer than this. The token and the mode of that call do not matter,
    /// except that a call with [`Mode::Open`] does not use the gate. It ends the invocation also if
    /// the call shares a call that is queued, or an outcome that is retained. The callers of the
    /// invocation get [`Cause::Superseded`](crate::error::Cause::Superseded). Without this setting
    /// no invocation is too old.
    ///
    /// The gate then goes to the call that has waited longest, as soon as the old operation is
    /// gone. The call that ended the old invocation is treated as any other call. If the old
    /// operation can be dropped at once (a `work` that no caller polls at this moment) and no call
    /// waits, it gets the gate. Otherwise it waits or is `Busy`, by its mode.
    ///
    /// There is no timer: nothing happens until that call. A guard that is kept, and a blocking
    /// call that does not return, still hold the gate, because another caller can't drop them. At a
    /// closed gate no invocation is too old. Three calls do not end an invocation: a
    /// [`join`](crate::Entry::join), a call that is rejected as `Mismatch`, and a call from inside
    /// of the operation.
    ///
    /// The age of an invocation starts when it gets the gate. It renews its age with
    /// [`Gate::touch`] or [`Primary::touch`](crate::Primary::touch). Set this well above the
    /// slowest run of an operation.
    #[doc(alias = "lease")]
    pub fn supersede_after(mut self, age: Duration) -> Self {
        self.options.supersede_after = Some(age);
        self
    }

    /// Retains every settled outcome for this long. A late duplicate of its token gets it at once,
    /// also while another token holds the gate. The outcome of a call without a token is not
    /// retained. See [`GroupBuilder::retain_for`](crate::GroupBuilder::retain_for).
    #[doc(alias = "ttl")]
    #[doc(alias = "replay")]
    #[doc(alias = "retain")]
    pub fn retain_for(mut self, time: Duration) -> Self {
        self.options.retain_for(time);
        self
    }

    /// Retains each outcome for the time that `how_long` returns. See
    /// [`GroupBuilder::retain_by`](crate::GroupBuilder::retain_by).
    pub fn retain_by(
        mut self,
        how_long: impl Fn(&T) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.options.retain = Some(Box::new(how_long));
        self
    }

    /// Sets the maximum number of outcomes that the gate retains. The default is 65,536. See
    /// [`GroupBuilder::max_retained`](crate::GroupBuilder::max_retained).
    #[doc(alias = "capacity")]
    pub fn max_retained(mut self, outcomes: usize) -> Self {
        self.options.max_retained = outcomes;
        self
    }

    /// Sets the clock of the gate. Retention and [`supersede_after`](Self::supersede_after) use it.
    /// See [`GroupBuilder::clock`](crate::GroupBuilder::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.options.clock = Some(Box::new(clock));
        self
    }

    /// Makes the gate.
    ///
    /// # Panics
    ///
    /// Without `std`, and on `wasm32-unknown-unknown`, if outcomes are to be retained or
    /// [`supersede_after`](Self::supersede_after) is set and no [`clock`](Self::clock) is given.
    #[track_caller]
    pub fn build(self) -> Gate<K, T> {
        Gate::from_parts(
            self.mode,
            self.max_queue,
            self.options.into_rules(),
            &self.label,
        )
    }
}

impl<K, V, E> GateBuilder<K, Result<V, E>> {
    /// Retains successes for this long. A failure is not retained. See
    /// [`GroupBuilder::retain_ok_for`](crate::GroupBuilder::retain_ok_for).
    pub fn retain_ok_for(mut self, time: Duration) -> Self {
        self.options.retain_ok_for(time);
        self
    }
}

impl<K, T> UnwindSafe for GateBuilder<K, T> {}
impl<K, T> RefUnwindSafe for GateBuilder<K, T> {}

impl<K, T> fmt::Debug for GateBuilder<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateBuilder")
            .field("mode", &self.mode)
            .field("max_queue", &self.max_queue)
            .field("retains", &self.options.retain.is_some())
            .field("max_retained", &self.options.max_retained)
            .field("max_waiters", &self.options.max_waiters)
            .field("supersede_after", &self.options.supersede_after)
            .finish_non_exhaustive()
    }
}
