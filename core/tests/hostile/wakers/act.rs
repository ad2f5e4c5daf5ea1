//! What a hostile waker does.

use std::future::{pending, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use crate::fine::fine;
use crate::limit::quiet_panic;
use oneflight_core::{Begin, Fingerprint};

use super::case::{CROWD, Case};
use super::place::{KEY, poll};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    PollItself,
    PollOthers,
    DropItself,
    DropOthers,
    PollAndDropOthers,
    EndEverything,
    BeginAndDrop,
    BeginAndSettle,
    Join,
    Forget,
    Query,
    Work,
    TryWork,
    UseTheGate,
    AbortAll,
    Close,
    /// The first one that is reached.
    Panic,
    /// Every one.
    #[cfg(feature = "std")]
    PanicEachTime,
}

pub(crate) const REENTERING: [Act; 16] = [
    Act::PollItself,
    Act::PollOthers,
    Act::DropItself,
    Act::DropOthers,
    Act::PollAndDropOthers,
    Act::EndEverything,
    Act::BeginAndDrop,
    Act::BeginAndSettle,
    Act::Join,
    Act::Forget,
    Act::Query,
    Act::Work,
    Act::TryWork,
    Act::UseTheGate,
    Act::AbortAll,
    Act::Close,
];

#[derive(Default)]
struct Told(AtomicBool);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A key that no victim has.
const OTHER: u32 = 1;

impl Act {
    /// By the waker of the victim `index`; `earlier` were reached before.
    pub(crate) fn perform(self, case: &Arc<Case>, index: usize, earlier: usize) {
        let (group, gate) = (&case.setup.group, &case.setup.gate);
        let crowd = CROWD as usize;
        // One before, one after, and one that is in another batch or in the same one.
        let others = [
            (index + 1) % crowd,
            (index + crowd - 1) % crowd,
            crowd - 1 - index,
        ];
        let keys = [KEY, KEY + index as u32, OTHER];
        match self {
            Act::PollItself => case.poll_inline(index, &case.harmless(index)),
            Act::PollOthers => {
                for other in others {
                    case.poll_inline(other, &case.harmless(other));
                }
            }
            Act::DropItself => case.drop_inline(index),
            Act::DropOthers => {
                for other in others {
                    case.drop_inline(other);
                }
            }
            Act::PollAndDropOthers => {
                for other in others {
                    case.poll_inline(other, &case.harmless(other));
                    case.drop_inline(other);
                }
            }
            Act::EndEverything => case.end(),
            Act::BeginAndDrop => {
                for key in keys {
                    drop(group.begin(key));
                    drop(group.entry_ref(&key).begin());
                    let mark = Fingerprint::of_bytes(b"hostile");
                    drop(group.entry(key).fingerprint(mark).begin());
                }
            }
            Act::BeginAndSettle => {
                for key in keys {
                    if let Begin::Primary(primary) = group.begin(key) {
                        // Whoever joins is told, also from within a wake.
                        let joined = group.begin(key);
                        let told = Arc::new(Told::default());
                        let Begin::Waiter(mut waiter) = joined else {
                            continue;
                        };
                        let waker = told.clone().into();
                        let parked = poll(Pin::new(&mut waiter), &waker).is_pending();
                        drop(primary.settle(8));
                        assert!(parked && told.0.load(Ordering::SeqCst));
                        assert!(poll(Pin::new(&mut waiter), &waker).is_ready());
                    }
                }
            }
            Act::Join => {
                for key in keys {
                    let first = group.begin(key);
                    if let Begin::Waiter(waiter) = group.begin(key) {
                        let mut waiter = pin!(waiter);
                        drop(poll(waiter.as_mut(), Waker::noop()));
                        drop(first);
                        drop(poll(waiter, Waker::noop()));
                    }
                }
            }
            Act::Forget => {
                for key in keys {
                    group.forget(&key);
                }
            }
            Act::Query => {
                black_box((group.len(), group.is_empty(), group.stats(), gate.stats()));
                black_box((gate.is_busy(), gate.queued(), gate.waiters(&KEY)));
                black_box(format!("{group:?} {gate:?}"));
                for key in keys {
                    black_box((group.contains(&key), group.waiters(&key), group.peek(&key)));
                }
            }
            Act::Work => {
                for key in keys {
                    let work = pin!(group.work(key, || ready(9)));
                    drop(poll(work, Waker::noop()));
                    drop(group.work(key, || ready(9)));
                    // Begun, joined and abandoned.
                    let mut first = Box::pin(group.work(key, pending));
                    let second = group.work(key, pending);
                    drop(poll(first.as_mut(), Waker::noop()));
                    drop((first, second));
                }
            }
            Act::TryWork => {
                for key in keys {
                    let call = pin!(group.try_work(key, fine(|| ready(9))));
                    drop(poll(call, Waker::noop()));
                    drop(group.try_work(key, fine(|| ready(9))));
                }
            }
            Act::UseTheGate => {
                for token in [None, Some(KEY), Some(OTHER)] {
                    drop(gate.begin(token));
                    let turn = pin!(gate.turn(token));
                    drop(poll(turn, Waker::noop()));
                    let work = pin!(gate.work(token, || ready(9)));
                    drop(poll(work, Waker::noop()));
                }
            }
            Act::AbortAll => group.abort_all(),
            Act::Close => group.close(),
            Act::Panic if earlier > 0 => {}
            Act::Panic => quiet_panic(),
            #[cfg(feature = "std")]
            Act::PanicEachTime => quiet_panic(),
        }
    }
}
