//! [`Label`]: what a registry is called in what it reports, and whether its keys are shown there.
//!
//! Each shard has a copy, and each flight has the [`Name`]: a pointer, or nothing if the registry
//! has no name. Without the features both are of no size.

use alloc::borrow::Cow;
use core::fmt;
use core::marker::PhantomData;

use crate::error::Rejected;
#[cfg(feature = "metrics")]
use crate::flight::observe::counted::{self, Keys};
#[cfg(any(feature = "tracing", feature = "metrics"))]
use crate::sync::Arc;

/// What a builder has been told of a registry whose flights have keys of type `K`.
pub(crate) struct Label<K> {
    name: Name,
    /// The key's own `Debug`, if keys are to be shown.
    #[cfg(feature = "tracing")]
    show: Option<Show<K>>,
    keys: PhantomData<fn(&K)>,
}

#[cfg(feature = "tracing")]
type Show<K> = fn(&K, &mut fmt::Formatter<'_>) -> fmt::Result;

/// A key, as its own `Debug` shows it.
#[cfg(feature = "tracing")]
pub(super) struct Shown<'a, K>(&'a K, Show<K>);

/// The name of a registry, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Name {
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    named: Option<Arc<Named>>,
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
struct Named {
    #[cfg(feature = "tracing")]
    name: Cow<'static, str>,
    #[cfg(feature = "metrics")]
    keys: Keys,
}

impl<K> Label<K> {
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn set_name(&mut self, name: Cow<'static, str>) {
        self.name = Name::new(name);
    }

    /// Keys are shown in spans.
    pub(crate) fn show_keys(&mut self)
    where
        K: fmt::Debug,
    {
        #[cfg(feature = "tracing")]
        {
            self.show = Some(K::fmt);
        }
    }

    /// The key as a field of a span, if keys are shown. The subscriber decides whether that runs
    /// its `Debug`.
    #[cfg(feature = "tracing")]
    pub(super) fn shown<'a>(&self, key: &'a K) -> Option<tracing::field::DebugValue<Shown<'a, K>>> {
        let show = self.show?;
        Some(tracing::field::debug(Shown(key, show)))
    }
}

impl<K> Default for Label<K> {
    fn default() -> Self {
        Self {
            name: Name::default(),
            #[cfg(feature = "tracing")]
            show: None,
            keys: PhantomData,
        }
    }
}

impl<K> Clone for Label<K> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            #[cfg(feature = "tracing")]
            show: self.show,
            keys: PhantomData,
        }
    }
}

#[cfg(feature = "tracing")]
impl<K> fmt::Debug for Shown<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.1)(self.0, f)
    }
}

impl Name {
    fn new(name: Cow<'static, str>) -> Self {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        return Self {
            named: Some(Arc::new(Named {
                #[cfg(feature = "metrics")]
                keys: Keys::new(Some(counted::shared(name.clone()))),
                #[cfg(feature = "tracing")]
                name,
            })),
        };
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        {
            drop(name);
            Self {}
        }
    }

    #[cfg(feature = "tracing")]
    pub(super) fn get(&self) -> Option<&str> {
        self.named.as_ref().map(|named| &*named.name)
    }

    /// The names of its metrics.
    #[cfg(feature = "metrics")]
    pub(super) fn keys(&self) -> &Keys {
        match &self.named {
            Some(named) => &named.keys,
            None => Keys::nameless(),
        }
    }

    /// Reports that a call was rejected.
    #[inline]
    pub(crate) fn report_rejected(&self, why: Rejected) {
        let _ = why;
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "oneflight", group = self.get(), ?why, "rejected");
        #[cfg(feature = "metrics")]
        counted::add(&self.keys().rejected[why as usize], 1);
    }
}
