//! The calls whose operation is a task of a runtime. It outlives every caller (policy *Detach*), or
//! stops when the last caller that wants it has left (policy *WhileWanted*).

use alloc::boxed::Box;
use core::future::Future;
use core::hash::Hash;

use equivalent::Equivalent;

use crate::cell::Snapshot;
use crate::flight::operation::Policy;
use crate::flight::{Attached, Flight, FlightRef, Pair, Seat, Wanted};
use crate::group::shard::{Call, Shard};
use crate::group::{Entry, Registry};
use crate::policy::participant::Participant;
use crate::policy::spawned::Spawned;
use crate::policy::task::{Drives, Task, Unbegun, give, wait_for_turn};
use crate::rt::{Spawn, SpawnBlocking};
use crate::sync::Arc;
use crate::unwind::isolate;

impl<G: Registry, Q: Hash + Equivalent<G::Key> + ?Sized> Entry<'_, G, Q> {
    /// Runs the operation for the key as a task of `runtime`, or waits for the one that runs.
    ///
    /// The runtime owns the operation. It runs to its end and settles, also if every caller was
    /// dropped. A call that comes before the end shares it. The adapters provide this call as
    /// `GroupExt::spawn` and `EntryExt::spawn`.
    ///
    /// If this call joins an operation that another kind of call began, it keeps that operation
    /// running to its end where it can:
    ///
    /// | begun by | what this call does when it joins |
    /// |---|---|
    /// | `spawn_while_wanted` | the operation no longer stops when its callers have left |
    /// | [`work`] | the first such call gives `runtime` a task that is a participant |
    /// | any other call | it waits, as every waiter does |
    ///
    /// A task that is a participant drives the operation, and keeps it alive when every other
    /// participant has left. It counts neither as a waiter nor for a limit. If the runtime drops
    /// this task, the next `spawn` that joins adds another one. A call from inside of the flight's
    /// own operation adds none. If the flight was begun by a guard,
    /// [`Primary::run`](crate::Primary::run), `try_work`, `work_blocking` or `spawn_blocking`, this
    /// call cannot keep the operation running. The operation can be lost with the caller that runs
    /// it.
    ///
    /// # Errors
    ///
    /// The future yields [`Error::Aborted`] if the flight ends without a value: the operation
    /// panicked, or the runtime dropped the task. If the call was rejected, the first poll yields
    /// [`Error::Rejected`].
    ///
    /// # Panics
    ///
    /// With `std`, a panic of the operation, or of the closure that makes it, does not reach the
    /// caller. All waiters get [`Cause::Panicked`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    ///
    /// If the runtime drops the task, the operation is dropped first, then the key is free, and
    /// then the waiters get [`Cause::Dropped`], also if that drop panics. If something else ends
    /// the flight, the waiters are woken at once, and the task drops the operation when it is
    /// polled next. A task that has not begun by then never begins, and
    /// [`has_begun`](crate::error::Aborted::has_begun) of that error is false.
    ///
    /// [`work`]: crate::Group::work
    /// [`Error::Aborted`]: crate::Error::Aborted
    /// [`Error::Rejected`]: crate::Error::Rejected
    /// [`Cause::Dropped`]: crate::error::Cause::Dropped
    /// [`Cause::Panicked`]: crate::error::Cause::Panicked
    pub fn spawn_on<R, M, F>(self, runtime: &R, make: M) -> Spawned<G::Key, G::Value>
    where
        R: Spawn,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = G::Value> + Send + 'static,
        G::Key: Send + Sync + 'static,
        G::Value: Send + Sync + 'static,
    {
        let mut call = ToItsEnd {
            owner: None,
            task: None,
        };
        let begun = self.begin_in_turn(&mut call);
        let spawned = Spawned::start(begun, call.owner, |primary, ticket| {
            give(runtime, ticket, Task::new(primary, make));
        });
        if let (Some(participant), false) = (call.task, spawned.is_replayed()) {
            runtime.spawn(Drives::new(participant));
        }
        spawned
    }

    /// Runs the operation for the key as a task of `runtime` for as long as a caller wants it, or
    /// waits for the one that runs.
    ///
    /// Use it for an operation that is costly and has no effect, such as a call of a model. No
    /// caller drives it, so no caller can delay it, and it does not run in the context of a caller.
    /// It stops when no caller waits for its answer any more.
    ///
    /// These callers want the operation, from the call until they are dropped:
    ///
    /// - this call, if it began the flight;
    /// - every waiter of the flight, from any kind of call, also if it is never polled. There are
    ///   two exceptions: a waiter that was begun from inside of the flight's own operation, and a
    ///   caller that got [`Rejected::Reentrant`].
    ///
    /// When the last of them is dropped, the flight ends as [`Cause::Dropped`]. A
    /// [`spawn_on`](Self::spawn_on) that joins the flight makes it run to its end, as a flight of
    /// `spawn_on`. An [`AbortHandle`](crate::handle::AbortHandle) does not count as a caller.
    ///
    /// To let the operation linger after the last caller, keep a waiter of it in a task that
    /// sleeps. The adapters provide this call as `GroupExt::spawn_while_wanted` and
    /// `EntryExt::spawn_while_wanted`.
    ///
    /// # Errors
    ///
    /// See [`spawn_on`](Self::spawn_on).
    ///
    /// # Panics
    ///
    /// See [`spawn_on`](Self::spawn_on).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting. If another caller wants the operation, nothing else
    /// happens. If no caller wants it, this drop ends the flight and frees the key. Then the task
    /// is woken, and drops the operation when it is polled. A task that has not begun by then never
    /// begins.
    ///
    /// A caller that comes before that end shares the operation and keeps it running. A caller that
    /// comes after it starts its own operation, and never inherits the cancellation. It might do so
    /// before the old operation is dropped, so it can meet a lock that the old operation still
    /// holds.
    ///
    /// [`Cause::Dropped`]: crate::error::Cause::Dropped
    /// [`Rejected::Reentrant`]: crate::error::Rejected::Reentrant
    ///
    /// # Examples
    ///
    /// ```
    /// # use oneflight_core::{Group, rt::Spawn};
    /// # struct Threads;
    /// # impl Spawn for Threads {
    /// #     fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
    /// #         std::thread::spawn(|| futures_lite::future::block_on(task));
    /// #     }
    /// # }
    /// let group: Group<&str, u32> = Group::new();
    /// let ask = || group.entry("prompt").spawn_while_wanted_on(&Threads, std::future::pending);
    /// let (first, second) = (ask(), ask());
    /// drop(first);
    /// assert!(group.contains("prompt"));
    /// drop(second);
    /// assert!(!group.contains("prompt"));
    /// ```
    #[must_use = "when the last caller is dropped, so is the operation"]
    pub fn spawn_while_wanted_on<R, M, F>(self, runtime: &R, make: M) -> Spawned<G::Key, G::Value>
    where
        R: Spawn,
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = G::Value> + Send + 'static,
        G::Key: Send + Sync + 'static,
        G::Value: Send + Sync + 'static,
    {
        let mut call = WhileWanted { owner: None };
        let begun = self.begin_in_turn(&mut call);
        Spawned::start(begun, call.owner, |primary, ticket| {
            give(runtime, ticket, Task::new(primary, make));
        })
    }

    /// Runs a blocking call for the key on a thread of the blocking pool of `runtime`, or waits for
    /// the call that runs.
    ///
    /// Each flight takes one thread of that pool for any number of callers, because no waiter
    /// enters the pool. Otherwise it works like [`spawn_on`](Self::spawn_on), with one exception.
    /// If another kind of call began the operation, this call only waits, as every waiter does: it
    /// can lose the outcome with that operation, and a `spawn_while_wanted` that it joins still
    /// stops when its callers have left. The adapters provide this call as
    /// `GroupExt::spawn_blocking` and `EntryExt::spawn_blocking`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting. If something else ends the flight, a call that has
    /// not begun never begins. A call that runs can't be stopped. Its value is dropped, and
    /// [`Group::drained`](crate::Group::drained) waits until it has returned.
    ///
    /// # Deadlocks
    ///
    /// A call that blocks on its own key waits for itself. A `wait_blocking` there fails with
    /// [`Rejected::Reentrant`], but a `block_on` is not detected. Calls that block on each other's
    /// keys need one thread each.
    ///
    /// At a [gate](crate::gate::Gate) that is held, the call holds a thread of the pool while it
    /// waits for its turn. If the holder of the gate needs a thread of that pool, the two wait for
    /// each other. Use [`spawn_on`](Self::spawn_on) with an operation that uses the pool, or
    /// [`turn`](crate::Entry::turn). Without `std` no thread can wait: the call is rejected as
    /// [`Busy`](crate::error::Rejected::Busy).
    ///
    /// [`Rejected::Reentrant`]: crate::error::Rejected::Reentrant
    pub fn spawn_blocking_on<R, F>(self, runtime: &R, call: F) -> Spawned<G::Key, G::Value>
    where
        R: SpawnBlocking,
        F: FnOnce() -> G::Value + Send + 'static,
        G::Key: Send + Sync + 'static,
        G::Value: Send + Sync + 'static,
    {
        Spawned::start(self.begin_on_thread(), None, |primary, ticket| {
            let unbegun = Unbegun::new(primary, call);
            runtime.spawn_blocking(move || {
                isolate(|| {
                    wait_for_turn(ticket);
                    if let Some((primary, call)) = unbegun.begin() {
                        let value = primary.guarded(call);
                        drop(primary.settle(value));
                    }
                });
            });
        })
    }
}

/// A call of `spawn`: the operation runs to its end, also one that it joins.
struct ToItsEnd<K, T> {
    owner: Option<Seat<K, T>>,
    /// The participant that its runtime is to be given, if it has joined a `work`.
    task: Option<Participant<K, T>>,
}

impl<K, T> Call<K, T> for ToItsEnd<K, T> {
    /// It is counted, so a flight that has to be wanted can't end before this makes it wanted for
    /// good. A flight that its last participant has left is about to end, as in `participant`.
    fn try_share(&mut self, shard: &Arc<Shard<K, T>>, flight: &FlightRef<K, T>) -> bool {
        flight.cell.keep();
        let state = flight.cell.snapshot();
        let joined = flight.with_shared(|shared| {
            let continues = shared.policy() == Policy::Continue && !state.ended();
            continues.then(|| shared.join_by_task())
        });
        match joined.flatten() {
            Some(Some(first)) => {
                // A guard at once: a subscriber is told of the join before this call has the
                // waiter.
                self.task = first.then(|| Participant::task(flight.clone(), shard.clone()));
                true
            }
            Some(None) => flight.cell.snapshot().settled(),
            // It has none to drive, or has ended and shed it.
            None => flight.cell.snapshot().cause().is_none(),
        }
    }

    fn allocate(
        &mut self,
        _shard: &Arc<Shard<K, T>>,
        _turn: bool,
        open: Snapshot,
        make: impl FnOnce(Option<Box<Attached<T>>>, Snapshot) -> Flight<K, T>,
    ) -> Pair<K, T> {
        let (pair, owner) = allocate(open, |open| make(None, open));
        self.owner = owner;
        pair
    }
}

/// A new flight, and the seat of its owner if it has a place. None of the operation's code has run.
fn allocate<K, T>(
    open: Snapshot,
    make: impl FnOnce(Snapshot) -> Flight<K, T>,
) -> (Pair<K, T>, Option<Seat<K, T>>) {
    let open = open.unbegun();
    if open.sheds() {
        return (FlightRef::pair(|| make(open.reserved())), None);
    }
    let (pair, owner) = FlightRef::pair_with_owner(open, make);
    (pair, Some(owner))
}

/// A call of `spawn_while_wanted`.
struct WhileWanted<K, T> {
    owner: Option<Seat<K, T>>,
}

impl<K, T> Call<K, T> for WhileWanted<K, T>
where
    K: Send + Sync + 'static,
    T: Send + Sync + 'static,
{
    fn allocate(
        &mut self,
        shard: &Arc<Shard<K, T>>,
        _turn: bool,
        open: Snapshot,
        make: impl FnOnce(Option<Box<Attached<T>>>, Snapshot) -> Flight<K, T>,
    ) -> Pair<K, T> {
        let wanted = Attached::Wanted(Wanted::new(Box::new(shard.clone())));
        let make = |open| make(Some(Box::new(wanted)), open);
        let (pair, owner) = allocate(open.while_wanted(), make);
        self.owner = owner;
        pair
    }
}
