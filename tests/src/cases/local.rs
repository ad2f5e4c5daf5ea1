//! What is not `Send`, on executors of one thread.

use std::cell::Cell;
use std::rc::Rc;

use futures_lite::future::yield_now;
use oneflight::Group;
use oneflight::error::Cause;

use crate::{LocalRuntime, cause_of, primary, until, waiter};

/// Neither operation, key nor value needs to be `Send`.
pub async fn primary_run_takes_an_operation_that_is_not_send<R: LocalRuntime>(rt: R) {
    let group = Group::<Rc<str>, Rc<Cell<u32>>>::new();
    let runs = rt.local_task({
        let run = primary(group.begin("k".into()));
        let shared = Rc::new(Cell::new(0));
        run.run(async move {
            for step in 0..10 {
                shared.set(step);
                yield_now().await;
            }
            shared
        })
    });
    let waiters: Vec<_> = (0..10)
        .map(|_| rt.local_task(waiter(group.begin("k".into()))))
        .collect();
    let settled = runs.await.expect("nobody else ends it");
    for waiter in waiters {
        let outcome = waiter.await.unwrap();
        assert!(Rc::ptr_eq(&outcome, &settled));
        assert_eq!(outcome.get(), 9);
    }
    assert!(group.is_empty());
}

/// The guard crosses tasks of one thread, and its loss is told there too.
pub async fn a_guard_that_is_not_send_settles_and_aborts<R: LocalRuntime>(rt: R) {
    let group = Group::<&str, Rc<u32>>::new();
    for settles in [true, false] {
        let guard = primary(group.begin("k"));
        let task = rt.local_task(waiter(group.begin("k")));
        until(|| group.waiters("k") == 1).await;
        rt.local_task(async move {
            if settles {
                guard.settle(Rc::new(7)).expect("nobody else ends it");
            }
        })
        .await;
        match task.await {
            Ok(settled) => assert!(settles && **settled == 7),
            aborted => assert!(!settles && cause_of(aborted) == Cause::Dropped),
        }
    }
}
