//! `spawn`: a call alone whose operation is a task of tokio, on the thread that calls, beside the runtime's own spawn and join;
//! and the payment of the README, first and again.

use std::hint::black_box;
use std::time::Duration;

use futures_lite::future::yield_now;
use oneflight::rt::tokio::{EntryExt, GroupExt};
use oneflight::{Fingerprint, Group as Flights};
use tokio::runtime::{Builder, Runtime};

use super::{CALLS, Make, Scale, VALUE};
use crate::contenders::{self, Contender, Key, Kind, Visitor, Who, who};
use crate::meter::Meter;
use crate::rounds::{Case, Group, Heap};

/// What the runtime takes by itself.
pub const RUNTIME: &str = "spawn + join";

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

/// Ready at the first poll, or pending once.
async fn operation(pending: bool) -> u64 {
    if pending {
        yield_now().await;
    }
    VALUE
}

struct Cases {
    pending: bool,
    cases: Vec<Case>,
}

impl Cases {
    fn add(&mut self, who: Who, call: impl AsyncFn(u64) -> u64 + 'static) {
        let runtime = runtime();
        let run = Box::new(move |meter: &mut Meter| {
            let calls = async {
                for key in 0..CALLS {
                    assert_eq!(call(black_box(key)).await, VALUE);
                }
            };
            meter.of(CALLS, || runtime.block_on(calls));
        });
        self.cases.push(Case { who, run });
    }
}

impl Visitor<u64, u64> for Cases {
    fn visit<C: Contender<u64, u64>>(&mut self, who: Who) {
        let (contender, pending) = (C::new(), self.pending);
        self.add(who, async move |key| {
            *C::value(&contender.call(&key, operation(pending)).await)
        });
    }
}

fn calls(pending: bool) -> Vec<Case> {
    let cases = Vec::new();
    let mut cases = Cases { pending, cases };
    let flights = Flights::<u64, u64>::new();
    cases.add(who("spawn", Kind::Ours), async move |key| {
        let call = flights.spawn(key, move || operation(pending));
        *call.await.expect("settled")
    });
    let flights = Flights::<u64, u64>::new();
    let wanted = who("spawn_while_wanted", Kind::Variant);
    cases.add(wanted, async move |key| {
        let call = flights.spawn_while_wanted(key, move || operation(pending));
        *call.await.expect("settled")
    });
    contenders::each_that_spawns(&mut cases);
    cases.add(who(RUNTIME, Kind::Limit), async move |_| {
        tokio::spawn(operation(pending)).await.expect("no panic")
    });
    cases.cases
}

type Receipts = Flights<String, Result<u64, String>>;

async fn charge(_token: String, _cents: u64) -> Result<u64, String> {
    Ok(VALUE)
}

async fn pay(charges: &Receipts, token: &str, cents: u64) -> u64 {
    let (payload, bank_token) = (Fingerprint::of(&cents), token.to_owned());
    let entry = charges.entry_ref(token).fingerprint(payload);
    let call = entry.spawn(move || charge(bank_token, cents));
    *call.await.expect("settled").into_result().expect("charged")
}

/// The call of the README: with `fresh` each is the first of its token, else all are replays of a receipt that is retained.
fn payments(name: &'static str, fresh: bool) -> Case {
    let day = Duration::from_secs(24 * 60 * 60);
    let charges = Receipts::builder().retain_ok_for(day).build();
    let runtime = runtime();
    let tokens: Vec<_> = (0..CALLS).map(String::nth).collect();
    let all = move |meter: &mut Meter| {
        let calls = async {
            for token in &tokens {
                assert_eq!(pay(&charges, black_box(token), VALUE).await, VALUE);
            }
        };
        meter.of(CALLS, || runtime.block_on(calls));
        if fresh {
            assert_eq!(charges.clear_retained() as u64, CALLS);
        }
    };
    let kind = if fresh { Kind::Ours } else { Kind::Variant };
    Case {
        who: who(name, kind),
        run: Box::new(all),
    }
}

fn readme() -> Vec<Case> {
    let runtime = runtime();
    let tokens: Vec<_> = (0..CALLS).map(String::nth).collect();
    let bare = move |meter: &mut Meter| {
        let calls = async {
            for token in &tokens {
                let charge = charge(black_box(token).clone(), VALUE);
                let receipt = tokio::spawn(charge).await.expect("no panic");
                assert_eq!(receipt, Ok(VALUE));
            }
        };
        meter.of(CALLS, || runtime.block_on(calls));
    };
    vec![
        payments("the first call", true),
        payments("its replay", false),
        Case {
            who: who(RUNTIME, Kind::Limit),
            run: Box::new(bare),
        },
    ]
}

fn group(key: &str, cases: Vec<Case>) -> Group {
    Group {
        workload: "spawn",
        key: key.to_owned(),
        n: 1,
        limit: Some(RUNTIME),
        heap: Heap::Asked,
        cases,
    }
}

/// Ready at once, pending once, and the README's.
pub fn groups(_: Scale) -> Vec<Make> {
    vec![
        Box::new(|| group("ready", calls(false))),
        Box::new(|| group("pending once", calls(true))),
        Box::new(|| group("README", readme())),
    ]
}
