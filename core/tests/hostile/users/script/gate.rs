//! A gate: those who hold it, wait for it, replace its holder, and find that too old.

use std::pin::{Pin, pin};

use oneflight_core::gate::{Mode, Turn};
use oneflight_core::{Begin, Fingerprint};

use super::super::plan::{Inline, Key, Value, Way, call, key, maker, trier, value};
use super::{Setup, poll};

impl Setup {
    pub(super) fn pass_the_gate(&self) {
        let (gate, key) = (&self.gate, |id| key(&self.plan, id));
        let mut held: Vec<Begin<Option<Key>, Value>> = Vec::new();
        let mut turns: Vec<Turn<Key, Value>> = Vec::new();
        for token in [Some(1), Some(1), Some(2), None] {
            self.attempt(|| held.push(gate.begin(token.map(key))));
        }
        for token in [Some(3), Some(3), Some(4), None, Some(1)] {
            self.attempt(|| turns.push(gate.turn(token.map(key))));
        }
        let mark = Fingerprint::of_bytes(b"one");
        self.attempt(|| turns.push(gate.entry(Some(key(5))).fingerprint(mark).turn()));
        let joined = held
            .iter()
            .filter(|begin| matches!(begin, Begin::Waiter(_)))
            .count();
        let waiting = gate.stats().waiting;
        assert!(waiting <= joined + turns.len(), "{waiting} of {joined}");
        self.attempt(|| gate.waiters(&key(3)));
        for begin in held {
            self.attempt(|| match begin {
                Begin::Primary(primary) => drop(primary.settle(value(&self.plan))),
                begin => drop(begin),
            });
        }
        for mut turn in turns {
            self.attempt(|| poll(Pin::new(&mut turn)));
            self.attempt(|| drop(turn));
        }
    }

    /// Calls replace a guard, a `work`, a turn and each other. Then one finds a holder too old, and
    /// all are aborted while some wait.
    pub(super) fn replace_at_the_gate(&self) {
        let (gate, plan) = (&self.gate, &self.plan);
        let entry = |id| gate.entry(Some(key(plan, id))).mode(Mode::Replace);
        let (mut held, mut works, mut turns) = (Vec::new(), Vec::new(), Vec::new());
        self.attempt(|| held.push(gate.begin(Some(key(plan, 1)))));
        self.attempt(|| works.push(entry(2).work(maker(plan, 0))));
        self.attempt(|| turns.push(entry(3).turn()));
        self.attempt(|| poll(pin!(entry(4).try_work(trier(plan, 0, false)))));
        for way in [Way::RunsInline, Way::PollsOnceAndDrops, Way::Drops] {
            let plan = plan.clone();
            let runtime = Inline { plan, way };
            self.attempt(|| drop(entry(5).spawn_on(&runtime, maker(&self.plan, 2))));
            if way == Way::Drops {
                self.attempt(|| drop(entry(6).spawn_blocking_on(&runtime, call(&self.plan))));
            }
        }
        self.attempt(|| turns.push(gate.turn(Some(key(plan, 7)))));
        self.attempt(|| works.push(entry(8).work(maker(plan, 1))));
        // The guard has ended, and is gone now.
        self.attempt(|| drop(held));
        for work in &mut works {
            self.attempt(|| poll(Pin::new(work)));
        }
        self.clock.turn(100);
        let mut late = Vec::new();
        self.attempt(|| late.push(gate.begin(Some(key(plan, 9)))));
        self.attempt(|| turns.push(gate.turn(Some(key(plan, 10)))));
        self.attempt(|| gate.abort(&key(plan, 7)));
        self.attempt(|| gate.touch(&key(plan, 10)));
        self.attempt(|| gate.abort_all());
        for work in works {
            self.attempt(|| drop(work));
        }
        for mut turn in turns {
            self.attempt(|| poll(Pin::new(&mut turn)));
            self.attempt(|| drop(turn));
        }
        self.attempt(|| drop(late));
    }
}
