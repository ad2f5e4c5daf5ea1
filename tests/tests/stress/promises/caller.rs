//! One thread of a round: what it calls, what it holds, and what it does with that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use oneflight::gate::{Gate, Turn};
use oneflight::handle::AbortHandle;
use oneflight::rt::{Spawn, SpawnBlocking};
use oneflight::{Begin, Error, Fingerprint, FlightId, Group, Primary, Settled, Waiter};
use oneflight_conformance::{HandClock, fine, polled};

use super::oracle::{Bell, Key, Operation, Oracle, Value};

const KEYS: u32 = 24;
/// Calls of one thread in one round.
const CALLS: usize = 10_000;
/// Handles that one thread holds.
const HELD: usize = 48;

pub(crate) type Tasks = Mutex<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>>;

/// Keeps tasks until somebody polls or drops one.
#[derive(Clone, Default)]
pub(crate) struct Shelf(pub(crate) Arc<Tasks>);

impl Spawn for Shelf {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.lock().expect("no panic").push(Box::pin(task));
    }
}

impl SpawnBlocking for Shelf {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        call();
    }
}

/// Something that waits: says whether it is ready.
pub(crate) type Waiting = Box<dyn FnMut(&mut Context<'_>) -> bool + Send>;

pub(crate) enum Held {
    Primary(Primary<Key, Value>),
    Holder(Primary<Option<Key>, Value>),
    Waiter(Waiter<Key, Value>),
    /// Any other future.
    Future(Waiting, Arc<Bell>),
    Abort(AbortHandle),
}

#[derive(Clone)]
pub(crate) struct Round {
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) group: Group<Key, Value>,
    pub(crate) gate: Gate<Key, Value>,
    pub(crate) clock: HandClock,
    pub(crate) shelf: Shelf,
}

impl Round {
    pub(crate) fn call_at_random(&self, mut rng: fastrand::Rng) -> Vec<Held> {
        let mut held: Vec<Held> = Vec::new();
        for _ in 0..CALLS {
            if held.len() < HELD && rng.u32(0..100) < 45 {
                self.begin(&mut rng, &mut held);
            } else if !held.is_empty() && rng.u32(0..100) < 85 {
                let one = held.swap_remove(rng.usize(0..held.len()));
                held.extend(self.go_on(one, &mut rng));
            } else {
                self.meddle(&mut rng);
            }
        }
        held
    }

    fn key(&self, rng: &mut fastrand::Rng) -> Key {
        Key::new(&self.oracle, rng.u32(0..KEYS))
    }

    fn operation(&self, rng: &mut fastrand::Rng) -> impl FnOnce() -> Operation + Send + use<> {
        let (oracle, seed) = (self.oracle.clone(), rng.u64(..));
        move || Operation::new(&oracle, seed)
    }

    fn begin(&self, rng: &mut fastrand::Rng, held: &mut Vec<Held>) {
        let (group, key) = (&self.group, self.key(rng));
        let oracle = self.oracle.clone();
        match rng.u32(0..12) {
            0..3 => held.extend(self.hold(group.begin(key))),
            3 => held.extend(self.hold(group.entry_ref::<Key>(&key).begin())),
            4 => {
                let payload = Fingerprint::of_bytes(&[rng.u8(0..3)]);
                held.extend(self.hold(group.entry(key).fingerprint(payload).begin()));
            }
            5 | 6 => {
                let mut work = group.work(key, self.operation(rng));
                self.count_rejection(work.get());
                held.push(waiting(move |cx| {
                    let outcome = Pin::new(&mut work).poll(cx);
                    judge(&oracle, work.id(), outcome)
                }));
            }
            7 | 8 => {
                let mut call = Box::pin(group.try_work(key, fine(self.operation(rng))));
                if call.id().is_none() {
                    self.count_rejection(polled(call));
                    return;
                }
                let mut lost = false;
                held.push(waiting(move |cx| {
                    let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
                    // Its own loss is told to it as a panic, whatever the flight comes to.
                    lost |= polled.is_err();
                    lost || polled.is_ok_and(|outcome| judge(&oracle, call.id(), outcome))
                }));
            }
            9 => {
                if let Some(Held::Primary(primary)) = self.hold(group.begin(key)) {
                    let id = primary.id();
                    let mut run = Box::pin(primary.run(self.operation(rng)()));
                    held.push(waiting(move |cx| match run.as_mut().poll(cx) {
                        Poll::Pending => false,
                        Poll::Ready(outcome) => {
                            oracle.saw(false, id, &outcome);
                            true
                        }
                    }));
                }
            }
            10 => {
                let mut call = group.entry(key).spawn_on(&self.shelf, self.operation(rng));
                self.count_rejection(call.get());
                held.extend(call.abort_handle().map(Held::Abort));
                held.push(waiting(move |cx| {
                    let outcome = Pin::new(&mut call).poll(cx);
                    judge(&oracle, call.id(), outcome)
                }));
            }
            _ => {
                let token = rng.bool().then_some(key);
                if rng.bool() {
                    held.extend(self.hold_at_the_gate(self.gate.begin(token)));
                } else {
                    let mut turn: Turn<Key, Value> = self.gate.turn(token);
                    let round = self.clone();
                    let mut next = None;
                    let future = waiting(move |cx| round.take_turn(&mut turn, &mut next, cx));
                    // At once, for it to be counted if it is turned away.
                    held.extend(self.poll_once(future));
                }
            }
        }
    }

    fn count_rejection<S>(&self, outcome: Option<Result<S, Error>>) {
        if let Some(Err(Error::Rejected(_))) = outcome {
            self.oracle.rejected();
        }
    }

    fn poll_once(&self, held: Held) -> Option<Held> {
        match held {
            Held::Future(mut future, bell) => {
                (!poll(&mut future, &bell)).then_some(Held::Future(future, bell))
            }
            other => Some(other),
        }
    }

    fn hold(&self, begin: Begin<Key, Value>) -> Option<Held> {
        match begin {
            Begin::Primary(primary) => Some(Held::Primary(primary)),
            Begin::Waiter(waiter) => Some(Held::Waiter(waiter)),
            Begin::Rejected(_) => {
                self.oracle.rejected();
                None
            }
        }
    }

    fn hold_at_the_gate(&self, begin: Begin<Option<Key>, Value>) -> Option<Held> {
        match begin {
            Begin::Primary(primary) => Some(Held::Holder(primary)),
            Begin::Waiter(waiter) => Some(self.wait_at_the_gate(waiter)),
            Begin::Rejected(_) => {
                self.oracle.rejected();
                None
            }
        }
    }

    fn wait_at_the_gate(&self, mut waiter: Waiter<Option<Key>, Value>) -> Held {
        let oracle = self.oracle.clone();
        waiting(move |cx| {
            let outcome = Pin::new(&mut waiter).poll(cx);
            ready(outcome, |outcome| oracle.saw(true, waiter.id(), &outcome))
        })
    }

    /// A turn that comes is used at once, or once more held as a waiter.
    fn take_turn(
        &self,
        turn: &mut Turn<Key, Value>,
        next: &mut Option<Waiter<Option<Key>, Value>>,
        cx: &mut Context<'_>,
    ) -> bool {
        if next.is_none() {
            match Pin::new(turn).poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Begin::Primary(primary)) => {
                    self.settle_at_the_gate(primary);
                    return true;
                }
                Poll::Ready(Begin::Waiter(waiter)) => *next = Some(waiter),
                Poll::Ready(Begin::Rejected(_)) => {
                    self.oracle.rejected();
                    return true;
                }
            }
        }
        next.as_mut().is_none_or(|waiter| {
            let outcome = Pin::new(&mut *waiter).poll(cx);
            ready(outcome, |outcome| {
                self.oracle.saw(true, waiter.id(), &outcome)
            })
        })
    }

    pub(crate) fn settle(&self, primary: Primary<Key, Value>) {
        let id = primary.id();
        match primary.settle(Value::new(&self.oracle)) {
            Ok(settled) => self.oracle.saw(false, id, &Ok(settled)),
            Err(late) => drop(late),
        }
    }

    pub(crate) fn settle_at_the_gate(&self, primary: Primary<Option<Key>, Value>) {
        let id = primary.id();
        match primary.settle(Value::new(&self.oracle)) {
            Ok(settled) => self.oracle.saw(true, id, &Ok(settled)),
            Err(late) => drop(late),
        }
    }

    /// Uses, keeps or drops what is held.
    fn go_on(&self, held: Held, rng: &mut fastrand::Rng) -> Option<Held> {
        match held {
            Held::Primary(primary) => match rng.u32(0..8) {
                0..4 => self.settle(primary),
                4 => primary.abort(),
                5 => drop(primary),
                _ => return Some(Held::Primary(primary)),
            },
            Held::Holder(primary) => match rng.u32(0..8) {
                0 => drop(primary),
                1 => primary.abort(),
                2..5 => self.settle_at_the_gate(primary),
                _ => return Some(Held::Holder(primary)),
            },
            Held::Waiter(mut waiter) => match rng.u32(0..16) {
                0..3 => {
                    let deadline = Instant::now() + Duration::from_micros(rng.u64(0..40));
                    if let Ok(settled) = waiter.wait_deadline(deadline) {
                        self.oracle.saw(false, waiter.id(), &Ok(settled));
                    } else {
                        return Some(Held::Waiter(waiter));
                    }
                }
                3 => drop(waiter),
                4..8 => {
                    if let Some(outcome) = waiter.get() {
                        self.oracle.saw(false, waiter.id(), &outcome);
                    } else {
                        return Some(Held::Waiter(waiter));
                    }
                }
                _ => return Some(self.wait(waiter)),
            },
            Held::Future(mut future, bell) => {
                // Also without a wake, and with another waker.
                let bell = if rng.u32(0..4) == 0 {
                    Bell::new()
                } else {
                    bell
                };
                if rng.u32(0..8) != 0 && !poll(&mut future, &bell) {
                    return Some(Held::Future(future, bell));
                }
            }
            Held::Abort(handle) => drop(rng.bool().then(|| handle.abort())),
        }
        None
    }

    pub(crate) fn wait(&self, mut waiter: Waiter<Key, Value>) -> Held {
        let oracle = self.oracle.clone();
        waiting(move |cx| {
            let outcome = Pin::new(&mut waiter).poll(cx);
            ready(outcome, |outcome| oracle.saw(false, waiter.id(), &outcome))
        })
    }

    fn meddle(&self, rng: &mut fastrand::Rng) {
        let (group, key) = (&self.group, self.key(rng));
        match rng.u32(0..32) {
            0..4 => drop(group.contains(&key).then(|| group.waiters(&key))),
            4..6 => drop(group.peek(&key)),
            6..9 => {
                group.forget(&key);
            }
            9 => self.clock.forward(1),
            10..14 => self.oracle.ring(3),
            14..24 => {
                let task = self.shelf.0.lock().expect("no panic").pop();
                if let Some(mut task) = task {
                    let mut cx = Context::from_waker(Waker::noop());
                    // One in eight is dropped, as a runtime does that shuts down.
                    if rng.u32(0..8) != 0 && task.as_mut().poll(&mut cx).is_pending() {
                        self.shelf.0.lock().expect("no panic").insert(0, task);
                    }
                }
            }
            24 => drop((group.len(), group.is_empty())),
            25 => {
                group.stats();
            }
            26 if rng.u32(0..50) == 0 => group.abort_all(),
            27 => drop((self.gate.waiters(&key), self.gate.stats())),
            _ => {}
        }
    }
}

fn waiting(future: impl FnMut(&mut Context<'_>) -> bool + Send + 'static) -> Held {
    Held::Future(Box::new(future), Bell::new())
}

/// Whether it is over: ready, or lost to a panic of the operation it polled.
pub(crate) fn poll(future: &mut Waiting, bell: &Arc<Bell>) -> bool {
    bell.take();
    let waker = Waker::from(bell.clone());
    let mut cx = Context::from_waker(&waker);
    catch_unwind(AssertUnwindSafe(|| future(&mut cx))).unwrap_or_else(|panic| {
        // One of the oracle's is a text, and goes on.
        let text = panic.downcast_ref::<&str>();
        assert_eq!(text.copied(), Some("on purpose"), "a promise was broken");
        true
    })
}

fn judge(
    oracle: &Oracle,
    id: Option<FlightId>,
    outcome: Poll<Result<Settled<Key, Value>, Error>>,
) -> bool {
    ready(outcome, |outcome| match (id, outcome) {
        (Some(id), Ok(settled)) => oracle.saw(false, id, &Ok(settled)),
        (Some(id), Err(Error::Aborted(aborted))) => {
            oracle.saw::<Key>(false, id, &Err(Error::Aborted(aborted)));
        }
        // Counted when it came.
        _ => {}
    })
}

/// Whether it is ready; if so, looks at the output.
fn ready<T>(polled: Poll<T>, look: impl FnOnce(T)) -> bool {
    match polled {
        Poll::Ready(output) => {
            look(output);
            true
        }
        Poll::Pending => false,
    }
}
