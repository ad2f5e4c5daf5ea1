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
    pub const SOLO: u64 = 45_100;
    /// 100 calls with a key of 36 bytes.
    pub const SOLO_LONG: u64 = 65_500;
    /// 100 calls by `work`.
    pub const WORK: u64 = 182_100;
    /// 100 cycles of begin, one waiter, settle, resume.
    pub const CYCLE: u64 = 165_900;
    /// 1,000 waiters.
    pub const JOIN: u64 = 299_500;
    /// 1,000 waiters.
    pub const SETTLE_RESUME: u64 = 73_700;
    /// 1,000 waiters.
    pub const CANCEL: u64 = 87_600;
    /// 100 calls with a fingerprint, in a group with every rule that retains them.
    pub const RULED_SOLO: u64 = 222_200;
    /// 1,000 waiters of such a group.
    pub const RULED_JOIN: u64 = 1_152_000;
    /// 100 late calls of such a group.
    pub const REPLAY: u64 = 97_200;
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

#[library_benchmark(config = at_most(caps::WORK))]
#[bench::u64(own::warm())]
fn work(group: Group<u64, u64>) -> Group<u64, u64> {
    own::work(&group);
    group
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
        work,
        cycle,
        join,
        settle_resume,
        cancel,
        ruled_solo,
        ruled_join,
        replay
    ]
);

main!(library_benchmark_groups = own_work);
