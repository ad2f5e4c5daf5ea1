//! Fingerprints: the same key with another payload is told, and never merged.

use std::future::Ready;
use std::time::Duration;

use oneflight::error::Rejected;
use oneflight::gate::Mode;
use oneflight::handle::Budget;
use oneflight::{Begin, Error, Fingerprint};

use super::Group;
use crate::{HandClock, TestRuntime, primary, rejected, scripted, until, waiter};

const TEN: Fingerprint = Fingerprint::new(10);
const TWENTY: Fingerprint = Fingerprint::new(20);

fn never_made() -> Ready<usize> {
    panic!("its operation was made")
}

/// What each kind of call comes to: a rejection, or the value it gets at once, or neither.
fn each_kind<R: TestRuntime>(
    rt: &R,
    group: &Group,
    print: Fingerprint,
) -> Vec<Result<Option<usize>, Rejected>> {
    let of_begin = |begin| match begin {
        Begin::Waiter(waiter) => Ok(waiter.get().map(|outcome| *outcome.unwrap())),
        begin => Err(rejected(begin)),
    };
    let of_call = |outcome: Option<Result<_, Error>>| match outcome {
        None => Ok(None),
        Some(Ok(settled)) => Ok(Some(*oneflight::Settled::<&str, usize>::clone(&settled))),
        Some(Err(Error::Rejected(why))) => Err(why),
        Some(Err(other)) => panic!("{other}"),
    };
    let calls = || group.entry("k").fingerprint(print);
    let adapter = rt.adapter();
    let budget = Budget::times(1);
    vec![
        of_begin(calls().begin()),
        of_begin(group.entry_ref(&"k").fingerprint(print).begin()),
        of_call(calls().work(never_made).get()),
        of_call(calls().work_rerun(budget, never_made).get()),
        of_call(calls().spawn_on(&adapter, never_made).get()),
        of_call(calls().spawn_blocking_on(&adapter, || panic!()).get()),
    ]
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
    let twenty = rt.task(waiter(group.entry("k").fingerprint(TWENTY).begin()));
    without.settle(2).unwrap();
    assert_eq!(*ten.await.unwrap() + *twenty.await.unwrap(), 4);
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
