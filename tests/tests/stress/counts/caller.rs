//! One thread's random calls, and what it saw of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use fastrand::Rng;
use oneflight::error::{Cause, Rejected};
use oneflight::{Begin, Fingerprint, FlightId, Group, Primary};
use oneflight_conformance::CountingWaker;

use super::operation::{Call, End, Kind, Ledger, Make, Steps};
use super::{Ask, KEYS};

/// What a thread holds at most.
const HELD: usize = 14;

#[derive(Default)]
pub(crate) struct Saw {
    pub(crate) flights: HashSet<FlightId>,
    pub(crate) accepted: u64,
    pub(crate) by_begin: u64,
    pub(crate) by_work: u64,
    pub(crate) settled: u64,
    pub(crate) cancelled: u64,
    pub(crate) dropped: u64,
    pub(crate) full: u64,
    pub(crate) mismatched: u64,
    /// Duplicates that left with their outcome, and those that left without.
    pub(crate) waited: u64,
    pub(crate) left: u64,
    /// Left with an outcome, and perhaps no duplicate.
    pub(crate) unknown: u64,
    pub(crate) exhausted: HashSet<FlightId>,
    /// Flights of `try_work` for which an operation was made.
    pub(crate) run: HashSet<FlightId>,
}

impl Saw {
    pub(crate) fn add(&mut self, other: Self) {
        self.flights.extend(other.flights);
        self.exhausted.extend(other.exhausted);
        self.run.extend(other.run);
        self.accepted += other.accepted;
        self.by_begin += other.by_begin;
        self.by_work += other.by_work;
        self.settled += other.settled;
        self.cancelled += other.cancelled;
        self.dropped += other.dropped;
        self.full += other.full;
        self.mismatched += other.mismatched;
        self.waited += other.waited;
        self.left += other.left;
        self.unknown += other.unknown;
    }
}

pub(crate) struct Caller {
    pub(crate) group: Group<u8, u64>,
    pub(crate) rng: Rng,
    pub(crate) asks: &'static [Ask],
    pub(crate) alone: bool,
    pub(crate) primaries: Vec<Primary<u8, u64>>,
    pub(crate) calls: Vec<Call>,
    pub(crate) works: Arc<Ledger>,
    pub(crate) tries: Arc<Ledger>,
    pub(crate) saw: Saw,
}

impl Caller {
    pub(crate) fn step(&mut self) {
        match self.rng.u8(..100) {
            0..48 => match self.asks[self.rng.usize(..self.asks.len())] {
                Ask::Begin => self.begin(),
                Ask::Work => self.work(),
                Ask::TryWork => self.try_work(),
            },
            48..72 => self.poll_one(),
            72..84 => self.leave(),
            84..97 => self.end(),
            _ => drop(self.group.forget(&self.rng.u8(..KEYS))),
        }
        while self.calls.len() > HELD {
            self.leave();
        }
        while self.primaries.len() > HELD / 4 {
            self.end();
        }
    }

    fn payload(&mut self) -> Option<Fingerprint> {
        let payload = self.rng.u8(..10);
        (payload < 3).then(|| Fingerprint::new(u128::from(payload / 2)))
    }

    /// The maker of an operation, and the flag that says whether it was called.
    fn maker(&mut self, ledger: Arc<Ledger>, fails: bool) -> (Make, Arc<AtomicBool>) {
        let (left, sleeps) = (self.rng.u8(..4), self.rng.bool());
        let end = match self.rng.u8(..8) {
            0 => End::Panic,
            1 | 2 if fails => End::Fail,
            _ => End::Finish,
        };
        let made = Arc::new(AtomicBool::new(false));
        let flag = made.clone();
        let make = move || {
            flag.store(true, Ordering::SeqCst);
            Steps::new(left, sleeps, end, ledger)
        };
        (Box::new(make), made)
    }

    fn refused(&mut self, why: Rejected) {
        match why {
            Rejected::TooManyWaiters | Rejected::TooManyFlights => self.saw.full += 1,
            Rejected::Mismatch => self.saw.mismatched += 1,
            other => panic!("{other}"),
        }
    }

    fn accept(
        &mut self,
        future: Kind,
        id: Option<FlightId>,
        first: Option<bool>,
        made: Arc<AtomicBool>,
    ) {
        let Some(id) = id else {
            let Some(Err(why)) = future.outcome(&self.works) else {
                panic!("neither a flight nor a refusal")
            };
            return self.refused(why);
        };
        self.saw.accepted += 1;
        self.saw.flights.insert(id);
        self.calls.push(Call {
            future,
            id,
            bell: CountingWaker::new(),
            made,
            parked: false,
            first,
            gone: false,
        });
    }

    fn begin(&mut self) {
        let key = self.rng.u8(..KEYS);
        let begin = match self.payload() {
            Some(payload) => self.group.entry(key).fingerprint(payload).begin(),
            None => self.group.begin(key),
        };
        match begin {
            Begin::Primary(primary) => {
                self.saw.accepted += 1;
                self.saw.by_begin += 1;
                self.saw.flights.insert(primary.id());
                self.primaries.push(primary);
            }
            Begin::Waiter(waiter) => {
                let id = waiter.id();
                self.accept(Kind::Waiter(waiter), Some(id), Some(false), Arc::default());
            }
            Begin::Rejected(why) => self.refused(why),
        }
    }

    fn work(&mut self) {
        let (key, payload) = (self.rng.u8(..KEYS), self.payload());
        let (make, made) = self.maker(self.works.clone(), false);
        let make = || {
            let steps = make();
            async { steps.await.expect("it does not fail") }
        };
        let work = match payload {
            Some(payload) => self.group.entry(key).fingerprint(payload).work(make),
            None => self.group.work(key, make),
        };
        let first = made.load(Ordering::SeqCst);
        self.saw.by_work += u64::from(first);
        let id = work.id();
        self.accept(Kind::Work(work), id, Some(first), made);
    }

    fn try_work(&mut self) {
        let (key, payload) = (self.rng.u8(..KEYS), self.payload());
        let (make, made) = self.maker(self.tries.clone(), true);
        let before = self.alone.then(|| self.group.stats().begun);
        let call = match payload {
            Some(payload) => self.group.entry(key).fingerprint(payload).try_work(make),
            None => self.group.try_work(key, make),
        };
        let first = before.map(|begun| self.group.stats().begun > begun);
        let id = call.id();
        let mut call = Kind::TryWork(Box::pin(call), None);
        if id.is_none() {
            call.poll(Waker::noop(), &self.works);
        }
        self.accept(call, id, first, made);
    }

    fn poll_one(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.calls.len());
        self.calls[at].poll(&self.works);
        if self.rng.bool() {
            self.works.wake_one();
            self.tries.wake_one();
        }
    }

    fn leave(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.calls.len());
        let call = self.calls.swap_remove(at);
        self.count(call);
    }

    fn count(&mut self, mut call: Call) {
        if matches!(call.future, Kind::TryWork(..)) {
            // Only a poll says whether its flight has ended.
            call.poll(&self.works);
            if call.made.load(Ordering::SeqCst) {
                self.saw.run.insert(call.id);
            }
        }
        let outcome = if call.gone {
            None
        } else {
            call.future.outcome(&self.works)
        };
        if let Some(Ok(Some(Cause::Exhausted))) = outcome {
            self.saw.exhausted.insert(call.id);
        }
        match (call.first, outcome) {
            (Some(true), _) => {}
            (Some(false), Some(_)) => self.saw.waited += 1,
            (None, Some(_)) => self.saw.unknown += 1,
            (_, None) => self.saw.left += 1,
        }
    }

    fn end(&mut self) {
        if self.primaries.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.primaries.len());
        let primary = self.primaries.swap_remove(at);
        match self.rng.u8(..4) {
            0 => {
                primary.abort();
                self.saw.cancelled += 1;
            }
            1 => {
                drop(primary);
                self.saw.dropped += 1;
            }
            _ => {
                let value = u64::MAX - primary.id().get();
                primary.settle(value).expect("nobody else ends it");
                self.saw.settled += 1;
            }
        }
    }

    /// Ends what this thread can end. Its plain waiters stay.
    pub(crate) fn end_all(&mut self) {
        while !self.primaries.is_empty() {
            self.end();
        }
        let calls = std::mem::take(&mut self.calls);
        let plain = |call: &Call| matches!(call.future, Kind::Waiter(_));
        let (waiters, others): (Vec<_>, Vec<_>) = calls.into_iter().partition(plain);
        others.into_iter().for_each(|call| self.count(call));
        self.calls = waiters;
    }

    /// When every thread has ended what it can: a plain waiter has its outcome, and was woken once
    /// if it was parked.
    pub(crate) fn leave_all(&mut self) {
        for call in std::mem::take(&mut self.calls) {
            let outcome = call.future.outcome(&self.works);
            assert!(outcome.is_some(), "left in a flight for ever");
            assert_eq!(call.bell.wakes(), usize::from(call.parked));
            self.count(call);
        }
    }

    /// What waits and what is in flight now, as far as this thread is the only one.
    pub(crate) fn look(&mut self) {
        // Each of these polls can end a flight that an earlier call is in.
        let mut ended = true;
        while ended {
            ended = false;
            for call in &mut self.calls {
                if matches!(call.future, Kind::TryWork(..)) && !call.is_over(&self.works) {
                    call.poll(&self.works);
                    ended |= call.is_over(&self.works);
                }
            }
        }
        let waits = |call: &&Call| {
            call.first == Some(false) && !call.gone && call.future.outcome(&self.works).is_none()
        };
        let stats = self.group.stats();
        assert_eq!(stats.waiting, self.calls.iter().filter(waits).count());
        assert_eq!(
            stats.begun,
            stats.settled + stats.aborted + stats.in_flight as u64
        );
        assert_eq!(stats.begun, self.saw.flights.len() as u64);
    }
}
