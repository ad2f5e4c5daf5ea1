//! The cell on its own: one value, many who wait for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use arbitrary::Arbitrary;
use oneflight_core::SettleCell;
use oneflight_core::handle::Wait;

use crate::ledger::{Ledger, Value, Wish};
use crate::panics::caught;
use crate::parse;
use crate::wakers::{Parked, Room, WAKERS, Wakers, Who};
use crate::world::pick;

const ROOM: Room = Room::Flight(0);
const MOST_WAITS: usize = 220;

#[derive(Arbitrary, Debug)]
struct Setup {
    hostile: bool,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Wait,
    Poll(u8, u8),
    DropWait(u8),
    Crowd(u8, u8),
    WakeSpuriously(u8),
    Settle,
    WaitBlocking,
    Over(bool),
}

/// What is known across the lives of several cells.
struct Bench {
    wakers: Wakers,
    parked: Parked,
    values: Arc<Ledger>,
    people: Who,
}

/// Runs the bytes: one cell after the other.
pub fn run(bytes: &[u8]) {
    let (setup, ops) = parse::<Setup, Op>(bytes);
    let mut bench = Bench {
        wakers: Wakers::new(setup.hostile),
        parked: Parked::new(setup.hostile),
        values: Arc::default(),
        people: 0,
    };
    let mut ops = ops.into_iter();
    while ops.len() > 0 {
        life(&mut bench, &mut ops);
        bench.wakers.check(&mut bench.parked);
        assert_eq!(bench.values.count(), 0, "values left behind");
    }
}

/// One cell, until its schedule says that it is over.
fn life(bench: &mut Bench, ops: &mut impl Iterator<Item = Op>) {
    let mut cell = SettleCell::new();
    let mut waits: Vec<(Who, Wait<'_, Value>)> = Vec::new();
    // The serial number of the value that won.
    let mut settled = None;
    let mut take_out = false;
    for op in ops {
        match op {
            Op::Wait => bench.wait(&cell, &mut waits),
            Op::Poll(index, waker) => {
                if let Some(index) = pick(index, waits.len()) {
                    bench.poll(&mut waits[index], waker, settled);
                }
            }
            Op::DropWait(index) => {
                if let Some(index) = pick(index, waits.len()) {
                    let (who, wait) = waits.swap_remove(index);
                    bench.parked.leave(ROOM, who);
                    drop(wait);
                }
            }
            Op::Crowd(count, waker) => {
                for _ in 0..count {
                    bench.wait(&cell, &mut waits);
                    if let Some(last) = waits.last_mut() {
                        bench.poll(last, waker, settled);
                    }
                }
            }
            Op::WakeSpuriously(waker) => {
                let waker = usize::from(waker) % WAKERS;
                bench.wakers.wake_spuriously(waker, &mut bench.parked);
            }
            Op::Settle => bench.settle(&cell, &mut settled),
            Op::WaitBlocking => {
                // Before the settle it would wait for ever.
                if settled.is_some() {
                    assert_eq!(Some(cell.wait_blocking().life.serial), settled);
                }
            }
            Op::Over(taken_out) => {
                take_out = taken_out;
                break;
            }
        }
        assert_eq!(cell.get().map(|value| value.life.serial), settled);
        assert_eq!(
            bench.values.count(),
            usize::from(settled.is_some()),
            "values alive"
        );
        bench.wakers.check(&mut bench.parked);
    }
    for (who, wait) in waits.drain(..) {
        bench.parked.leave(ROOM, who);
        drop(wait);
    }
    drop(waits);
    if take_out {
        let value = cell.get_mut().map(|value| value.life.serial);
        assert_eq!(value, settled, "get_mut");
        let value = cell.take();
        assert_eq!(value.map(|value| value.life.serial), settled, "take");
        // Nobody waits, and it is as new.
        assert!(!cell.is_settled() && cell.take().is_none());
        settled = None;
        bench.settle(&cell, &mut settled);
        assert!(cell.is_settled());
        let value = cell.into_inner();
        assert_eq!(value.map(|value| value.life.serial), settled, "into_inner");
    }
}

impl Bench {
    fn wait<'a>(&mut self, cell: &'a SettleCell<Value>, waits: &mut Vec<(Who, Wait<'a, Value>)>) {
        if waits.len() < MOST_WAITS {
            self.people += 1;
            waits.push((self.people, cell.wait()));
        }
    }

    fn poll(&mut self, wait: &mut (Who, Wait<'_, Value>), waker: u8, settled: Option<u64>) {
        let waker = usize::from(waker) % WAKERS;
        if settled.is_none() {
            self.parked.park(ROOM, wait.0, waker);
        }
        match self.wakers.poll(waker, |cx| Pin::new(&mut wait.1).poll(cx)) {
            Poll::Pending => assert_eq!(settled, None, "pending after the settle"),
            Poll::Ready(value) => assert_eq!(Some(value.life.serial), settled),
        }
    }

    /// The first one wins, and wakes everyone even if one of the wakes panics.
    fn settle(&mut self, cell: &SettleCell<Value>, settled: &mut Option<u64>) {
        let value = Value::new(Wish::Keep, &self.values);
        let serial = value.life.serial;
        let won = settled.is_none();
        if won {
            *settled = Some(serial);
            self.parked.fire(ROOM);
        }
        let real = caught(|| match cell.settle(value) {
            Ok(value) => (true, value.life.serial),
            Err(late) => (false, late.value.life.serial),
        });
        assert_eq!(real.is_none(), self.parked.provoked(), "a wake's panic");
        if let Some(real) = real {
            assert_eq!(real, (won, serial), "who settled");
        }
    }
}
