//! What errors say, and what the small types show of themselves.

use std::collections::HashSet;
use std::error::Error as _;
use std::fmt::Display;
use std::future::{Future, Ready, pending, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use oneflight_core::clock::Clock;
use oneflight_core::error::{Aborted, Cause, Rejected};
use oneflight_core::rt::{Spawn, SpawnBlocking, Timeout};
use oneflight_core::{Begin, Error, Group, Primary, SettleCell, Settled, Waiter};

type Registry = Group<&'static str, u32>;

fn flight(group: &Registry) -> (Primary<&'static str, u32>, Waiter<&'static str, u32>) {
    match (group.begin("k"), group.begin("k")) {
        (Begin::Primary(primary), Begin::Waiter(waiter)) => (primary, waiter),
        other => panic!("{other:?}"),
    }
}

fn aborted() -> Aborted {
    let (primary, waiter) = flight(&Group::new());
    drop(primary);
    match waiter.get() {
        Some(Err(Error::Aborted(aborted))) => aborted,
        other => panic!("{other:?}"),
    }
}

const CAUSES: [Cause; 7] = [
    Cause::Dropped,
    Cause::Panicked,
    Cause::Cancelled,
    Cause::AbortedAll,
    Cause::Superseded,
    Cause::Exhausted,
    Cause::Failed,
];

/// Lower case, no full stop, as one part of a longer line; and, after a semicolon, what to do.
fn assert_says_what_to_do(error: &impl Display) {
    let said = error.to_string();
    assert!(said.starts_with(char::is_lowercase), "{said}");
    assert!(!said.ends_with('.'), "{said}");
    let (what, advice) = said.split_once("; ").expect("what to do after a semicolon");
    assert!(what.len() > 5 && advice.len() > 10, "{said}");
}

#[test]
fn each_cause_is_told_apart_in_words() {
    let said: HashSet<String> = CAUSES.iter().map(Cause::to_string).collect();
    assert_eq!(said.len(), CAUSES.len());
    for words in said {
        assert!(
            words.starts_with(char::is_lowercase) && !words.ends_with('.'),
            "{words}"
        );
    }
}

#[test]
fn each_rejection_says_what_to_do() {
    let all = [
        Rejected::Busy,
        Rejected::Mismatch,
        Rejected::TooManyWaiters,
        Rejected::TooManyFlights,
        Rejected::Closed,
        Rejected::Reentrant,
    ];
    for rejected in all {
        assert_says_what_to_do(&rejected);
        let error = Error::from(rejected);
        assert_eq!(error.to_string(), rejected.to_string());
        assert!(error.source().is_none(), "its message is printed once");
    }
    let said: HashSet<String> = all.iter().map(Rejected::to_string).collect();
    assert_eq!(said.len(), all.len());
}

#[test]
fn an_abort_says_why_and_what_to_do() {
    let aborted = aborted();
    assert_says_what_to_do(&aborted);
    assert!(aborted.to_string().contains(&Cause::Dropped.to_string()));

    let error = Error::from(aborted);
    assert_eq!(error.to_string(), aborted.to_string());
    assert!(error.source().is_none(), "its message is printed once");

    assert_says_what_to_do(&Error::TimedOut);
}

#[test]
fn an_abort_advises_by_its_cause_and_by_what_might_have_run() {
    let advice = |aborted: Aborted| {
        assert_says_what_to_do(&aborted);
        let said = aborted.to_string();
        assert!(said.contains(&aborted.cause().to_string()), "{said}");
        assert!(!said.contains('\n') && said.len() < 140, "{said}");
        said.split_once("; ").expect("advice").1.to_string()
    };
    for cause in CAUSES {
        let (begun, never) = (
            advice(Aborted::new(cause)),
            advice(Aborted::never_begun(cause)),
        );
        assert!(begun.contains("might have run"), "{begun}");
        assert!(never.contains("none of it has run"), "{never}");
        // What was stopped on purpose is not to be started again by a client that only retries.
        let on_purpose = matches!(cause, Cause::Cancelled | Cause::AbortedAll);
        assert_eq!(
            begun.contains("only if it is wanted"),
            on_purpose,
            "{begun}"
        );
    }
    let lost = advice(Aborted::new(Cause::Panicked));
    assert!(lost.ends_with("call again if that does no harm"), "{lost}");
    let unharmed = advice(Aborted::never_begun(Cause::Dropped));
    assert!(unharmed.ends_with("call again"), "{unharmed}");
}

#[test]
fn a_settle_that_was_not_first_says_where_its_value_is() {
    let cell = SettleCell::new();
    cell.settle(1).unwrap();
    let again = cell.settle(2).unwrap_err();
    assert_says_what_to_do(&again);
    assert_eq!(format!("{again:?}"), "AlreadySettled { .. }");

    let group = Registry::new();
    let (primary, _waiter) = flight(&group);
    group.abort_all();
    let late = primary.settle(3).unwrap_err();
    assert_says_what_to_do(&late);
    assert!(late.to_string().contains(&Cause::AbortedAll.to_string()));
    assert_ne!(late.to_string(), again.to_string());

    let shown = format!("{late:?}");
    assert!(
        shown.starts_with("SettleError { aborted: Aborted { cause: AbortedAll"),
        "{shown}"
    );
    assert_eq!((late.aborted.cause(), late.value), (Cause::AbortedAll, 3));
}

#[test]
fn a_run_that_is_ended_says_what_its_waiters_are_told() {
    let group = Registry::new();
    let (primary, waiter) = flight(&group);
    let run = primary.run(pending());
    group.abort_all();
    let ended = block_on(run).unwrap_err();
    assert_eq!(ended, waiter.get().unwrap().unwrap_err());
}

#[test]
fn an_outcome_is_a_reference_and_is_shown_as_its_value() {
    let (primary, waiter) = flight(&Group::new());
    let id = primary.id();
    let settled: Settled<_, _> = primary.settle(70_077).unwrap();
    let other = waiter.get().unwrap().unwrap();
    assert!(std::ptr::eq::<u32>(&*settled, &*other));
    assert_eq!(
        format!("{settled} {settled:?} {other:>6}"),
        "70077 70077  70077"
    );
    assert_eq!(settled.flight_id(), id);
    assert_eq!(id.to_string(), id.get().to_string());
}

#[test]
fn a_shared_clock_is_the_clock_it_shares() {
    struct Fixed;
    impl Clock for Fixed {
        fn now(&self) -> Duration {
            Duration::from_secs(77)
        }
    }
    let shared: Arc<dyn Clock> = Arc::new(Fixed);
    assert_eq!(Clock::now(&shared), Duration::from_secs(77));
}

#[test]
fn a_timeout_ends_for_the_outcome_the_abort_or_the_time() {
    let (primary, mut waiter) = flight(&Group::new());
    let timeout: Timeout<'_, _, Ready<()>> = Timeout::new(&mut waiter, ready(()));
    assert!(format!("{timeout:?}").starts_with("Timeout { handle: Waiter { id: FlightId("));
    assert_eq!(block_on(timeout).unwrap_err(), Error::TimedOut);
    primary.settle(7).unwrap();
    // The outcome comes first when both are there.
    assert_eq!(*block_on(Timeout::new(&mut waiter, ready(()))).unwrap(), 7);

    let (primary, mut waiter) = flight(&Group::new());
    drop(primary);
    let ended = block_on(Timeout::new(&mut waiter, pending::<()>())).unwrap_err();
    assert_eq!(ended, Error::Aborted(aborted()));
    assert_eq!(waiter.wait_deadline(Instant::now()).unwrap_err(), ended);
}

/// Runs what it is given at once.
struct AtOnce;

impl Spawn for AtOnce {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        block_on(task);
    }
}

impl SpawnBlocking for AtOnce {
    fn spawn_blocking<F: FnOnce() + Send + 'static>(&self, call: F) {
        call();
    }
}

#[test]
fn a_task_names_its_flight_and_one_that_was_rejected_has_none() {
    let group = Registry::new();
    let done = group.entry("k").spawn_on(&AtOnce, || async { 7 });
    let id = done.id().expect("of its flight");
    assert_eq!(
        format!("{done:?}"),
        format!("Spawned {{ id: Some({id:?}), primary: true, .. }}")
    );
    assert_eq!(block_on(done).unwrap().flight_id(), id);

    let (primary, _waiter) = flight(&group);
    let duplicate = group.entry("k").spawn_on(&AtOnce, || async { 8 });
    assert_eq!(duplicate.id(), Some(primary.id()));

    group.close();
    let rejected = group.entry("new").spawn_on(&AtOnce, || async { 9 });
    assert_eq!(rejected.id(), None);
    assert_eq!(
        block_on(rejected).unwrap_err(),
        Error::Rejected(Rejected::Closed)
    );
}

#[test]
fn guards_and_futures_show_their_flight_and_no_key() {
    let group: Group<&str, u32> = Group::new();
    let (primary, waiter) = flight(&group);
    let id = primary.id();
    let shown = [
        format!("{primary:?}"),
        format!("{waiter:?}"),
        format!("{:?}", group.begin("k")),
        format!("{:?}", primary.run(pending())),
    ];
    for shown in shown {
        assert!(shown.contains(&format!("id: {id:?}")), "{shown}");
        assert!(!shown.contains("\"k\""), "a key may be secret: {shown}");
    }
}
