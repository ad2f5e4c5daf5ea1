//! Fingerprints: the same key with another payload is told, and never merged.

use std::future::Ready;
use std::time::Duration;

use oneflight::error::Rejected;
use oneflight::gate::Mode;
use oneflight::{Begin, Error, Fingerprint};

use super::Group;
use crate::{HandClock, TestRuntime, fine, polled, primary, rejected, scripted, until, waiter};

const TEN: Fingerprint = Fingerprint::new(10);
const TWENTY: Fingerprint = Fingerprint::new(20);

fn never_made() -> Ready<usize> {
    panic!("its operation was made")
}

/// One call, kept, and what it comes to: a rejection, or the value it gets at once, or neither.
enum Call {
    Begun(Begin<&'static str, usize>),
    Work(oneflight::handle::Work<&'static str, usize>),
    Other(Result<Option<usize>, Rejected>),
}

impl Call {
    fn result(&self) -> Result<Option<usize>, Rejected> {
        match self {
            Call::Begun(Begin::Waiter(waiter)) => Ok(waiter.get().map(|outcome| *outcome.unwrap())),
            Call::Begun(Begin::Rejected(why)) => Err(*why),
            Call::Begun(Begin::Primary(_)) => panic!("it has begun a flight"),
            Call::Work(work) => of_outcome(work.get()),
            Call::Other(result) => *result,
        }
    }
}

fn of_outcome(
    outcome: Option<Result<oneflight::Settled<&'static str, usize>, Error>>,
) -> Result<Option<usize>, Rejected> {
    match outcome {
        None => Ok(None),
        Some(Ok(settled)) => Ok(Some(*settled)),
        Some(Err(Error::Rejected(why))) => Err(why),
        Some(Err(other)) => panic!("{other}"),
    }
}

/// The call of this kind.
fn call<R: TestRuntime>(rt: &R, group: &Group, print: Fingerprint, kind: usize) -> Call {
    let entry = || group.entry("k").fingerprint(print);
    let adapter = rt.adapter();
    match kind {
        0 => Call::Begun(entry().begin()),
        1 => Call::Begun(group.entry_ref(&"k").fingerprint(print).begin()),
        2 => Call::Work(entry().work(never_made)),
        3 => {
            let call = entry().try_work(fine(never_made));
            Call::Other(of_outcome(polled(call)))
        }
        4 => Call::Other(of_outcome(entry().spawn_on(&adapter, never_made).get())),
        _ => {
            let spawned = entry().spawn_blocking_on(&adapter, || panic!());
            Call::Other(of_outcome(spawned.get()))
        }
    }
}

/// What each kind of call comes to.
fn each_kind<R: TestRuntime>(
    rt: &R,
    group: &Group,
    print: Fingerprint,
) -> Vec<Result<Option<usize>, Rejected>> {
    let calls = (0..6).map(|kind| call(rt, group, print, kind).result());
    calls.collect()
}

/// Before anything else that could be said, and whatever the call; the original does not notice.
pub async fn another_payload_of_a_key_is_a_mismatch<R: TestRuntime>(rt: R) {
    let group = Group::builder().max_waiters(1).build();
    let (remote, operation) = scripted();
    let original = group.entry("k").fingerprint(TEN).work(|| operation);
    let same = rt.task(group.entry("k").fingerprint(TEN).work(never_made));
    let original = rt.task(original);
    until(|| remote.polls() == 1).await;
    // It is full; and it is another payload, which is the more useful thing to say.
    let mismatch = vec![Err(Rejected::Mismatch); 6];
    assert_eq!(each_kind(&rt, &group, TWENTY), mismatch);
    assert_eq!(
        each_kind(&rt, &group, TEN),
        vec![Err(Rejected::TooManyWaiters); 6],
        "the same payload is only one too many"
    );
    assert_eq!(group.waiters("k"), 1);
    assert_eq!(group.stats().rejected_by(Rejected::Mismatch), 6);
    remote.finish();
    assert_eq!(*original.await.unwrap() + *same.await.unwrap(), 4);
    // The key is free, and so is the choice of the payload.
    drop(primary(group.entry("k").fingerprint(TWENTY).begin()));
}

/// As long as the outcome is retained.
pub async fn a_retained_outcome_is_for_its_own_payload<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let group = Group::builder()
        .clock(clock.clone())
        .retain_for(Duration::from_secs(60))
        .build();
    primary(group.entry("k").fingerprint(TEN).begin())
        .settle(7)
        .unwrap();
    assert_eq!(
        each_kind(&rt, &group, TWENTY),
        vec![Err(Rejected::Mismatch); 6]
    );
    assert_eq!(each_kind(&rt, &group, TEN), vec![Ok(Some(7)); 6]);
    assert_eq!(*waiter(group.begin("k")).get().unwrap().unwrap(), 7);
    clock.forward(60);
    drop(primary(group.entry("k").fingerprint(TWENTY).begin()));
}

/// A side without a fingerprint compares nothing.
pub async fn a_call_without_a_fingerprint_shares<R: TestRuntime>(rt: R) {
    let group = Group::new();
    let with = primary(group.entry("k").fingerprint(TEN).begin());
    let without = rt.task(waiter(group.begin("k")));
    // Its joining has not taken the fingerprint away.
    assert_eq!(
        rejected(group.entry("k").fingerprint(TWENTY).begin()),
        Rejected::Mismatch
    );
    with.settle(1).unwrap();
    assert_eq!(*without.await.unwrap(), 1);

    let without = primary(group.begin("k"));
    let ten = rt.task(waiter(group.entry("k").fingerprint(TEN).begin()));
    without.settle(2).unwrap();
    assert_eq!(*ten.await.unwrap(), 2);
}

/// It becomes the flight's own, whatever kind of call brings it, also of a retained outcome.
pub async fn the_first_fingerprint_that_a_flight_sees_is_its_own<R: TestRuntime>(rt: R) {
    let clock = HandClock::default();
    let group = Group::builder()
        .clock(clock.clone())
        .retain_for(Duration::from_secs(60))
        .build();
    for retained in [false, true] {
        for first in 0..6 {
            let original = primary(group.begin("k"));
            let mut original = Some(original);
            if retained {
                original.take().map(|original| original.settle(7));
            }
            let outcome = Ok(retained.then_some(7));
            // One kind of call comes with a payload, then every kind with either.
            let kept = call(&rt, &group, TEN, first);
            assert_eq!(kept.result(), outcome, "retained: {retained}, {first}");
            assert_eq!(each_kind(&rt, &group, TEN), vec![outcome; 6]);
            let mismatch = vec![Err(Rejected::Mismatch); 6];
            assert_eq!(each_kind(&rt, &group, TWENTY), mismatch);
            // A call without one shares, and takes none away.
            drop(waiter(group.begin("k")));
            assert_eq!(each_kind(&rt, &group, TWENTY), mismatch);
            drop(kept);
            drop(original);
            group.forget("k");
            // The next flight has seen none.
            let next = primary(group.begin("k"));
            assert_eq!(each_kind(&rt, &group, TWENTY), vec![Ok(None); 6]);
            drop(next);
        }
    }
}

/// Not if the comparison shows that it has another key.
pub async fn a_fingerprint_is_not_recorded_for_another_key<R: TestRuntime>(_: R) {
    #[derive(Clone, Default)]
    struct OneHash;
    impl std::hash::BuildHasher for OneHash {
        type Hasher = Self;
        fn build_hasher(&self) -> Self {
            Self
        }
    }
    impl std::hash::Hasher for OneHash {
        fn finish(&self) -> u64 {
            7
        }
        fn write(&mut self, _: &[u8]) {}
    }
    let group = oneflight::Group::<u8, u8, OneHash>::with_hasher(OneHash);
    let one = primary(group.begin(1));
    let two = primary(group.entry(2).fingerprint(TWENTY).begin());
    let ten = waiter(group.entry(1).fingerprint(TEN).begin());
    assert_eq!(
        rejected(group.entry(1).fingerprint(TWENTY).begin()),
        Rejected::Mismatch
    );
    assert_eq!(group.waiters(&1), 1);
    drop((one, two, ten));
    assert!(group.is_empty());
}

/// A racer that does not become primary is compared as well.
pub async fn racers_with_two_payloads_share_one_and_refuse_the_other<R: TestRuntime>(_: R) {
    for _ in 0..100 {
        let group = Group::new();
        let start = std::sync::Barrier::new(4);
        let came = std::thread::scope(|scope| {
            let race = |print| {
                let (group, start) = (&group, &start);
                scope.spawn(move || {
                    start.wait();
                    (print, group.entry("k").fingerprint(print).begin())
                })
            };
            let threads = [TEN, TWENTY, TEN, TWENTY].map(race);
            threads.map(|thread| thread.join().unwrap())
        });
        let won = came
            .iter()
            .find_map(|(print, begin)| matches!(begin, Begin::Primary(_)).then_some(*print))
            .expect("a primary");
        for (print, begin) in came {
            match begin {
                Begin::Rejected(why) => {
                    assert_eq!(why, Rejected::Mismatch);
                    assert_ne!(print, won);
                }
                Begin::Primary(_) | Begin::Waiter(_) => assert_eq!(print, won),
            }
        }
        assert_eq!(group.stats().rejected, 2);
    }
}

/// Of a token: told before `Busy`, for the holder and for those who queue.
pub async fn another_payload_of_a_token_is_a_mismatch<R: TestRuntime>(rt: R) {
    let gate = oneflight::gate::Gate::<&str, usize>::new(Mode::Queue);
    let holder = primary(gate.entry(Some("a")).fingerprint(TEN).begin());
    let queued = gate.entry(Some("b")).fingerprint(TEN).turn();
    for token in ["a", "b"] {
        let twenty = || gate.entry(Some(token)).fingerprint(TWENTY);
        assert_eq!(rejected(twenty().begin()), Rejected::Mismatch);
        assert_eq!(rejected(rt.task(twenty().turn()).await), Rejected::Mismatch);
    }
    assert_eq!(
        rejected(gate.entry(Some("c")).fingerprint(TWENTY).begin()),
        Rejected::Busy
    );
    let shares = rt.task(waiter(gate.entry(Some("b")).fingerprint(TEN).begin()));
    holder.settle(1).unwrap();
    primary(rt.task(queued).await).settle(2).unwrap();
    assert_eq!(*shares.await.unwrap(), 2);
}
