use core::future::pending;
use core::sync::atomic::Ordering;
use core::task::Context;

use super::whole::LARGEST;
use super::*;

#[cfg(all(
    target_pointer_width = "64",
    not(feature = "tracing"),
    not(feature = "metrics")
))]
#[test]
fn a_flight_takes_128_bytes_besides_key_and_value() {
    type Largest = [u64; LARGEST / 8];
    assert_eq!(size_of::<Memory<u64, u64, ()>>() - 16, 48);
    assert_eq!(size_of::<Head<u64>>(), 64);
    assert_eq!(size_of::<Memory<u64, u64, Whole<u64, Largest>>>() - 16, 128);
}

#[test]
fn an_operation_that_is_larger_or_over_aligned_does_not_fit() {
    #[repr(align(32))]
    struct OverAligned;
    assert!(fits::<[u8; LARGEST]>() && !fits::<[u8; LARGEST + 1]>());
    assert!(fits::<[usize; 1]>() && !fits::<OverAligned>());
}

#[test]
fn a_waker_gives_its_hold_back() {
    let (shared, fresh) = Shared::<u64>::alone(true);
    let mut operation = fresh.put(pending());
    let holds = || shared.holds().load(Ordering::Relaxed);
    let (polled, own) = operation.with_waker();
    assert!(polled.poll(&mut Context::from_waker(&own)).is_pending());
    // It is borrowed, and counts for nothing.
    assert_eq!(holds(), 2);
    let copies = [own.clone(), own.clone()];
    assert_eq!(holds(), 4);
    let [dropped, used_up] = copies;
    used_up.wake_by_ref();
    assert_eq!(holds(), 4);
    drop(dropped);
    used_up.wake();
    assert_eq!(holds(), 2);
    drop(operation);
    assert_eq!(holds(), 1);
}
