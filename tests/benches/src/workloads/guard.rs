//! `guard`: a call alone by a guard, which is no future: begun, settled, gone. oneflight beside those that have one.

use std::hash::RandomState as Sip;
use std::hint::black_box;

use foldhash::fast::RandomState as Fold;
use quick_cache::DefaultHashBuilder as Own;

use super::{CALLS, Make, Scale, VALUE};
use crate::contenders::limits::{FLOOR, Floor};
use crate::contenders::{
    Contender, GUARD, Key, Kind, broadcast, oneflight, quick_cache as quick, watch, who,
};
use crate::meter::Meter;
use crate::rounds::{Case, Group, Heap};

fn cases<K: Key>() -> Vec<Case> {
    let mut cases = Vec::new();
    macro_rules! case {
        ($name:expr, $kind:ident, $of:expr) => {{
            let of = $of;
            let keys: Vec<_> = (0..CALLS).map(K::nth).collect();
            let run = move |meter: &mut Meter| {
                meter.of(CALLS, || {
                    for key in &keys {
                        assert_eq!(of.guard(black_box(key), VALUE), VALUE);
                    }
                });
            };
            cases.push(Case {
                who: who($name, Kind::$kind),
                run: Box::new(run),
            });
        }};
    }
    case!(GUARD, Ours, oneflight::Guard::<K, u64>::new());
    case!("quick_cache", Crate, quick::Quick::<K, u64, Own>::new());
    case!(
        "quick_cache tuned",
        Tuned,
        quick::Quick::<K, u64, Fold>::new()
    );
    case!(
        "broadcast",
        Hand,
        broadcast::Broadcast::<K, u64, Sip>::new()
    );
    case!(
        "broadcast tuned",
        Tuned,
        broadcast::Broadcast::<K, u64, Fold>::new()
    );
    case!("watch", Hand, watch::Watch::<K, u64, Sip>::new());
    case!("watch tuned", Tuned, watch::Watch::<K, u64, Fold>::new());
    case!(FLOOR, Limit, Floor::<K>::new());
    cases
}

fn group<K: Key>(key: &str) -> Group {
    Group {
        workload: "guard",
        key: key.to_owned(),
        n: 1,
        limit: Some(FLOOR),
        heap: Heap::Asked,
        cases: cases::<K>(),
    }
}

/// A small key, and one as long as a UUID in text.
pub fn groups(_: Scale) -> Vec<Make> {
    vec![
        Box::new(|| group::<u64>("u64")),
        Box::new(|| group::<String>("str36")),
    ]
}
