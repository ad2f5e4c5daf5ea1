//! Wakers that count, and what the specification says of them: who is parked where, with which one.
//!
//! A waker may be shared by several seats. Two figures are compared after every step: how often each waker was woken,
//! and how many clones of it exist. The first shows a lost or a needless wake, the second a waker that was kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::panics::planned;

/// How many wakers the participants share.
pub(crate) const WAKERS: usize = 6;
/// In a world with hostile wakers, this one panics when it is woken.
const HOSTILE: usize = WAKERS - 1;

struct Count {
    wakes: AtomicUsize,
    hostile: bool,
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
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
        };
        let pair = |count: Arc<Count>| (count.clone(), Waker::from(count));
        Self(
            (0..WAKERS)
                .map(|index| pair(Arc::new(count(index))))
                .collect(),
        )
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
            parked.wakes[waker] += 1;
        }
    }

    pub(crate) fn check(&self, parked: &Parked) {
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
            self.wakes[waker] += 1;
            self.provoked |= self.hostile && waker == HOSTILE;
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
