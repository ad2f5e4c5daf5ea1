//! Wakers that count, and what the specification says of them: who is parked where, with which one.
//!
//! A waker may be shared by several seats. Two figures are compared after every step: how often each waker was woken,
//! and how many clones of it exist. The first shows a lost or a needless wake, the second a waker that was kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::panics::planned;

/// How many wakers the participants share.
pub(crate) const WAKERS: usize = 6;
/// In a world with hostile wakers, this one panics when it is woken.
const HOSTILE: usize = WAKERS - 1;

/// With this one, the woken look around: what do they find?
const SPY: usize = 0;

struct Count {
    wakes: AtomicUsize,
    hostile: bool,
    spy: Option<Arc<Spy>>,
}

/// Looks at the group while a wake runs.
#[derive(Default)]
struct Spy {
    look: Mutex<Option<Look>>,
    seen: Mutex<Vec<usize>>,
}

type Look = Box<dyn Fn() -> usize + Send>;

impl Spy {
    fn woken(&self) {
        if let Some(look) = &*lock(&self.look) {
            lock(&self.seen).push(look());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        if let Some(spy) = &self.spy {
            spy.woken();
        }
        if self.hostile {
            planned();
        }
    }
}

/// The real wakers.
pub(crate) struct Wakers(Vec<(Arc<Count>, Waker)>);

impl Wakers {
    pub(crate) fn new(hostile: bool) -> Self {
        let count = |index| Count {
            wakes: AtomicUsize::new(0),
            hostile: hostile && index == HOSTILE,
            spy: (index == SPY).then(Arc::default),
        };
        let pair = |count: Arc<Count>| (count.clone(), Waker::from(count));
        Self(
            (0..WAKERS)
                .map(|index| pair(Arc::new(count(index))))
                .collect(),
        )
    }

    /// What the woken look at: the number of keys in flight.
    pub(crate) fn look_at(&self, look: Option<Look>) {
        if let Some(spy) = &self.0[SPY].0.spy {
            *lock(&spy.look) = look;
        }
    }

    /// Polls something with one of them.
    pub(crate) fn poll<R>(
        &self,
        waker: usize,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        poll(&mut Context::from_waker(&self.0[waker].1))
    }

    /// A wake that nobody had a reason for.
    pub(crate) fn wake_spuriously(&self, waker: usize, parked: &mut Parked) {
        if !self.0[waker].0.hostile {
            self.0[waker].1.wake_by_ref();
            parked.woken(waker);
        }
    }

    pub(crate) fn check(&self, parked: &mut Parked) {
        if let Some(spy) = &self.0[SPY].0.spy {
            let seen = std::mem::take(&mut *lock(&spy.seen));
            let to_be_seen = std::mem::take(&mut parked.to_be_seen);
            let looks = lock(&spy.look).is_some();
            if looks && !std::mem::take(&mut parked.in_between) {
                assert_eq!(seen, to_be_seen, "keys in flight, as the woken found them");
            }
        }
        for (index, (count, _)) in self.0.iter().enumerate() {
            let wakes = count.wakes.load(Ordering::Relaxed);
            assert_eq!(wakes, parked.wakes[index], "wakes of waker {index}");
            // Without the two that stand here.
            let clones = Arc::strong_count(count) - 2;
            let seats = parked
                .seats
                .values()
                .filter(|waker| **waker == index)
                .count();
            assert_eq!(clones, seats, "clones of waker {index}");
        }
    }
}

/// Where somebody is parked. Flights go by their number in the oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    /// In the waiting room of a flight, or of a cell.
    Flight(usize),
    /// At the desk of a flight whose operation several may drive.
    Desk(usize),
    /// In the line of a gate, for the turn of this flight.
    Line(usize),
    /// For the end of the group.
    Drain,
}

/// Who, for as long as the world stands.
pub(crate) type Who = usize;

/// What the specification says.
#[derive(Default)]
pub(crate) struct Parked {
    seats: BTreeMap<(Room, Who), usize>,
    wakes: [usize; WAKERS],
    hostile: bool,
    /// A hostile waker was woken: the call that woke it panics.
    provoked: bool,
    /// Keys in flight now, and at each wake of the one that looks.
    pub(crate) len: usize,
    to_be_seen: Vec<usize>,
    /// Several ends in one step, or an end and a begin: what the woken found may be in between.
    pub(crate) in_between: bool,
}

impl Parked {
    pub(crate) fn new(hostile: bool) -> Self {
        Self {
            hostile,
            ..Self::default()
        }
    }

    /// Polled and pending: this waker, and no other, is kept for the seat.
    pub(crate) fn park(&mut self, room: Room, who: Who, waker: usize) {
        self.seats.insert((room, who), waker);
    }

    /// Dropped or resolved: no waker is kept.
    pub(crate) fn leave(&mut self, room: Room, who: Who) {
        self.seats.remove(&(room, who));
    }

    /// Wakes one, if it is parked.
    pub(crate) fn fire_one(&mut self, room: Room, who: Who) {
        if let Some(waker) = self.seats.remove(&(room, who)) {
            self.woken(waker);
            self.provoked |= self.hostile && waker == HOSTILE;
        }
    }

    fn woken(&mut self, waker: usize) {
        self.wakes[waker] += 1;
        if waker == SPY {
            self.to_be_seen.push(self.len);
        }
    }

    /// Wakes everyone in a room, each once; nobody is parked there afterwards.
    pub(crate) fn fire(&mut self, room: Room) {
        let in_room = self.seats.range((room, 0)..=(room, Who::MAX));
        let seats: Vec<Who> = in_room.map(|((_, who), _)| *who).collect();
        for who in seats {
            self.fire_one(room, who);
        }
    }

    /// Whether a hostile waker was woken since this was asked last.
    pub(crate) fn provoked(&mut self) -> bool {
        std::mem::take(&mut self.provoked)
    }
}
