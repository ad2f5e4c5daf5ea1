//! Every contender gives the right result, before it is timed.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_lite::future::{yield_now, zip};
use tokio::runtime::Builder;

use crate::contenders::{self, Contender, Key, Value, Visitor, Who, limits};
use crate::op::{self, Op};
use crate::poll::{Bell, park};

struct Verify<V> {
    values: [V; 2],
    verified: Vec<&'static str>,
    value: PhantomData<V>,
}

impl<K: Key, V: Value> Visitor<K, V> for Verify<V> {
    fn visit<C: Contender<K, V>>(&mut self, who: Who) {
        let contender = C::new();
        let [first, second] = &self.values;
        // Twice the same key: what is settled is gone.
        for value in [first, second] {
            let runs = op::runs();
            flight(&contender, value, who);
            assert_eq!(
                op::runs() - runs,
                1,
                "{}: one operation for four callers",
                who.name
            );
        }
        self.verified.push(who.name);
    }
}

/// One primary, three duplicates of which one leaves.
fn flight<K: Key, V: Value, C: Contender<K, V>>(contender: &C, value: &V, who: Who) {
    op::shut();
    let bells: [Arc<Bell>; 4] = Default::default();
    let wakers = bells.clone().map(Waker::from);
    let cx = |index: usize| Context::from_waker(&wakers[index]);
    let key = K::nth(7);
    let mut lead = pin!(contender.call(&key, Op::new(value.clone())));
    park(lead.as_mut(), &mut cx(0));
    let mut first = pin!(contender.join(&key));
    park(first.as_mut(), &mut cx(1));
    {
        let mut leaver = pin!(contender.join(&key));
        if who.name != limits::WAKERS {
            park(leaver.as_mut(), &mut cx(2));
        }
    }
    let mut last = pin!(contender.join(&key));
    park(last.as_mut(), &mut cx(3));
    op::open();
    let own = done(lead.as_mut(), &mut cx(0), who, "the primary");
    assert_eq!(C::value(&own), value, "{}: the primary's own", who.name);
    assert!(
        bells[1].rings() > 0,
        "{}: the first waiter was not woken",
        who.name
    );
    let out = done(first.as_mut(), &mut cx(1), who, "the first waiter");
    assert_eq!(C::value(&out), value, "{}: the first waiter", who.name);
    assert!(
        bells[3].rings() > 0,
        "{}: the last waiter was not woken",
        who.name
    );
    let out = done(last.as_mut(), &mut cx(3), who, "the last waiter");
    assert_eq!(C::value(&out), value, "{}: the last waiter", who.name);
}

fn done<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>, who: Who, what: &str) -> F::Output {
    match future.poll(cx) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("{}: {what} was not resumed", who.name),
    }
}

/// Those that run operations as tasks of tokio: a call, two duplicates, and another call.
struct Spawning(Vec<&'static str>);

impl Visitor<u64, u64> for Spawning {
    fn visit<C: Contender<u64, u64>>(&mut self, who: Who) {
        let contender = C::new();
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        for value in [1, 2] {
            op::shut();
            let runs = op::runs();
            let settle = async {
                yield_now().await;
                op::open();
            };
            let call = contender.call(&7, Op::new(value));
            let all = async {
                // The duplicates look the key up at once: after the call has begun.
                let mut call = pin!(call);
                poll_fn(|cx| {
                    park(call.as_mut(), cx);
                    Poll::Ready(())
                })
                .await;
                let duplicates = zip(contender.join(&7), contender.join(&7));
                zip(zip(call, duplicates), settle).await.0
            };
            let (own, (first, last)) = runtime.block_on(all);
            for out in [own, first, last] {
                assert_eq!(*C::value(&out), value, "{}", who.name);
            }
            assert_eq!(
                op::runs() - runs,
                1,
                "{}: one operation for three callers",
                who.name
            );
        }
        self.0.push(who.name);
    }
}

/// Panics when somebody is wrong; else who was looked at.
pub fn all() -> Vec<&'static str> {
    let mut small = Verify {
        values: [1, 2],
        verified: Vec::new(),
        value: PhantomData,
    };
    contenders::each::<u64, u64>(&mut small);
    contenders::each_closure::<u64, u64>(&mut small);
    contenders::each_variant::<u64, u64>(&mut small);
    limits::each(&mut small);
    contenders::each_closure::<String, u64>(&mut small);
    contenders::each_variant::<String, u64>(&mut small);
    let mut spawning = Spawning(Vec::new());
    contenders::each_that_spawns(&mut spawning);
    small.verified.append(&mut spawning.0);
    let mut large = Verify {
        values: [vec![1_u8; 9_999], vec![2_u8; 7]],
        verified: Vec::new(),
        value: PhantomData,
    };
    contenders::each::<u64, Vec<u8>>(&mut large);
    small.verified.append(&mut large.verified);
    let ours = |name: &&&str| **name == contenders::WORK;
    assert_eq!(
        small.verified.iter().filter(ours).count(),
        4,
        "ours by both keys, both values, and both ways to join"
    );
    small.verified
}

struct Hangs(Vec<&'static str>);

impl Visitor<u64, u64> for Hangs {
    fn visit<C: Contender<u64, u64>>(&mut self, who: Who) {
        let contender = C::new();
        op::shut();
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut first = pin!(contender.call(&7, Op::new(1)));
            park(first.as_mut(), &mut cx);
        }
        op::open();
        let mut next = pin!(contender.call(&7, Op::new(2)));
        if (0..9).all(|_| next.as_mut().poll(&mut cx).is_pending()) {
            self.0.push(who.name);
        }
    }
}

/// Whose next call of a key hangs when the first one was dropped.
pub fn hangs() -> Vec<&'static str> {
    let mut hangs = Hangs(Vec::new());
    contenders::each_closure(&mut hangs);
    hangs.0
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_contender_gives_the_right_result() {
        assert!(super::all().len() > 90);
    }

    #[test]
    fn a_channel_by_hand_hangs_when_its_first_caller_is_dropped() {
        let channels = ["broadcast", "broadcast tuned", "watch", "watch tuned"];
        assert_eq!(super::hangs(), channels);
    }
}
