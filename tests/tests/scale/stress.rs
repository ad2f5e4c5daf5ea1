//! Random calls of everything there is, from many threads, in rounds. After each round everything that still waits is
//! brought to its end, polled only when it was woken; then every figure must add up and nothing may be left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use oneflight::rt::Runtime;
use oneflight::{
    AbortHandle, Begin, Budget, Fingerprint, Gate, Group, Mode, Primary, RunError, Turn, Waiter,
    WorkError,
};
use oneflight_conformance::{HandClock, watched};

use crate::figures::Rss;
use crate::oracle::{Bell, Key, Operation, Oracle, Value};

const THREADS: usize = 6;
const KEYS: u32 = 24;
/// Calls of one thread in one round.
const CALLS: usize = 10_000;
/// Handles that one thread holds.
const HELD: usize = 48;

type Tasks = Mutex<Vec<Pin<Box<dyn Future<Output = ()> + Send>>>>;

/// Keeps tasks until somebody polls or drops one.
#[derive(Clone, Default)]
struct Shelf(Arc<Tasks>);

impl Runtime for Shelf {
    type Sleep = std::future::Ready<()>;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.lock().expect("no panic").push(Box::pin(task));
    }

    fn sleep(&self, _: Duration) -> Self::Sleep {
        std::future::ready(())
    }

    fn unblock<F: FnOnce() + Send + 'static>(&self, call: F) {
        call();
    }
}

/// Something that waits: says whether it is ready.
type Waiting = Box<dyn FnMut(&mut Context<'_>) -> bool + Send>;

enum Held {
    Primary(Primary<Key, Value>),
    Holder(Primary<Option<Key>, Value>),
    Waiter(Waiter<Key, Value>),
    /// Any other future.
    Future(Waiting, Arc<Bell>),
    Abort(AbortHandle<Key, Value>),
}

#[derive(Clone)]
struct Round {
    oracle: Arc<Oracle>,
    group: Group<Key, Value>,
    gate: Gate<Key, Value>,
    clock: HandClock,
    shelf: Shelf,
}

/// Runs rounds until the time is up.
pub(crate) fn run(time: Duration, seed: u64) {
    println!("scale: stress: ONEFLIGHT_STRESS_SEED={seed}, {time:?}, {THREADS} threads");
    let calls = Arc::new(AtomicU64::new(0));
    let outcomes = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let (mut rounds, mut memory) = (0, None);
    while began.elapsed() < time {
        let seed = seed + rounds;
        let (calls, outcomes) = (calls.clone(), outcomes.clone());
        watched(&format!("the round of seed {seed}"), move || {
            let round = catch_unwind(|| play(seed, &calls, &outcomes));
            round.unwrap_or_else(|_| panic!("the round of seed {seed} failed"));
        });
        rounds += 1;
        // The first ones bring what stays: threads' stacks and arenas of the allocator.
        if rounds == 20 {
            memory = Some(Rss::now());
        }
    }
    let grown = memory.map_or(0, |memory| Rss::now().since(memory));
    let (calls, outcomes) = (
        calls.load(Ordering::Relaxed),
        outcomes.load(Ordering::Relaxed),
    );
    println!(
        "scale: stress: {rounds} rounds, {calls} calls, {outcomes} flights, {:.0} s, resident {grown:+} KiB",
        began.elapsed().as_secs_f64()
    );
    assert!(rounds > 0 && calls > 0 && outcomes > 0);
}

/// One round, on a group whose rules the seed decides.
fn play(seed: u64, calls: &AtomicU64, flights: &AtomicU64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let oracle = Arc::new(Oracle::default());
    let clock = HandClock::default();
    let mut builder = Group::<Key, Value>::builder()
        .clock(clock.clone())
        .shards(if rng.bool() { 1 } else { 8 });
    if rng.bool() {
        builder = builder
            .retain(Duration::from_secs(3))
            .capacity(rng.usize(1..40));
    }
    if rng.bool() {
        builder = builder.max_age(Duration::from_secs(5));
    }
    if rng.bool() {
        builder = builder.max_waiters(rng.usize(1..40));
    }
    if rng.bool() {
        builder = builder.max_flights(rng.usize(1..100));
    }
    let modes = [Mode::Queue, Mode::Queue, Mode::Exclusive, Mode::Reentrant];
    let round = Round {
        oracle: oracle.clone(),
        group: builder.build(),
        gate: Gate::new(modes[rng.usize(0..modes.len())]),
        clock,
        shelf: Shelf::default(),
    };
    let held: Vec<Held> = thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|_| {
                let (round, rng) = (round.clone(), rng.fork());
                scope.spawn(move || round.call_at_random(rng))
            })
            .collect();
        let joined = callers.into_iter().map(|caller| caller.join());
        joined
            .flat_map(|held| held.expect("no caller panics"))
            .collect()
    });
    calls.fetch_add((THREADS * CALLS) as u64, Ordering::Relaxed);
    round.bring_to_an_end(held, &mut rng);

    let (group, gate) = (round.group.stats(), round.gate.stats());
    for stats in [group, gate] {
        assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
        assert_eq!(stats.begun, stats.settled + stats.aborted, "{stats:?}");
        assert_eq!(stats.joined, stats.waited + stats.cancelled, "{stats:?}");
    }
    assert!(round.group.is_empty());
    assert!(!round.gate.is_busy());
    assert_eq!(round.gate.queued(), 0);
    let rejected = oracle.rejected.load(Ordering::Relaxed);
    assert_eq!(group.rejected + gate.rejected, rejected);
    flights.fetch_add(group.begun + gate.begun, Ordering::Relaxed);
    drop(round);
    assert_eq!(oracle.alive(), 0, "a key, a value or an operation is kept");
}

impl Round {
    fn call_at_random(&self, mut rng: fastrand::Rng) -> Vec<Held> {
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
            3 => held.extend(self.hold(group.begin_ref::<Key>(&key))),
            4 => {
                let payload = Fingerprint::of_bytes(&[rng.u8(0..3)]);
                held.extend(self.hold(group.fingerprinted(payload).begin(key)));
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
                let budget = Budget::times(rng.usize(0..4));
                let mut rerun = Box::pin(group.work_rerun(key, budget, self.operation(rng)));
                self.count_rejection(rerun.get());
                let mut lost = false;
                held.push(waiting(move |cx| {
                    let polled = catch_unwind(AssertUnwindSafe(|| rerun.as_mut().poll(cx)));
                    // Its own loss is told to it as a panic, whatever the flight comes to.
                    lost |= polled.is_err();
                    lost || polled.is_ok_and(|outcome| judge(&oracle, rerun.id(), outcome))
                }));
            }
            9 => {
                if let Some(Held::Primary(primary)) = self.hold(group.begin(key)) {
                    let id = primary.id();
                    let mut run = Box::pin(primary.run(self.operation(rng)()));
                    held.push(waiting(move |cx| match run.as_mut().poll(cx) {
                        std::task::Poll::Pending => false,
                        std::task::Poll::Ready(Ok(settled)) => {
                            oracle.saw(false, id, &Ok(settled));
                            true
                        }
                        std::task::Poll::Ready(Err(late)) => {
                            let late: RunError<Value> = late;
                            drop(late);
                            true
                        }
                    }));
                }
            }
            10 => {
                let mut call = group.spawn_on(&self.shelf, key, self.operation(rng));
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

    fn count_rejection<S>(&self, outcome: Option<Result<S, WorkError>>) {
        if let Some(Err(WorkError::Rejected(_))) = outcome {
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
            outcome.is_ready_and(|outcome| oracle.saw(true, waiter.id(), &outcome))
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
                std::task::Poll::Pending => return false,
                std::task::Poll::Ready(Begin::Primary(primary)) => {
                    self.settle_at_the_gate(primary);
                    return true;
                }
                std::task::Poll::Ready(Begin::Waiter(waiter)) => *next = Some(waiter),
                std::task::Poll::Ready(Begin::Rejected(_)) => {
                    self.oracle.rejected();
                    return true;
                }
            }
        }
        next.as_mut().is_none_or(|waiter| {
            let outcome = Pin::new(&mut *waiter).poll(cx);
            outcome.is_ready_and(|outcome| self.oracle.saw(true, waiter.id(), &outcome))
        })
    }

    fn settle(&self, primary: Primary<Key, Value>) {
        let id = primary.id();
        match primary.settle(Value::new(&self.oracle)) {
            Ok(settled) => self.oracle.saw(false, id, &Ok(settled)),
            Err(late) => drop(late),
        }
    }

    fn settle_at_the_gate(&self, primary: Primary<Option<Key>, Value>) {
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

    fn wait(&self, mut waiter: Waiter<Key, Value>) -> Held {
        let oracle = self.oracle.clone();
        waiting(move |cx| {
            let outcome = Pin::new(&mut waiter).poll(cx);
            outcome.is_ready_and(|outcome| oracle.saw(false, waiter.id(), &outcome))
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

    /// Ends what is in flight. Who waits is polled when it was woken and not otherwise: a wake that was lost shows.
    fn bring_to_an_end(&self, held: Vec<Held>, rng: &mut fastrand::Rng) {
        let closes = rng.bool();
        if closes {
            self.group.close();
        }
        let drained = Bell::new();
        let mut drain = self.group.drained();
        let mut futures = Vec::new();
        for one in held {
            match one {
                Held::Primary(primary) => self.settle(primary),
                Held::Holder(primary) => self.settle_at_the_gate(primary),
                Held::Waiter(waiter) => futures.push(self.wait(waiter)),
                Held::Future(..) => futures.push(one),
                Held::Abort(_) => {}
            }
        }
        let mut drains = |waker: &Waker| {
            let mut cx = Context::from_waker(waker);
            Pin::new(&mut drain).poll(&mut cx).is_ready()
        };
        drained.take();
        let at_once = drains(&Waker::from(drained.clone()));
        let mut moved = true;
        while moved {
            moved = false;
            let tasks = std::mem::take(&mut *self.shelf.0.lock().expect("no panic"));
            for mut task in tasks {
                moved = true;
                let mut cx = Context::from_waker(Waker::noop());
                if task.as_mut().poll(&mut cx).is_pending() {
                    self.shelf.0.lock().expect("no panic").push(task);
                }
            }
            self.oracle.ring(usize::MAX);
            futures.retain_mut(|one| match one {
                Held::Future(future, bell) if bell.is_rung() => {
                    moved = true;
                    !poll(future, bell)
                }
                _ => true,
            });
        }
        assert_eq!(futures.len(), 0, "woken no more, and not ready");
        self.oracle.bells.lock().expect("no panic").clear();
        if closes {
            assert!(at_once || drained.take(), "nobody told that it is drained");
            assert!(drains(Waker::noop()), "not drained");
        }
    }
}

fn waiting(future: impl FnMut(&mut Context<'_>) -> bool + Send + 'static) -> Held {
    Held::Future(Box::new(future), Bell::new())
}

/// Whether it is over: ready, or lost to a panic of the operation it polled.
fn poll(future: &mut Waiting, bell: &Arc<Bell>) -> bool {
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
    id: Option<oneflight::FlightId>,
    outcome: std::task::Poll<Result<oneflight::Settled<Key, Value>, WorkError>>,
) -> bool {
    outcome.is_ready_and(|outcome| match (id, outcome) {
        (Some(id), Ok(settled)) => oracle.saw(false, id, &Ok(settled)),
        (Some(id), Err(WorkError::Aborted(aborted))) => {
            oracle.saw::<Key>(false, id, &Err(aborted));
        }
        // Counted when it came.
        _ => {}
    })
}

trait IsReadyAnd<T> {
    /// Whether it is ready; if so, looks at the output.
    fn is_ready_and(self, look: impl FnOnce(T)) -> bool;
}

impl<T> IsReadyAnd<T> for std::task::Poll<T> {
    fn is_ready_and(self, look: impl FnOnce(T)) -> bool {
        match self {
            std::task::Poll::Ready(output) => {
                look(output);
                true
            }
            std::task::Poll::Pending => false,
        }
    }
}
