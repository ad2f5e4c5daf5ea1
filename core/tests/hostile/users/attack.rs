//! What the code of a user does when it attacks.

use std::future::pending;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::fine::fine;
use crate::limit::quiet_panic;
use oneflight_core::Begin;
use oneflight_core::gate::Mode;

use super::plan::{Inline, Key, Way, call, key, maker, value};
use super::script::Setup;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    BeginAndDrop,
    BeginAndSettle,
    Work,
    TryWork,
    Spawn,
    Forget,
    ActByKey,
    ActByClosure,
    Query,
    UseTheGate,
    TurnTheClock,
    AbortAll,
    Close,
    Panic,
    /// And once more, in a destructor, while that panic goes up.
    #[cfg(feature = "std")]
    PanicTwice,
}

pub(crate) const REENTERING: [Attack; 13] = [
    Attack::BeginAndDrop,
    Attack::BeginAndSettle,
    Attack::Work,
    Attack::TryWork,
    Attack::Spawn,
    Attack::Forget,
    Attack::ActByKey,
    Attack::ActByClosure,
    Attack::Query,
    Attack::UseTheGate,
    Attack::TurnTheClock,
    Attack::AbortAll,
    Attack::Close,
];

/// All keys of the script, and one that is not in it.
const KEYS: std::ops::Range<u32> = 1..20;

fn poll_once<F: Future>(future: Pin<&mut F>) {
    let mut cx = Context::from_waker(Waker::noop());
    drop(future.poll(&mut cx));
}

impl Attack {
    pub(crate) fn perform(self, setup: &Arc<Setup>) {
        let (plan, gate) = (&setup.plan, &setup.gate);
        let key = |id| key(plan, id);
        for group in [&setup.plain, &setup.ruled] {
            for id in KEYS {
                match self {
                    Attack::BeginAndDrop => {
                        drop(group.begin(key(id)));
                        drop(group.entry_ref::<Key>(&key(id)).begin());
                    }
                    Attack::BeginAndSettle => {
                        if let Begin::Primary(primary) = group.begin(key(id)) {
                            drop(primary.settle(value(plan)));
                        }
                    }
                    Attack::Work => {
                        poll_once(pin!(group.work(key(id), maker(plan, 1))));
                        drop(group.work(key(id), pending));
                    }
                    Attack::TryWork => {
                        poll_once(pin!(group.try_work(key(id), fine(maker(plan, 1)))));
                    }
                    Attack::Spawn => {
                        for way in [Way::RunsInline, Way::Drops] {
                            let plan = plan.clone();
                            let runtime = Inline { plan, way };
                            let made = maker(&setup.plan, 1);
                            drop(group.entry(key(id)).spawn_on(&runtime, made));
                            let made = maker(&setup.plan, 1);
                            let entry = group.entry(key(id));
                            drop(entry.spawn_while_wanted_on(&runtime, made));
                            drop(
                                group
                                    .entry(key(id))
                                    .spawn_blocking_on(&runtime, call(&setup.plan)),
                            );
                        }
                    }
                    Attack::Forget => {
                        group.forget(&key(id));
                    }
                    Attack::ActByKey => {
                        drop(group.join(&key(id)));
                        black_box((group.touch(&key(id)), group.abort(&key(id))));
                    }
                    Attack::Query => {
                        black_box((group.contains(&key(id)), group.waiters(&key(id))));
                        drop(group.peek(&key(id)));
                        black_box((group.len(), group.is_empty(), group.stats()));
                        black_box((group.purge_expired(), group.clear_retained()));
                        black_box(format!("{group:?} {gate:?}"));
                    }
                    _ => {}
                }
            }
            match self {
                Attack::ActByClosure => {
                    black_box(group.keys());
                    black_box((group.forget_if(|_| true), group.abort_if(|_| true)));
                }
                Attack::AbortAll => group.abort_all(),
                Attack::Close => group.close(),
                _ => {}
            }
        }
        match self {
            Attack::UseTheGate => {
                for token in [None, Some(1), Some(3), Some(9)] {
                    drop(gate.begin(token.map(key)));
                    poll_once(pin!(gate.turn(token.map(key))));
                    let replaces = gate.entry(token.map(key)).mode(Mode::Replace);
                    poll_once(pin!(replaces.turn()));
                    black_box((gate.waiters(&key(3)), gate.is_busy(), gate.stats()));
                }
            }
            Attack::TurnTheClock => setup.clock.turn(100),
            Attack::Panic => quiet_panic(),
            #[cfg(feature = "std")]
            Attack::PanicTwice => {
                plan.twice.store(true, std::sync::atomic::Ordering::SeqCst);
                quiet_panic();
            }
            _ => {}
        }
    }
}
