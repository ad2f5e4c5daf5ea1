//! Every call there is, on keys that collide, each on its own: a panic of one does not keep the
//! next from running.

mod gate;
mod wanted;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use crate::fine::fine;
use crate::limit::panics;
use oneflight_core::error::Rejected;
use oneflight_core::gate::{Gate, Mode};
use oneflight_core::{Begin, Fingerprint, Group, Settled, Stats};

use super::plan::{
    Inline, Key, OneHash, Part, Plan, Ticks, Value, Way, call, key, maker, trier, value,
};

pub(crate) type Registry = Group<Key, Value, OneHash>;
pub(crate) type Line = Gate<Key, Value>;

/// The most flights at once in the group with rules.
const FLIGHTS: u32 = 8;

/// Two groups, one with all rules, and a gate.
pub(crate) struct Setup {
    pub(crate) plan: Arc<Plan>,
    pub(crate) plain: Registry,
    pub(crate) ruled: Registry,
    pub(crate) gate: Line,
    pub(crate) clock: Ticks,
    /// Calls that panicked.
    panicked: AtomicUsize,
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    future.poll(&mut cx).is_ready()
}

/// One that is ready is gone.
fn poll_held<F: Future + ?Sized>(held: &mut Option<Pin<Box<F>>>) {
    drop(held.take_if(|future| poll(future.as_mut())));
}

impl Setup {
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        plan.is_here();
        let clock = Ticks::new(plan);
        let (how_long, weigh) = (plan.clone(), plan.clone());
        let hasher = OneHash(plan.clone());
        let ruled = Group::<Key, Value>::builder()
            .shards(2)
            .clock(clock.clone())
            .retain_by(move |_| {
                how_long.reached(Part::HowLong);
                Some(Duration::from_secs(10))
            })
            .max_retained(3)
            .max_retained_weight(3, move |_| {
                weigh.reached(Part::Weigh);
                1
            })
            .max_waiters(3)
            .max_flights(FLIGHTS as usize)
            .supersede_after(Duration::from_secs(60))
            .hasher(hasher.clone())
            .build();
        Self {
            plan: plan.clone(),
            plain: Group::with_hasher(hasher),
            ruled,
            gate: Gate::builder(Mode::Queue)
                .supersede_after(Duration::from_secs(60))
                .clock(clock.clone())
                .build(),
            clock,
            panicked: AtomicUsize::new(0),
        }
    }

    /// Whether the call returned. Its result is dropped in the attempt.
    pub(super) fn attempt<R>(&self, call: impl FnOnce() -> R) -> bool {
        let panicked = panics(|| drop(call()));
        self.panicked.fetch_add(panicked.into(), Ordering::SeqCst);
        !panicked
    }

    /// Asking for them drops what has expired, so an attack can be made there.
    fn figures(&self, group: &Registry) -> Stats {
        let mut stats = None;
        while !self.attempt(|| stats = Some(group.stats())) {}
        stats.expect("the call returned")
    }

    /// Who did not come to wait, because a call of the user's panicked, is not counted. It would be
    /// lost in the figures as soon as the flight ends.
    fn assert_waiting(&self, group: &Registry, at_most: usize) {
        let stats = self.figures(group);
        assert!(stats.waiting <= at_most, "{stats:?}");
    }

    /// Polls until it is ready or panics: either way its flight must have ended, or have been
    /// passed on. False if it was not there, or does not come to its end.
    fn finish<F: Future + ?Sized>(&self, future: &mut Option<Pin<Box<F>>>) -> bool {
        (0..10).any(|_| {
            let mut ready = false;
            let returned = self.attempt(|| {
                ready = future.as_mut().is_some_and(|future| poll(future.as_mut()));
            });
            ready || !returned
        })
    }

    /// Of one that waited, however many of the others were lost.
    fn expect_its_end<F: Future + ?Sized>(&self, future: &mut Option<Pin<Box<F>>>) {
        assert!(future.is_none() || self.finish(future), "never ready");
    }

    /// Returns how many calls panicked.
    pub(crate) fn run(&self) -> usize {
        for group in [&self.plain, &self.ruled] {
            self.begin_and_join(group);
            self.act_on_keys(group);
            self.work(group);
            self.tries(group);
            self.run_and_spawn(group);
            self.want(group);
            self.spawn_and_work(group);
            self.grow_old(group);
            // Before what is in flight is aborted: nothing is, whatever panicked.
            let stats = self.figures(group);
            assert_eq!((stats.in_flight, stats.waiting), (0, 0), "{stats:?}");
            // Its calls would count, and not be there to be attacked.
            if self.plan.has_attacked() {
                self.assert_usable(group);
            }
            self.stop(group);
        }
        self.pass_the_gate();
        self.replace_at_the_gate();
        self.panicked.load(Ordering::SeqCst)
    }

    /// All flights that there may be can be begun, and what one settles reaches its duplicate.
    /// Unless it was closed.
    fn assert_usable(&self, group: &Registry) {
        // Of a plan that attacks no more.
        let plan = Arc::default();
        let mut begun: Vec<_> = (0..FLIGHTS).map(|id| group.begin(key(&plan, id))).collect();
        if let Some(Begin::Rejected(why)) = begun.first() {
            return assert_eq!(*why, Rejected::Closed);
        }
        let Begin::Waiter(duplicate) = group.begin(key(&plan, 0)) else {
            panic!("the key was begun")
        };
        for begin in begun.drain(..) {
            let Begin::Primary(primary) = begin else {
                panic!("what is over still counts: {begin:?}")
            };
            assert!(primary.settle(value(&plan)).is_ok());
        }
        assert!(duplicate.get().is_some_and(|outcome| outcome.is_ok()));
        // Where it is retained, it would go with the group, and after its plan.
        for id in 0..FLIGHTS {
            group.forget(&key(&plan, id));
        }
    }

    fn begin_and_join(&self, group: &Registry) {
        let key = |id| key(&self.plan, id);
        let mut held: Vec<Begin<Key, Value>> = Vec::new();
        let mut settled: Vec<Settled<Key, Value>> = Vec::new();
        for id in [1, 2, 1, 3, 2, 1, 1, 1] {
            self.attempt(|| held.push(group.begin(key(id))));
        }
        for id in [1, 4, 4] {
            self.attempt(|| {
                let asked = key(id);
                let begin = group.entry_ref::<Key>(&asked).begin();
                held.push(begin);
            });
        }
        let (one, other) = (Fingerprint::of_bytes(b"one"), Fingerprint::of_bytes(b"two"));
        for mark in [one, other, one] {
            self.attempt(|| held.push(group.entry(key(5)).fingerprint(mark).begin()));
        }
        let joined = |begin: &&Begin<Key, Value>| matches!(begin, Begin::Waiter(_));
        self.assert_waiting(group, held.iter().filter(joined).count());
        self.attempt(|| group.contains(&key(3)).then(|| group.waiters(&key(2))));
        self.attempt(|| group.peek(&key(1)));
        self.attempt(|| group.purge_expired());
        self.attempt(|| group.forget(&key(2)));
        self.attempt(|| held.push(group.begin(key(2))));
        // One half is settled, the other dropped as it is, from either end.
        let mut turn = 0;
        while !held.is_empty() {
            turn += 1;
            let begin = if turn % 3 == 0 {
                held.pop().expect("not empty")
            } else {
                held.remove(0)
            };
            self.attempt(|| match begin {
                Begin::Primary(primary) if turn % 2 == 0 => {
                    settled.extend(primary.settle(value(&self.plan)).ok());
                }
                begin => drop(begin),
            });
        }
        for value in settled {
            self.attempt(|| drop(value));
        }
        // Late ones: where it is retained, they get the outcome.
        for id in [1, 2, 3] {
            self.attempt(|| group.begin(key(id)));
            self.attempt(|| group.peek(&key(id)));
        }
        for id in [1, 3, 5] {
            self.attempt(|| group.forget(&key(id)));
        }
        self.clock.turn(20);
        self.attempt(|| group.begin(key(1)));
    }

    fn work(&self, group: &Registry) {
        let key = |id| key(&self.plan, id);
        let (mut first, mut second) = (None, None);
        self.attempt(|| first = Some(Box::pin(group.work(key(6), maker(&self.plan, 2)))));
        self.attempt(|| second = Some(Box::pin(group.work(key(6), maker(&self.plan, 2)))));
        let joined = usize::from(first.is_some() && second.is_some());
        self.assert_waiting(group, joined);
        for work in [&mut first, &mut second] {
            self.attempt(|| work.as_mut().map(|work| poll(work.as_mut())));
        }
        let over = self.finish(&mut first);
        if let (true, Some(first), Some(second)) = (over, &first, &second) {
            // An attack may have come between the two.
            let shared = first.id() == second.id();
            assert!(!shared || second.get().is_some(), "ended, and not for all");
        }
        self.expect_its_end(&mut second);
        self.attempt(|| drop(first));
        self.attempt(|| drop(second));
        // The driver leaves half-way, then the last one does.
        for heirs in [1, 0] {
            let mut driver = None;
            let mut heir = None;
            self.attempt(|| driver = Some(Box::pin(group.work(key(7), maker(&self.plan, 3)))));
            if heirs == 1 {
                self.attempt(|| heir = Some(Box::pin(group.work(key(7), maker(&self.plan, 3)))));
            }
            self.attempt(|| poll_held(&mut driver));
            self.attempt(|| drop(driver));
            self.expect_its_end(&mut heir);
            self.attempt(|| drop(heir));
        }
    }

    fn tries(&self, group: &Registry) {
        let key = |id| key(&self.plan, id);
        let tries = |fails| Box::pin(group.try_work(key(8), trier(&self.plan, 1, fails)));
        for (heirs, fails) in [(1, false), (0, false), (1, true), (0, true)] {
            let (mut driver, mut heir) = (None, None);
            self.attempt(|| driver = Some(tries(fails)));
            if heirs == 1 {
                self.attempt(|| heir = Some(tries(false)));
            }
            self.attempt(|| poll_held(&mut driver));
            if fails {
                self.attempt(|| poll_held(&mut driver));
            }
            self.attempt(|| drop(driver));
            self.expect_its_end(&mut heir);
            self.attempt(|| drop(heir));
        }
        // Behind a guard it gets the end of that.
        let (mut guard, mut behind) = (None, None);
        self.attempt(|| guard = Some(group.begin(key(8))));
        self.attempt(|| behind = Some(tries(false)));
        self.attempt(|| drop(guard));
        self.expect_its_end(&mut behind);
        self.attempt(|| drop(behind));
    }

    fn run_and_spawn(&self, group: &Registry) {
        let key = |id| key(&self.plan, id);
        for polls in [1, 10] {
            self.attempt(|| {
                if let Begin::Primary(primary) = group.begin(key(9)) {
                    let mut run = pin!(primary.run(maker(&self.plan, 2)()));
                    for _ in 0..polls {
                        if poll(run.as_mut()) {
                            break;
                        }
                    }
                }
            });
        }
        for way in [Way::RunsInline, Way::PollsOnceAndDrops, Way::Drops] {
            let plan = self.plan.clone();
            let runtime = Inline { plan, way };
            self.attempt(|| {
                group
                    .entry(key(10))
                    .spawn_on(&runtime, maker(&self.plan, 2))
            });
            self.attempt(|| {
                group
                    .entry(key(11))
                    .spawn_blocking_on(&runtime, call(&self.plan))
            });
            // A duplicate's closure is not needed.
            let mut held = None;
            self.attempt(|| held = Some(group.begin(key(12))));
            self.attempt(|| {
                group
                    .entry(key(12))
                    .spawn_on(&runtime, maker(&self.plan, 2))
            });
            self.attempt(|| {
                group
                    .entry(key(12))
                    .spawn_blocking_on(&runtime, call(&self.plan))
            });
            self.assert_waiting(group, 0);
            self.attempt(|| drop(held));
        }
    }

    /// Flights that give way to newer ones, where the group has a greatest age.
    fn grow_old(&self, group: &Registry) {
        let key = |id| key(&self.plan, id);
        let mut old = Vec::new();
        let (mut work, mut tries) = (None, None);
        self.attempt(|| old.push(group.begin(key(13))));
        self.attempt(|| old.push(group.begin(key(13))));
        self.attempt(|| work = Some(Box::pin(group.work(key(14), maker(&self.plan, 9)))));
        self.attempt(|| {
            tries = Some(Box::pin(
                group.try_work(key(16), fine(maker(&self.plan, 9))),
            ));
        });
        self.attempt(|| poll_held(&mut work));
        self.attempt(|| poll_held(&mut tries));
        self.clock.turn(100);
        for id in [13, 14, 16] {
            self.attempt(|| old.push(group.begin(key(id))));
        }
        for begin in old {
            self.attempt(|| match begin {
                Begin::Primary(primary) => drop(primary.settle(value(&self.plan))),
                begin => drop(begin),
            });
        }
        self.attempt(|| poll_held(&mut work));
        self.attempt(|| poll_held(&mut tries));
        self.attempt(|| drop(work));
        self.attempt(|| drop(tries));
        // Those that are retained: by the bound, by expiry, and all.
        for id in 20..24 {
            self.attempt(|| match group.begin(key(id)) {
                Begin::Primary(primary) => drop(primary.settle(value(&self.plan))),
                begin => drop(begin),
            });
        }
        self.clock.turn(100);
        self.attempt(|| group.purge_expired());
        self.attempt(|| match group.begin(key(20)) {
            Begin::Primary(primary) => drop(primary.settle(value(&self.plan))),
            begin => drop(begin),
        });
        self.attempt(|| group.clear_retained());
    }

    fn stop(&self, group: &Registry) {
        let key = |id| key(&self.plan, id);
        let (mut work, mut tries, mut run, mut held) = (None, None, None, None);
        let mut drained = Some(Box::pin(group.drained()));
        self.attempt(|| poll_held(&mut drained));
        self.attempt(|| work = Some(Box::pin(group.work(key(15), maker(&self.plan, 9)))));
        self.attempt(|| {
            tries = Some(Box::pin(
                group.try_work(key(16), fine(maker(&self.plan, 9))),
            ));
        });
        self.attempt(|| {
            if let Begin::Primary(primary) = group.begin(key(17)) {
                run = Some(Box::pin(primary.run(maker(&self.plan, 9)())));
            }
        });
        self.attempt(|| held = Some(group.begin(key(18))));
        self.attempt(|| poll_held(&mut work));
        self.attempt(|| poll_held(&mut tries));
        self.attempt(|| poll_held(&mut run));
        self.attempt(|| group.forget(&key(18)));
        self.attempt(|| group.close());
        self.attempt(|| group.begin(key(19)));
        self.attempt(|| group.abort_all());
        self.attempt(|| poll_held(&mut tries));
        self.attempt(|| poll_held(&mut run));
        self.attempt(|| drop(run));
        self.attempt(|| drop(tries));
        self.attempt(|| drop(work));
        self.attempt(|| drop(held));
        // A panic may have come out of the call that closes.
        self.attempt(|| group.close());
        self.expect_its_end(&mut drained);
    }
}
