//! When which code of the user's attacks, and the types whose code that is.

use std::cell::RefCell;
use std::future::Future;
use std::hash::{BuildHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::limit::lock;
#[cfg(feature = "std")]
use crate::limit::quiet_panic;
use oneflight_core::Error;
use oneflight_core::clock::Clock;
use oneflight_core::rt::{Spawn, SpawnBlocking};

/// The code of a user's that the core runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Hash,
    Eq,
    KeyClone,
    KeyDrop,
    ValueDrop,
    Hasher,
    Clock,
    HowLong,
    Weigh,
    Pick,
    Make,
    MakerDrop,
    Poll,
    OperationDrop,
    ErrorFrom,
    ErrorDrop,
    Call,
    Spawn,
    Unblock,
}

pub(crate) const PARTS: [Part; 19] = [
    Part::Hash,
    Part::Eq,
    Part::KeyClone,
    Part::KeyDrop,
    Part::ValueDrop,
    Part::Hasher,
    Part::Clock,
    Part::HowLong,
    Part::Weigh,
    Part::Pick,
    Part::Make,
    Part::MakerDrop,
    Part::Poll,
    Part::OperationDrop,
    Part::ErrorFrom,
    Part::ErrorDrop,
    Part::Call,
    Part::Spawn,
    Part::Unblock,
];

type Attack = Box<dyn FnOnce() + Send>;

/// What is counted, and what attacks at which call of which part.
#[derive(Default)]
pub(crate) struct Plan {
    calls: [AtomicUsize; PARTS.len()],
    armed: Mutex<Vec<(Part, usize, Attack)>>,
    /// An attack has been made.
    attacked: AtomicBool,
    /// The next destructor of an operation that runs while its thread unwinds panics too.
    #[cfg(feature = "std")]
    pub(crate) twice: AtomicBool,
    /// Keys, values, operations and closures that are alive.
    alive: AtomicIsize,
}

impl Plan {
    /// At the `call`-th call of the part, counted from 1.
    pub(crate) fn arm(&self, part: Part, call: usize, attack: impl FnOnce() + Send + 'static) {
        lock(&self.armed).push((part, call, Box::new(attack)));
    }

    /// At the next call of the part; if it is armed so already, at the one after that, and so on.
    pub(crate) fn arm_next(&self, part: Part, attack: impl FnOnce() + Send + 'static) {
        let earlier = lock(&self.armed)
            .iter()
            .filter(|armed| armed.0 == part)
            .count();
        self.arm(part, self.calls(part) + 1 + earlier, attack);
    }

    /// Whether every attack was reached.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.armed).is_empty()
    }

    /// Whether an attack was reached.
    pub(crate) fn has_attacked(&self) -> bool {
        self.attacked.load(Ordering::SeqCst)
    }

    pub(crate) fn calls(&self, part: Part) -> usize {
        self.calls[part as usize].load(Ordering::SeqCst)
    }

    pub(crate) fn alive(&self) -> isize {
        self.alive.load(Ordering::SeqCst)
    }

    pub(crate) fn reached(&self, part: Part) {
        let call = self.calls[part as usize].fetch_add(1, Ordering::SeqCst) + 1;
        let mut armed = lock(&self.armed);
        let due = armed
            .iter()
            .position(|armed| armed.0 == part && armed.1 == call);
        let due = due.map(|index| armed.swap_remove(index));
        drop(armed);
        if let Some((_, _, attack)) = due {
            self.attacked.store(true, Ordering::SeqCst);
            attack();
        }
        #[cfg(feature = "std")]
        if part == Part::OperationDrop
            && std::thread::panicking()
            && self.twice.swap(false, Ordering::SeqCst)
        {
            quiet_panic();
        }
    }
}

/// Something that is counted while it is alive, and whose drop is a part.
pub(crate) struct Counted {
    plan: Arc<Plan>,
    part: Part,
}

impl Counted {
    fn new(plan: &Arc<Plan>, part: Part) -> Self {
        plan.alive.fetch_add(1, Ordering::SeqCst);
        let plan = plan.clone();
        Self { plan, part }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.plan.alive.fetch_sub(1, Ordering::SeqCst);
        self.plan.reached(self.part);
    }
}

pub(crate) struct Key {
    id: u32,
    counted: Counted,
}

pub(crate) fn key(plan: &Arc<Plan>, id: u32) -> Key {
    let counted = Counted::new(plan, Part::KeyDrop);
    Key { id, counted }
}

impl Key {
    pub(crate) fn id(&self) -> u32 {
        self.id
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.counted.plan.reached(Part::Hash);
        state.write_u32(self.id);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.counted.plan.reached(Part::Eq);
        self.id == other.id
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Self {
        self.counted.plan.reached(Part::KeyClone);
        key(&self.counted.plan, self.id)
    }
}

pub(crate) struct Value {
    _counted: Counted,
}

pub(crate) fn value(plan: &Arc<Plan>) -> Value {
    let _counted = Counted::new(plan, Part::ValueDrop);
    Value { _counted }
}

/// All keys share one hash, so that every search compares.
#[derive(Clone)]
pub(crate) struct OneHash(pub(crate) Arc<Plan>);

pub(crate) struct Same;

impl BuildHasher for OneHash {
    type Hasher = Same;

    fn build_hasher(&self) -> Same {
        self.0.reached(Part::Hasher);
        Same
    }
}

impl Hasher for Same {
    fn finish(&self) -> u64 {
        1
    }

    fn write(&mut self, _: &[u8]) {}
}

/// Turned by hand, by the second.
#[derive(Clone)]
pub(crate) struct Ticks {
    plan: Arc<Plan>,
    now: Arc<AtomicU64>,
}

impl Ticks {
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        let plan = plan.clone();
        let now = Arc::default();
        Self { plan, now }
    }

    pub(crate) fn turn(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for Ticks {
    fn now(&self) -> Duration {
        self.plan.reached(Part::Clock);
        Duration::from_secs(self.now.load(Ordering::SeqCst))
    }
}

/// Pending for some polls, then a value.
pub(crate) struct Operation {
    left: usize,
    counted: Counted,
}

impl Future for Operation {
    type Output = Value;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Value> {
        self.counted.plan.reached(Part::Poll);
        if self.left == 0 {
            return Poll::Ready(value(&self.counted.plan));
        }
        self.left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What makes an operation that is pending for `pending` polls.
pub(crate) fn maker(
    plan: &Arc<Plan>,
    pending: usize,
) -> impl FnOnce() -> Operation + Send + 'static + use<> {
    let closure = Counted::new(plan, Part::MakerDrop);
    move || {
        let plan = closure.plan.clone();
        plan.reached(Part::Make);
        // A panic after the operation is on its way out would leak it.
        drop(closure);
        let counted = Counted::new(&plan, Part::OperationDrop);
        let left = pending;
        Operation { left, counted }
    }
}

thread_local! {
    /// The plan of the test that runs here: an error of the crate's brings none along.
    static HERE: RefCell<Weak<Plan>> = const { RefCell::new(Weak::new()) };
}

impl Plan {
    /// Errors that are made of the crate's on this thread are of this plan.
    pub(crate) fn is_here(self: &Arc<Self>) {
        HERE.set(Arc::downgrade(self));
    }
}

/// An operation's own error, or one that is made of the crate's.
pub(crate) struct Mistake {
    pub(crate) own: bool,
    _counted: Option<Counted>,
}

impl From<Error> for Mistake {
    fn from(_: Error) -> Self {
        let plan = HERE.with_borrow(Weak::upgrade);
        let counted = plan.map(|plan| {
            plan.reached(Part::ErrorFrom);
            Counted::new(&plan, Part::ErrorDrop)
        });
        let own = false;
        Self {
            own,
            _counted: counted,
        }
    }
}

/// Pending for some polls, then a value or an error.
pub(crate) struct Trying {
    operation: Operation,
    fails: bool,
}

impl Future for Trying {
    type Output = Result<Value, Mistake>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.fails || self.operation.left > 0 {
            return Pin::new(&mut self.operation).poll(cx).map(Ok);
        }
        let plan = &self.operation.counted.plan;
        plan.reached(Part::Poll);
        Poll::Ready(Err(Mistake {
            own: true,
            _counted: Some(Counted::new(plan, Part::ErrorDrop)),
        }))
    }
}

/// As `maker`, for an operation that can fail.
pub(crate) fn trier(
    plan: &Arc<Plan>,
    pending: usize,
    fails: bool,
) -> impl FnOnce() -> Trying + Send + 'static + use<> {
    let make = maker(plan, pending);
    move || Trying {
        operation: make(),
        fails,
    }
}

/// A blocking call.
pub(crate) fn call(plan: &Arc<Plan>) -> impl FnOnce() -> Value + Send + 'static + use<> {
    let closure = Counted::new(plan, Part::MakerDrop);
    move || {
        let plan = closure.plan.clone();
        plan.reached(Part::Call);
        drop(closure);
        value(&plan)
    }
}

/// What a runtime does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    RunsInline,
    PollsOnceAndDrops,
    Drops,
}

pub(crate) struct Inline {
    pub(crate) plan: Arc<Plan>,
    pub(crate) way: Way,
}

impl Inline {
    /// Runs what it is given.
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        let (plan, way) = (plan.clone(), Way::RunsInline);
        Self { plan, way }
    }
}

impl Spawn for Inline {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.plan.reached(Part::Spawn);
        let mut task = Box::pin(task);
        let polls = match self.way {
            Way::RunsInline => 10,
            Way::PollsOnceAndDrops => 1,
            Way::Drops => 0,
        };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            if task.as_mut().poll(&mut cx).is_ready() {
                break;
            }
        }
    }
}

/// A runtime that keeps its tasks.
pub(crate) struct Shelf {
    plan: Arc<Plan>,
    tasks: Mutex<Vec<Kept>>,
}

pub(crate) type Kept = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Shelf {
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        let (plan, tasks) = (plan.clone(), Mutex::default());
        Self { plan, tasks }
    }

    pub(crate) fn take(&self) -> Option<Kept> {
        lock(&self.tasks).pop()
    }
}

impl Spawn for Shelf {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.plan.reached(Part::Spawn);
        lock(&self.tasks).push(Box::pin(task));
    }
}

impl SpawnBlocking for Inline {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        self.plan.reached(Part::Unblock);
        if self.way == Way::RunsInline {
            call();
        }
    }
}
