//! Instructions, which no neighbour on the machine moves: `bash .ci/bench.sh instructions`, which needs valgrind.

use foldhash::fast::FixedState;
use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use oneflight::Group;
use oneflight_own_benches::{self as own, Ruled};

/// The caps: about 3 % over what was measured, for all the calls or waiters of a piece of work together. Lower one when the
/// work has become cheaper; raise one only with a reason in the same commit.
mod caps {
    /// 100 calls.
    pub const SOLO: u64 = 44_400;
    /// 100 calls with a key of 36 bytes.
    pub const SOLO_LONG: u64 = 66_700;
    /// 100 calls by `work`; the same whose operation is pending once, and so for the others.
    pub const WORK: u64 = 93_400;
    pub const WORK_ONCE: u64 = 137_300;
    pub const TRY_WORK: u64 = 79_800;
    pub const TRY_WORK_ONCE: u64 = 180_800;
    pub const RUN: u64 = 66_500;
    pub const RUN_ONCE: u64 = 101_000;
    /// 100 calls on a runtime that takes nothing itself.
    pub const SPAWN: u64 = 104_900;
    pub const SPAWN_WHILE_WANTED: u64 = 146_300;
    /// 100 cycles by `work`.
    pub const WORK_CYCLE: u64 = 316_400;
    /// 1,000 participants.
    pub const WORK_JOIN: u64 = 512_900;
    pub const WORK_SETTLE_RESUME: u64 = 129_900;
    pub const WORK_CANCEL: u64 = 260_700;
    /// 100 cycles of begin, one waiter, settle, resume.
    pub const CYCLE: u64 = 177_800;
    /// 1,000 waiters.
    pub const JOIN: u64 = 304_800;
    /// 1,000 waiters.
    pub const SETTLE_RESUME: u64 = 86_700;
    /// 1,000 waiters.
    pub const CANCEL: u64 = 95_900;
    /// 100 calls with a fingerprint, in a group with every rule that retains them.
    pub const RULED_SOLO: u64 = 233_000;
    /// 1,000 waiters of such a group.
    pub const RULED_JOIN: u64 = 1_156_600;
    /// 100 calls by `work` in such a group, and 1,000 participants of one.
    pub const RULED_WORK: u64 = 319_600;
    pub const RULED_WORK_JOIN: u64 = 1_529_600;
    /// 100 late calls of such a group.
    pub const REPLAY: u64 = 99_900;
}

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    LibraryBenchmarkConfig::default().tool(callgrind).clone()
}

#[library_benchmark(config = at_most(caps::SOLO))]
#[bench::u64(own::warm())]
fn solo(group: Group<u64, u64>) -> Group<u64, u64> {
    own::solo(&group);
    group
}

#[library_benchmark(config = at_most(caps::SOLO_LONG))]
#[bench::str36(own::warm_long())]
fn solo_long(group: (Group<String, u64>, Vec<String>)) -> (Group<String, u64>, Vec<String>) {
    own::solo_long(&group);
    group
}

#[library_benchmark]
#[bench::work(args = (own::work, own::warm()), config = at_most(caps::WORK))]
#[bench::work_once(args = (own::work_once, own::warm()), config = at_most(caps::WORK_ONCE))]
#[bench::try_work(args = (own::try_work, own::warm()), config = at_most(caps::TRY_WORK))]
#[bench::try_work_once(args = (own::try_work_once, own::warm()), config = at_most(caps::TRY_WORK_ONCE))]
#[bench::run(args = (own::run, own::warm()), config = at_most(caps::RUN))]
#[bench::run_once(args = (own::run_once, own::warm()), config = at_most(caps::RUN_ONCE))]
#[bench::spawn(args = (own::spawn, own::warm()), config = at_most(caps::SPAWN))]
#[bench::spawn_while_wanted(args = (own::spawn_while_wanted, own::warm()), config = at_most(caps::SPAWN_WHILE_WANTED))]
#[bench::work_cycle(args = (own::work_cycle, own::warm()), config = at_most(caps::WORK_CYCLE))]
fn call(piece: own::Piece, group: Group<u64, u64>) -> Group<u64, u64> {
    piece(&group);
    group
}

#[library_benchmark]
#[bench::join(args = (own::work_joined, own::work_begun()), config = at_most(caps::WORK_JOIN))]
#[bench::settle_resume(args = (own::work_settled, own::work_parked()), config = at_most(caps::WORK_SETTLE_RESUME))]
#[bench::cancel(args = (own::work_cancelled, own::work_parked()), config = at_most(caps::WORK_CANCEL))]
fn work_crowd(piece: fn(own::Crowd) -> own::Crowd, crowd: own::Crowd) -> own::Crowd {
    piece(crowd)
}

#[library_benchmark(config = at_most(caps::CYCLE))]
#[bench::u64(own::warm())]
fn cycle(group: Group<u64, u64>) -> Group<u64, u64> {
    own::cycle(&group);
    group
}

#[library_benchmark(config = at_most(caps::JOIN))]
#[bench::thousand(own::begun())]
fn join(flight: own::Flight) -> own::Flight {
    own::joined(flight)
}

#[library_benchmark(config = at_most(caps::SETTLE_RESUME))]
#[bench::thousand(own::parked())]
fn settle_resume(flight: own::Flight) -> own::Flight {
    own::settled(flight)
}

#[library_benchmark(config = at_most(caps::CANCEL))]
#[bench::thousand(own::parked())]
fn cancel(flight: own::Flight) -> own::Flight {
    own::cancelled(flight)
}

#[library_benchmark(config = at_most(caps::RULED_SOLO))]
#[bench::u64(own::ruled())]
fn ruled_solo(group: Ruled) -> Ruled {
    own::ruled_solo(&group);
    group
}

#[library_benchmark(config = at_most(caps::RULED_JOIN))]
#[bench::thousand(own::ruled_begun())]
fn ruled_join(flight: own::Flight<FixedState>) -> own::Flight<FixedState> {
    own::ruled_joined(flight)
}

#[library_benchmark(config = at_most(caps::RULED_WORK))]
#[bench::u64(own::ruled())]
fn ruled_work(group: Ruled) -> Ruled {
    own::work(&group);
    group
}

#[library_benchmark(config = at_most(caps::RULED_WORK_JOIN))]
#[bench::thousand(own::ruled_work_begun())]
fn ruled_work_join(crowd: own::Crowd<FixedState>) -> own::Crowd<FixedState> {
    own::work_joined(crowd)
}

#[library_benchmark(config = at_most(caps::REPLAY))]
#[bench::u64(own::retained())]
fn replay(group: Ruled) -> Ruled {
    own::replay(&group);
    group
}

library_benchmark_group!(
    name = own_work,
    benchmarks = [
        solo,
        solo_long,
        call,
        work_crowd,
        cycle,
        join,
        settle_resume,
        cancel,
        ruled_solo,
        ruled_join,
        ruled_work,
        ruled_work_join,
        replay
    ]
);

main!(library_benchmark_groups = own_work);
