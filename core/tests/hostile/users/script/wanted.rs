//! Operations that stop when nobody wants them, and those that a `spawn` keeps going.

use std::pin::Pin;

use super::{Registry, Setup, poll, poll_held};
use crate::users::plan::{Inline, Kept, Shelf, Way, key, maker};

/// As an executor does: a task that is ready is gone, and so is one that panics, as it can without
/// `std`.
fn poll_task(held: &mut Option<Kept>) {
    if let Some(mut task) = held.take() {
        if !poll(task.as_mut()) {
            *held = Some(task);
        }
    }
}

impl Setup {
    /// Operations whose last caller leaves: before they begin, and after; the one that began them,
    /// and a waiter. And one that is finished before that.
    pub(super) fn want(&self, group: &Registry) {
        let key = |id| key(&self.plan, id);
        for polls in [0, 1, 5] {
            let shelf = Shelf::new(&self.plan);
            let want = || {
                let entry = group.entry(key(3));
                entry.spawn_while_wanted_on(&shelf, maker(&self.plan, 3))
            };
            let (mut owner, mut second, mut third, mut task) = (None, None, None, None);
            self.attempt(|| owner = Some(want()));
            self.attempt(|| second = Some(want()));
            self.attempt(|| third = Some(group.begin(key(3))));
            self.attempt(|| second.as_mut().map(|call| poll(Pin::new(call))));
            self.attempt(|| task = shelf.take());
            for _ in 0..polls {
                self.attempt(|| poll_task(&mut task));
            }
            if polls % 2 == 0 {
                self.attempt(|| drop(owner.take()));
            }
            self.attempt(|| drop(third));
            self.attempt(|| drop(second));
            self.attempt(|| drop(owner));
            self.assert_waiting(group, 0);
            self.expect_its_end(&mut task);
            self.attempt(|| drop(task));
            self.drop_tasks(&shelf);
        }
        for way in [Way::RunsInline, Way::PollsOnceAndDrops, Way::Drops] {
            let plan = self.plan.clone();
            let runtime = Inline { plan, way };
            self.attempt(|| {
                let entry = group.entry(key(3));
                entry.spawn_while_wanted_on(&runtime, maker(&self.plan, 2))
            });
        }
    }

    /// A `spawn` that joins a `work`: its task goes on with the operation, is lost, or never runs.
    pub(super) fn spawn_and_work(&self, group: &Registry) {
        let key = |id| key(&self.plan, id);
        for polls in [0, 1, 5] {
            let shelf = Shelf::new(&self.plan);
            let (mut work, mut call, mut task) = (None, None, None);
            self.attempt(|| work = Some(Box::pin(group.work(key(4), maker(&self.plan, 3)))));
            self.attempt(|| poll_held(&mut work));
            self.attempt(|| {
                let entry = group.entry(key(4));
                call = Some(entry.spawn_on(&shelf, maker(&self.plan, 3)));
            });
            self.attempt(|| task = shelf.take());
            for _ in 0..polls {
                self.attempt(|| poll_task(&mut task));
            }
            self.attempt(|| drop(work));
            self.attempt(|| drop(task));
            let mut call = call.map(Box::pin);
            self.drop_tasks(&shelf);
            self.expect_its_end(&mut call);
            self.attempt(|| drop(call));
        }
        for way in [Way::RunsInline, Way::PollsOnceAndDrops, Way::Drops] {
            let plan = self.plan.clone();
            let runtime = Inline { plan, way };
            let mut work = None;
            self.attempt(|| work = Some(Box::pin(group.work(key(4), maker(&self.plan, 2)))));
            self.attempt(|| group.entry(key(4)).spawn_on(&runtime, maker(&self.plan, 2)));
            self.attempt(|| drop(work));
            self.assert_waiting(group, 0);
        }
    }

    /// Those that an attack has left behind.
    fn drop_tasks(&self, shelf: &Shelf) {
        while let Some(task) = shelf.take() {
            self.attempt(|| drop(task));
        }
    }
}
