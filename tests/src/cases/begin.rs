//! Who becomes primary.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use oneflight::Begin;

use super::Group;
use crate::{TestRuntime, primary, until, waiter};

/// Threads and tasks race for a key, and all but one wait.
pub async fn callers_that_begin_at_once_get_one_primary<R: TestRuntime>(rt: R) {
    const THREADS: usize = 4;
    const TASKS: usize = 12;
    let group = Group::new();
    let first = Arc::new(Mutex::new(Vec::new()));
    let start = Arc::new(Barrier::new(THREADS + 1));

    let call = {
        let (group, first) = (group.clone(), first.clone());
        move || match group.begin("k") {
            Begin::Primary(primary) => {
                first.lock().unwrap().push(primary);
                None
            }
            Begin::Waiter(waiter) => Some(waiter),
            Begin::Rejected(why) => panic!("{why}"),
        }
    };
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (start, call) = (start.clone(), call.clone());
            thread::spawn(move || {
                start.wait();
                call().map(|waiter| *waiter.wait_blocking().unwrap())
            })
        })
        .collect();
    let tasks: Vec<_> = (0..TASKS)
        .map(|nth| {
            let (start, call) = (start.clone(), call.clone());
            rt.task(async move {
                if nth == 0 {
                    start.wait();
                }
                match call() {
                    Some(waiter) => Some(*waiter.await.unwrap()),
                    None => None,
                }
            })
        })
        .collect();

    until(|| group.waiters("k") == THREADS + TASKS - 1).await;
    let primary = first.lock().unwrap().pop().expect("one is primary");
    assert!(first.lock().unwrap().is_empty(), "two primaries");
    assert_eq!(primary.waiters(), THREADS + TASKS - 1);
    primary.settle(7).unwrap();

    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await);
    }
    // Every thread has been told by now, and ends.
    outcomes.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    let values = outcomes.iter().flatten().filter(|value| **value == 7);
    assert_eq!(values.count(), THREADS + TASKS - 1);
    let stats = group.stats();
    assert_eq!((stats.begun, stats.settled), (1, 1));
    assert_eq!(stats.waited as usize, THREADS + TASKS - 1);
    assert!(group.is_empty());
}

/// `entry_ref` clones the key when its caller executes, and not for a duplicate.
pub async fn only_a_primary_clones_a_borrowed_key<R: TestRuntime>(_: R) {
    let clones = Arc::new(AtomicUsize::new(0));
    let key = CountedKey(clones.clone());
    let group = oneflight::Group::<CountedKey, usize>::new();

    let first = primary(group.entry_ref(&key).begin());
    assert_eq!(clones.load(Ordering::SeqCst), 1);
    let second = waiter(group.entry_ref(&key).begin());
    let third = waiter(group.entry_ref(&key).begin());
    assert_eq!(clones.load(Ordering::SeqCst), 1);
    first.settle(7).unwrap();
    assert_eq!(*second.await.unwrap() + *third.await.unwrap(), 14);
}

/// All are equal; clones are counted.
struct CountedKey(Arc<AtomicUsize>);

impl Clone for CountedKey {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(self.0.clone())
    }
}

impl PartialEq for CountedKey {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for CountedKey {}

impl Hash for CountedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        0.hash(state);
    }
}

/// An effect tagged with the id can tell two flights of one key apart.
pub async fn the_ids_of_a_key_rise<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let mut last = None;
    for value in 0..100 {
        let primary = primary(group.begin("k"));
        let waiter = waiter(group.begin("k"));
        let id = primary.id();
        assert!(Some(id) > last);
        assert_eq!(waiter.id(), id);
        last = Some(id);
        let task = rt.task(waiter);
        primary.settle(value).unwrap();
        assert_eq!(task.await.unwrap().flight_id(), id);
    }
}
