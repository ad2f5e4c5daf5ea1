//! A waker whose `wake`, `clone` and `drop` are the case's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use cooked_waker::{IntoWaker, Wake, WakeRef};

pub(crate) type Hook = Box<dyn Fn() + Send + Sync>;

/// What the clones of a waker do: those that the core makes and keeps.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) on_wake: Option<Hook>,
    pub(crate) on_clone: Option<Hook>,
    pub(crate) on_drop: Option<Hook>,
    /// Clones that are alive, of all wakers of a case.
    pub(crate) kept: Arc<AtomicUsize>,
}

struct Hooked {
    hooks: Arc<Hooks>,
    is_clone: bool,
}

/// The case's own handle: its drop does nothing.
pub(crate) fn hooked(hooks: Hooks) -> Waker {
    let hooks = Arc::new(hooks);
    let is_clone = false;
    Box::new(Hooked { hooks, is_clone }).into_waker()
}

fn perform(hook: &Option<Hook>) {
    if let Some(hook) = hook {
        hook();
    }
}

impl Clone for Hooked {
    fn clone(&self) -> Self {
        perform(&self.hooks.on_clone);
        self.hooks.kept.fetch_add(1, Ordering::SeqCst);
        Self {
            hooks: self.hooks.clone(),
            is_clone: true,
        }
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        if self.is_clone {
            self.hooks.kept.fetch_sub(1, Ordering::SeqCst);
            perform(&self.hooks.on_drop);
        }
    }
}

impl WakeRef for Hooked {
    fn wake_by_ref(&self) {
        perform(&self.hooks.on_wake);
    }
}

impl Wake for Hooked {}
