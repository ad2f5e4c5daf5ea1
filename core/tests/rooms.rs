//! Waiting rooms that are used again by the same thread.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use oneflight_core::SettleCell;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn park(wait: Pin<&mut impl Future>, count: &Arc<Count>) {
    let waker = Waker::from(count.clone());
    assert!(wait.poll(&mut Context::from_waker(&waker)).is_pending());
}

#[test]
fn a_waker_that_was_left_in_a_room_is_no_part_of_the_next_cell() {
    let left = Arc::new(Count::default());
    let cell = SettleCell::<u32>::new();
    let mut wait = Box::pin(cell.wait());
    park(wait.as_mut(), &left);
    // Never dropped, so nobody takes its waker back; and its cell never ends.
    std::mem::forget(wait);
    drop(cell);
    assert_eq!(
        Arc::strong_count(&left),
        1,
        "the room is gone with its cell"
    );

    let told = Arc::new(Count::default());
    let cell = SettleCell::new();
    let mut wait = pin!(cell.wait());
    park(wait.as_mut(), &told);
    cell.settle(7).unwrap();
    assert_eq!(told.0.load(Ordering::Relaxed), 1);
    assert_eq!(left.0.load(Ordering::Relaxed), 0, "of another cell");
}
