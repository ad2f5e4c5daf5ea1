//! Every key, value and operation is dropped exactly once, on every path, and as early as promised.

mod support;

use std::future::{Future, pending};
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use oneflight_core::{Begin, Group, SettleCell};
use support::{Shelf, assert_idle, panics, poll_idly, primary, waiter, while_unwinding};

/// How many of one kind were made, and how many are alive.
#[derive(Clone, Default)]
struct Census(Arc<(AtomicUsize, AtomicUsize)>);

impl Census {
    fn make(&self) -> Counted {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        Counted {
            census: self.clone(),
        }
    }

    /// (made, dropped)
    fn count(&self) -> (usize, usize) {
        (
            self.0.0.load(Ordering::SeqCst),
            self.0.1.load(Ordering::SeqCst),
        )
    }

    fn alive(&self) -> usize {
        let (made, dropped) = self.count();
        made.checked_sub(dropped).expect("nothing is dropped twice")
    }
}

/// One of them. Not `Clone`: each is made once, so two drops of one show in the count.
struct Counted {
    census: Census,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.census.0.1.fetch_add(1, Ordering::SeqCst);
    }
}

struct Key {
    id: u32,
    _counted: Counted,
}

fn key(keys: &Census, id: u32) -> Key {
    Key {
        id,
        _counted: keys.make(),
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// Pending until told otherwise; then ready with a value, or a panic.
struct Operation {
    _counted: Counted,
    values: Census,
    polls_left: usize,
    panics: bool,
}

impl Future for Operation {
    type Output = Counted;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Counted> {
        if self.polls_left > 0 {
            self.polls_left -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        assert!(!self.panics, "the operation panics, as told");
        Poll::Ready(self.values.make())
    }
}

/// A group with a census of each kind of thing in it.
#[derive(Clone)]
struct World {
    group: Group<Key, Counted>,
    keys: Census,
    values: Census,
    operations: Census,
}

impl World {
    fn new() -> Self {
        Self {
            group: Group::new(),
            keys: Census::default(),
            values: Census::default(),
            operations: Census::default(),
        }
    }

    fn key(&self, id: u32) -> Key {
        key(&self.keys, id)
    }

    fn operation(&self, polls_left: usize, panics: bool) -> Operation {
        Operation {
            _counted: self.operations.make(),
            values: self.values.clone(),
            polls_left,
            panics,
        }
    }

    /// (keys, values, operations) alive.
    fn alive(&self) -> (usize, usize, usize) {
        (
            self.keys.alive(),
            self.values.alive(),
            self.operations.alive(),
        )
    }

    /// (keys, values, operations) made; all of them gone.
    fn assert_gone(&self, made: (usize, usize, usize)) {
        assert_eq!(self.alive(), (0, 0, 0));
        let all = (&self.keys, &self.values, &self.operations);
        assert_eq!((all.0.count().0, all.1.count().0, all.2.count().0), made);
        assert_idle(&self.group);
    }
}

#[test]
fn a_duplicates_key_goes_at_once_and_the_value_with_the_last_handle() {
    let world = World::new();
    let owner = primary(&world.group, world.key(1));
    let waiters: Vec<_> = (0..10)
        .map(|_| waiter(&world.group, world.key(1)))
        .collect();
    assert_eq!(world.alive(), (1, 0, 0));
    let settled = owner.settle(world.values.make()).expect("first");
    drop(waiters);
    let copy = settled.clone();
    drop(settled);
    assert_eq!(world.alive(), (1, 1, 0));
    drop(copy);
    world.assert_gone((11, 1, 0));
}

#[test]
fn an_aborted_flight_drops_its_key_with_the_last_handle() {
    for how in 0..3 {
        let world = World::new();
        let owner = primary(&world.group, world.key(1));
        let waiting = waiter(&world.group, world.key(1));
        match how {
            0 => drop(owner),
            1 => owner.abort(),
            _ => while_unwinding(move || drop(owner)),
        }
        assert!(waiting.get().expect("ended").is_err());
        assert_eq!(world.alive(), (1, 0, 0));
        drop(waiting);
        world.assert_gone((2, 0, 0));
    }
}

#[test]
fn a_forgotten_flight_drops_its_own_things_and_not_its_successors() {
    let world = World::new();
    let old = primary(&world.group, world.key(1));
    let waiting = waiter(&world.group, world.key(1));
    assert!(world.group.forget(&world.key(1)));
    let new = primary(&world.group, world.key(1));
    assert_eq!(world.alive(), (2, 0, 0));
    drop(old.settle(world.values.make()));
    drop(waiting);
    assert_eq!(world.alive(), (1, 0, 0));
    drop(new.settle(world.values.make()));
    world.assert_gone((4, 2, 0));
}

#[test]
fn a_refused_value_comes_back_and_is_dropped_by_its_owner() {
    let values = Census::default();
    let cell = SettleCell::new();
    assert!(cell.settle(values.make()).is_ok());
    let refused = cell.settle(values.make()).err().expect("the second");
    assert_eq!(values.alive(), 2);
    let value = refused.value;
    assert_eq!(values.alive(), 2);
    drop(value);
    assert_eq!(values.alive(), 1);
    drop(cell.settle(values.make()));
    assert_eq!(values.alive(), 1);
    drop(cell);
    assert_eq!(values.count(), (3, 3));
}

#[test]
fn a_cell_gives_its_value_out_or_drops_it_once() {
    let values = Census::default();
    drop(SettleCell::<Counted>::new());
    assert!(SettleCell::<Counted>::new().into_inner().is_none());

    let waited_for = SettleCell::new();
    {
        let mut wait = waited_for.wait();
        assert!(poll_idly(&mut wait).is_pending());
    }
    assert!(waited_for.settle(values.make()).is_ok());
    let value = waited_for.into_inner();
    assert!(value.is_some());
    assert_eq!(values.alive(), 1);
    drop(value);

    let never = SettleCell::<Counted>::new();
    {
        let mut wait = never.wait();
        assert!(poll_idly(&mut wait).is_pending());
    }
    assert!(never.into_inner().is_none());
    assert_eq!(values.count(), (1, 1));
}

#[test]
fn an_operation_goes_when_its_flight_ends_however_many_hold_the_outcome() {
    for panicking in [false, true] {
        let world = World::new();
        let mut driver = world
            .group
            .work(world.key(1), || world.operation(1, panicking));
        let mut other = world.group.work(world.key(1), || world.operation(0, true));
        assert_eq!(world.alive(), (1, 0, 1), "a duplicate's is never made");
        assert!(poll_idly(&mut driver).is_pending());
        assert_eq!(world.operations.alive(), 1);
        assert_eq!(panics(|| poll_idly(&mut driver).is_ready()), panicking);
        assert_eq!(world.operations.alive(), 0);
        assert!(poll_idly(&mut other).is_ready());
        assert_eq!(world.values.alive(), usize::from(!panicking));
        drop((driver, other));
        world.assert_gone((2, usize::from(!panicking), 1));
    }
}

#[test]
fn the_last_participant_takes_the_operation_along() {
    for polls in 0..3 {
        let world = World::new();
        let mut first = world
            .group
            .work(world.key(1), || world.operation(10, false));
        let second = world
            .group
            .work(world.key(1), || world.operation(10, false));
        for _ in 0..polls {
            assert!(poll_idly(&mut first).is_pending());
        }
        drop(first);
        assert_eq!(world.alive(), (1, 0, 1));
        drop(second);
        world.assert_gone((2, 0, 1));
    }
}

#[test]
fn an_operation_that_can_not_be_made_leaves_nothing() {
    let world = World::new();
    assert!(panics(|| {
        world.group.work(world.key(1), || -> Operation {
            let _half = world.operations.make();
            panic!("while it is made")
        })
    }));
    world.assert_gone((1, 0, 1));
}

#[test]
fn a_run_future_drops_operation_and_key_on_every_path() {
    for (polls, panicking) in [(0, false), (1, false), (3, false), (3, true)] {
        let world = World::new();
        let owner = primary(&world.group, world.key(1));
        let mut run = owner.run(world.operation(2, panicking));
        let mut values = 0;
        for _ in 0..polls {
            let polled = panics(|| {
                if let Poll::Ready(settled) = poll_idly(&mut run) {
                    assert!(settled.is_ok());
                    values += 1;
                }
            });
            assert!(!polled || panicking);
        }
        drop(run);
        world.assert_gone((1, values, 1));
    }
}

#[test]
fn a_task_drops_everything_whether_it_runs_or_not() {
    for (polls, panicking) in [(0, false), (1, false), (3, false), (3, true)] {
        let world = World::new();
        let shelf = Shelf::default();
        let (inner, unused) = (world.clone(), world.clone());
        let call = world
            .group
            .entry(world.key(1))
            .spawn_on(&shelf, move || inner.operation(2, panicking));
        let joined = world
            .group
            .entry(world.key(1))
            .spawn_on(&shelf, move || unused.operation(0, true));
        let mut task = shelf.take_task();
        for _ in 0..polls {
            let _ready = poll_idly(&mut task).is_ready();
        }
        drop(task);
        assert_eq!(world.operations.alive(), 0);
        assert!(call.get().is_some() && joined.get().is_some());
        drop((call, joined));
        let settled = usize::from(polls == 3 && !panicking);
        world.assert_gone((2, settled, usize::from(polls > 0)));
    }
}

#[test]
fn a_blocking_call_drops_everything_whether_it_runs_or_not() {
    for (runs, panicking) in [(false, false), (true, false), (true, true)] {
        let world = World::new();
        let shelf = Shelf::default();
        let (token, values) = (world.operations.make(), world.values.clone());
        let detached = world
            .group
            .entry(world.key(1))
            .spawn_blocking_on(&shelf, move || {
                let _token = token;
                assert!(!panicking, "the call panics, as told");
                values.make()
            });
        let call = shelf.take_call();
        if runs {
            call();
        } else {
            drop(call);
        }
        assert_eq!(world.operations.alive(), 0);
        assert_eq!(detached.get().expect("ended").is_ok(), runs && !panicking);
        drop(detached);
        world.assert_gone((1, usize::from(runs && !panicking), 1));
    }
}

#[test]
fn a_group_that_goes_first_keeps_nothing_back() {
    let world = World::new();
    let World {
        group,
        keys,
        values,
        operations,
    } = world.clone();
    drop(world);
    let owner = primary(&group, key(&keys, 1));
    let mut waiting = waiter(&group, key(&keys, 1));
    let lost = primary(&group, key(&keys, 2));
    let forgotten = primary(&group, key(&keys, 3));
    assert!(group.forget(&key(&keys, 3)));
    let (made, token) = (values.clone(), operations.make());
    let mut work = group.work(key(&keys, 4), move || async move {
        let _token = token;
        pending::<()>().await;
        made.make()
    });
    assert!(poll_idly(&mut waiting).is_pending());
    assert!(poll_idly(&mut work).is_pending());
    drop(group);
    assert_eq!((keys.alive(), operations.alive()), (4, 1));
    drop(owner.settle(values.make()));
    assert!(poll_idly(&mut waiting).is_ready());
    drop((waiting, lost, forgotten, work));
    assert_eq!(
        (keys.alive(), values.alive(), operations.alive()),
        (0, 0, 0)
    );
}

#[test]
fn a_waker_of_an_operation_that_is_over_keeps_neither_key_nor_value_nor_operation() {
    let world = World::new();
    let kept = Arc::new(std::sync::Mutex::new(None));
    let (inner, values, token) = (kept.clone(), world.values.clone(), world.operations.make());
    let mut work = world.group.work(world.key(1), move || {
        std::future::poll_fn(move |cx| {
            let _token = &token;
            *inner.lock().expect("not poisoned") = Some(cx.waker().clone());
            Poll::Ready(values.make())
        })
    });
    assert!(poll_idly(&mut work).is_ready());
    drop(work);
    let waker = kept.lock().expect("not poisoned").take();
    let waker: Waker = waker.expect("polled once");
    world.assert_gone((1, 1, 1));
    waker.wake();
}

#[test]
fn a_key_that_was_only_asked_for_is_never_kept() {
    let world = World::new();
    assert!(!world.group.contains(&world.key(1)));
    assert!(!world.group.forget(&world.key(1)));
    assert_eq!(world.group.waiters(&world.key(1)), 0);
    assert!(matches!(world.group.begin(world.key(1)), Begin::Primary(_)));
    world.assert_gone((4, 0, 0));
}
