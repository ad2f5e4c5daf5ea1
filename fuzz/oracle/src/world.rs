//! A group under test beside its book: each step is made in both, and after each step everything is compared.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use oneflight_core::clock::Clock;
use oneflight_core::error::Cause;
use oneflight_core::handle::Drained;
use oneflight_core::{Begin, Error, Fingerprint, Group, Primary, Settled, Waiter};

use crate::book::{Answer, Book, Outcome, Rules, weight};
use crate::ledger::{FewHashes, Key, Ledger, Value, Wish};
use crate::panics::{caught, dropped_by_a_panic, planned};
use crate::wakers::{Room, Wakers, Who};

pub(crate) type Registry = Group<Key, Value, FewHashes>;

/// How many keys there are.
pub(crate) const KEYS: u8 = 6;
/// More waiters than this are not begun: it is more than three batches of wakers.
pub(crate) const MOST_WAITERS: usize = 220;

/// How the group is built.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) rules: Rules,
    /// How many distinct hashes the keys have; above [`KEYS`], no two share one.
    pub(crate) classes: u8,
    pub(crate) shards: usize,
    /// One of the wakers panics when it is woken.
    pub(crate) hostile: bool,
}

/// A clock that the schedule turns.
#[derive(Default)]
pub(crate) struct HandClock(pub(crate) AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Something that refers to a flight.
pub(crate) struct Held<H> {
    pub(crate) flight: usize,
    pub(crate) it: H,
}

/// Something that waits for a flight.
pub(crate) struct Seated<W> {
    pub(crate) flight: usize,
    pub(crate) who: Who,
    pub(crate) it: W,
}

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) group: Option<Registry>,
    pub(crate) book: Book,
    pub(crate) wakers: Wakers,
    pub(crate) keys: Arc<Ledger>,
    pub(crate) values: Arc<Ledger>,
    clock: Arc<HandClock>,
    pub(crate) primaries: Vec<Held<Primary<Key, Value>>>,
    pub(crate) waiters: Vec<Seated<Waiter<Key, Value>>>,
    pub(crate) outcomes: Vec<Held<Settled<Key, Value>>>,
    pub(crate) drains: Vec<(Who, Drained)>,
    /// The identity of each flight.
    ids: Vec<u64>,
    people: Who,
    pub(crate) checks: usize,
}

/// The item that a byte of the schedule means.
pub(crate) fn pick(index: u8, len: usize) -> Option<usize> {
    (len > 0).then(|| usize::from(index) % len)
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let clock = Arc::new(HandClock::default());
        let Rules {
            max_waiters,
            max_flights,
            max_reruns,
            supersede_after,
            retain,
            max_weight,
        } = setup.rules;
        let mut builder = Group::builder()
            .shards(setup.shards)
            .max_waiters(max_waiters)
            .max_flights(max_flights)
            .max_reruns(max_reruns);
        if supersede_after.is_some() || retain.is_some() {
            builder = builder.clock(clock.clone());
        }
        if let Some(age) = supersede_after {
            builder = builder.supersede_after(Duration::from_millis(age));
        }
        if let Some((time, capacity)) = retain {
            builder = builder
                .max_retained(capacity)
                .retain_by(move |value: &Value| match value.wish {
                    Wish::Keep => Some(Duration::from_millis(time)),
                    Wish::KeepNot => None,
                    Wish::KeepFor(time) => Some(Duration::from_millis(time.into())),
                    Wish::Panic => planned(),
                });
        }
        if let Some(most) = max_weight {
            builder = builder.max_retained_weight(most as usize, |value: &Value| {
                weight(value.life.serial) as usize
            });
        }
        let classes = setup.classes;
        let group = builder.hasher(FewHashes { classes }).build();
        let wakers = Wakers::new(setup.hostile);
        let looked_at = group.clone();
        wakers.look_at(Some(Box::new(move || looked_at.len())));
        Self {
            setup,
            group: Some(group),
            book: Book::new(setup.rules, setup.hostile),
            wakers,
            keys: Arc::default(),
            values: Arc::default(),
            clock,
            primaries: Vec::new(),
            waiters: Vec::new(),
            outcomes: Vec::new(),
            drains: Vec::new(),
            ids: Vec::new(),
            people: 0,
            checks: 0,
        }
    }

    pub(crate) fn somebody_new(&mut self) -> Who {
        self.people += 1;
        self.people
    }

    /// The call panicked exactly if it woke a waker that does.
    pub(crate) fn agree_on_panic(&mut self, panicked: bool) {
        assert_eq!(panicked, self.book.parked.provoked(), "a wake's panic");
    }

    /// Begins a key in both, and keeps what came of it.
    pub(crate) fn begin(&mut self, name: u8, print: Option<u8>, by_ref: bool) {
        let Some(group) = &self.group else { return };
        if self.waiters.len() >= MOST_WAITERS {
            return;
        }
        let key = Key::new(name, &self.keys);
        let answer = self.book.begin(name, print);
        let fingerprint = print.map(|print| Fingerprint::new(print.into()));
        let real = match (fingerprint, by_ref) {
            (None, false) => group.begin(key),
            (None, true) => group.entry_ref(&key).begin(),
            (Some(fingerprint), false) => group.entry(key).fingerprint(fingerprint).begin(),
            (Some(fingerprint), true) => group.entry_ref(&key).fingerprint(fingerprint).begin(),
        };
        match (answer, real) {
            (Answer::Primary(flight), Begin::Primary(it)) => {
                assert_eq!(it.key().name, name);
                self.identify(flight, it.id().get());
                self.book.flights[flight].handles += 1;
                self.primaries.push(Held { flight, it });
            }
            (Answer::Waiter(flight), Begin::Waiter(it)) => {
                assert_eq!((it.key().name, it.id().get()), (name, self.ids[flight]));
                self.book.flights[flight].handles += 1;
                let who = self.somebody_new();
                self.waiters.push(Seated { flight, who, it });
            }
            (Answer::Rejected(why), Begin::Rejected(real)) => assert_eq!(real, why),
            (answer, real) => panic!("{answer:?} expected, not {real:?}"),
        }
    }

    /// A new flight's identity is new, and above those of its key before.
    pub(crate) fn identify(&mut self, flight: usize, id: u64) {
        assert_eq!(flight, self.ids.len());
        let key = self.book.flights[flight].key;
        for (other, before) in self.ids.iter().enumerate() {
            let rises = self.book.flights[other].key != key || *before < id;
            assert!(rises && *before != id, "flight id {id} after {before}");
        }
        self.ids.push(id);
        self.book.flights[flight].id = id;
    }

    /// A new flight whose identity nobody got to see. The next one of its key is above those before it.
    pub(crate) fn identify_unseen(&mut self, flight: usize) {
        assert_eq!(flight, self.ids.len());
        self.ids.push(0);
    }

    pub(crate) fn id(&self, flight: usize) -> u64 {
        self.ids[flight]
    }

    /// How long the group is to retain this value; `Err` if its `retain_by` panics.
    pub(crate) fn window(&self, wish: Wish) -> Result<Option<u64>, ()> {
        match (self.setup.rules.retain, wish) {
            // A group that retains nothing does not ask.
            (None | Some((_, 0)), _) | (_, Wish::KeepNot) => Ok(None),
            (Some((time, _)), Wish::Keep) => Ok(Some(time)),
            (_, Wish::KeepFor(time)) => Ok(Some(time.into())),
            (_, Wish::Panic) => Err(()),
        }
    }

    pub(crate) fn settle(&mut self, index: u8, wish: Wish) {
        let Some(index) = pick(index, self.primaries.len()) else {
            return;
        };
        let Held { flight, it } = self.primaries.swap_remove(index);
        let value = Value::new(wish, &self.values);
        let serial = value.life.serial;
        let before = self.book.flights[flight].outcome;
        let won = match self.window(wish) {
            Ok(window) => Some(self.book.settle(flight, serial, window)),
            Err(()) if before.is_some() => Some(self.book.settle(flight, serial, None)),
            Err(()) => {
                self.book.abort(flight, Cause::Panicked);
                self.book.parked.provoked();
                None
            }
        };
        let real = caught(|| it.settle_registered(value));
        match won {
            Some(_) => self.agree_on_panic(real.is_none()),
            None => assert!(real.is_none(), "a panic of `retain_by` was swallowed"),
        }
        match (real, won) {
            (None, _) => self.book.flights[flight].handles -= 1,
            (Some(Ok((it, registered))), Some(Some(expected))) => {
                assert_eq!(registered, expected, "whether it had its key");
                assert_eq!(
                    (it.life.serial, it.flight_id().get()),
                    (serial, self.ids[flight])
                );
                self.outcomes.push(Held { flight, it });
            }
            (Some(Err(late)), Some(None)) => {
                let cause = Some(Outcome::Aborted(late.aborted.cause()));
                assert_eq!((cause, late.value.life.serial), (before, serial));
                self.book.flights[flight].handles -= 1;
            }
            (Some(real), won) => panic!("settled: {won:?} expected, not {real:?}"),
        }
    }

    /// Ends a flight without a value: on purpose, by a drop, or by a panic of its primary.
    pub(crate) fn abort(&mut self, index: u8, cause: Cause) {
        let Some(index) = pick(index, self.primaries.len()) else {
            return;
        };
        let Held { flight, it } = self.primaries.swap_remove(index);
        self.book.abort(flight, cause);
        self.book.flights[flight].handles -= 1;
        let done = match cause {
            Cause::Cancelled => caught(|| it.abort()),
            Cause::Dropped => caught(|| drop(it)),
            _ => {
                // A wake that panics on top of that ends where it is.
                self.book.parked.provoked();
                dropped_by_a_panic(it);
                Some(())
            }
        };
        self.agree_on_panic(done.is_none());
    }

    pub(crate) fn poll_waiter(&mut self, index: u8, waker: usize) {
        if let Some(index) = pick(index, self.waiters.len()) {
            self.poll_waiter_at(index, waker);
        }
    }

    pub(crate) fn poll_last_waiter(&mut self, waker: usize) {
        if let Some(last) = self.waiters.len().checked_sub(1) {
            self.poll_waiter_at(last, waker);
        }
    }

    fn poll_waiter_at(&mut self, index: usize, waker: usize) {
        let Seated { flight, who, it } = &mut self.waiters[index];
        let outcome = self.book.flights[*flight].outcome;
        if outcome.is_none() {
            self.book.parked.park(Room::Flight(*flight), *who, waker);
        }
        match self.wakers.poll(waker, |cx| Pin::new(it).poll(cx)) {
            Poll::Pending => assert_eq!(outcome, None, "pending after the end"),
            Poll::Ready(real) => assert_eq!(Some(outcome_of(&real)), outcome),
        }
    }

    pub(crate) fn drop_waiter(&mut self, index: u8) {
        let Some(index) = pick(index, self.waiters.len()) else {
            return;
        };
        let Seated { flight, who, it } = self.waiters.swap_remove(index);
        self.book.parked.leave(Room::Flight(flight), who);
        self.book.leave(flight);
        self.book.flights[flight].handles -= 1;
        drop(it);
    }

    /// A waiter hands its outcome on, if it has one.
    pub(crate) fn keep_outcome(&mut self, index: u8) {
        let Some(index) = pick(index, self.waiters.len()) else {
            return;
        };
        let Seated { flight, it, .. } = &self.waiters[index];
        if let Some(Ok(settled)) = it.get() {
            self.book.flights[*flight].handles += 1;
            self.outcomes.push(Held {
                flight: *flight,
                it: settled.clone(),
            });
        }
    }

    pub(crate) fn drop_outcome(&mut self, index: u8) {
        let Some(index) = pick(index, self.outcomes.len()) else {
            return;
        };
        self.book.flights[self.outcomes.swap_remove(index).flight].handles -= 1;
    }

    pub(crate) fn forget(&mut self, name: u8) {
        let Some(group) = &self.group else { return };
        assert_eq!(group.forget(&name), self.book.forget(name), "forget {name}");
    }

    pub(crate) fn close(&mut self) {
        let Some(group) = &self.group else { return };
        self.book.close();
        let done = caught(|| group.close());
        self.agree_on_panic(done.is_none());
    }

    pub(crate) fn abort_all(&mut self) {
        let Some(group) = &self.group else { return };
        self.book.abort_all();
        let done = caught(|| group.abort_all());
        self.agree_on_panic(done.is_none());
    }

    pub(crate) fn await_drain(&mut self) {
        let Some(group) = &self.group else { return };
        let drained = group.drained();
        let who = self.somebody_new();
        self.drains.push((who, drained));
    }

    pub(crate) fn poll_drain(&mut self, index: u8, waker: usize) {
        let Some(index) = pick(index, self.drains.len()) else {
            return;
        };
        let (who, drained) = &mut self.drains[index];
        let expected = self.book.is_drained();
        if !expected {
            self.book.parked.park(Room::Drain, *who, waker);
        }
        let real = self.wakers.poll(waker, |cx| Pin::new(drained).poll(cx));
        assert_eq!(real.is_ready(), expected, "drained");
    }

    pub(crate) fn drop_drain(&mut self, index: u8) {
        let Some(index) = pick(index, self.drains.len()) else {
            return;
        };
        let (who, drained) = self.drains.swap_remove(index);
        self.book.parked.leave(Room::Drain, who);
        drop(drained);
    }

    pub(crate) fn tick(&mut self, time: u8) {
        self.book.now += u64::from(time);
        self.clock.0.store(self.book.now, Ordering::Relaxed);
        self.book.drop_expired();
    }

    /// What has expired goes. How much of it was still there is not said.
    pub(crate) fn purge(&mut self) {
        let Some(group) = &self.group else { return };
        let bound = self.book.rules.retain.map_or(0, |(_, capacity)| capacity);
        let expired = group.purge_expired();
        assert!(expired + self.book.retained() <= bound, "purged {expired}");
        assert_eq!(group.purge_expired(), 0);
        assert_eq!(group.stats().retained, self.book.retained());
    }

    /// What is retained goes, and what has expired and is still there.
    pub(crate) fn clear(&mut self) {
        let Some(group) = &self.group else { return };
        let retained = self.book.clear();
        let bound = self.book.rules.retain.map_or(0, |(_, capacity)| capacity);
        let cleared = group.clear_retained();
        assert!((retained..=bound).contains(&cleared), "cleared {cleared}");
        assert_eq!(group.stats().retained, 0);
    }

    /// The last handle of the group goes; flights in progress go on.
    pub(crate) fn orphan(&mut self) {
        self.book.orphan();
        self.wakers.look_at(None);
        self.group = None;
    }
}

/// An outcome, by numbers.
pub(crate) fn outcome_of(outcome: &Result<Settled<Key, Value>, Error>) -> Outcome {
    match outcome {
        Ok(settled) => Outcome::Settled(settled.life.serial),
        Err(Error::Aborted(aborted)) => Outcome::Aborted(aborted.cause()),
        Err(other) => panic!("an error that nobody promised: {other}"),
    }
}
