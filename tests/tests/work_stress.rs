//! Callers of `work` that come, drive and go at random on four threads. An operation is never made twice for a flight,
//! never polled by two at once, and never forgotten.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use oneflight::{Begin, Cause, FlightId, Group, Settled, Work, WorkError};
use oneflight_conformance::{CountingWaker, poll, watched};

const THREADS: u64 = 4;
const CALLS: usize = 5_000;
/// A machine that is busy with other things begins no more calls after this: each yield costs it a time slice.
const BUDGET: Duration = Duration::from_secs(5);
const KEYS: u8 = 2;
const STEPS: u32 = 30;

/// The serial number of the operation and the steps it took.
type Value = (u64, u32);

#[derive(Default)]
struct Ledger {
    made: AtomicU64,
    dropped: AtomicU64,
    /// Operations that wait for a wake from elsewhere.
    asleep: Mutex<Vec<Waker>>,
    /// Which operation each flight settled with.
    outcomes: Mutex<HashMap<FlightId, Value>>,
}

/// Counts its own polls, and is woken at once, later, or by whichever thread comes by.
struct Counter {
    serial: u64,
    steps: u32,
    busy: AtomicBool,
    rng: Rng,
    ledger: Arc<Ledger>,
}

impl Counter {
    fn new(ledger: Arc<Ledger>) -> Self {
        let serial = ledger.made.fetch_add(1, Ordering::SeqCst);
        Self {
            serial,
            steps: 0,
            busy: AtomicBool::new(false),
            rng: Rng::with_seed(serial),
            ledger,
        }
    }
}

impl Future for Counter {
    type Output = Value;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Value> {
        assert!(
            !self.busy.swap(true, Ordering::SeqCst),
            "polled by two at once"
        );
        self.steps += 1;
        if self.steps < STEPS {
            if self.rng.bool() {
                cx.waker().wake_by_ref();
            } else {
                let mut asleep = self.ledger.asleep.lock().unwrap();
                asleep.push(cx.waker().clone());
            }
        }
        self.busy.store(false, Ordering::SeqCst);
        if self.steps < STEPS {
            Poll::Pending
        } else {
            Poll::Ready((self.serial, self.steps))
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.ledger.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// False: no operation is asleep.
fn wake_somebody(ledger: &Ledger, rng: &mut Rng) -> bool {
    let waker = {
        let mut asleep = ledger.asleep.lock().unwrap();
        let len = asleep.len();
        (len > 0).then(|| asleep.swap_remove(rng.usize(..len)))
    };
    waker.map(Waker::wake).is_some()
}

fn check(ledger: &Ledger, id: FlightId, settled: &Settled<u8, Value>) {
    assert_eq!((settled.id(), settled.1), (id, STEPS), "it began anew");
    let mut outcomes = ledger.outcomes.lock().unwrap();
    let known = *outcomes.entry(id).or_insert(**settled);
    assert_eq!(known, **settled, "two operations in one flight");
}

/// One call: polled when woken, and now and then when not; dropped before its end as often as not.
fn call(group: &Group<u8, Value>, ledger: &Arc<Ledger>, rng: &mut Rng) {
    let mut work: Work<u8, Value> = group.work(rng.u8(..KEYS), || Counter::new(ledger.clone()));
    let id = work.id().expect("nobody is turned away");
    let patience = rng.bool().then(|| rng.usize(..8));
    let bell = CountingWaker::new();
    let mut polls = 0;
    let mut heard = 0;
    while patience != Some(polls) {
        // Impatient callers poll without a wake. The patient ones rely on it: a lost one hangs.
        if patience.is_none() && polls > 0 {
            while bell.wakes() == heard {
                if !wake_somebody(ledger, rng) {
                    thread::yield_now();
                }
            }
        }
        heard = bell.wakes();
        polls += 1;
        match poll(&mut work, bell.waker()) {
            Poll::Pending => {
                wake_somebody(ledger, rng);
                // So that calls overlap, on few cores too.
                if rng.u8(..8) == 0 {
                    thread::yield_now();
                }
            }
            Poll::Ready(Ok(settled)) => return check(ledger, id, &settled),
            // It had joined a primary that left. Of a flight of `work` nobody sees the abort who takes part in it.
            Poll::Ready(Err(WorkError::Aborted(aborted))) => {
                return assert_eq!(aborted.cause(), Cause::Cancelled);
            }
            Poll::Ready(Err(other)) => panic!("{other}"),
        }
    }
}

/// A caller of `begin` among them, which never drives. As a primary it leaves at once: true then.
fn glance(group: &Group<u8, Value>, ledger: &Ledger, rng: &mut Rng) -> bool {
    match group.begin(rng.u8(..KEYS)) {
        Begin::Primary(primary) => {
            primary.abort();
            return true;
        }
        Begin::Waiter(mut waiter) => match poll(&mut waiter, Waker::noop()) {
            Poll::Ready(Ok(settled)) => check(ledger, waiter.id(), &settled),
            Poll::Ready(Err(aborted)) => {
                assert!(matches!(aborted.cause(), Cause::Dropped | Cause::Cancelled));
            }
            Poll::Pending => {}
        },
        Begin::Rejected(why) => panic!("{why}"),
    }
    false
}

#[test]
fn an_operation_is_made_once_and_polled_by_one_at_a_time() {
    watched("work stress", || {
        let group = Group::new();
        let ledger = Arc::new(Ledger::default());
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                let (group, ledger) = (group.clone(), ledger.clone());
                thread::spawn(move || {
                    let mut rng = Rng::with_seed(seed);
                    let mut aborted = 0;
                    let since = Instant::now();
                    for _ in 0..CALLS {
                        if since.elapsed() > BUDGET {
                            break;
                        }
                        call(&group, &ledger, &mut rng);
                        if rng.u8(..4) == 0 {
                            aborted += u64::from(glance(&group, &ledger, &mut rng));
                        }
                    }
                    aborted
                })
            })
            .collect();
        let mut cancelled = 0;
        for thread in threads {
            cancelled += thread.join().unwrap();
        }
        let stats = group.stats();
        println!("{stats:?}");
        let made = ledger.made.load(Ordering::SeqCst);
        assert_eq!(
            stats.begun,
            made + cancelled,
            "one operation for each flight"
        );
        assert_eq!(ledger.dropped.load(Ordering::SeqCst), made);
        let abandoned = stats.aborted_by(Cause::Dropped);
        assert_eq!(stats.settled + abandoned, made);
        assert_eq!(stats.aborted_by(Cause::Cancelled), cancelled);
        assert_eq!(stats.aborted, abandoned + cancelled);
        assert!(ledger.outcomes.lock().unwrap().len() as u64 <= stats.settled);
        assert!(group.is_empty());
        // Otherwise it shows little.
        assert!(stats.joined > 0 && stats.cancelled > 0);
        assert!(stats.settled > 0 && abandoned > 0 && cancelled > 0);
    });
}
