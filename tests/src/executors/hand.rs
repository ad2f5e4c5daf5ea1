//! No executor at all: futures polled by hand on one thread, with wakers that mark them.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use oneflight::handle::Spawned;
use oneflight::rt::{Spawn, SpawnBlocking, Timeout, Timer};
use oneflight::{Error, Group};
use tokio::sync::oneshot;

use crate::runtime::{LocalRuntime, TestRuntime};

type Local = Pin<Box<dyn Future<Output = ()>>>;
type Sent = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The case itself, among the marked; the tasks come after it.
const CASE: usize = 0;

/// Polls what is marked, and parks its thread when nothing is.
#[derive(Clone)]
pub struct Hand {
    desk: Arc<Desk>,
    /// A task that has ended leaves its place empty; places are not reused.
    tasks: Rc<RefCell<Vec<Option<Held>>>>,
}

struct Held {
    task: Local,
    mark: Arc<Mark>,
}

/// What other threads reach.
struct Desk {
    thread: Thread,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    marked: Vec<usize>,
    spawned: Vec<Sent>,
}

impl Desk {
    fn put(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox.lock().expect("never poisoned"));
        self.thread.unpark();
    }

    fn empty(&self) -> Inbox {
        mem::take(&mut self.inbox.lock().expect("never poisoned"))
    }
}

/// Says that one future wants to be polled.
struct Mark {
    id: usize,
    set: AtomicBool,
    desk: Arc<Desk>,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.set.swap(true, Ordering::SeqCst) {
            self.desk.put(|inbox| inbox.marked.push(self.id));
        }
    }
}

impl Mark {
    /// Takes the mark away before the poll: a wake during it counts.
    fn poll<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        self.set.store(false, Ordering::SeqCst);
        future.poll(&mut Context::from_waker(&Waker::from(self.clone())))
    }
}

impl Hand {
    fn new() -> Self {
        Self {
            desk: Arc::new(Desk {
                thread: thread::current(),
                inbox: Mutex::default(),
            }),
            tasks: Rc::default(),
        }
    }

    fn mark(&self, id: usize) -> Arc<Mark> {
        let mark = Arc::new(Mark {
            id,
            set: AtomicBool::new(false),
            desk: self.desk.clone(),
        });
        mark.wake_by_ref();
        mark
    }

    fn adopt(&self, task: Local) {
        let mut tasks = self.tasks.borrow_mut();
        let mark = self.mark(tasks.len() + 1);
        tasks.push(Some(Held { task, mark }));
    }

    fn poll_task(&self, id: usize) {
        // Taken out meanwhile, since the task itself may spawn.
        let held = self.tasks.borrow_mut()[id - 1].take();
        let Some(mut held) = held else { return };
        if held.mark.poll(held.task.as_mut()).is_pending() {
            self.tasks.borrow_mut()[id - 1] = Some(held);
        }
    }
}

impl fmt::Debug for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hand")
    }
}

impl TestRuntime for Hand {
    type Adapter = HandRuntime;
    const NAME: &'static str = "hand";

    fn run<F: Future<Output = ()>>(case: impl FnOnce(Self) -> F) {
        let hand = Self::new();
        let mut case = pin!(case(hand.clone()));
        let mark = hand.mark(CASE);
        'driven: loop {
            let Inbox { marked, spawned } = hand.desk.empty();
            if marked.is_empty() && spawned.is_empty() {
                thread::park();
            }
            for task in spawned {
                hand.adopt(task);
            }
            for id in marked {
                if id != CASE {
                    hand.poll_task(id);
                } else if mark.poll(case.as_mut()).is_ready() {
                    break 'driven;
                }
            }
        }
        // The tasks hold the executor, and it holds them.
        let left = mem::take(&mut *hand.tasks.borrow_mut());
        drop(left);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_local(task);
    }

    fn adapter(&self) -> HandRuntime {
        HandRuntime(self.desk.clone())
    }

    fn detach<K, T, M, F>(&self, group: &Group<K, T>, key: K, make: M) -> Spawned<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        group.entry(key).spawn_on(&self.adapter(), make)
    }

    fn wanted<K, T, M, F>(&self, group: &Group<K, T>, key: K, make: M) -> Spawned<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let entry = group.entry(key);
        entry.spawn_while_wanted_on(&self.adapter(), make)
    }

    fn detach_blocking<K, T, F>(&self, group: &Group<K, T>, key: K, call: F) -> Spawned<K, T>
    where
        K: Hash + Eq + Send + Sync + 'static,
        T: Send + Sync + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        group.entry(key).spawn_blocking_on(&self.adapter(), call)
    }

    fn timeout<'a, O, E, H>(
        &self,
        handle: &'a mut H,
        duration: Duration,
    ) -> Timeout<'a, H, HandSleep>
    where
        E: From<Error>,
        H: Future<Output = Result<O, E>> + Unpin,
    {
        Timeout::new(handle, self.adapter().sleep(duration))
    }
}

impl LocalRuntime for Hand {
    fn spawn_local(&self, task: impl Future<Output = ()> + 'static) {
        self.adopt(Box::pin(task));
    }
}

/// An adapter in forty lines: what an executor of one's own needs to supply.
#[derive(Clone)]
pub struct HandRuntime(Arc<Desk>);

impl fmt::Debug for HandRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandRuntime")
    }
}

impl Spawn for HandRuntime {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.0.put(|inbox| inbox.spawned.push(Box::pin(task)));
    }
}

impl SpawnBlocking for HandRuntime {
    /// A thread for each call: the pool of one who has none.
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        thread::spawn(call);
    }
}

impl Timer for HandRuntime {
    type Sleep = HandSleep;

    fn sleep(&self, duration: Duration) -> HandSleep {
        HandSleep::new(duration)
    }
}

/// A clock of its own: a thread that waits until the time is up, or the future is dropped.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled or awaited"]
pub struct HandSleep {
    rings: oneshot::Receiver<()>,
    _dropped: Sender<()>,
}

impl HandSleep {
    fn new(duration: Duration) -> Self {
        let (ring, rings) = oneshot::channel();
        let (_dropped, dropped) = channel();
        thread::spawn(move || {
            if dropped.recv_timeout(duration) == Err(RecvTimeoutError::Timeout) {
                ring.send(()).ok();
            }
        });
        Self { rings, _dropped }
    }
}

impl Future for HandSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.rings).poll(cx).map(|_| ())
    }
}
