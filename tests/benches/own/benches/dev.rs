//! For use while working: `cargo bench --manifest-path tests/benches/own/Cargo.toml --bench dev`.

use std::fmt;

use divan::Bencher;
use divan::counter::ItemsCount;
use oneflight_own_benches as own;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// A piece of work, by its name.
struct Named(&'static str, own::Piece);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

#[divan::bench(args = own::PIECES.map(|(name, piece)| Named(name, piece)))]
fn alone(bencher: Bencher<'_, '_>, Named(_, piece): &Named) {
    let group = own::warm();
    bencher
        .counter(ItemsCount::new(own::CALLS))
        .bench_local(|| piece(&group));
}

#[divan::bench]
fn solo_long(bencher: Bencher<'_, '_>) {
    let group = own::warm_long();
    bencher
        .counter(ItemsCount::new(own::CALLS))
        .bench_local(|| own::solo_long(&group));
}

/// For everyone who waits.
fn crowd<I, O>(bencher: Bencher<'_, '_>, make: fn() -> I, piece: fn(I) -> O) {
    bencher
        .counter(ItemsCount::new(own::WAITERS))
        .with_inputs(make)
        .bench_local_values(piece);
}

#[divan::bench]
fn join(bencher: Bencher<'_, '_>) {
    crowd(bencher, own::begun, own::joined);
}

#[divan::bench]
fn settle_resume(bencher: Bencher<'_, '_>) {
    crowd(bencher, own::parked, own::settled);
}

#[divan::bench]
fn cancel(bencher: Bencher<'_, '_>) {
    crowd(bencher, own::parked, own::cancelled);
}

#[divan::bench]
fn work_join(bencher: Bencher<'_, '_>) {
    crowd(bencher, own::work_begun, own::work_joined);
}

#[divan::bench]
fn work_settle_resume(bencher: Bencher<'_, '_>) {
    crowd(bencher, own::work_parked, own::work_settled);
}

#[divan::bench]
fn work_cancel(bencher: Bencher<'_, '_>) {
    crowd(bencher, own::work_parked, own::work_cancelled);
}
