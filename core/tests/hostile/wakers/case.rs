//! One case: futures that wait in one place, their hostile wakers, and what must hold when it is
//! over.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::task::{Wake, Waker};

use crate::limit::{lock, outside_of_every_section, panics};

use super::act::Act;
use super::hooked::{Hooks, hooked};
use super::place::{End, KEY, Place, Victim};
use super::setup::Setup;

/// More than one batch of wakers.
pub(crate) const CROWD: u32 = 70;

pub(crate) struct Case {
    pub(crate) setup: Setup,
    victims: Vec<Mutex<Option<Victim>>>,
    /// Who has been woken since it was polled last.
    woken: Vec<Arc<AtomicBool>>,
    end: Mutex<Option<End>>,
    /// How often the hostile part of a waker was reached.
    pub(crate) reached: AtomicUsize,
    /// Panics that came out of calls of the core.
    pub(crate) caught: AtomicUsize,
    /// User code ran inside a critical section.
    inside: AtomicBool,
    /// Where one event ends all: it has come, as a waker has told.
    over: AtomicBool,
    /// One was polled after that event and got no outcome.
    too_soon: AtomicBool,
    ends_at_once: bool,
    kept: Arc<AtomicUsize>,
}

/// Which part of a waker is hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Wake,
    Clone,
    Drop,
}

struct Told(Arc<AtomicBool>);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Case {
    pub(crate) fn new(place: Place) -> Arc<Self> {
        Self::crowded(place, CROWD)
    }

    pub(crate) fn crowded(place: Place, crowd: u32) -> Arc<Self> {
        let setup = Setup::new();
        let (victims, end) = place.populate(&setup, crowd);
        Arc::new(Self {
            setup,
            woken: victims.iter().map(|_| Arc::default()).collect(),
            victims: victims.into_iter().map(|it| Mutex::new(Some(it))).collect(),
            end: Mutex::new(Some(end)),
            reached: AtomicUsize::new(0),
            caught: AtomicUsize::new(0),
            inside: AtomicBool::new(false),
            over: AtomicBool::new(false),
            too_soon: AtomicBool::new(false),
            ends_at_once: place.ends_at_once(),
            kept: Arc::default(),
        })
    }

    /// A waker for this victim that does `act` in this part of it, whenever that is reached.
    pub(crate) fn hostile(self: &Arc<Self>, index: usize, part: Part, act: Act) -> Waker {
        let case = self.clone();
        self.waker(index, part, move |earlier| {
            act.perform(&case, index, earlier)
        })
    }

    /// As [`Self::hostile`], with any code. It is told how often others were reached before.
    pub(crate) fn waker(
        self: &Arc<Self>,
        index: usize,
        part: Part,
        attack: impl Fn(usize) + Send + Sync + 'static,
    ) -> Waker {
        let woken = self.woken[index].clone();
        let mut hooks = Hooks {
            kept: self.kept.clone(),
            on_wake: Some(Box::new(move || woken.store(true, Ordering::SeqCst))),
            ..Hooks::default()
        };
        let (case, woken) = (self.clone(), self.woken[index].clone());
        let hook = Box::new(move || {
            if part == Part::Wake {
                woken.store(true, Ordering::SeqCst);
                case.over.store(case.ends_at_once, Ordering::SeqCst);
            }
            attack(case.reach());
        });
        match part {
            Part::Wake => hooks.on_wake = Some(hook),
            Part::Clone => hooks.on_clone = Some(hook),
            Part::Drop => hooks.on_drop = Some(hook),
        }
        hooked(hooks)
    }

    /// One that ends everything when it is cloned, and does `act` when the clone, too late, is
    /// dropped.
    pub(crate) fn too_late(self: &Arc<Self>, index: usize, act: Act) -> Waker {
        let (case, other) = (self.clone(), self.clone());
        let woken = self.woken[index].clone();
        hooked(Hooks {
            on_wake: Some(Box::new(move || woken.store(true, Ordering::SeqCst))),
            on_clone: Some(Box::new(move || case.end())),
            on_drop: Some(Box::new(move || act.perform(&other, index, other.reach()))),
            kept: self.kept.clone(),
        })
    }

    /// A hostile part is reached. Returns how often that has been so before.
    fn reach(&self) -> usize {
        // Once it has been found inside, each further question would only cost its patience.
        if !self.inside.load(Ordering::SeqCst) && !outside_of_every_section() {
            self.inside.store(true, Ordering::SeqCst);
        }
        self.reached.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn harmless(&self, index: usize) -> Waker {
        Arc::new(Told(self.woken[index].clone())).into()
    }

    fn call(&self, call: impl FnOnce()) -> bool {
        let panicked = panics(call);
        self.caught.fetch_add(panicked.into(), Ordering::SeqCst);
        !panicked
    }

    /// Polls a victim, unless it is gone or is being polled. One that panics is polled again, as
    /// one that waits would do. Without a call around it: whose panic it is, the hook's own or the
    /// core's, its caller knows.
    pub(crate) fn poll_inline(&self, index: usize, waker: &Waker) {
        let mut slot = match self.victims[index].try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(slot)) => slot.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.woken[index].store(false, Ordering::SeqCst);
        let Some(victim) = slot.as_mut() else {
            return;
        };
        let over = self.over.load(Ordering::SeqCst);
        let Some(outcome) = victim(waker) else {
            self.too_soon.fetch_or(over, Ordering::SeqCst);
            return;
        };
        let gone = slot.take();
        drop(slot);
        drop((outcome, gone));
    }

    pub(crate) fn poll(&self, index: usize, waker: &Waker) {
        if !self.call(|| self.poll_inline(index, waker)) {
            self.call(|| self.poll_inline(index, &self.harmless(index)));
        }
    }

    /// Drops a victim, unless it is being polled.
    pub(crate) fn drop_inline(&self, index: usize) {
        let victim = match self.victims[index].try_lock() {
            Ok(mut slot) => slot.take(),
            Err(TryLockError::Poisoned(slot)) => slot.into_inner().take(),
            Err(TryLockError::WouldBlock) => None,
        };
        drop(victim);
    }

    pub(crate) fn drop_victim(&self, index: usize) {
        self.call(|| self.drop_inline(index));
    }

    /// Ends what everyone waits for, once. Without a call around it.
    pub(crate) fn end_inline(&self) {
        let end = lock(&self.end).take();
        if let Some(end) = end {
            end();
        }
    }

    pub(crate) fn end(&self) {
        self.call(|| self.end_inline());
    }

    pub(crate) fn indices(&self) -> std::ops::Range<usize> {
        0..self.victims.len()
    }

    /// Everybody who still waits has been woken and gets an outcome; nothing is left behind.
    pub(crate) fn assert_over(self: Arc<Self>) {
        self.end();
        // A turn at a gate that is taken and given back wakes the next one.
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for index in self.indices() {
                if self.woken[index].load(Ordering::SeqCst) && lock(&self.victims[index]).is_some()
                {
                    self.poll(index, &self.harmless(index));
                    moved = true;
                }
            }
        }
        let stranded = |index: &usize| lock(&self.victims[*index]).is_some();
        let stranded: Vec<_> = self.indices().filter(stranded).collect();
        assert!(stranded.is_empty(), "never told: {stranded:?}");
        assert!(
            !self.inside.load(Ordering::SeqCst),
            "a waker ran inside a critical section"
        );
        let too_soon = self.too_soon.load(Ordering::SeqCst);
        assert!(!too_soon, "woken before the outcome was there");
        assert_ne!(self.reached.load(Ordering::SeqCst), 0, "was never attacked");

        let Setup { group, gate, .. } = &self.setup;
        for stats in [group.stats(), gate.stats()] {
            assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
            assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
            assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats:?}");
        }
        assert!(group.is_empty() && !group.contains(&KEY), "{group:?}");
        assert!(!gate.is_busy() && gate.queued() == 0, "{gate:?}");
        self.setup.assert_room();
        assert_eq!(self.kept.load(Ordering::SeqCst), 0, "wakers are kept");
        assert_eq!(Arc::strong_count(&self), 1, "something keeps the case");
    }
}
