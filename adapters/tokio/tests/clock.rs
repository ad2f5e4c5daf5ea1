//! [`TokioClock`] follows the time of a runtime that is paused.

use core::time::Duration;

use oneflight_core::clock::Clock;
use oneflight_core::{Begin, Group};
use oneflight_tokio::TokioClock;
use tokio::runtime::{Builder, Runtime};
use tokio::time::advance;

const MINUTE: Duration = Duration::from_secs(60);
const LEAST: Duration = Duration::from_millis(1);

fn paused() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    builder.build().unwrap()
}

fn settled(group: &Group<u8, u8>) {
    match group.begin(1) {
        Begin::Primary(primary) => drop(primary.settle(7)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_retained_outcome_expires_when_the_time_is_advanced() {
    // Made before there is a runtime: its zero is the real time of that moment.
    let group: Group<u8, u8> = Group::builder()
        .retain_for(MINUTE)
        .clock(TokioClock::default())
        .build();
    paused().block_on(async {
        settled(&group);
        advance(MINUTE - LEAST).await;
        assert!(matches!(group.begin(1), Begin::Waiter(_)));
        advance(LEAST).await;
        assert!(group.peek(&1).is_none());
        assert!(matches!(group.begin(1), Begin::Primary(_)));
    });
}

#[test]
fn a_flight_is_superseded_when_the_time_is_advanced() {
    paused().block_on(async {
        let group: Group<u8, u8> = Group::builder()
            .supersede_after(MINUTE)
            .clock(TokioClock::default())
            .build();
        let _old = group.begin(1);
        advance(MINUTE).await;
        assert!(matches!(group.begin(1), Begin::Waiter(_)));
        advance(LEAST).await;
        assert!(matches!(group.begin(1), Begin::Primary(_)));
    });
}

#[test]
fn a_time_that_stands_still_is_the_same_for_all_clones() {
    paused().block_on(async {
        let clock = TokioClock::default();
        let clone = clock.clone();
        assert_eq!(clock.now(), Duration::ZERO);
        advance(MINUTE).await;
        assert_eq!((clock.now(), clone.now()), (MINUTE, MINUTE));
        assert_eq!(TokioClock::default().now(), Duration::ZERO);
    });
}

#[test]
fn a_clock_that_is_read_outside_of_its_runtime_stands_at_zero_at_worst() {
    let ahead = paused().block_on(async {
        advance(60 * MINUTE).await;
        TokioClock::default()
    });
    assert_eq!(ahead.now(), Duration::ZERO);
}
